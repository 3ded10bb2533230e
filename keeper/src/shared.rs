//! What the keeper's threads tell each other, and no file says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::lists::Lists;

/// The same for every clone.
#[derive(Clone, Default)]
pub(crate) struct Shared {
    /// The lists that were signed and handed out.
    pub(crate) lists: Lists,
    clock_set: Arc<AtomicU64>,
    damaged: Arc<AtomicBool>,
}

impl Shared {
    /// Officers set the clock right. Told before that is durable and after it: whoever reads the journal by a clock meanwhile begins anew.
    pub(crate) fn clock_is_set(&self) {
        self.clock_set.fetch_add(1, Ordering::Release);
    }

    /// How often it was told that officers set the clock right.
    pub(crate) fn clock_settings(&self) -> u64 {
        self.clock_set.load(Ordering::Acquire)
    }

    /// The journal is damaged.
    pub(crate) fn journal_is_damaged(&self) {
        self.damaged.store(true, Ordering::Release);
    }

    /// Whether it is: readers see its file alone, in which somebody may have taken away that a caller was revoked.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Acquire)
    }
}
