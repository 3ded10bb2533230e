//! Long answers that are being read on one connection: where one is not read on, the connection ends, and gives back what it holds.
//!
//! A stream alone cannot be ended: while its peer gives it no window (RFC 9113 §6.9) nothing asks for more of its answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// The long answers of one connection, and when each was last read on.
#[derive(Debug, Default)]
pub(crate) struct Readings(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    next: u64,
    read: HashMap<u64, Instant>,
}

/// A long answer, until it is dropped.
#[derive(Debug)]
pub(crate) struct Reading {
    readings: Arc<Readings>,
    number: u64,
}

impl Readings {
    /// One more begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Reading {
        let mut open = self.lock();
        let number = open.next;
        open.next += 1;
        open.read.insert(number, Instant::now());
        Reading { readings: Arc::clone(self), number }
    }

    /// Returns once one of them has not been read on for so long.
    pub(crate) async fn stall(&self, patience: Duration) {
        loop {
            let (now, oldest) = (Instant::now(), self.lock().read.values().min().copied());
            let due = oldest.unwrap_or(now) + patience;
            if due <= now {
                return;
            }
            sleep_until(due).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // No one panics while holding it; it is whole at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    /// Its reader takes more of it.
    pub(crate) fn goes_on(&self) {
        self.readings.lock().read.insert(self.number, Instant::now());
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.readings.lock().read.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn what_is_read_on_does_not_stall_and_what_is_not_does() {
        let readings = Arc::new(Readings::default());
        let long = PATIENCE * 100;
        assert!(timeout(long, readings.stall(PATIENCE)).await.is_err(), "there is none");
        drop(readings.begin());
        assert!(timeout(long, readings.stall(PATIENCE)).await.is_err(), "it has been read");
        let (slow, idle) = (readings.begin(), readings.begin());
        for _ in 0..10 {
            advance(PATIENCE / 2).await;
            slow.goes_on();
            idle.goes_on();
        }
        let began = Instant::now();
        let reading = async {
            loop {
                sleep_until(Instant::now() + PATIENCE / 2).await;
                slow.goes_on();
            }
        };
        tokio::select! {
            () = readings.stall(PATIENCE) => {}
            () = reading => {}
        }
        assert_eq!(began.elapsed(), PATIENCE);
    }
}
