//! Checkpoints (c2sp.org/tlog-checkpoint): a log's signed word on its size and root.

use crate::Hash;
use crate::note::{KeyName, Note, NoteError, VerifierKey};
use crate::tree::TreeHead;

/// A log's size and root. It is worth no more than the way it came: [`Checkpoint::verify`] gives a signed one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Origin of the log ("prod.example/log/1").
    pub origin: KeyName,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
}

/// What is no checkpoint of the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// No note, or one that the log's key is named under but did not sign.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text is no checkpoint in its one form.
    #[error("the note is not a checkpoint")]
    Malformed,
    /// The checkpoint is of another log.
    #[error("the checkpoint is of the log {0}")]
    OtherLog(KeyName),
    /// The log's key did not sign it.
    #[error("the checkpoint is not signed by the log's key")]
    NotByLog,
}

impl Checkpoint {
    /// The text for the log's key to sign (tlog-checkpoint, "Note text"). It has no extension lines.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }

    /// Size and root.
    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.size, root: self.root }
    }

    /// Reads a checkpoint and checks that it is this log's, signed by one of its keys. Other signatures, such as witnesses', are
    /// not looked at.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn verify(note: &[u8], keys: &[VerifierKey], origin: &KeyName) -> Result<Self, CheckpointError> {
        Self::verify_note(&Note::parse(note)?, keys, origin)
    }

    /// The same for a note that is parsed already.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn verify_note(note: &Note, keys: &[VerifierKey], origin: &KeyName) -> Result<Self, CheckpointError> {
        let mut signed = false;
        for key in keys {
            signed |= note.is_signed_by(key)?;
        }
        if !signed {
            return Err(CheckpointError::NotByLog);
        }
        let checkpoint = Self::parse(note.text()).ok_or(CheckpointError::Malformed)?;
        if checkpoint.origin != *origin {
            return Err(CheckpointError::OtherLog(checkpoint.origin));
        }
        Ok(checkpoint)
    }

    /// What a note says, whoever signed it: to be acted on only to refuse.
    pub fn claimed(note: &[u8]) -> Option<Self> {
        Self::parse(Note::parse(note).ok()?.text())
    }

    /// Our logs write no extension line, and none is accepted: a monitor could not audit it.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let origin = lines.next()?.parse().ok()?;
        let size = lines.next()?.parse().ok()?;
        let root = Hash::from_base64(lines.next()?)?;
        let checkpoint = Self { origin, size, root };
        (checkpoint.text() == text).then_some(checkpoint)
    }
}
