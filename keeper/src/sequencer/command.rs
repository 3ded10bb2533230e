//! What the sequencer is told, and why it ends.

use ledger::entry::Custody;
use proto::door::Ask;

use crate::door::Reply;
use crate::entropy::Unhealthy;
use crate::journal::JournalError;
use crate::steps::Verified;
use crate::steps::crl::{ComposedCrl, VerifiedCrl};

/// What the sequencer is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// A request.
    Ask(Box<Ask>, Reply),
    /// Steps 8 and 9 are done.
    Verified(Verified),
    /// The token refuses these very bytes.
    Unsignable {
        /// The entry.
        index: u64,
        /// What the token said.
        cause: String,
    },
    /// The log key signed a checkpoint.
    CheckpointSigned {
        /// Entries that it covers.
        size: u64,
        /// What was signed.
        text: String,
        /// The signature as notes carry it.
        signature: Vec<u8>,
    },
    /// A CRL is composed and linted.
    CrlComposed(Box<ComposedCrl>),
    /// A CRL is signed and verified.
    CrlSigned(VerifiedCrl),
    /// A CRL came to nothing before it was recorded, or the token refuses these very bytes.
    CrlFailed(String),
    /// The journal is damaged: what is recorded is not what the tree says.
    Damaged(String),
    /// A custody manifest, but for what it differs in.
    Observed(Box<Custody>),
    /// A source of random numbers failed its health tests: nothing is issued any more.
    Unhealthy(Unhealthy),
    /// The token is lost to this process.
    TokenLost(String),
    /// Finish what has begun, then end.
    Stop,
}

/// Why the sequencer ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// It was asked to.
    #[error("stopped")]
    Stopped,
    /// The disk's: a commit failed. It is not tried again (invariant I6).
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The token's: only a new process can bring it back.
    #[error("the token is lost to this process: {0}")]
    Token(String),
}
