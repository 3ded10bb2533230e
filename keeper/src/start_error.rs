//! Why a keeper does not start.

use hsm_config::TokenError;

use crate::journal::JournalError;
use crate::local::SocketError;
use crate::stopping::{NotTaken, TakeError};

/// Why a keeper does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The operator's, or the disk's.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The operator's, or the token's.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The operator's: the keeper's own socket cannot be made.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The officers': what they stopped is not to go on.
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
    /// The operator's: the configuration is for another cell.
    #[error(
        "the journal belongs to the cell {journal}, the configuration says {configured}: set `cell = \"{journal}\"`"
    )]
    WrongCell {
        /// What the journal says.
        journal: String,
        /// What the configuration says.
        configured: String,
    },
    /// The operator's: a journal that is older than the log was, as a restored copy is.
    #[error(
        "the log went back: a checkpoint over {kept} entries is known, the journal has {have} or others. Certificates may have been issued \
         that it does not know. Put the newer journal back; if it is lost, have officers open a new epoch of the log"
    )]
    WentBack {
        /// Entries under the checkpoint that the token keeps, or that was known when a copy was restored.
        kept: u64,
        /// Entries in the journal.
        have: u64,
    },
    /// Somebody's: a journal of other officers, in the place of this cell's.
    #[error(
        "the token keeps the hash of another first charter of this cell: this is not the journal that it signed for"
    )]
    OtherCharter,
    /// The operator's, or somebody's: the token has lost what it kept.
    #[error(
        "the token {token} kept the newest checkpoint of this log, and keeps none any more: whether the journal is the newest, nothing says. \
         Where it is known to be, or the newest is lost, have officers open a new epoch of the log"
    )]
    KeepsNone {
        /// Its label.
        token: String,
    },
    /// The operator's: a founding that did not come to its end.
    #[error(
        "the cell is not founded to its end ({0}): remove the data directory and run `rootcellar init` again"
    )]
    Unfounded(&'static str),
}

impl From<TakeError> for StartError {
    fn from(error: TakeError) -> Self {
        match error {
            TakeError::Journal(error) => error.into(),
            TakeError::NotTaken(not_taken) => not_taken.into(),
        }
    }
}
