//! A new epoch of the log: what its officers sign, written from a log that went back.

use cell::LostCertificates;
use keeper::{Decided, EpochError, WentBack};
use ledger::bundle::{Bundle, Contents, IssuerState};
use ledger::note::{Note, VerifierKey};

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

/// What officers decide of the new epoch beside what is lost.
#[derive(Debug)]
pub struct Decision<'a> {
    /// About certificates and revocations of the lost entries.
    pub decided: Decided,
    /// Keys of the log that sign nothing under its new origin.
    pub in_doubt: &'a [VerifierKey],
    /// The newest trust bundle that the officer has: the new one's number is above it.
    pub seen: Option<&'a Note>,
}

/// Writes both for the log that went back.
///
/// # Errors
/// [`DraftError`].
pub fn draft(
    went_back: &WentBack,
    officer: &OfficerKey,
    decision: &Decision<'_>,
    nonce: [u8; 16],
    expires_unix: i64,
) -> Result<Epoch, DraftError> {
    let act = went_back.act(&decision.decided);
    let terms =
        ProposalTerms { charter: went_back.charter(), log: &went_back.log().origin, nonce, expires_unix };
    let proposal = officer::propose(act.name(), &act.fields(), &terms, &[officer])?;
    let bundle = officer::publish_bundle(&contents(went_back, decision)?, went_back.charter(), &[officer])?;
    Ok(Epoch { proposal, bundle })
}

/// The bundle in force with the new log before the others; where the issuer is retired, with the one that stands ready in its place.
fn contents(went_back: &WentBack, decision: &Decision<'_>) -> Result<Contents, EpochError> {
    let (bundle, charter, seen) = (went_back.bundle(), went_back.charter(), decision.seen);
    let seen = seen.and_then(|note| Bundle::open(note, charter).ok()).map_or(0, |seen| seen.number());
    let mut logs = vec![went_back.next_log(decision.in_doubt)?];
    logs.extend(bundle.logs().iter().cloned());
    let mut issuers = bundle.issuers().to_vec();
    if let LostCertificates::Retired(retired) = &decision.decided.certificates {
        let ready = issuers.iter().position(|line| line.state == IssuerState::Prepared);
        let ready = ready.ok_or_else(|| {
            EpochError::Signed("no issuer stands ready in the place of the one that is retired".into())
        })?;
        issuers[ready].state = IssuerState::Active;
        for line in issuers.iter_mut().filter(|line| line.spki_sha256 == *retired) {
            line.state = IssuerState::Retired;
        }
    }
    Ok(Contents {
        cell: charter.cell().to_owned(),
        number: bundle.number().max(seen) + 1,
        charter_revision: charter.revision(),
        logs,
        issuers,
        anchors: bundle.anchors().to_vec(),
    })
}
