//! What a former process left: certificates that were recorded and have no signature. All of them are abandoned.
//!
//! Nothing that is found in the journal is signed: a file is not an authority, and whoever can write it would have signed what they like. A
//! certificate leaves once its signature is durable, so one without a signature was given to nobody; who asked for it asks again with the
//! same request_id. No checkpoint covers one: whose signature was removed is told apart by that (`journal/verify`).

use ledger::entry::Entry;

use crate::journal::{Durability, Journal, JournalError};
use crate::sequencer::{abandonment, own_entry};

/// Why they are abandoned, as the ledger says it.
const REASON: &str = "RESTARTED";

/// Abandons every pending certificate of a journal that was verified: how many there were.
///
/// # Errors
/// The disk's.
pub(crate) fn recover(journal: &mut Journal, now_ms: i64) -> Result<usize, JournalError> {
    let pending = journal.take_pending();
    if pending.is_empty() {
        return Ok(0);
    }
    // A clock that is behind does not make the log go back in time.
    let now_ms = now_ms.max(journal.newest_ms()?);
    tracing::warn!(abandoned = pending.len(), "certificates that the last run recorded and did not sign");
    journal.begin(Durability::Disk)?;
    for index in &pending {
        journal.append(&abandoned(journal, *index, now_ms))?;
    }
    journal.commit()?;
    Ok(pending.len())
}

/// The entry that abandons a pending certificate of a former process.
pub(crate) fn abandoned(journal: &Journal, index: u64, now_ms: i64) -> Entry {
    own_entry(journal.cell(), now_ms, abandonment(journal.origin(), index, REASON))
}
