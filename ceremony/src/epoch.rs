//! A new epoch of the log: what its officers sign, written from a log that went back.

use keeper::{EpochError, WentBack};
use ledger::bundle::{Bundle, Contents};
use ledger::note::Note;

use crate::officer::{self, OfficerKey, ProposalTerms, SigningError};

/// Why there is nothing to sign.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// The journal's, or nothing is lost.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The officer's key, or what is to be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

/// The two notes that open an epoch, by one officer; the charter says how many must sign both.
#[derive(Clone, Debug)]
pub struct Epoch {
    /// The act: what is left of the log and what is known to be lost.
    pub proposal: Note,
    /// The trust bundle that names the log under its new origin.
    pub bundle: Note,
}

/// Writes both for the log that went back. `seen` is the newest trust bundle that the officer has: the new one's number is above it.
///
/// # Errors
/// [`DraftError`].
pub fn draft(
    went_back: &WentBack,
    officer: &OfficerKey,
    seen: Option<&Note>,
    nonce: [u8; 16],
    expires_unix: i64,
) -> Result<Epoch, DraftError> {
    let act = went_back.act();
    let terms =
        ProposalTerms { charter: went_back.charter(), log: &went_back.log().origin, nonce, expires_unix };
    let proposal = officer::propose(act.name(), &act.fields(), &terms, &[officer])?;
    let bundle = officer::publish_bundle(&contents(went_back, seen)?, went_back.charter(), &[officer])?;
    Ok(Epoch { proposal, bundle })
}

/// The bundle in force with the new log before the others.
fn contents(went_back: &WentBack, seen: Option<&Note>) -> Result<Contents, EpochError> {
    let (bundle, charter) = (went_back.bundle(), went_back.charter());
    let seen = seen.and_then(|note| Bundle::open(note, charter).ok()).map_or(0, |seen| seen.number());
    let mut logs = vec![went_back.next_log()?];
    logs.extend(bundle.logs().iter().cloned());
    Ok(Contents {
        cell: charter.cell().to_owned(),
        number: bundle.number().max(seen) + 1,
        charter_revision: charter.revision(),
        logs,
        issuers: bundle.issuers().to_vec(),
        anchors: bundle.anchors().to_vec(),
    })
}
