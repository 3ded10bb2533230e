//! A log that went back: the newest checkpoint is kept outside the data directory, in the token, and a start below it is refused.
//!
//! Does not: see a snapshot of the whole machine, token and all. That only witnesses see, and receipts that others hold (DESIGN §7).

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hsm_config::{TokenError, TokenSession};
use ledger::checkpoint::Checkpoint;
use ledger::tree::root_at;

use crate::journal::{Journal, JournalError};
use crate::start::StartError;
use crate::trust::Trust;

/// CKA_LABEL of the object in the token.
const LABEL: &str = "rootcellar checkpoint";
/// The file in which a refused start leaves the checkpoint, for the officers who open a new epoch.
const FILE: &str = "lost-checkpoint.note";

/// The newest checkpoint, for the thread that keeps it. Written by the sequencer.
#[derive(Clone, Default)]
pub(crate) struct Newest(Arc<Mutex<Option<String>>>);

impl Newest {
    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is a newer one.
    pub(crate) fn is(&self, note: &str) {
        *self.lock() = Some(note.to_owned());
    }

    /// Keeps it in the token, where it is newer than the one kept there. A token that holds no data objects keeps none, and says so.
    pub(crate) fn keep(&self, session: &TokenSession) {
        let Some(note) = self.lock().take() else { return };
        if let Err(error) = session.keep(LABEL, note.as_bytes()) {
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
    for note in kept(session)? {
        let Ok(text) = String::from_utf8(note) else { continue };
        let Ok(kept) = Checkpoint::verify(text.as_bytes(), &trust.log_key, &trust.origin) else {
            // Another log's, or of an epoch that is over: what officers opened since says what it lost.
            tracing::warn!("the token keeps a checkpoint of another log");
            continue;
        };
        let have = journal.edge().size();
        let same = kept.size <= have
            && root_at(&journal.reader(), kept.size)
                .map_err(|error| JournalError::Corrupt(error.to_string()))?
                == kept.root;
        if !same {
            let path = dir.join(FILE);
            fs::write(&path, &text).map_err(|source| JournalError::File { path, source })?;
            return Err(StartError::WentBack { kept: kept.size, have });
        }
    }
    Ok(())
}

fn kept(session: &TokenSession) -> Result<Vec<Vec<u8>>, TokenError> {
    session.kept(LABEL)
}
