//! A new epoch of the log, on one officer's word where the charter asks for no more.

use std::path::Path;

use keeper::{EpochError, WentBack};
use ledger::bundle::{Bundle, Contents};
use ledger::note::Note;

use crate::officer::{self, OfficerKey, ProposalTerms, SigningError};

/// How long the act is good for, in seconds: it is carried out at once.
const APPROVAL_SECS: i64 = 600;

/// Why no epoch was opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The journal's, or nothing is lost.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The officer's key, or what is to be signed.
    #[error(transparent)]
    Signing(#[from] SigningError),
}

/// What was opened.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Opened {
    /// Origin of the log from now on.
    pub log: String,
    /// Entries that it begins with.
    pub kept: u64,
    /// Entries that the log before is known to have had.
    pub lost: u64,
    /// The trust bundle that names it, as a note.
    #[serde(skip)]
    pub bundle: String,
}

/// Opens the next epoch of the log in `dir`. `seen` is the newest trust bundle that the officer has: the new one's number is above it.
///
/// # Errors
/// [`OpenError`]; nothing is recorded then.
pub fn open(
    dir: &Path,
    officer: &OfficerKey,
    seen: Option<&Note>,
    nonce: [u8; 16],
    now_ms: i64,
) -> Result<Opened, OpenError> {
    let went_back = WentBack::read(dir)?;
    let act = went_back.act();
    let terms = ProposalTerms {
        charter: went_back.charter(),
        log: &went_back.log().origin,
        nonce,
        expires_unix: now_ms.div_euclid(1000) + APPROVAL_SECS,
    };
    let proposal = officer::propose(act.name(), &act.fields(), &terms, &[officer])?;
    let contents = contents(&went_back, seen)?;
    let bundle = officer::publish_bundle(&contents, went_back.charter(), &[officer])?;
    let cell::Act::EpochOpen { kept, lost, .. } = act else {
        return Err(EpochError::Signed("another act".into()).into());
    };
    let log = went_back.open(&proposal, &bundle, now_ms)?;
    Ok(Opened { log, kept: kept.size, lost: lost.size, bundle: bundle.to_string() })
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
