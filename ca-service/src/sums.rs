//! How many lines of the log each caller causes: some are written, the rest is summed, so that nobody fills a disk by being refused.
//!
//! Does not: count for metrics; those count everything.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// Lines of one caller in a second; and of all strangers together. Whoever looks at one after the other reads no more.
const IN_A_SECOND: u32 = 20;

/// Callers whose lines are counted; those beyond share one count.
const CALLERS: usize = 4096;

/// Time between two lines with a caller's sum.
const EVERY: Duration = Duration::from_secs(10);

/// Who shares a count beyond [`CALLERS`].
const OTHERS: &str = "others";

/// The counts.
#[derive(Debug, Default)]
pub(crate) struct Sums(Mutex<HashMap<Arc<str>, Sum>>);

#[derive(Debug)]
struct Sum {
    second: Instant,
    written: u32,
    /// Not written since the last line with a sum, and how many of them told of a refusal.
    summed: u64,
    refused: u64,
}

impl Sums {
    /// Whether a line about this caller is to be written now; it is summed where not.
    pub(crate) fn takes(&self, who: &Arc<str>, refused: bool) -> bool {
        let now = Instant::now();
        let mut sums = self.lock();
        let who =
            if sums.contains_key(who) || sums.len() < CALLERS { Arc::clone(who) } else { OTHERS.into() };
        let sum = sums.entry(who).or_insert(Sum { second: now, written: 0, summed: 0, refused: 0 });
        if now - sum.second >= Duration::from_secs(1) {
            (sum.second, sum.written) = (now, 0);
        }
        if sum.written < IN_A_SECOND {
            sum.written += 1;
            return true;
        }
        sum.summed += 1;
        sum.refused += u64::from(refused);
        false
    }

    /// Tells what was summed, now and then. Never returns.
    pub(crate) async fn keep(&self) {
        loop {
            sleep(EVERY).await;
            self.tell();
        }
    }

    /// Tells what was summed since the last time.
    pub(crate) fn tell(&self) {
        for (caller, summed, refused) in self.taken() {
            tracing::info!(caller = &*caller, summed, refused, "requests that have no line of their own");
        }
    }

    /// What was summed since the last time; who caused nothing since is forgotten.
    fn taken(&self) -> Vec<(Arc<str>, u64, u64)> {
        let mut sums = self.lock();
        let now = Instant::now();
        sums.retain(|_, sum| sum.summed > 0 || now - sum.second < EVERY);
        let told = sums.iter_mut().filter(|(_, sum)| sum.summed > 0);
        told.map(|(who, sum)| {
            (Arc::clone(who), std::mem::take(&mut sum.summed), std::mem::take(&mut sum.refused))
        })
        .collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Sum>> {
        // No one panics while holding it; it is whole at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_too_much_is_summed_for_each() {
        let sums = Sums::default();
        let (one, other): (Arc<str>, Arc<str>) = ("/agent/a".into(), "/agent/b".into());
        let written = (0..100).filter(|number| sums.takes(&one, number % 2 == 0)).count();
        assert!(sums.takes(&other, true), "of its own");
        assert_eq!((written, sums.taken()), (20, vec![(Arc::clone(&one), 80, 40)]));
        advance(Duration::from_secs(1)).await;
        assert!(sums.takes(&one, false) && sums.taken().is_empty());
        advance(EVERY).await;
        sums.taken();
        assert!(sums.lock().is_empty(), "forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn the_counts_are_bounded() {
        let sums = Sums::default();
        for number in 0..3 * CALLERS {
            sums.takes(&format!("/agent/{number}").into(), false);
        }
        assert!(sums.lock().len() <= CALLERS + 1);
        assert_eq!(&*sums.taken()[0].0, OTHERS);
    }
}
