//! The charter and the trust bundle in force, opened from the notes that the ledger holds.

use std::collections::BTreeSet;

use ledger::bundle::{Bundle, Contents, IssuerState};
use ledger::charter::{Charter, Charters};
use ledger::note::Note;

use crate::journal::{JournalError, Reader};

/// The charter in force: the first one, and each that the one before approved.
///
/// # Errors
/// There is none, or the journal contradicts itself.
pub(crate) fn in_force(reader: &Reader<'_>) -> Result<Charter, JournalError> {
    if let Some(known) = reader.remembered_charter() {
        return Ok(known);
    }
    let chain = chain(reader)?;
    reader.remember_charter(chain.in_force());
    Ok(chain.in_force().clone())
}

/// All charters of the cell, in order.
///
/// # Errors
/// As [`in_force`].
pub(crate) fn chain(reader: &Reader<'_>) -> Result<Charters, JournalError> {
    let chain = Charters::parse(reader.charters()?.concat().as_bytes());
    chain.map_err(|error| JournalError::Corrupt(format!("the charter: {error}")))
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

/// What every trust bundle so far says, the first one first. That officers approved each, its import judged.
///
/// # Errors
/// The journal contradicts itself.
pub(crate) fn bundles(reader: &Reader<'_>) -> Result<Vec<Contents>, JournalError> {
    let corrupt = |why: String| JournalError::Corrupt(format!("a trust bundle: {why}"));
    let read = |text: String| {
        let note = Note::parse(text.as_bytes()).map_err(|error| corrupt(error.to_string()))?;
        Contents::read(&note).map_err(|error| corrupt(error.to_string()))
    };
    reader.bundles()?.into_iter().map(read).collect()
}

/// The issuers that any trust bundle so far called retired, by the SHA-256 of their public keys: also one that a later bundle leaves out.
///
/// # Errors
/// The journal contradicts itself.
pub(crate) fn retired(reader: &Reader<'_>) -> Result<BTreeSet<[u8; 32]>, JournalError> {
    let lines = bundles(reader)?.into_iter().flat_map(|contents| contents.issuers);
    Ok(lines.filter(|line| line.state == IssuerState::Retired).map(|line| line.spki_sha256).collect())
}
