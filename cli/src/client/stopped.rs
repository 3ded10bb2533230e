//! What a command does to the journal itself where the service does not answer.

use std::ops::ControlFlow;

use cell::Act;
use keeper::LayError;
use ledger::bundle::Bundle;
use ledger::charter::Charter;
use ledger::note::{KeyName, Note};

use super::officer::{Outcome, Signing, signed};
use super::own;
use crate::error::{Exit, Failure, NOT_PROVED};
use crate::session::Session;

/// Reasons where no service answers. One that answers, if only that it cannot now, is left to its say.
const SILENT: [&str; 3] = ["NOT_RUNNING", "CONNECTION_LOST", "KEEPER_UNAVAILABLE"];

/// Whether a command failed because no service answers, so that the journal itself takes its place.
pub(crate) fn answers_not(failure: &Failure) -> bool {
    SILENT.contains(&failure.reason())
}

/// Whether a service that runs did not record a stop, and may not for as long as it runs. What officers did wrong is theirs to mend.
pub(crate) fn records_not(failure: &Failure) -> bool {
    match failure.reason() {
        NOT_PROVED => false,
        "INTERNAL" | "NOT_VERIFIED" => true,
        _ => failure.exit() == Exit::TryLater,
    }
}

/// Lays an act that stops something beside the journal of a service that does not record it: no service starts but by it.
///
/// # Errors
/// The officer has no charter or bundle here, the key cannot be used, or the act is refused.
pub(crate) fn lay(session: &Session, act: &Act, signing: &Signing) -> Result<Outcome, Failure> {
    let charter = charter(session)?;
    let bundle = newest_bundle(session, &charter)?;
    let log = newest_log(&bundle)?;
    match signed(session, act, &signing.for_long(), (&charter, log))? {
        ControlFlow::Break(outcome) => Ok(outcome),
        ControlFlow::Continue(note) => put(session, (&charter, log), &note),
    }
}

/// The same with an act that is signed already.
///
/// # Errors
/// As [`lay`].
pub(crate) fn lay_signed(session: &Session, proposal: &str) -> Result<Outcome, Failure> {
    let charter = charter(session)?;
    let bundle = newest_bundle(session, &charter)?;
    put(session, (&charter, newest_log(&bundle)?), proposal)
}

fn put(session: &Session, (charter, log): (&Charter, &KeyName), proposal: &str) -> Result<Outcome, Failure> {
    let dir = session.config()?.data_dir().to_owned();
    let whose = (charter, charter.cell(), log);
    Ok(Outcome::Laid(keeper::lay(&dir, whose, proposal, session.now_ms())?))
}

/// The officer's copy of the trust bundle, or the journal's where that is newer and the charter vouches for it: another officer may have opened
/// an epoch of the log since.
fn newest_bundle(session: &Session, charter: &Charter) -> Result<Bundle, Failure> {
    let served = keeper::newest_bundle(session.config()?.data_dir())
        .and_then(|text| Note::parse(text.as_bytes()).ok())
        .and_then(|note| Bundle::open(&note, charter).ok());
    match (own::bundle(session, charter), served) {
        (Ok(own), Some(served)) if served.number() > own.number() => Ok(served),
        (Err(_), Some(served)) => Ok(served),
        (own, _) => own,
    }
}

fn newest_log(bundle: &Bundle) -> Result<&KeyName, Failure> {
    let log = bundle.logs().first().map(|log| &log.origin);
    log.ok_or_else(|| Failure::unverified("the officer's copy of the trust bundle", "it names no log"))
}

fn charter(session: &Session) -> Result<Charter, Failure> {
    let officer = session.places()?.officer().to_owned();
    let chain = own::chain(&officer)?.ok_or_else(|| {
        Failure::new("FILE", format!("{} holds no charter.note", officer.display()))
            .mended_by("the same with --officer-dir DIR, where `rootcellar init` put charter.note")
    })?;
    Ok(chain.in_force().clone())
}

impl From<LayError> for Failure {
    fn from(error: LayError) -> Self {
        match error {
            LayError::Refused(refusal) => refusal.into(),
            LayError::NoStop(_) => Self::new("NOT_RUNNING", error).mended_by("rootcellar serve"),
            LayError::File { .. } => Self::new("FILE", error),
        }
    }
}
