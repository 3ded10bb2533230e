//! What the writer remembers of the projections between two changes of them: what each request asks for and hardly ever changes.
//!
//! Only the sequencer's own reader has one: it appends every entry itself, and forgets what an entry may have changed. What is revoked it keeps:
//! another program that writes to the file takes nothing back.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use audit::Changes;
use certs::TbsFields;
use ledger::charter::Charter;
use ledger::entry::Entry;
use ledger::entry::entry::Kind;

use super::JournalError;
use super::known::Known;
use super::lines::Lines;
use super::rows::{CertificateRow, FreezeRow, Granted};
use super::spending::Spending;

/// Callers remembered; beyond it all are forgotten and looked up again.
const CALLERS_MAX: usize = 4096;

/// Owned by the journal's writing end, on one thread.
#[derive(Default)]
pub(super) struct Memory {
    /// Grants of controllers, by name.
    grants: RefCell<HashMap<String, Arc<[Granted]>>>,
    /// Certificates that callers presented, by their SHA-256: signed as such, and not revoked.
    presented: RefCell<HashMap<[u8; 32], CertificateRow>>,
    freeze: RefCell<Option<FreezeRow>>,
    /// The charter in force, its chain verified.
    charter: RefCell<Option<Charter>>,
    /// Certificates that can be renewed or revoked, or were; none where the journal was not verified.
    pub(super) lines: RefCell<Option<Lines>>,
    /// The newest checkpoint, as it was verified or is the keeper's own: size and note.
    pub(super) checkpoint: RefCell<Option<(u64, String)>>,
    /// Keys that were certified and requests that were carried out; none where the journal was not verified.
    pub(super) known: RefCell<Option<Known>>,
    /// What was spent of the budgets.
    pub(super) spending: RefCell<Spending>,
    /// What callers changed in the last minutes.
    pub(super) changes: RefCell<Changes>,
}

impl Memory {
    /// Forgets what an entry of this kind may change.
    pub(super) fn forget(&self, kind: Option<&Kind>) {
        match kind {
            Some(Kind::Act(_)) => {
                self.grants.borrow_mut().clear();
                self.freeze.borrow_mut().take();
            }
            Some(Kind::Charter(_)) => drop(self.charter.borrow_mut().take()),
            Some(Kind::Revocation(_) | Kind::Abandonment(_)) => self.presented.borrow_mut().clear(),
            _ => {}
        }
    }

    /// Takes over what an entry says of keys and requests.
    ///
    /// # Errors
    /// Its certificate does not parse.
    pub(super) fn know(&self, index: u64, record: &Entry) -> Result<(), JournalError> {
        let mut known = self.known.borrow_mut();
        let Some(known) = known.as_mut() else { return Ok(()) };
        if let Some(Kind::Issuance(issuance)) = &record.kind {
            let tbs =
                TbsFields::parse(&issuance.tbs).map_err(|error| JournalError::Corrupt(error.to_string()))?;
            known.certified(&tbs.spki_sha256(), &issuance.subject);
        }
        if let Some(actor) = record.actor.as_ref().filter(|_| !record.request_id.is_empty()) {
            known.carried_out(&actor.identity, &record.request_id, index);
        }
        Ok(())
    }

    pub(super) fn is_revoked(&self, index: u64) -> bool {
        self.lines.borrow().as_ref().is_some_and(|lines| lines.is_revoked(index))
    }

    pub(super) fn grants(&self, controller: &str) -> Option<Arc<[Granted]>> {
        self.grants.borrow().get(controller).cloned()
    }

    pub(super) fn keep_grants(&self, controller: &str, grants: &Arc<[Granted]>) {
        self.grants.borrow_mut().insert(controller.to_owned(), Arc::clone(grants));
    }

    pub(super) fn presented(&self, sha256: &[u8; 32]) -> Option<CertificateRow> {
        self.presented.borrow().get(sha256).cloned()
    }

    pub(super) fn forget_presented(&self) {
        self.presented.borrow_mut().clear();
    }

    pub(super) fn keep_presented(&self, sha256: [u8; 32], row: &CertificateRow) {
        let mut presented = self.presented.borrow_mut();
        if presented.len() >= CALLERS_MAX {
            presented.clear();
        }
        presented.insert(sha256, row.clone());
    }

    pub(super) fn freeze(&self) -> Option<FreezeRow> {
        *self.freeze.borrow()
    }

    pub(super) fn keep_freeze(&self, row: FreezeRow) {
        *self.freeze.borrow_mut() = Some(row);
    }

    pub(super) fn charter(&self) -> Option<Charter> {
        self.charter.borrow().clone()
    }

    pub(super) fn keep_charter(&self, charter: &Charter) {
        *self.charter.borrow_mut() = Some(charter.clone());
    }
}
