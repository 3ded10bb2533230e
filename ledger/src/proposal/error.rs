//! Why a proposal is not carried out.

use crate::charter::NotApproved;
use crate::note::{KeyName, NoteError};
use crate::text::TextError;

/// Why a proposal is not carried out. Each is the fault of whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProposalError {
    /// No note.
    #[error(transparent)]
    Note(NoteError),
    /// The text does not say what a proposal says.
    #[error(transparent)]
    Malformed(#[from] TextError),
    /// It is for another cell.
    #[error("the proposal is for another cell")]
    WrongCell,
    /// It is for another log.
    #[error("the proposal is for another log")]
    WrongLog,
    /// It was written under another charter.
    #[error("the proposal is for revision {have} of the charter, and {want} is in force")]
    WrongCharter {
        /// Revision that it names.
        have: u64,
        /// Revision in force.
        want: u64,
    },
    /// Its time is over.
    #[error("the proposal has expired")]
    Expired,
    /// It expires too late: more than 7 days ahead.
    #[error("the proposal expires more than 7 days ahead")]
    TooFar,
    /// Nobody signed it.
    #[error("nobody has signed the proposal")]
    Unsigned,
    /// Those who signed it are no officers.
    #[error("no officer has signed the proposal")]
    Stranger,
    /// Too few officers signed it.
    #[error("{have} of {need} officers have signed the proposal")]
    NotEnough {
        /// Officers who signed.
        have: u8,
        /// Officers needed.
        need: u8,
    },
    /// A line in an officer's name is not that officer's signature.
    #[error("the signature of {0} is not valid")]
    BadSignature(KeyName),
}

impl From<NoteError> for ProposalError {
    fn from(error: NoteError) -> Self {
        match error {
            NoteError::Unsigned => Self::Unsigned,
            error => Self::Note(error),
        }
    }
}

impl From<NotApproved> for ProposalError {
    fn from(error: NotApproved) -> Self {
        match error {
            NotApproved::Unsigned => Self::Unsigned,
            NotApproved::Stranger | NotApproved::Others => Self::Stranger,
            NotApproved::NotEnough { have, need } => Self::NotEnough { have, need },
            NotApproved::BadSignature(officer) => Self::BadSignature(officer),
        }
    }
}
