//! When a ceremony was.

use std::ops::RangeInclusive;

use ledger::plan::{MAX_LIFETIME_SECS, Plan};
use ledger::transcript::Transcript;

use super::EvidenceError;

/// The beginning and the end. A plan is approved for 31 days at most, so a ceremony that says it began before those, or after, was not it.
pub(super) fn within(transcript: &Transcript, plan: &Plan) -> Result<RangeInclusive<i64>, EvidenceError> {
    let (began, ended) = (time(transcript, "began")?, time(transcript, "ended")?);
    if ended < began {
        return Err(EvidenceError::Time("it ended before it began"));
    }
    if began >= plan.expires_unix || began < plan.expires_unix - MAX_LIFETIME_SECS {
        return Err(EvidenceError::Time("it began when its plan was not to be executed"));
    }
    for key in ["tool", "binary-sha256", "system-entropy"] {
        transcript.value(key).ok_or(EvidenceError::Line(key))?;
    }
    Ok(began..=ended)
}

pub(super) fn time(transcript: &Transcript, key: &'static str) -> Result<i64, EvidenceError> {
    let time = transcript.value(key).and_then(|time| time.parse::<jiff::Timestamp>().ok());
    time.map(jiff::Timestamp::as_second).ok_or(EvidenceError::Line(key))
}
