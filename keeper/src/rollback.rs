//! A log that went back: the newest checkpoint is kept outside the data directory, in the token, and a start below it is refused.
//!
//! Does not: see a snapshot of the whole machine, token and all. That only witnesses see, and receipts that others hold (DESIGN §7).

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cell::LogOrigin;
use hsm_config::TokenSession;
use ledger::checkpoint::Checkpoint;
use ledger::note::{KeyName, VerifierKey};
use ledger::tree::root_at;

use crate::journal::{Journal, JournalError};
use crate::start::StartError;
use crate::trust::Trust;

/// CKA_LABEL of the object in the token.
const LABEL: &str = "rootcellar checkpoint";
/// The file in which a refused start leaves the checkpoint, for the officers who open a new epoch.
pub(crate) const LOST_FILE: &str = "lost-checkpoint.note";

/// The newest checkpoint, for the thread that keeps it. Written by the sequencer.
#[derive(Clone, Default)]
pub(crate) struct Newest {
    newest: Arc<Mutex<Option<String>>>,
    /// It was said that the token keeps none: once is enough.
    said: Arc<AtomicBool>,
}

impl Newest {
    /// There is a newer one.
    pub(crate) fn is(&self, note: &str) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(note.to_owned());
    }

    /// Keeps it in the token, where it is newer than the one kept there. A token that holds no data objects keeps none, and says so.
    pub(crate) fn keep(&self, session: &TokenSession) {
        let Some(note) = self.newest.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        if let Err(error) = session.keep(LABEL, note.as_bytes())
            && !self.said.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                cause = error.to_string(),
                "the token does not keep the newest checkpoint: a journal that goes back would not be noticed by it"
            );
        }
    }
}

/// Holds the journal against the checkpoint that the token keeps.
///
/// # Errors
/// The journal is older, or another: [`StartError::WentBack`]. The token does not answer.
pub(crate) fn check(
    session: &TokenSession,
    journal: &Journal,
    trust: &Trust,
    dir: &Path,
) -> Result<(), StartError> {
    for note in session.kept(LABEL)? {
        let Some(kept) = ours(&note, &trust.log.keys) else {
            tracing::warn!("the token keeps a checkpoint of another log key");
            continue;
        };
        if !is_known(&kept, journal, trust)? {
            let path = dir.join(LOST_FILE);
            fs::write(&path, &note).map_err(|source| JournalError::File { path, source })?;
            return Err(StartError::WentBack { kept: kept.size, have: journal.edge().size() });
        }
    }
    // The newer journal was put back: there is nothing to open an epoch for.
    let _ = fs::remove_file(dir.join(LOST_FILE));
    Ok(())
}

/// A checkpoint that one of our log's keys signed, in whatever epoch: its name is the origin that the checkpoint begins with.
pub(crate) fn ours(note: &[u8], log_keys: &[VerifierKey]) -> Option<Checkpoint> {
    let origin: KeyName = std::str::from_utf8(note).ok()?.lines().next()?.parse().ok()?;
    let keys: Option<Vec<VerifierKey>> = log_keys.iter().map(|key| key.named(origin.clone()).ok()).collect();
    Checkpoint::verify(note, &keys?, &origin).ok()
}

/// Whether the journal holds what the checkpoint covers, or officers have said that it is lost.
fn is_known(kept: &Checkpoint, journal: &Journal, trust: &Trust) -> Result<bool, StartError> {
    let reader = journal.reader();
    if kept.origin != trust.log.origin {
        let epoch = kept.origin.as_str().parse::<LogOrigin>().map(|origin| origin.epoch);
        let lost = epoch.map_or(Ok(None), |epoch| reader.lost(epoch))?;
        return Ok(lost.is_some_and(|lost| kept.size <= lost));
    }
    if kept.size > journal.edge().size() {
        return Ok(false);
    }
    let root = root_at(&reader, kept.size).map_err(|error| JournalError::Corrupt(error.to_string()))?;
    Ok(root == kept.root)
}
