//! Health tests of a source of random octets (NIST SP 800-90B §4.4), each octet one sample.
//!
//! Pure: no token, no clock. The keeper feeds every octet that it draws; a ceremony examines a start-up's worth of each source and writes
//! down what was found.
//!
//! Does not: measure entropy. docs/custody.md says what a pass shows, and what it does not.

/// Samples of the start-up test (SP 800-90B §4.3, requirement 4: at least 1,024 consecutive samples).
pub const START_UP: usize = 1024;
/// A chance alarm has the probability 2^-40 for each sample (§4.4 leaves α to the designer, 2^-20 to 2^-40 recommended).
const ALPHA_BITS: u32 = 40;
/// What is claimed of a sample: full entropy, 8 bits.
const BITS: u32 = 8;
/// §4.4.1: C = 1 + ⌈−log2 α / H⌉ = 6. So many equal octets in a row are an alarm.
const REPETITIONS: u32 = 1 + ALPHA_BITS.div_ceil(BITS);
/// §4.4.2: samples of a window where they are not binary.
const WINDOW: u32 = 512;
/// §4.4.2: C = 1 + CRITBINOM(512, 2^-8, 1 − 2^-40) = 19. A window whose first octet comes so often is an alarm. The test below computes it.
const PROPORTION: u32 = 19;

/// What a health test found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The repetition count test.
    #[error("one octet came {0} times in a row, where chance allows {allowed} (SP 800-90B §4.4.1)", allowed = REPETITIONS - 1)]
    Repetition(u32),
    /// The adaptive proportion test.
    #[error("one octet came {0} times in {WINDOW}, where chance allows {allowed} (SP 800-90B §4.4.2)", allowed = PROPORTION - 1)]
    Proportion(u32),
}

/// Both tests over a source's octets, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Monitor {
    last: Option<u8>,
    run: u32,
    longest: u32,
    /// First octet of the window, how often it came, and how many octets of the window there were.
    first: u8,
    count: u32,
    seen: u32,
    most: u32,
}

/// What the start-up test found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Octets examined.
    pub samples: usize,
    /// Most equal octets in a row.
    pub longest_run: u32,
    /// How often, at most, the first octet of a window of 512 came in it.
    pub most_in_window: u32,
    /// What is wrong; `None` where both tests pass.
    pub flaw: Option<Flaw>,
}

/// The start-up test over consecutive octets of one source. Both tests go on after a flaw, so that the report tells all.
pub fn examine(samples: &[u8; START_UP]) -> Report {
    let mut monitor = Monitor::default();
    let mut flaw = None;
    for sample in samples {
        flaw = flaw.or(monitor.sample(*sample).err());
    }
    Report { samples: samples.len(), longest_run: monitor.longest, most_in_window: monitor.most, flaw }
}

impl Monitor {
    /// Feeds the octets that came next.
    ///
    /// # Errors
    /// The first flaw. The octets are then to be discarded, and the monitor with them.
    pub fn feed(&mut self, samples: &[u8]) -> Result<(), Flaw> {
        samples.iter().try_for_each(|sample| self.sample(*sample))
    }

    fn sample(&mut self, sample: u8) -> Result<(), Flaw> {
        // §4.4.1, steps 1 to 4.
        self.run = if self.last == Some(sample) { self.run + 1 } else { 1 };
        self.last = Some(sample);
        self.longest = self.longest.max(self.run);
        // §4.4.2, steps 1 to 5.
        if self.seen == 0 {
            (self.first, self.count) = (sample, 0);
        }
        self.count += u32::from(self.first == sample);
        self.most = self.most.max(self.count);
        self.seen = (self.seen + 1) % WINDOW;
        match () {
            () if self.run >= REPETITIONS => Err(Flaw::Repetition(self.run)),
            () if self.count >= PROPORTION => Err(Flaw::Proportion(self.count)),
            () => Ok(()),
        }
    }
}

impl Report {
    /// Whether both tests pass.
    pub fn passes(&self) -> bool {
        self.flaw.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The system's random numbers.
    fn honest() -> [u8; START_UP] {
        let mut samples = [0; START_UP];
        getrandom::fill(&mut samples).unwrap();
        samples
    }

    /// No octet twice in 256: what neither test can find, and a good place to plant a flaw in.
    fn counting() -> [u8; START_UP] {
        std::array::from_fn(|i| u8::try_from(i % 256).unwrap())
    }

    #[test]
    fn the_cut_offs_are_those_of_the_standard() {
        assert_eq!(REPETITIONS, 6);
        // The smallest k with P(X > k) <= 2^-40, X binomial of 512 trials with 1/256, as a sum of the upper tail from its far end.
        let (n, p) = (f64::from(WINDOW), 1.0 / 256.0_f64);
        let ln_choose = |k: u32| (1..=k).map(|i| ((n - f64::from(i) + 1.0) / f64::from(i)).ln()).sum::<f64>();
        let mass =
            |k: u32| (ln_choose(k) + f64::from(k) * p.ln() + (n - f64::from(k)) * (1.0 - p).ln()).exp();
        let tail = |above: u32| (above + 1..=WINDOW).rev().map(mass).sum::<f64>();
        let alpha = 2.0_f64.powi(-40);
        let critical = (0..WINDOW).find(|k| tail(*k) <= alpha).unwrap();
        assert_eq!(PROPORTION, critical + 1);
        assert!(tail(critical - 1) > alpha);
    }

    #[test]
    fn an_honest_source_passes() {
        for _ in 0..64 {
            let report = examine(&honest());
            assert!(report.passes(), "{report:?}");
            assert!(report.longest_run >= 1 && report.most_in_window >= 1);
        }
    }

    #[test]
    fn a_stuck_source_is_found_at_the_sixth_octet() {
        let mut monitor = Monitor::default();
        assert_eq!(monitor.feed(&[7; 5]), Ok(()));
        assert_eq!(monitor.feed(&[7]), Err(Flaw::Repetition(6)));
        assert_eq!(examine(&[0; START_UP]).longest_run, 1024);
    }

    #[test]
    fn a_run_is_seen_across_the_border_of_two_draws() {
        let mut samples = counting();
        samples[1020..].fill(9);
        let mut monitor = Monitor::default();
        assert_eq!(monitor.feed(&samples), Ok(()));
        assert_eq!(monitor.feed(&[9, 9]), Err(Flaw::Repetition(6)));
    }

    #[test]
    fn a_source_that_repeats_a_short_pattern_is_found() {
        for period in [2, 3, 16, 27] {
            let samples = std::array::from_fn(|i| u8::try_from(i % period).unwrap());
            assert!(matches!(examine(&samples).flaw, Some(Flaw::Proportion(19))), "{period}");
        }
    }

    #[test]
    fn a_biased_source_is_found_at_the_nineteenth() {
        let planted = |times: usize| {
            let mut samples = counting();
            // Apart, so that no run is long, and within the first window, which begins with 0. Position 256 is one already.
            samples.iter_mut().skip(1).step_by(13).take(times).for_each(|sample| *sample = 0);
            examine(&samples)
        };
        assert_eq!(planted(16).flaw, None);
        assert_eq!(planted(17).flaw, Some(Flaw::Proportion(19)));
        assert_eq!(planted(17).most_in_window, 19);
    }

    #[test]
    fn what_these_tests_cannot_find() {
        // A counter has no entropy at all. docs/custody.md says so.
        assert!(examine(&counting()).passes());
    }
}
