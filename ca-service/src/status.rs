//! Refusals on the wire: the one place where a [`Reason`] becomes a gRPC status.

use std::time::Duration;

use proto::{
    ERROR_DOMAIN,
    door::Refused,
    v1::{ItemError, Reason},
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// A refusal of the front's own, without a field and without a time to come back.
pub(crate) fn refused(reason: Reason, message: impl Into<String>) -> Refused {
    Refused { reason: reason.into(), message: message.into(), ..Refused::default() }
}

/// The status of a refusal, with `google.rpc.ErrorInfo`, and `RetryInfo` and `BadRequest` where they apply (AIP-193).
pub(crate) fn status(refused: Refused) -> Status {
    let reason = known(&refused);
    let mut details = ErrorDetails::new();
    details.set_error_info(reason.code(), ERROR_DOMAIN, []);
    if refused.retry_after_ms > 0 {
        details.set_retry_info(Some(retry_after(&refused)));
    }
    if !refused.field.is_empty() {
        details.add_bad_request_violation(refused.field, refused.message.as_str());
    }
    Status::with_error_details(code(reason), refused.message, details)
}

/// The same for one item of a batch.
pub(crate) fn item_error(refused: Refused) -> ItemError {
    let reason = known(&refused);
    let retry_after = (refused.retry_after_ms > 0).then(|| retry_after(&refused));
    ItemError {
        code: code(reason).into(),
        message: refused.message,
        reason: reason.code().into(),
        retry_after: retry_after.and_then(|time| time.try_into().ok()),
    }
}

/// The reason's code.
pub(crate) fn reason_code(refused: &Refused) -> &'static str {
    known(refused).code()
}

/// A reason of a newer keeper, or none: nobody but us is at fault.
fn known(refused: &Refused) -> Reason {
    match Reason::try_from(refused.reason) {
        Ok(reason) if reason != Reason::Unspecified => reason,
        _ => Reason::Internal,
    }
}

fn retry_after(refused: &Refused) -> Duration {
    Duration::from_millis(refused.retry_after_ms.into())
}

/// The same for what the library refused, before a service saw it: it gives a code and a sentence, no reason.
pub(crate) fn explained(bare: Status) -> Status {
    let (reason, remedy) = match bare.code() {
        Code::Unimplemented => (Reason::NotServed, "call a method of rootcellar.v1, in an encoding it takes"),
        Code::OutOfRange => (Reason::MessageTooLong, "send less at once"),
        Code::Internal => (Reason::RequestMalformed, "send the protobuf message that the method takes"),
        Code::NotFound => (Reason::NotFound, "ask for a service that there is"),
        // A body that broke off, for the log: its sender has left.
        Code::Unknown | Code::Cancelled => (Reason::RequestMalformed, "send a whole request"),
        _ => (Reason::Internal, "please report it"),
    };
    let said = match (bare.message(), bare.code()) {
        ("", Code::Unimplemented) => "there is no such method",
        ("", _) => "the request was refused",
        (said, _) => said,
    };
    status(refused(reason, format!("{said}: {remedy}")))
}

/// The reason in a status of ours; empty in any other.
pub(crate) fn reason_of(status: &Status) -> &'static str {
    let said = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    Reason::from_str_name(&format!("REASON_{said}")).map_or("", Reason::code)
}

/// Exhaustive: a new reason must be placed. docs/errors.md has the same table.
fn code(reason: Reason) -> Code {
    match reason {
        Reason::RequestMalformed
        | Reason::CsrMalformed
        | Reason::CsrSignatureInvalid
        | Reason::CsrNameNotIssued
        | Reason::CsrExtensionNotAllowed
        | Reason::KeyUnsupported
        | Reason::KeyWeak
        | Reason::IdentityInvalid
        | Reason::ProposalMalformed => Code::InvalidArgument,
        Reason::CallerUnknown
        | Reason::CallerExpired
        | Reason::CallerRemoved
        | Reason::CallerRevoked
        | Reason::SignatureInvalid
        | Reason::SignatureExpired => Code::Unauthenticated,
        Reason::GrantDoesNotCover
        | Reason::NotOwner
        | Reason::CallerNotAllowed
        | Reason::ProposalNotApproved
        | Reason::ProposalStranger => Code::PermissionDenied,
        Reason::ProposalExpired
        | Reason::ProposalElsewhere
        | Reason::AgentDisabled
        | Reason::AgentDiffers
        | Reason::CertificateNotNewest
        | Reason::LineEnded
        | Reason::KeyInUse
        | Reason::Frozen
        | Reason::RenewalsStopped
        | Reason::StoppedBefore
        | Reason::ImportRefused => Code::FailedPrecondition,
        Reason::AgentExists
        | Reason::ControllerExists
        | Reason::ProposalReplayed
        | Reason::RequestIdReused => Code::AlreadyExists,
        // AIP-154: the reader reads again and decides anew.
        Reason::EtagMismatch => Code::Aborted,
        Reason::NotFound => Code::NotFound,
        Reason::BudgetExhausted
        | Reason::QueueFull
        | Reason::RateLimited
        | Reason::MessageTooLong
        | Reason::DiskLow => Code::ResourceExhausted,
        Reason::DeadlineExceeded => Code::DeadlineExceeded,
        Reason::KeeperUnavailable
        | Reason::TokenUnavailable
        | Reason::IssuerNotValid
        | Reason::ClockWrong
        | Reason::EntropyFailed => Code::Unavailable,
        Reason::Unspecified | Reason::Internal => Code::Internal,
        Reason::NotServed => Code::Unimplemented,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_say_what_a_program_needs() {
        let full = Refused {
            field: "csr".into(),
            retry_after_ms: 1500,
            ..refused(Reason::BudgetExhausted, "come back in the next hour")
        };
        let status = status(full);
        assert_eq!(
            (status.code(), status.message()),
            (Code::ResourceExhausted, "come back in the next hour")
        );
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("BUDGET_EXHAUSTED", "rootcellar"));
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_millis(1500)));
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(
            (violation.field.as_str(), violation.description.as_str()),
            ("csr", "come back in the next hour")
        );
    }

    #[test]
    fn no_detail_is_sent_that_does_not_apply() {
        let details = status(refused(Reason::NotFound, "no such agent")).get_error_details();
        assert!(details.retry_info().is_none() && details.bad_request().is_none());
    }

    #[test]
    fn a_reason_unknown_here_is_our_fault() {
        for reason in [0, 9999] {
            let status = status(Refused { reason, ..Refused::default() });
            assert_eq!((status.code(), reason_of(&status)), (Code::Internal, "INTERNAL"));
        }
    }
}
