//! Why a ceremony stopped.

use std::io;

use crate::host::HostError;

/// A ceremony stopped. What the record says was done is done; the same command goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The operator's: the record cannot be kept, or was damaged.
    #[error("the ceremony's record: {0}")]
    Record(#[from] io::Error),
    /// The operator's: the record is of another plan.
    #[error("the directory holds the record of another plan: use an empty one")]
    OtherPlan,
    /// The token's, or the operator's.
    #[error("{uri}: {source}")]
    Token {
        /// Which token.
        uri: String,
        /// What it reported.
        source: HostError,
    },
    /// The plan's, or the operator's: the token is another than the plan names.
    #[error("the token for {uri} is {label}, serial {serial}, model {model}: the plan means another")]
    OtherToken {
        /// What the plan says.
        uri: String,
        /// Its label.
        label: String,
        /// Its serial.
        serial: String,
        /// Its model.
        model: String,
    },
    /// The plan's: a step that cannot be.
    #[error("step {step} of the plan cannot be done: {why}")]
    Plan {
        /// Counted from 1.
        step: usize,
        /// Why.
        why: String,
    },
    /// The plan's: there is no room for the transcript to which it leads.
    #[error("the plan cannot be carried out: {0}")]
    Untold(String),
    /// The token's: what it says of itself cannot stand in a transcript.
    #[error("what the token {uri} or its module says of itself cannot stand in a transcript: {why}")]
    Unspeakable {
        /// Which token.
        uri: String,
        /// What is wrong.
        why: String,
    },
    /// The operator's: a key that another machine made, and that nobody here has said is right.
    #[error("the key `{name}` was made on another machine, says the record, which anyone may have written")]
    NotAccepted {
        /// Its name in the plan.
        name: String,
    },
    /// The operator's: the record says what it cannot.
    #[error("the ceremony's record is not believed: {0}")]
    Disbelieved(String),
    /// The token's: a key or signature that is not what it must be.
    #[error("step {step}: {what}. It is not used")]
    Unfit {
        /// Counted from 1.
        step: usize,
        /// What is wrong.
        what: String,
    },
    /// The operating system's.
    #[error("no random numbers from the operating system")]
    NoRandom,
    /// A source's: it failed its start-up test twice.
    #[error("the random numbers of {source_name} are not to be trusted: {flaw}. No key is made with them")]
    Entropy {
        /// The token's URI in the plan, or `system`.
        source_name: String,
        /// What was found the second time.
        flaw: String,
    },
    /// Our own.
    #[error("a fault of our own: {0}")]
    Internal(String),
}
