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
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::journal::{JournalError, Reader};
use crate::{HOUR_MS, charters};

pub(crate) use observe::{LoadedModule, Observer, roots};

/// Octets of the keys of a manifest: an entry has 65,535 (`ledger::entry::MAX_LEN`), and the differences and the rest take at most a third.
const KEYS_OCTETS: usize = 40_000;

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
        within_an_entry(&mut observed);
        if let Some((index, before)) = reader.newest_custody()? {
            observed.previous = Some(Reference { origin: origin.to_owned(), index });
            let found = differences(&before, &observed);
            (observed.differences, observed.differences_untold) = (found.told, found.untold);
        }
        Ok(observed)
    }
}

/// Leaves out unknown keys that an entry does not hold, and counts them: whoever shares the token may have made any number.
fn within_an_entry(observed: &mut Custody) {
    let mut left = KEYS_OCTETS;
    let mut untold = 0_u32;
    // Those that the ledger knows first: they are few.
    observed.keys.sort_by_key(|key| key.purpose == UNKNOWN);
    observed.keys.retain(|key| {
        let octets = key.encoded_len() + 4;
        let told = key.purpose != UNKNOWN || octets <= left;
        left = left.saturating_sub(octets);
        untold = untold.saturating_add(u32::from(!told));
        told
    });
    observed.keys_untold = untold;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_full_of_other_peoples_keys_makes_no_manifest_too_long() {
        let key = |number: usize, purpose: &str| KeyCustody {
            purpose: purpose.to_owned(),
            spki_sha256: number.to_be_bytes().repeat(4),
            cka_id: vec![7; 32],
            attributes: vec![ledger::entry::Attribute { name: "CKA_".repeat(8), value: "true".into() }; 12],
            ..KeyCustody::default()
        };
        let mut keys: Vec<KeyCustody> = (0..300).map(|number| key(number, UNKNOWN)).collect();
        keys.extend([key(1000, "issuer"), key(1001, "log")]);
        let mut observed = Custody { keys, ..Custody::default() };
        within_an_entry(&mut observed);
        assert!(observed.encoded_len() < KEYS_OCTETS + 2_000, "{}", observed.encoded_len());
        assert_eq!(observed.keys.len() + usize::try_from(observed.keys_untold).unwrap(), 302);
        let purposes: Vec<&str> = observed.keys.iter().take(3).map(|key| key.purpose.as_str()).collect();
        assert_eq!(purposes, ["issuer", "log", UNKNOWN]);
    }
}
