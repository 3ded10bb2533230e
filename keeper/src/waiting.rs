//! What asks that wait take of memory, all of them together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Octets of asks that wait for their answers, of all callers of the network and the front together; one more is answered QUEUE_FULL.
const WAITING_MAX: usize = 64 << 20;

/// Octets of the asks that wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting(Arc<AtomicUsize>);

/// What an ask that waits takes of the memory that all of them may. Given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Weight {
    octets: usize,
    waiting: Waiting,
}

impl Waiting {
    /// Takes so many; `None` where too many wait already.
    pub(crate) fn take(&self, octets: usize) -> Option<Weight> {
        let before = self.0.fetch_add(octets, Ordering::Relaxed);
        let weight = Weight { octets, waiting: self.clone() };
        (before.saturating_add(octets) <= WAITING_MAX).then_some(weight)
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.waiting.0.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Octets of a long one.
    const ASK: usize = 1 << 20;

    #[test]
    fn what_waits_is_bounded_and_given_back() {
        let waiting = Waiting::default();
        let held: Vec<Weight> = std::iter::from_fn(|| waiting.take(ASK)).take(1000).collect();
        assert_eq!(held.len(), WAITING_MAX / ASK);
        assert!(waiting.take(1).is_none(), "nothing more");
        drop(held);
        assert!(waiting.take(WAITING_MAX).is_some(), "all of it again");
        assert_eq!(waiting.0.load(Ordering::Relaxed), 0);
    }
}
