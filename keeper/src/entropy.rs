//! Serial numbers and jitter: HKDF over the token's and the operating system's random numbers, so that one honest source is enough.
//!
//! Does not: test the sources' health yet; a source that fails refuses (invariant I6).

use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Octets drawn from the token at a time: 32 serials' worth.
pub(crate) const BLOCK: usize = 1024;
/// Blocks kept ready.
const READY: usize = 4;
/// Octets of each source in one draw.
const SHARE: usize = 32;
/// How long a draw waits for the token.
const PATIENCE: Duration = Duration::from_secs(2);

/// A block of the token's random numbers.
pub(crate) type Block = Zeroizing<Vec<u8>>;

/// The end that serials are drawn from.
pub(crate) struct Entropy {
    blocks: Receiver<Block>,
    current: Block,
    used: usize,
}

/// No random numbers: the token gives none, or the operating system.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no random numbers from {0}")]
pub(crate) struct NoEntropy(&'static str);

/// A bounded store of blocks: the end to fill and the end to draw from.
pub(crate) fn store() -> (Sender<Block>, Entropy) {
    let (sender, blocks) = crossbeam_channel::bounded(READY);
    (sender, Entropy { blocks, current: Block::default(), used: BLOCK })
}

impl Entropy {
    /// Draws octets for one purpose; `purpose` keeps what is drawn for one apart from what is drawn for another (RFC 5869 §3.2).
    ///
    /// # Errors
    /// A source gives nothing.
    pub(crate) fn draw<const N: usize>(&mut self, purpose: &'static str) -> Result<[u8; N], NoEntropy> {
        if self.used + SHARE > self.current.len() {
            self.current = self.blocks.recv_timeout(PATIENCE).map_err(|_| NoEntropy("the token"))?;
            self.used = 0;
        }
        let mut system = Zeroizing::new([0u8; SHARE]);
        getrandom::fill(&mut *system).map_err(|_| NoEntropy("the operating system"))?;
        let share = self.current.get(self.used..self.used + SHARE).ok_or(NoEntropy("the token"))?;
        let drawn = mix(share, &*system, purpose);
        self.used += SHARE;
        Ok(drawn)
    }
}

/// HKDF-SHA-256 over both sources (RFC 5869 §2): the token's share is the salt, the system's the key material, so that either alone makes
/// the output unpredictable. `N` is at most 8,160.
pub fn mix<const N: usize>(token: &[u8], system: &[u8], purpose: &'static str) -> [u8; N] {
    const { assert!(N <= 255 * 32, "RFC 5869 §2.3: at most 255 blocks") };
    let mut drawn = [0u8; N];
    #[expect(
        clippy::expect_used,
        reason = "expand fails only for more than 255 blocks, which does not compile"
    )]
    Hkdf::<Sha256>::new(Some(token), system)
        .expand(purpose.as_bytes(), &mut drawn)
        .expect("the length is in bounds");
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stuck_token_does_not_make_equal_serials() {
        let (sender, mut entropy) = store();
        sender.send(Zeroizing::new(vec![0u8; BLOCK])).unwrap();
        let first: [u8; 20] = entropy.draw("serial").unwrap();
        assert_ne!(first, entropy.draw::<20>("serial").unwrap());
    }

    #[test]
    fn a_token_that_gives_nothing_refuses() {
        let (sender, mut entropy) = store();
        drop(sender);
        assert!(entropy.draw::<20>("serial").is_err());
    }
}
