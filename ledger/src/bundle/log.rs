//! A log as a trust bundle names it: one line `log: <origin> <key>` for each of its keys.

use std::str::FromStr;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::note::{KeyName, VerifierKey};
use crate::text::{self, TextError};

/// A log whose proofs count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Origin of the log ("prod.example/log/1").
    pub origin: KeyName,
    /// The keys that sign its checkpoints, at least one; each alone counts. A second one, in a second token, stands ready for the day
    /// when the first is lost.
    pub keys: Vec<VerifierKey>,
}

impl Log {
    /// Verifies a checkpoint of this log.
    ///
    /// # Errors
    /// As [`Checkpoint::verify`].
    pub fn checkpoint(&self, note: &[u8]) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::verify(note, &self.keys, &self.origin)
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.keys.iter().map(|key| format!("{} {key}", self.origin))
    }

    pub(super) fn is_sound(&self) -> bool {
        !self.keys.is_empty() && text::distinct(&self.keys)
    }
}

/// One line of a log.
pub(super) struct Line(KeyName, VerifierKey);

impl FromStr for Line {
    type Err = TextError;

    fn from_str(value: &str) -> Result<Self, TextError> {
        let (origin, key) = value.split_once(' ').ok_or(TextError::NotCanonical)?;
        let origin = origin.parse().map_err(|_| TextError::NotCanonical)?;
        let key = key.parse().map_err(|_| TextError::NotCanonical)?;
        Ok(Self(origin, key))
    }
}

/// Lines of one origin that follow one another are one log.
pub(super) fn group(lines: Vec<Line>) -> Vec<Log> {
    let mut logs: Vec<Log> = Vec::new();
    for Line(origin, key) in lines {
        match logs.last_mut() {
            Some(log) if log.origin == origin => log.keys.push(key),
            _ => logs.push(Log { origin, keys: vec![key] }),
        }
    }
    logs
}
