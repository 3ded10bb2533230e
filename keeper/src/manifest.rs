//! Custody manifests: what the token says of the service's keys, in the ledger at every start and every hour.
//!
//! Each manifest is whole, also where it equals the one before: some 2 KiB an hour, so that one entry with its proof shows the custody of its
//! hour to whoever has nothing else. It says what differs from the one before; a difference is an alarm.
//!
//! - `observe`: what stands in one, read from the token and its module
//!
//! Does not: refuse a key. That is done wherever keys are read back (invariant I1).

mod observe;

use crossbeam_channel::Sender;
use ledger::custody::differences;
use ledger::entry::{Custody, Reference};

use crate::HOUR_MS;
use crate::journal::{JournalError, Reader};

pub(crate) use observe::{LoadedModule, Observer, root_of};

/// When the next manifest is due. Owned by the sequencer.
pub(crate) struct Manifests {
    /// To whoever observes.
    orders: Sender<()>,
    last_ms: Option<i64>,
    ordered: bool,
}

impl Manifests {
    pub(crate) fn new(orders: Sender<()>) -> Self {
        // The first is on its way: the start has observed it.
        Self { orders, last_ms: None, ordered: true }
    }

    /// Orders a manifest where the newest is an hour old.
    pub(crate) fn tend(&mut self, now_ms: i64) {
        if !self.ordered && self.last_ms.is_none_or(|last_ms| now_ms - last_ms >= HOUR_MS) {
            self.ordered = self.orders.try_send(()).is_ok();
        }
    }

    /// What was observed comes at a time at which nothing is recorded: it is observed again when something is.
    pub(crate) fn dropped(&mut self) {
        self.ordered = false;
    }

    /// The manifest to record: what was observed, held against the newest.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub(crate) fn complete(
        &mut self,
        mut observed: Custody,
        reader: &Reader<'_>,
        origin: &str,
        now_ms: i64,
    ) -> Result<Custody, JournalError> {
        (self.ordered, self.last_ms) = (false, Some(now_ms));
        if let Some((index, before)) = reader.newest_custody()? {
            observed.previous = Some(Reference { origin: origin.to_owned(), index });
            let found = differences(&before, &observed);
            (observed.differences, observed.differences_untold) = (found.told, found.untold);
        }
        Ok(observed)
    }
}
