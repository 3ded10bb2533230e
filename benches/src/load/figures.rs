//! What a load gave: each answer with its time, and what follows from them.

use std::time::{Duration, Instant};

/// One request that was granted.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it was asked.
    pub asked: Instant,
    /// How long its answer took.
    pub took: Duration,
}

/// What one caller was given.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) samples: Vec<Sample>,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
}

/// What a load gave.
#[derive(Debug)]
pub struct Figures {
    /// Every request that was granted.
    pub samples: Vec<Sample>,
    /// From the first request to the last answer.
    pub took: Duration,
    /// Requests that were refused.
    pub errors: u64,
    /// What the first of them said: it tells more than the count.
    pub first_error: Option<String>,
}

impl Sample {
    pub(super) fn since(asked: &Instant) -> Self {
        Self { asked: *asked, took: asked.elapsed() }
    }
}

impl Answers {
    pub(super) fn refused(&mut self, why: String) {
        self.errors += 1;
        self.first_error.get_or_insert(why);
    }
}

impl Figures {
    pub(super) fn new(answers: Vec<Answers>, took: Duration) -> Self {
        let mut figures = Self { samples: Vec::new(), took, errors: 0, first_error: None };
        for answers in answers {
            figures.samples.extend(answers.samples);
            figures.errors += answers.errors;
            figures.first_error = figures.first_error.or(answers.first_error);
        }
        figures
    }

    /// Granted in a second.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn per_s(&self) -> f64 {
        self.samples.len() as f64 / self.took.as_secs_f64()
    }

    /// How long so many per cent of the answers took at most, in milliseconds.
    pub fn percentile_ms(&self, percent: usize) -> f64 {
        percentile_ms(self.samples.iter().map(|sample| sample.took), percent)
    }

    /// The same of those that were under way between two moments.
    pub fn percentile_between_ms(&self, percent: usize, from: Instant, to: Instant) -> f64 {
        let within = |sample: &&Sample| sample.asked <= to && sample.asked + sample.took >= from;
        percentile_ms(self.samples.iter().filter(within).map(|sample| sample.took), percent)
    }
}

fn percentile_ms(times: impl Iterator<Item = Duration>, percent: usize) -> f64 {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(took_ms: &[u64]) -> Figures {
        let asked = Instant::now();
        let samples = took_ms.iter().map(|ms| Sample { asked, took: Duration::from_millis(*ms) }).collect();
        let answers = Answers { samples, ..Answers::default() };
        Figures::new(vec![answers], Duration::from_secs(2))
    }

    #[test]
    fn percentiles_and_rate_follow_from_the_samples() {
        let figures = figures(&(1..=100).rev().collect::<Vec<_>>());
        let got = [figures.percentile_ms(50), figures.percentile_ms(99), figures.per_s()];
        assert!(
            got.iter().zip([51.0, 100.0, 50.0]).all(|(got, wanted)| (got - wanted).abs() < 1e-9),
            "{got:?}"
        );
        assert!(Figures::new(Vec::new(), Duration::from_secs(1)).percentile_ms(99).abs() < 1e-9);
    }

    #[test]
    fn those_under_way_between_two_moments_are_the_ones_that_overlap() {
        let figures = figures(&[10, 20, 30]);
        let asked = figures.samples[0].asked;
        let at = |ms| asked + Duration::from_millis(ms);
        assert!((figures.percentile_between_ms(0, at(25), at(28)) - 30.0).abs() < 1e-9);
        assert!((figures.percentile_between_ms(0, at(15), at(28)) - 20.0).abs() < 1e-9);
    }
}
