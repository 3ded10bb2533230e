//! Certificates that the keeper knows no more: revoked, or their holder removed. Whoever presents one has no place of whom it was stolen from; it may go
//! on asking, with all others of that kind, since a holder may be there again.
//!
//! Does not: decide. The keeper is asked each time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::{
    door::{Refused, answer::Answer},
    v1::Reason,
};

use crate::{recent::Recent, steps::Caller};

/// Certificates that are remembered, twice over: some 600 KiB.
const REMEMBERED: usize = 8192;

/// SHA-256 of certificates, the latest ones at least.
#[derive(Debug)]
pub(crate) struct Gone(Mutex<Recent<Vec<u8>>>);

impl Default for Gone {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(REMEMBERED)))
    }
}

impl Gone {
    /// What the keeper answered this caller says: it has done something for it, so that its holder is there again; or it knows its certificate no
    /// more, and its connection ends. Another refusal says neither.
    pub(crate) fn heed(&self, caller: &Caller, answer: &Result<Answer, Refused>) {
        let Some(sha256) = caller.certificate() else { return };
        match answer {
            Ok(_) => self.lock().remove(sha256),
            Err(no) if is_gone(no.reason()) => {
                self.lock().add(sha256.to_vec());
                caller.leave();
            }
            Err(_) => {}
        }
    }

    /// Whether the keeper knew this caller's certificate no more when it was asked last.
    pub(crate) fn has(&self, caller: &Caller) -> bool {
        caller.certificate().is_some_and(|sha256| self.lock().has(sha256))
    }

    fn lock(&self) -> MutexGuard<'_, Recent<Vec<u8>>> {
        // No one panics while holding it; it is whole at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the keeper knows a caller's certificate no more.
fn is_gone(reason: Reason) -> bool {
    matches!(reason, Reason::CallerRevoked | Reason::CallerRemoved | Reason::CallerUnknown)
}
