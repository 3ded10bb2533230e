//! What a former process left: certificates that were recorded and have no signature. All of them are abandoned.
//!
//! Nothing that is found in the journal is signed: a file is not an authority, and whoever can write it would have signed what they like. A
//! certificate leaves once its signature is durable, so one without a signature was given to nobody; who asked for it asks again with the
//! same request_id.

use audit::entries::PENDING_MS;

use crate::journal::{Durability, Journal, JournalError, Pending, Unsigned};
use crate::requests::Settings;
use crate::sequencer::{abandonment, own_entry};

/// Why they are abandoned, as the ledger says it.
const REASON: &str = "RESTARTED";

/// Abandons every pending certificate: how many there were.
///
/// # Errors
/// The disk's; or a certificate is without a signature that must have had one, so that the journal is not what it was.
pub(crate) fn recover(
    journal: &mut Journal,
    settings: &Settings,
    now_ms: i64,
) -> Result<usize, JournalError> {
    let pending = journal.take_pending();
    demand_pending(&pending)?;
    let pending = pending.unsigned;
    if pending.is_empty() {
        return Ok(0);
    }
    // A clock that is behind does not make the log go back in time.
    let now_ms = now_ms.max(journal.newest_ms()?);
    tracing::warn!(abandoned = pending.len(), "certificates that the last run recorded and did not sign");
    journal.begin(Durability::Disk)?;
    for Unsigned { index, .. } in &pending {
        journal.append(&own_entry(settings, now_ms, abandonment(&settings.origin, *index, REASON)))?;
    }
    journal.commit()?;
    Ok(pending.len())
}

/// Every certificate without a signature is one that can be.
///
/// # Errors
/// One must have had one, so that the journal is not what it was.
pub(crate) fn demand_pending(pending: &Pending) -> Result<(), JournalError> {
    pending.unsigned.iter().try_for_each(|one| can_be_pending(one, pending.covered_ms))
}

/// Abandoning a certificate makes the one before it the newest of its line: that must not follow from a signature that someone removed.
fn can_be_pending(&Unsigned { index, recorded_ms }: &Unsigned, covered_ms: i64) -> Result<(), JournalError> {
    if recorded_ms >= covered_ms.saturating_sub(PENDING_MS) {
        return Ok(());
    }
    Err(JournalError::Corrupt(format!("entry {index}: the signature of its certificate was removed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_from_long_before_the_newest_checkpoint_cannot_be_pending() {
        let one = Unsigned { index: 5, recorded_ms: 5_000_000 };
        can_be_pending(&one, i64::MIN).unwrap();
        can_be_pending(&one, 5_000_000 + PENDING_MS).unwrap();
        let removed = can_be_pending(&one, 5_000_001 + PENDING_MS).unwrap_err();
        assert!(removed.to_string().contains("was removed"), "{removed}");
    }
}
