//! A cell is founded by the import of its first ceremony: its journal is made, and holds what officers did before there was one.

use std::path::Path;

use ledger::bundle::{Bundle, Contents};
use ledger::charter::Charters;
use ledger::entry::Entry;
use ledger::note::Note;

use crate::ceremonies::{Import, ImportError, Imported, InForce, certificate_sha256};
use crate::journal::{Durability, Journal, JournalError};
use crate::{charters, requests, time};

/// A cell could not be founded, or an import not taken. Nothing of it is in the journal then; a cell has none.
#[derive(Debug, thiserror::Error)]
pub enum FoundingError {
    /// The disk's, or there is a journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The officers': what they did founds no cell.
    #[error(transparent)]
    Import(#[from] ImportError),
}

/// Makes the journal of a new cell in `dir`, which must be private and without one, and records its first charter, the ceremony that made
/// its keys, and its first trust bundle. All of it is durable when this returns. The log's first epoch is `<cell>/log/1`.
///
/// # Errors
/// [`FoundingError`].
pub fn found(dir: &Path, cell: &str, import: &Import<'_>, now_ms: i64) -> Result<(), FoundingError> {
    let origin = format!("{cell}/log/1");
    let accepted = import.judge(&InForce::default(), &origin, now_ms.div_euclid(1000))?;
    let fill = |journal: &mut Journal| record(journal, accepted.entries, now_ms);
    Ok(Journal::create_with(dir, cell, &origin, fill).map(drop)?)
}

/// Takes an import into a journal whose keeper does not run, such as one whose token is lost: judged as a running keeper judges it.
/// Durable when this returns. Gives the origin of the log and the index of the first entry; none where all of it was there before.
///
/// # Errors
/// [`FoundingError`]; [`JournalError::Locked`] while a keeper holds the journal.
pub fn import(dir: &Path, import: &Import<'_>, now_ms: i64) -> Result<(String, Option<u64>), FoundingError> {
    let mut journal = Journal::open(dir)?;
    time::not_before(journal.newest_ms()?, now_ms).map_err(ImportError::from)?;
    let (origin, first) = (journal.origin().to_owned(), journal.edge().size());
    let before = requests::in_force(&journal.reader())?;
    let charters = charters::chain(&journal.reader())?;
    let import = import.beyond(&charters, before.bundle.as_ref());
    if import.is_nothing() {
        return Ok((origin, None));
    }
    if let Some(nonce) = import.approved(charters.in_force())?
        && let Some(index) = journal.reader().proposal(&nonce)?
    {
        if import.charter.is_none() && import.bundle.is_none() {
            return Ok((origin, None));
        }
        return Err(ImportError::Replayed(index).into());
    }
    let accepted = import.judge(&before, journal.origin(), now_ms.div_euclid(1000))?;
    record(&mut journal, accepted.entries, now_ms)?;
    journal.settle()?;
    Ok((origin, Some(first)))
}

impl Import<'_> {
    /// The same without a charter that is in this chain, and without the bundle that is in force.
    #[must_use]
    pub fn beyond(&self, charters: &Charters, in_force: Option<&Bundle>) -> Self {
        let known = |note: &Note| {
            charters
                .notes()
                .iter()
                .any(|text| Note::parse(text.as_bytes()).is_ok_and(|one| one.text() == note.text()))
        };
        let is_in_force = |note: &Note| {
            in_force.is_some_and(|bundle| {
                Contents::read(note).is_ok_and(|contents| contents == *bundle.contents())
            })
        };
        Self {
            charter: self.charter.filter(|note| !known(note)),
            bundle: self.bundle.filter(|note| !is_in_force(note)),
            ..*self
        }
    }

    /// Whether it brings nothing.
    pub fn is_nothing(&self) -> bool {
        self.charter.is_none() && self.transcript.is_none() && self.bundle.is_none()
    }
}

fn record(journal: &mut Journal, entries: Vec<Imported>, now_ms: i64) -> Result<(), JournalError> {
    journal.begin(Durability::Disk)?;
    for imported in entries {
        let entry = Entry::new(journal.cell(), now_ms, requests::officers(), imported.kind);
        let appended = journal.append(&entry)?;
        if let Some((signature, certificate)) = imported.signed {
            journal.store_signature(appended.index, &signature, &certificate_sha256(&certificate))?;
        }
    }
    journal.commit().map(drop)
}
