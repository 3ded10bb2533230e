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
use ledger::bundle::{Bundle, IssuerState};
use ledger::custody::{UNKNOWN, differences};
use ledger::entry::{Custody, KeyCustody, KeyState, Reference};
use ledger::note::{KeyName, VerifierKey};
use sha2::{Digest as _, Sha256};

use crate::journal::{JournalError, Reader};
use crate::{HOUR_MS, charters};

pub(crate) use observe::{LoadedModule, Observer, roots};

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
        let (bundle, _) = charters::bundle(reader)?;
        for key in observed.keys.iter_mut().filter(|key| key.purpose == UNKNOWN) {
            recognise(key, &bundle);
        }
        if let Some((index, before)) = reader.newest_custody()? {
            observed.previous = Some(Reference { origin: origin.to_owned(), index });
            let found = differences(&before, &observed);
            (observed.differences, observed.differences_untold) = (found.told, found.untold);
        }
        Ok(observed)
    }
}

/// Names a key that is not in use, where the trust bundle knows it: an issuer that stands ready or is retired, another key of the log.
fn recognise(key: &mut KeyCustody, bundle: &Bundle) {
    let line = bundle.issuers().iter().find(|line| line.spki_sha256 == *key.spki_sha256);
    let is_this = |(_, log): (&KeyName, &VerifierKey)| {
        Sha256::digest(audit::note_spki(log)).as_slice() == key.spki_sha256
    };
    let (purpose, state) = match line.map(|line| line.state) {
        Some(IssuerState::Prepared) => ("issuer", KeyState::PreActivation),
        Some(IssuerState::Active) => ("issuer", KeyState::Active),
        Some(IssuerState::Retired) => ("issuer", KeyState::Deactivated),
        None if bundle.contents().log_keys().any(is_this) => ("log", KeyState::Active),
        None => return,
    };
    purpose.clone_into(&mut key.purpose);
    key.set_state(state);
}
