//! The trust bundle that follows from a ceremony: drafted from the one in force, signed by officers like every other.

use audit::ceremony::Evidence;
use audit::{note_key, note_spki};
use certs::Issuer;
use ledger::bundle::{Contents, IssuerLine, IssuerState, Log};
use ledger::charter::Charter;
use ledger::note::{KeyError, KeyName, NameError};
use ledger::plan::{Ceremony, CertifyAs};
use sha2::{Digest as _, Sha256};

/// The name of a log's key in plans.
pub const LOG: &str = "log";

/// Why no bundle follows.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// A bundle is needed to draft the next from, and there is none.
    #[error("the trust bundle in force is needed: give it with --bundle FILE")]
    NoBundle,
    /// A log's key that signs no notes.
    #[error("the log's key: {0}")]
    Key(#[from] KeyError),
    /// No name for a log.
    #[error("the log's name: {0}")]
    Name(#[from] NameError),
    /// The active issuer was destroyed.
    #[error("the active issuer's key was destroyed: activate another one first")]
    ActiveDestroyed,
}

/// What the bundle says after a ceremony; none where the ceremony changes nothing that a bundle says, or `before` says it already. `before` is the bundle in force,
/// none for a cell that is being founded.
///
/// # Errors
/// [`DraftError`].
pub fn after(
    evidence: &Evidence,
    charter: &Charter,
    before: Option<&Contents>,
) -> Result<Option<Contents>, DraftError> {
    let founding = evidence.plan.plan().ceremony == Ceremony::Found;
    let mut contents = match before {
        Some(before) => before.following(charter.revision()),
        None if founding => Contents {
            cell: charter.cell().to_owned(),
            number: 1,
            charter_revision: charter.revision(),
            logs: Vec::new(),
            issuers: Vec::new(),
            anchors: Vec::new(),
        },
        None => return Err(DraftError::NoBundle),
    };
    let unchanged = contents.clone();
    for certified in &evidence.certificates {
        match certified.profile {
            CertifyAs::Root if !contents.anchors.contains(&certified.der) => {
                contents.anchors.push(certified.der.clone());
            }
            CertifyAs::Issuer => {
                let spki_sha256 = certified.issuer.spki_sha256();
                let state = if founding { IssuerState::Active } else { IssuerState::Prepared };
                if contents.issuers.iter().all(|line| line.spki_sha256 != spki_sha256) {
                    contents.issuers.push(IssuerLine { state, spki_sha256 });
                }
            }
            CertifyAs::Root | CertifyAs::Cross => {}
        }
    }
    for key in evidence.keys.iter().filter(|key| key.name == LOG) {
        add_log_key(&mut contents, key.public_key.spki_der())?;
    }
    for spki_sha256 in evidence.destroyed.iter().chain(&evidence.gone) {
        forget(&mut contents, *spki_sha256)?;
    }
    Ok((contents != unchanged).then_some(contents))
}

/// Why the cell needs a key that is to be destroyed, where it does: first a bundle must say that it does not.
pub fn needed(contents: &Contents, spki_sha256: [u8; 32]) -> Option<&'static str> {
    let hash = |spki: &[u8]| -> [u8; 32] { Sha256::digest(spki).into() };
    let mut anchors = contents.anchors.iter().filter_map(|der| Issuer::parse(der).ok());
    if contents.active_issuer() == Some(spki_sha256) {
        return Some("it is the issuer that signs: activate another one first");
    }
    if anchors.any(|anchor| anchor.spki_sha256() == spki_sha256) {
        return Some("it is a root that the trust bundle names: take it out of the bundle first");
    }
    if contents.log_keys().any(|(_, key)| hash(&note_spki(key)) == spki_sha256) {
        return Some("it is a key of the log that the trust bundle names: take it out of the bundle first");
    }
    None
}

/// The newest log, which stands first, gets another key; a new cell gets its first log.
fn add_log_key(contents: &mut Contents, spki: &[u8]) -> Result<(), DraftError> {
    if let Some(log) = contents.logs.first_mut() {
        let key = note_key(log.origin.clone(), spki)?;
        if !log.keys.contains(&key) {
            log.keys.push(key);
        }
    } else {
        let origin: KeyName = format!("{}/log/1", contents.cell).parse()?;
        contents.logs.push(Log { keys: vec![note_key(origin.clone(), spki)?], origin });
    }
    Ok(())
}

/// A key that was destroyed signs nothing more. What it signed counts: an issuer stays, retired, for as long as officers name it.
fn forget(contents: &mut Contents, spki_sha256: [u8; 32]) -> Result<(), DraftError> {
    for line in contents.issuers.iter_mut().filter(|line| line.spki_sha256 == spki_sha256) {
        if line.state == IssuerState::Active {
            return Err(DraftError::ActiveDestroyed);
        }
        line.state = IssuerState::Retired;
    }
    Ok(())
}

/// The bundle that changes where one issuer stands: activating it retires none, and lets the one before stand ready again.
pub fn with_issuer(
    before: &Contents,
    charter: &Charter,
    spki_sha256: [u8; 32],
    state: IssuerState,
) -> Option<Contents> {
    let mut contents = before.following(charter.revision());
    if state == IssuerState::Active {
        for line in contents.issuers.iter_mut().filter(|line| line.state == IssuerState::Active) {
            line.state = IssuerState::Prepared;
        }
    }
    let line = contents.issuers.iter_mut().find(|line| line.spki_sha256 == spki_sha256)?;
    line.state = state;
    Some(contents)
}

/// Whether a bundle under a new charter says what the one before said: its officers take nothing else over.
pub(crate) fn moves_only(before: &Contents, after: &Contents) -> bool {
    let moved = Contents { number: after.number, charter_revision: after.charter_revision, ..before.clone() };
    moved == *after
}
