//! A cell is founded by the import of its first ceremony: its journal is made, and holds what officers did before there was one.

use std::path::Path;

use ledger::entry::{Actor, ActorKind, Entry, VERSION};

use crate::ceremonies::{Import, ImportError, Imported, InForce, certificate_sha256};
use crate::journal::{Durability, Journal, JournalError};
use crate::{charters, requests, time};

/// A cell could not be founded. There is no journal then, or one that no keeper starts on.
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
    let mut journal = Journal::create(dir, cell, &origin)?;
    record(&mut journal, accepted.entries, now_ms)
}

/// Takes an import into a journal whose keeper does not run, such as one whose token is lost: judged as a running keeper judges it.
/// Durable when this returns. Gives the origin of the log and the index of the first entry.
///
/// # Errors
/// [`FoundingError`]; [`JournalError::Locked`] while a keeper holds the journal.
pub fn import(dir: &Path, import: &Import<'_>, now_ms: i64) -> Result<(String, u64), FoundingError> {
    let mut journal = Journal::open(dir)?;
    time::not_before(journal.newest_ms()?, now_ms).map_err(ImportError::from)?;
    if let Some(nonce) = import.approved(&charters::in_force(&journal.reader())?)?
        && let Some(index) = journal.reader().proposal(&nonce)?
    {
        return Err(ImportError::Replayed(index).into());
    }
    let accepted =
        import.judge(&requests::in_force(&journal.reader())?, journal.origin(), now_ms.div_euclid(1000))?;
    let (origin, first) = (journal.origin().to_owned(), journal.edge().size());
    record(&mut journal, accepted.entries, now_ms)?;
    journal.settle()?;
    Ok((origin, first))
}

fn record(journal: &mut Journal, entries: Vec<Imported>, now_ms: i64) -> Result<(), FoundingError> {
    journal.begin(Durability::Disk)?;
    for imported in entries {
        let entry = Entry {
            version: VERSION,
            cell: journal.cell().to_owned(),
            time_unix_ms: now_ms,
            actor: Some(Actor { kind: ActorKind::Officers.into(), ..Actor::default() }),
            kind: Some(imported.kind),
            ..Entry::default()
        };
        let appended = journal.append(&entry)?;
        if let Some((signature, certificate)) = imported.signed {
            journal.store_signature(appended.index, &signature, &certificate_sha256(&certificate))?;
        }
    }
    Ok(journal.commit()?)
}
