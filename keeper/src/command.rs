//! What the sequencer is told, and why it ends.

use ledger::entry::Custody;

use crate::asks::{Change, Own, Read};
use crate::callers::Asked;
use crate::entropy::Unhealthy;
use crate::journal::JournalError;
use crate::out::Reply;
use crate::steps::Verified;
use crate::steps::crl::{ComposedCrl, VerifiedCrl};

/// What the sequencer is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// What may change something.
    Change(Asked<Box<Change>>, Reply),
    /// What the sequencer knows itself.
    Own(Asked<Own>, Reply),
    /// A read that needs a checkpoint over enough entries.
    Cover(Asked<Read>, Reply),
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
    /// Entries of certificates that ended long ago: the requests that they came from are kept no more.
    Ended(Vec<(u64, i64)>),
    /// The journal is damaged.
    Damaged(Damage),
    /// A custody manifest, but for what it differs in.
    Observed(Box<Custody>),
    /// A source of random numbers failed its health tests: nothing is issued any more.
    Unhealthy(Unhealthy),
    /// The token is lost to this process.
    TokenLost(String),
    /// Finish what has begun, then end.
    Stop,
}

impl Command {
    /// Whether it may append an entry.
    pub(crate) fn records(&self) -> bool {
        matches!(self, Self::Change(..) | Self::Unsignable { .. } | Self::CrlComposed(_) | Self::Observed(_))
    }

    /// Whom to answer, where someone asked.
    pub(crate) fn into_reply(self) -> Option<Reply> {
        match self {
            Self::Change(_, reply) | Self::Own(_, reply) | Self::Cover(_, reply) => Some(reply),
            _ => None,
        }
    }
}

/// What is wrong with the journal.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    /// In a sentence.
    pub(crate) cause: String,
    /// Whether its tables alone are not as its entries say: they can be made anew.
    pub(crate) of_tables: bool,
}

impl Damage {
    /// What helps, in words.
    pub(crate) fn remedy(&self) -> &'static str {
        if self.of_tables { "stop the service and make the tables anew" } else { "restore a backup" }
    }
}

impl From<JournalError> for Damage {
    fn from(error: JournalError) -> Self {
        Self { of_tables: matches!(error, JournalError::NotAsRecorded(_)), cause: error.to_string() }
    }
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
