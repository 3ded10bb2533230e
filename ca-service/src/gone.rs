//! Certificates that the keeper knows no more: revoked, or their holder removed. Whoever presents one has no place of whom it was stolen from; it may go
//! on asking, with all others of that kind, since a holder may be there again.
//!
//! Does not: decide. The keeper is asked each time.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::steps::Caller;

/// Certificates that are remembered, twice over: some 600 KiB.
const REMEMBERED: usize = 8192;

/// SHA-256 of certificates, the latest ones at least.
#[derive(Debug, Default)]
pub(crate) struct Gone(Mutex<Sets>);

#[derive(Debug, Default)]
struct Sets {
    lately: HashSet<Vec<u8>>,
    before: HashSet<Vec<u8>>,
}

impl Gone {
    /// The keeper knows this caller's certificate no more: its connection ends.
    pub(crate) fn is_gone(&self, caller: &Caller) {
        let Some(sha256) = caller.certificate() else { return };
        let mut sets = self.lock();
        if sets.lately.len() >= REMEMBERED {
            sets.before = std::mem::take(&mut sets.lately);
        }
        sets.lately.insert(sha256.to_vec());
        drop(sets);
        caller.leave();
    }

    /// The keeper has done something for it: its holder is there again.
    pub(crate) fn is_there(&self, caller: &Caller) {
        let mut sets = self.lock();
        if let Some(sha256) =
            caller.certificate().filter(|_| !sets.lately.is_empty() || !sets.before.is_empty())
        {
            sets.lately.remove(sha256);
            sets.before.remove(sha256);
        }
    }

    /// Whether the keeper knew this caller's certificate no more when it was asked last.
    pub(crate) fn has(&self, caller: &Caller) -> bool {
        let sets = self.lock();
        caller
            .certificate()
            .is_some_and(|sha256| sets.lately.contains(sha256) || sets.before.contains(sha256))
    }

    fn lock(&self) -> MutexGuard<'_, Sets> {
        // No one panics while holding it; it is whole at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
