//! The charter and the trust bundle in force, opened from the notes that the ledger holds.

use ledger::bundle::Bundle;
use ledger::charter::{Charter, Charters};
use ledger::note::Note;

use crate::journal::{JournalError, Reader};

/// The charter in force: the first one, and each that the one before approved.
///
/// # Errors
/// There is none, or the journal contradicts itself.
pub(crate) fn in_force(reader: &Reader<'_>) -> Result<Charter, JournalError> {
    let chain = Charters::parse(reader.charters()?.concat().as_bytes());
    let chain = chain.map_err(|error| JournalError::Corrupt(format!("the charter: {error}")))?;
    Ok(chain.in_force().clone())
}

/// The trust bundle in force, checked against the charter, with its note.
///
/// # Errors
/// There is none, or the journal contradicts itself.
pub(crate) fn bundle(reader: &Reader<'_>) -> Result<(Bundle, String), JournalError> {
    let (_, text) = reader.bundle()?.ok_or_else(|| JournalError::Corrupt("no trust bundle".into()))?;
    let note = Note::parse(text.as_bytes()).map_err(|error| JournalError::Corrupt(error.to_string()))?;
    let bundle = Bundle::open(&note, &in_force(reader)?);
    Ok((bundle.map_err(|error| JournalError::Corrupt(format!("the trust bundle: {error}")))?, text))
}
