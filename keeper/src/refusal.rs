//! Why a request is refused: a reason for programs, a sentence for people.

use cell::NotCovered;
use ledger::entry::KeyClash;
use ledger::proposal::ProposalError;
use proto::door;
use proto::v1::Reason;

use crate::journal::JournalError;

/// A request is refused. Nothing was recorded for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    reason: Reason,
    message: String,
    field: &'static str,
    retry_after_ms: u32,
    clash: Option<Box<KeyClash>>,
}

impl Refusal {
    /// Refuses with a sentence that says whose fault it is, what happened and what to do.
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), field: "", retry_after_ms: 0, clash: None }
    }

    /// Names the field of the request at fault.
    pub(crate) fn on(mut self, field: &'static str) -> Self {
        self.field = field;
        self
    }

    /// Says when another try is worth while.
    pub(crate) fn retry(mut self, after_ms: u32) -> Self {
        self.retry_after_ms = after_ms;
        self
    }

    /// Says that a key was presented for a second identity, for the ledger.
    pub(crate) fn clashing(mut self, clash: KeyClash) -> Self {
        self.clash = Some(Box::new(clash));
        self
    }

    /// The key that was presented for a second identity, where that is why.
    pub(crate) fn clash(&self) -> Option<&KeyClash> {
        self.clash.as_deref()
    }

    /// The reason.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    pub(crate) fn malformed(field: &'static str, message: impl ToString) -> Self {
        Self::new(Reason::RequestMalformed, format!("{field}: {}", message.to_string())).on(field)
    }

    pub(crate) fn identity(field: &'static str, message: impl ToString) -> Self {
        Self::new(Reason::IdentityInvalid, format!("{field}: {}", message.to_string())).on(field)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Reason::NotFound, format!("there is no {what} that you may read"))
    }

    pub(crate) fn not_allowed(who: &str) -> Self {
        Self::new(Reason::CallerNotAllowed, format!("{who} may not call this method"))
    }

    pub(crate) fn queue_full() -> Self {
        Self::new(Reason::QueueFull, "too much is waiting: try again").retry(200)
    }

    pub(crate) fn internal(what: impl ToString) -> Self {
        tracing::error!(cause = what.to_string(), "a fault of our own");
        Self::new(Reason::Internal, "the service has a fault of its own; its log has the cause")
    }
}

impl From<NotCovered> for Refusal {
    fn from(refused: NotCovered) -> Self {
        Self::new(
            Reason::GrantDoesNotCover,
            format!("{refused}. Ask for less, or have an officer widen the grant (`rootcellar grant set`)"),
        )
    }
}

impl From<ProposalError> for Refusal {
    fn from(error: ProposalError) -> Self {
        let reason = match error {
            ProposalError::WrongCell | ProposalError::WrongLog | ProposalError::WrongCharter { .. } => {
                Reason::ProposalElsewhere
            }
            ProposalError::Expired | ProposalError::TooFar => Reason::ProposalExpired,
            ProposalError::Stranger => Reason::ProposalStranger,
            ProposalError::Unsigned | ProposalError::NotEnough { .. } | ProposalError::BadSignature(_) => {
                Reason::ProposalNotApproved
            }
            _ => Reason::ProposalMalformed,
        };
        Self::new(reason, format!("the proposal was not carried out: {error}")).on("proposal")
    }
}

impl From<JournalError> for Refusal {
    /// A read that fails refuses (invariant I6). A write that fails ends the process instead.
    fn from(error: JournalError) -> Self {
        Self::internal(error)
    }
}

impl From<Refusal> for door::Refused {
    fn from(refusal: Refusal) -> Self {
        let Refusal { reason, message, field, retry_after_ms, clash: _ } = refusal;
        Self { reason: reason.into(), message, field: field.to_owned(), retry_after_ms }
    }
}
