//! A source of random octets whose every draw is health-tested (SP 800-90B §4.4) before a bit of it is used.
//!
//! A failure discards the draw and runs the start-up test again; a second failure ends the use of the source. A chance failure, which a busy
//! cell sees every few weeks, thus costs one block and stops nothing: two in a row come by chance once in tens of millions of years.

use std::fmt;

use hsm_config::health::{Flaw, Monitor, START_UP, examine};
use zeroize::{Zeroize as _, Zeroizing};

use crate::metrics::Metrics;

/// Octets of one draw that are compared with those of the draw before (FIPS 140-2 §4.9.2, continuous random number generator test): they are
/// equal by chance once in 2^128. This finds a generator that gives the same block again and again, which the other tests cannot.
const COMPARED: usize = 16;

/// Which source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `C_GenerateRandom`.
    Token,
    /// getrandom(2).
    System,
}

/// A source failed its tests twice in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the random numbers of {of} failed their health tests twice: {why}")]
pub(crate) struct Unhealthy {
    pub(crate) of: Source,
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Why {
    #[error(transparent)]
    Flaw(#[from] Flaw),
    #[error("two draws begin with the same {COMPARED} octets (FIPS 140-2 §4.9.2)")]
    SameAgain,
}

/// Why a draw gave nothing.
#[derive(Debug)]
pub(crate) enum NotDrawn<E> {
    /// The source does not answer.
    Silent(E),
    /// It answers with what must not be used.
    Unhealthy(Unhealthy),
}

/// The tests' state for one source. Owned by the one thread that draws from it.
pub(crate) struct Tested {
    source: Source,
    /// The continuous tests; `None` before the start-up test has passed.
    monitor: Option<Monitor>,
    previous: Option<[u8; COMPARED]>,
    failed: Option<Unhealthy>,
    metrics: Metrics,
}

impl Tested {
    pub(crate) fn new(source: Source, metrics: Metrics) -> Self {
        Self { source, monitor: None, previous: None, failed: None, metrics }
    }

    /// Fills `out` by `draw`, which fills what it is given from the source. Before the first, and after a failure, the start-up test runs on
    /// octets of its own, which are not used (SP 800-90B §4.3, requirement 5 would allow it).
    ///
    /// # Errors
    /// `draw` fails; or the tests failed twice, now or before. `out` is then wiped.
    pub(crate) fn fill<E>(
        &mut self,
        out: &mut [u8],
        mut draw: impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), NotDrawn<E>> {
        if let Some(failed) = self.failed {
            return Err(NotDrawn::Unhealthy(failed));
        }
        let Err(first) = self.attempt(out, &mut draw).map_err(NotDrawn::Silent)? else { return Ok(()) };
        self.discard(out, first);
        let Err(why) = self.attempt(out, &mut draw).map_err(NotDrawn::Silent)? else { return Ok(()) };
        self.discard(out, why);
        let failed = Unhealthy { of: self.source, why };
        self.failed = Some(failed);
        Err(NotDrawn::Unhealthy(failed))
    }

    fn attempt<E>(
        &mut self,
        out: &mut [u8],
        draw: &mut impl FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<Result<(), Why>, E> {
        if self.monitor.is_none() {
            let mut samples = Zeroizing::new([0; START_UP]);
            draw(&mut *samples)?;
            if let Some(flaw) = examine(&samples).flaw {
                return Ok(Err(flaw.into()));
            }
        }
        draw(out)?;
        let monitor = self.monitor.get_or_insert_default();
        let tested = monitor.feed(out).map_err(Why::from);
        Ok(tested.and_then(|()| self.compare(out)))
    }

    fn compare(&mut self, out: &[u8]) -> Result<(), Why> {
        let Some(start) = out.first_chunk::<COMPARED>() else { return Ok(()) };
        if self.previous.replace(*start) == Some(*start) { Err(Why::SameAgain) } else { Ok(()) }
    }

    fn discard(&mut self, out: &mut [u8], why: Why) {
        out.zeroize();
        self.monitor = None;
        self.metrics.discarded(self.source.name());
        tracing::warn!(
            source = %self.source,
            cause = %why,
            "random numbers are discarded and the source is tested anew: one such line in weeks is chance"
        );
    }
}

impl Source {
    /// For metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::System => "system",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "the token",
            Self::System => "the operating system",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tested() -> Tested {
        Tested::new(Source::Token, Metrics::new())
    }

    fn honest(out: &mut [u8]) -> Result<(), getrandom::Error> {
        getrandom::fill(out)
    }

    /// A source that does this to its draws of these numbers, from 0.
    fn faulty<const N: usize>(
        which: [usize; N],
        fault: impl Fn(&mut [u8]),
    ) -> impl FnMut(&mut [u8]) -> Result<(), getrandom::Error> {
        let mut number = 0;
        move |out| {
            honest(out)?;
            if which.contains(&number) {
                fault(out);
            }
            number += 1;
            Ok(())
        }
    }

    fn stick(out: &mut [u8]) {
        out.fill(5);
    }

    /// Three bits of chance in each octet.
    fn bias(out: &mut [u8]) {
        for octet in out {
            *octet &= 7;
        }
    }

    #[test]
    fn an_honest_source_is_drawn_from_without_end() {
        let (mut tested, mut block) = (tested(), [0; 1024]);
        for _ in 0..100 {
            tested.fill(&mut block, honest).unwrap();
        }
        let mut short = [0; 32];
        tested.fill(&mut short, honest).unwrap();
    }

    #[test]
    fn one_failure_costs_one_draw() {
        for fault in [stick as fn(&mut [u8]), bias] {
            // Draw 0 is the start-up test's, 1 the first block.
            for which in [0, 1, 2] {
                let (mut tested, mut block) = (tested(), [0; 1024]);
                let mut source = faulty([which], fault);
                for _ in 0..3 {
                    tested.fill(&mut block, &mut source).unwrap();
                    assert!(block.iter().filter(|octet| **octet < 8).count() < 100, "it was discarded");
                }
            }
        }
    }

    #[test]
    fn a_second_failure_ends_it_for_good_and_leaves_nothing_of_the_draw() {
        for fault in [stick as fn(&mut [u8]), bias] {
            let (mut tested, mut block) = (tested(), [0; 1024]);
            let mut source = faulty([1, 2], fault);
            let Err(NotDrawn::Unhealthy(failed)) = tested.fill(&mut block, &mut source) else {
                panic!("it was drawn from")
            };
            assert_eq!((failed.of, block), (Source::Token, [0; 1024]));
            assert!(failed.to_string().contains("of the token failed"), "{failed}");
            assert!(tested.fill(&mut block, honest).is_err(), "also when it is honest again");
        }
    }

    #[test]
    fn a_block_that_comes_again_is_found() {
        let mut kept = [0; 1024];
        honest(&mut kept).unwrap();
        let repeats = |out: &mut [u8]| {
            let length = out.len();
            out.copy_from_slice(&kept[..length]);
            Ok::<(), getrandom::Error>(())
        };
        let (mut tested, mut block) = (tested(), [0; 1024]);
        tested.fill(&mut block, repeats).unwrap();
        assert!(matches!(tested.fill(&mut block, repeats), Err(NotDrawn::Unhealthy(_))));
    }

    #[test]
    fn a_source_that_is_silent_is_not_unhealthy() {
        let (mut tested, mut block) = (tested(), [0; 1024]);
        assert!(matches!(tested.fill(&mut block, |_| Err("gone")), Err(NotDrawn::Silent("gone"))));
        tested.fill(&mut block, honest).unwrap();
    }
}
