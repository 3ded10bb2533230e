//! What goes wrong between a client and the service.

use sys::files::FileError;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// What was asked for is not to be had, or not to be believed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service refuses, or the connection was lost.
    #[error("{}", .0.message())]
    Refused(Box<Status>),
    /// The service answered with less than the contract says.
    #[error("the service's answer has no {0}")]
    Incomplete(&'static str),
    /// Something does not verify: it is not to be used.
    #[error("{what} does not verify: {why}")]
    Unverified {
        /// What.
        what: &'static str,
        /// By which rule.
        why: String,
    },
    /// The log holds something, and not what was asked for.
    #[error("what the service says it recorded does not verify: {0}")]
    RecordedElse(String),
    /// The service is not there, or does not prove to be the cell's.
    #[error("{server}: {cause}")]
    Unreachable {
        /// URL of the service.
        server: String,
        /// Why not.
        cause: String,
    },
    /// A key cannot be made, or cannot be used.
    #[error("{0}")]
    Key(String),
    /// The service says the same of every key that waits, for this reason.
    #[error("none of the keys that wait for the controller's next certificate gets it")]
    NoKeyGetsIt(&'static str),
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// An entry is there by the service's word alone.
    #[error(
        "recorded as entry {index} of {origin}, by the service's word alone: its proof is not to be had yet: {cause}"
    )]
    NotProved {
        /// Index of the entry.
        index: u64,
        /// Origin of the log.
        origin: String,
        /// Why there is no proof.
        cause: Box<Error>,
    },
}

impl Error {
    /// Whether the same may go well later, as it is.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Refused(status) => may_pass(status),
            Self::NotProved { .. } | Self::Unreachable { .. } => true,
            Self::Incomplete(_)
            | Self::Unverified { .. }
            | Self::RecordedElse(_)
            | Self::Key(_)
            | Self::NoKeyGetsIt(_)
            | Self::File(_) => false,
        }
    }

    /// Whether the service refuses for this reason ("KEY_IN_USE").
    pub(crate) fn is_refusal(&self, reason: &str) -> bool {
        matches!(self, Self::Refused(status) if self::reason(status).as_deref() == Some(reason))
    }

    pub(crate) fn unverified(what: &'static str, why: impl ToString) -> Self {
        Self::Unverified { what, why: why.to_string() }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

/// The reason that a refusal names (`google.rpc.ErrorInfo`), as docs/errors.md has it: capitals and underscores.
pub fn reason(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    Some(info.reason.trim_start_matches("REASON_").to_owned())
}

/// Whether a connection was lost, and the service said nothing.
pub fn is_lost(status: &Status) -> bool {
    std::error::Error::source(status).is_some_and(<dyn std::error::Error>::is::<tonic::transport::Error>)
}

/// Whether what was refused may go well later, as it is.
pub fn may_pass(status: &Status) -> bool {
    let passes = [Code::Unavailable, Code::ResourceExhausted, Code::DeadlineExceeded, Code::Aborted];
    is_lost(status) || passes.contains(&status.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_verify_does_not_pass_by_itself() {
        let refused = |code| Error::from(Status::new(code, "no"));
        assert!(refused(Code::Unavailable).may_pass());
        assert!(!refused(Code::FailedPrecondition).may_pass());
        assert!(!Error::unverified("the proof", "no").may_pass());
        let cause = Box::new(refused(Code::Unavailable));
        assert!(Error::NotProved { index: 1, origin: "o".into(), cause }.may_pass());
    }
}
