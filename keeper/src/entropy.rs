//! Serial numbers and jitter: HKDF over the token's and the operating system's random numbers, so that one honest source is enough.
//!
//! Each source is tested on its own before it is used (`source`). One that fails twice stops issuance, although the other would do
//! (invariant I6): a token whose random numbers are bad makes bad ECDSA nonces too, and those give its keys away.

mod source;

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use hkdf::Hkdf;
use proto::v1::Reason;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::Random;
use crate::metrics::Metrics;
use crate::refusal::Refusal;

pub(crate) use source::{NotDrawn, Source, Tested, Unhealthy};

/// Octets drawn from the token at a time: 32 serials' worth.
pub(crate) const BLOCK: usize = 1024;
/// Blocks kept ready.
const READY: usize = 4;
/// Octets of each source in one draw.
const SHARE: usize = 32;
/// How long a draw waits for the token.
const PATIENCE: Duration = Duration::from_secs(2);

/// A block of the token's random numbers, tested.
pub(crate) type Block = Zeroizing<Vec<u8>>;

/// The end that serials are drawn from.
pub(crate) struct Entropy {
    blocks: Receiver<Block>,
    current: Block,
    used: usize,
    system: Random,
    tested: Tested,
    failed: Option<Unhealthy>,
}

/// No random numbers.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(crate) enum NoEntropy {
    /// A source gives none.
    #[error("no random numbers from {0}")]
    Silent(Source),
    /// A source failed its health tests.
    #[error(transparent)]
    Unhealthy(Unhealthy),
}

/// A bounded store of blocks: the end to fill and the end to draw from.
pub(crate) fn store(system: Random, metrics: Metrics) -> (Sender<Block>, Entropy) {
    let (sender, blocks) = crossbeam_channel::bounded(READY);
    let tested = Tested::new(Source::System, metrics);
    (sender, Entropy { blocks, current: Block::default(), used: BLOCK, system, tested, failed: None })
}

impl Entropy {
    /// Draws octets for one purpose; `purpose` keeps what is drawn for one apart from what is drawn for another (RFC 5869 §3.2).
    ///
    /// # Errors
    /// A source gives nothing, or failed its health tests.
    pub(crate) fn draw<const N: usize>(&mut self, purpose: &'static str) -> Result<[u8; N], NoEntropy> {
        if let Some(failed) = self.failed {
            return Err(NoEntropy::Unhealthy(failed));
        }
        if self.used + SHARE > self.current.len() {
            self.current =
                self.blocks.recv_timeout(PATIENCE).map_err(|_| NoEntropy::Silent(Source::Token))?;
            self.used = 0;
        }
        // Drawn now and not ahead: of a machine that is copied while it runs, the two do not share it.
        let mut system = Zeroizing::new([0u8; SHARE]);
        self.tested.fill(&mut *system, |out| (self.system)(out)).map_err(|error| match error {
            NotDrawn::Silent(_) => NoEntropy::Silent(Source::System),
            NotDrawn::Unhealthy(failed) => NoEntropy::Unhealthy(*self.failed.insert(failed)),
        })?;
        let silent = || NoEntropy::Silent(Source::Token);
        let share = self.current.get(self.used..self.used + SHARE).ok_or_else(silent)?;
        let drawn = mix(share, &*system, purpose).ok_or_else(silent)?;
        self.used += SHARE;
        Ok(drawn)
    }

    /// Nothing is drawn any more: a source failed. What was drawn before it failed is not used either.
    pub(crate) fn fail(&mut self, failed: Unhealthy) {
        self.failed = Some(failed);
        self.current = Block::default();
    }

    /// The source that failed, where one did.
    pub(crate) fn failed(&self) -> Option<Unhealthy> {
        self.failed
    }
}

impl From<NoEntropy> for Refusal {
    fn from(error: NoEntropy) -> Self {
        match error {
            NoEntropy::Silent(_) => Self::new(Reason::TokenUnavailable, error.to_string()).retry(1000),
            NoEntropy::Unhealthy(_) => Self::new(
                Reason::EntropyFailed,
                format!(
                    "{error}: nothing is issued until the operator has looked at it and started the service again"
                ),
            ),
        }
    }
}

/// HKDF-SHA-256 over both sources (RFC 5869 §2): the token's share is the salt, the system's the key material, so that either alone makes
/// the output unpredictable. `N` is at most 8,160.
pub fn mix<const N: usize>(token: &[u8], system: &[u8], purpose: &'static str) -> Option<[u8; N]> {
    const { assert!(N <= 255 * 32, "RFC 5869 §2.3: at most 255 blocks") };
    let mut drawn = [0u8; N];
    // Fails for a length that does not compile.
    Hkdf::<Sha256>::new(Some(token), system).expand(purpose.as_bytes(), &mut drawn).ok()?;
    Some(drawn)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn honest() -> Random {
        Arc::new(|out| getrandom::fill(out).map_err(std::io::Error::other))
    }

    #[test]
    fn a_stuck_token_does_not_make_equal_serials() {
        let (sender, mut entropy) = store(honest(), Metrics::new());
        sender.send(Zeroizing::new(vec![0u8; BLOCK])).unwrap();
        let first: [u8; 20] = entropy.draw("serial").unwrap();
        assert_ne!(first, entropy.draw::<20>("serial").unwrap());
    }

    #[test]
    fn a_token_that_gives_nothing_refuses() {
        let (sender, mut entropy) = store(honest(), Metrics::new());
        drop(sender);
        assert!(matches!(entropy.draw::<20>("serial"), Err(NoEntropy::Silent(Source::Token))));
    }

    #[test]
    fn a_source_that_fails_stops_everything_and_is_named() {
        let (sender, mut entropy) = store(Arc::new(|_| Ok(())), Metrics::new());
        sender.send(Zeroizing::new(vec![1u8; BLOCK])).unwrap();
        let refused = entropy.draw::<20>("serial").unwrap_err();
        assert!(matches!(refused, NoEntropy::Unhealthy(failed) if failed.of == Source::System), "{refused}");
        assert_eq!(Refusal::from(refused).reason(), Reason::EntropyFailed);
        let failed = entropy.failed().unwrap();
        let (sender, mut entropy) = store(honest(), Metrics::new());
        sender.send(Zeroizing::new(vec![1u8; BLOCK])).unwrap();
        entropy.draw::<20>("serial").unwrap();
        entropy.fail(failed);
        assert!(entropy.draw::<20>("serial").is_err(), "although there is a block");
    }
}
