//! What went wrong, as a person and a program are told: a reason, a sentence, the line that mends it, an exit code.
//!
//! Every typed error of the parts ends here, in one place for each; nothing inside the program decides by these texts.

mod remedy;

use std::borrow::Cow;
use std::path::Path;

use hsm_config::{Fault, TokenError};
use sys::files::FileError;
use tonic_types::StatusExt as _;

use crate::config::ConfigError;

/// Reason where an entry is there by the service's word alone.
pub(crate) const NOT_PROVED: &str = "NOT_PROVED";

/// How a command ended. The numbers are stable: scripts and supervisors decide by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was refused, or failed.
    Failed,
    /// The arguments say nothing that can be done.
    Usage,
    /// Worth trying again later, as it is (sysexits.h, EX_TEMPFAIL).
    TryLater,
    /// A PIN: not to be tried again before a person acts (EX_NOPERM).
    Pin,
    /// The configuration (EX_CONFIG).
    Configuration,
}

impl Exit {
    /// The process's exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::TryLater => 75,
            Self::Pin => 77,
            Self::Configuration => 78,
        }
    }

    /// The exit of a child of ours that ended with this code, for its parent to end alike.
    pub(crate) fn of_child(code: Option<i32>) -> Self {
        let all = [Self::Usage, Self::TryLater, Self::Pin, Self::Configuration];
        all.into_iter().find(|exit| code == Some(i32::from(exit.code()))).unwrap_or(Self::Failed)
    }
}

/// Why a command did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    exit: Exit,
    reason: Cow<'static, str>,
    message: String,
    remedy: Option<String>,
    reported: bool,
}

impl Failure {
    /// A failure with a reason for programs (capitals and underscores) and a sentence for people.
    pub(crate) fn new(reason: &'static str, message: impl ToString) -> Self {
        let message = message.to_string();
        Self { exit: Exit::Failed, reason: reason.into(), message, remedy: None, reported: false }
    }

    /// The exact line that mends it.
    pub(crate) fn mended_by(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Says what was done all the same.
    pub(crate) fn and_also(mut self, done: impl AsRef<str>) -> Self {
        self.message = format!("{}; {}", self.message, done.as_ref());
        self
    }

    /// How the command ends.
    pub(crate) fn ending(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// A child has said what went wrong; only its exit code is left to pass on.
    pub(crate) fn reported_by_child(exit: Exit) -> Self {
        Self { exit, reported: true, ..Self::new("CHILD_FAILED", "a child process failed") }
    }

    /// Arguments that each are well formed and together say nothing.
    pub(crate) fn usage(message: impl ToString) -> Self {
        Self::new("USAGE", message).ending(Exit::Usage)
    }

    /// A file that could not be read or written.
    pub(crate) fn file(path: &Path, error: std::io::Error) -> Self {
        FileError::io(path, error).into()
    }

    /// A file that does not hold what it must.
    pub(crate) fn malformed(path: &Path, error: impl ToString) -> Self {
        FileError::malformed(path, error).into()
    }

    /// Something that does not verify: it is not to be used.
    pub(crate) fn unverified(what: &str, error: impl ToString) -> Self {
        Self::new("NOT_VERIFIED", format!("{what} does not verify: {}", error.to_string()))
    }

    /// The service answered with less than the contract says.
    pub(crate) fn incomplete(what: &str) -> Self {
        Self::new("ANSWER_INCOMPLETE", format!("the service's answer has no {what}"))
    }

    /// An entry is there by the service's word alone.
    pub(crate) fn not_proved(index: u64, origin: &str, cause: &Self) -> Self {
        let message = format!(
            "recorded as entry {index} of {origin}, by the service's word alone: its proof is not to be had yet: {cause}"
        );
        Self::new(NOT_PROVED, message).ending(Exit::TryLater).mended_by("rootcellar ledger verify")
    }

    /// How the command ends.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The reason for programs.
    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }

    /// The line that mends it.
    pub(crate) fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// Whether a child has reported it already.
    pub(crate) fn is_reported(&self) -> bool {
        self.reported
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new("CONFIGURATION", error)
            .ending(Exit::Configuration)
            .mended_by("rootcellar config show --reference")
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        match error.fault() {
            Fault::Pin => Self::new("PIN", error).ending(Exit::Pin),
            _ => Self::new("TOKEN", error).mended_by("rootcellar token list"),
        }
    }
}

impl From<keeper::Refusal> for Failure {
    /// A refusal of the keeper's rules, with no service between.
    fn from(refusal: keeper::Refusal) -> Self {
        let reason = refusal.reason().code();
        let remedy = remedy::of(reason).map(str::to_owned);
        let message = format!("{refusal} ({reason})");
        Self { exit: Exit::Failed, reason: reason.into(), message, remedy, reported: false }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        match &error {
            FileError::Io { .. } => Self::new("FILE", error),
            FileError::Malformed { .. } => Self::new("FILE_MALFORMED", error),
            FileError::TooWide { path, .. } => {
                let remedy = format!("chmod 0600 {}", path.display());
                Self::new("KEY_TOO_WIDE", error).mended_by(remedy)
            }
        }
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        match error {
            client::Error::Refused(status) => Self::from(*status),
            client::Error::Incomplete(what) => Self::incomplete(what),
            client::Error::Unverified { what, why } => Self::unverified(what, why),
            client::Error::RecordedElse(_) => {
                Self::new("NOT_VERIFIED", error).mended_by("rootcellar ledger verify")
            }
            client::Error::Unreachable { .. } => Self::new("UNREACHABLE", error)
                .ending(Exit::TryLater)
                .mended_by("rootcellar status, on the machine of the service"),
            client::Error::Key(_) => Self::new("KEY", error),
            client::Error::NoKeyGetsIt(reason) => Self::new(reason, error),
            client::Error::File(error) => error.into(),
            client::Error::NotProved { index, origin, cause } => {
                Self::not_proved(index, &origin, &Self::from(*cause))
            }
        }
    }
}

impl From<tonic::Status> for Failure {
    /// A refusal of the service: its reason (`google.rpc.ErrorInfo`), and what helps against it.
    fn from(status: tonic::Status) -> Self {
        if client::is_lost(&status) {
            return Self::new("CONNECTION_LOST", format!("the connection was lost: {}", status.message()))
                .ending(Exit::TryLater)
                .mended_by("rootcellar status, on the machine of the service");
        }
        let reason = client::reason(&status);
        let reason = reason.unwrap_or_else(|| format!("GRPC_{:?}", status.code()).to_uppercase());
        let exit = if client::may_pass(&status) { Exit::TryLater } else { Exit::Failed };
        let after = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let remedy = match (after, remedy::of(&reason)) {
            (_, Some(line)) => Some(line.to_owned()),
            (Some(delay), None) => Some(format!("the same again in {} s", delay.as_secs().max(1))),
            (None, None) => None,
        };
        let message = format!("{} ({reason})", status.message());
        Self { exit, reason: reason.into(), message, remedy, reported: false }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::ErrorDetails;

    use super::*;

    fn refused(code: Code, reason: &str) -> Failure {
        let details = ErrorDetails::with_error_info(reason, "rootcellar", [] as [(String, String); 0]);
        tonic::Status::with_error_details(code, "no", details).into()
    }

    #[test]
    fn a_refusal_keeps_its_reason_and_says_what_helps() {
        let failure = refused(Code::FailedPrecondition, "LINE_ENDED");
        assert_eq!((failure.reason(), failure.exit().code()), ("LINE_ENDED", 1));
        assert_eq!(failure.remedy(), Some("rootcellar controller reissue NAME"));
        assert_eq!(failure.to_string(), "no (LINE_ENDED)");
    }

    #[test]
    fn what_passes_by_itself_has_an_exit_code_of_its_own() {
        assert_eq!(refused(Code::ResourceExhausted, "QUEUE_FULL").exit().code(), 75);
        let bare = Failure::from(tonic::Status::unavailable("gone"));
        assert_eq!((bare.reason(), bare.exit()), ("GRPC_UNAVAILABLE", Exit::TryLater));
    }

    #[test]
    fn a_child_passes_its_exit_code_on() {
        for exit in [Exit::Failed, Exit::Usage, Exit::TryLater, Exit::Pin, Exit::Configuration] {
            assert_eq!(Exit::of_child(Some(exit.code().into())), exit);
        }
        assert_eq!(Exit::of_child(None), Exit::Failed);
        assert_eq!(Exit::of_child(Some(9)), Exit::Failed);
    }
}
