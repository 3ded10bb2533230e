//! Why a transcript proves nothing.

use ledger::note::NoteError;
use ledger::plan::PlanError;
use ledger::transcript::TranscriptError;

/// Why a certificate is not judged where nobody gave the root that signed it.
pub(super) const NO_SIGNER: &str = "its signer is not known";

/// Why a transcript proves nothing. The field at fault is named.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// It was altered after it was signed.
    #[error("the transcript was altered at {field}: {cause}")]
    Altered {
        /// Where, as well as the file itself can tell.
        field: String,
        /// How that was noticed.
        cause: TranscriptError,
    },
    /// No note, or no officer signed it.
    #[error("the transcript: {0}")]
    Transcript(#[from] TranscriptError),
    /// A quorum did not approve its plan.
    #[error("the plan: {0}")]
    Plan(#[from] PlanError),
    /// It says something that cannot be.
    #[error("step {step}, {field}: {why}")]
    Step {
        /// Counted from 1.
        step: usize,
        /// The line's key.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A token was opened that the plan does not mean.
    #[error("the token that was opened for {0} is another")]
    OtherToken(String),
    /// It ended before it began, began before or after its plan allowed that, or is not over yet.
    #[error("the time of the ceremony: {0}")]
    Time(&'static str),
    /// It lacks a line, or one is not of its form.
    #[error("the line `{0}` is missing, or not of its form")]
    Line(&'static str),
}

impl EvidenceError {
    /// Whether an officer's signature is all that is missing.
    pub fn lacks_a_signature(&self) -> bool {
        matches!(self, Self::Transcript(TranscriptError::Note(NoteError::Unsigned)))
    }

    /// Whether a root that was there before is all that is missing.
    pub fn lacks_a_root(&self) -> bool {
        matches!(self, Self::Step { why, .. } if why == NO_SIGNER)
    }
}
