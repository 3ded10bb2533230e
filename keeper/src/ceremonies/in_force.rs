//! What is in force before an import, and why one is not taken.

use std::collections::BTreeSet;

use audit::ceremony::EvidenceError;
use certs::Issuer;
use ledger::bundle::{Bundle, BundleError};
use ledger::charter::{Charter, CharterError};

use crate::time::ClockWrong;

/// What is in force before; nothing of a cell that is being founded.
#[derive(Debug, Default)]
pub(crate) struct InForce {
    pub(crate) charter: Option<Charter>,
    pub(crate) bundle: Option<Bundle>,
    /// Issuers that any trust bundle so far called retired, by the SHA-256 of their public keys.
    pub(crate) retired: BTreeSet<[u8; 32]>,
    /// The issuers that the ledger holds.
    pub(crate) issuers: Vec<Issuer>,
    /// The newest checkpoint's note.
    pub(crate) checkpoint: Option<String>,
}

/// Why an import is not taken. Nothing is recorded then.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It brings nothing.
    #[error("nothing was handed in: a bundle, a charter with its bundle, or a transcript")]
    Nothing,
    /// The charter is none, or does not follow.
    #[error("the charter: {0}")]
    Charter(#[from] CharterError),
    /// A charter without a trust bundle under it: clients could check none.
    #[error("a new charter needs a trust bundle under it, signed by the officers that it names")]
    CharterAlone,
    /// A charter and a ceremony at once.
    #[error(
        "a new charter and a ceremony are handed in one after the other: which charter approved the plan must be plain"
    )]
    CharterAndCeremony,
    /// The transcript proves nothing.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The bundle is none of the charter's.
    #[error("the trust bundle: {0}")]
    Bundle(#[from] BundleError),
    /// The bundle is not the next.
    #[error("trust bundle {offered} does not follow bundle {have}: write it anew from the one in force")]
    NotNext {
        /// Number of the one in force.
        have: u64,
        /// Number of the one that was handed in.
        offered: u64,
    },
    /// The plan was carried out before.
    #[error("the plan of this ceremony was carried out before, as entry {0}")]
    Replayed(u64),
    /// Nothing is recorded of a time that the log has behind it.
    #[error("{0}: set the clock first")]
    Clock(#[from] ClockWrong),
    /// The bundle would leave the cell without what it needs.
    #[error("the trust bundle cannot be in force: {0}")]
    Unusable(String),
}
