//! Checkpoints that were seen: a log that goes back, or changes what it said, is found out.

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use ledger::bundle::Log;
use ledger::checkpoint::Checkpoint;
use sha2::{Digest as _, Sha256};

use crate::error::Failure;
use crate::files::{self, PUBLIC};
use crate::session::Session;

/// The notes of every checkpoint that this user has seen, of whatever log. None is verified.
///
/// # Errors
/// There is no home directory.
pub(crate) fn all(session: &Session) -> Result<Vec<Vec<u8>>, Failure> {
    let dir = session.places()?.config().join(DIR);
    let seen = std::fs::read_dir(dir).into_iter().flatten().flatten();
    Ok(seen.filter_map(|file| files::read(&file.path()).ok()).collect())
}

/// Where they lie, below the user's configuration.
const DIR: &str = "checkpoints";

/// The place of one log's newest checkpoint.
pub(crate) struct Memory {
    path: PathBuf,
}

impl Memory {
    /// Of the log of this origin.
    ///
    /// # Errors
    /// There is no home directory.
    pub(crate) fn of(session: &Session, log: &Log) -> Result<Self, Failure> {
        let name = HEXLOWER.encode(&Sha256::digest(log.origin.as_str()));
        Ok(Self { path: session.places()?.config().join(DIR).join(name) })
    }

    /// The newest checkpoint that was seen; none where none was.
    ///
    /// # Errors
    /// The file cannot be read, or was changed.
    pub(crate) fn recall(&self, log: &Log) -> Result<Option<Checkpoint>, Failure> {
        if !self.path.exists() {
            return Ok(None);
        }
        let checkpoint = log.checkpoint(&files::read(&self.path)?);
        checkpoint.map(Some).map_err(|error| Failure::malformed(&self.path, error))
    }

    /// Keeps a checkpoint that was proved to follow from the one before.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn keep(&self, note: &str) -> Result<(), Failure> {
        files::make_private_dir(self.path.parent().unwrap_or(&self.path))?;
        Ok(files::replace(&self.path, note.as_bytes(), PUBLIC)?)
    }
}
