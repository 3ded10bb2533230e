//! Whether a trust bundle may be in force: that it stops no cell, and says what follows from what it comes with. Officers who have none to
//! compare it with sign what they were handed.

use audit::ceremony::Evidence;
use certs::Issuer;
use ledger::bundle::{Bundle, Contents, IssuerState};
use ledger::charter::Charter;

use super::bundles;
use super::in_force::{ImportError, InForce};
use crate::trust;

/// Refuses a bundle that comes with a ceremony and is not the one that follows from it, and from the one before.
///
/// # Errors
/// [`ImportError::Unusable`].
pub(super) fn demand_following(
    evidence: &Evidence,
    charter: &Charter,
    (before, after): (Option<&Contents>, &Contents),
) -> Result<(), ImportError> {
    let expected = bundles::after(evidence, charter, before);
    let expected = expected.map_err(|error| ImportError::Unusable(error.to_string()))?;
    if expected.as_ref() == Some(after) {
        return Ok(());
    }
    Err(ImportError::Unusable("it is not the one that follows from the ceremony it comes with".into()))
}

/// Refuses a bundle that comes with a new charter and changes anything besides.
///
/// # Errors
/// [`ImportError::Unusable`].
pub(super) fn demand_unchanged((before, after): (Option<&Contents>, &Contents)) -> Result<(), ImportError> {
    match before {
        None => {
            Err(ImportError::Unusable("the first one comes with the ceremony that founds the cell".into()))
        }
        Some(before) if !bundles::moves_only(before, after) => Err(ImportError::Unusable(
            "under a new charter it says something else than the one before, which is an act of its own"
                .into(),
        )),
        Some(_) => Ok(()),
    }
}

/// Whatever officers sign, a bundle that does not name the log's key or no issuer that leads to one of its anchors would stop the cell.
///
/// # Errors
/// [`ImportError::Unusable`].
pub(super) fn demand_usable(
    bundle: &Bundle,
    in_force: &InForce,
    issuers: &[Issuer],
    origin: &str,
) -> Result<(), ImportError> {
    let unusable = |why: String| ImportError::Unusable(why);
    let log = bundle.log(origin).ok_or_else(|| unusable(format!("it names no key of the log {origin}")))?;
    if let Some(note) = &in_force.checkpoint
        && log.checkpoint(note.as_bytes()).is_err()
    {
        return Err(unusable(format!("it leaves out the key that signs the checkpoints of {origin}")));
    }
    for der in bundle.anchors() {
        Issuer::parse(der).map_err(|error| unusable(format!("an anchor: {error}")))?;
    }
    if bundle.contents().active_issuer().is_none() {
        return Err(unusable("it names no active issuer".into()));
    }
    for line in bundle.issuers().iter().filter(|line| line.state != IssuerState::Retired) {
        let hex = data_encoding::HEXLOWER.encode(&line.spki_sha256);
        let issuer = issuers.iter().find(|issuer| issuer.spki_sha256() == line.spki_sha256);
        if in_force.retired.contains(&line.spki_sha256) {
            return Err(unusable(format!(
                "the issuer {hex} is retired, and signs no more: its key may be gone"
            )));
        }
        let issuer = issuer.ok_or_else(|| {
            unusable(format!("the ledger holds no issuer {hex}: import its ceremony first"))
        })?;
        if !trust::is_anchored(issuer, bundle) {
            return Err(unusable(format!("the issuer {hex} leads to none of its anchors")));
        }
    }
    Ok(())
}
