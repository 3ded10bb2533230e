//! What a command does to the journal itself where the service does not answer.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use cell::Act;
use keeper::{JournalError, StartError, StopError, Stopped};
use ledger::charter::Charter;

use super::officer::{Outcome, Signing, signed};
use super::own;
use crate::error::Failure;
use crate::session::Session;

/// How often, and how many times, a journal is asked for that a keeper holds while it tries to start.
const TRIES: (Duration, u32) = (Duration::from_millis(100), 100);

/// Reasons where no service answers. One that answers, if only that it cannot now, is left to its say.
const SILENT: [&str; 3] = ["NOT_RUNNING", "CONNECTION_LOST", "KEEPER_UNAVAILABLE"];

/// Whether a command failed because no service answers, so that the journal itself takes its place.
pub(crate) fn answers_not(failure: &Failure) -> bool {
    SILENT.contains(&failure.reason())
}

/// Does something with a journal that a keeper which tries to start may hold now and then: it is waited for.
///
/// # Errors
/// A keeper holds it for good; or what was done failed.
pub(crate) fn wait_for<T, E: Into<Failure>>(
    session: &Session,
    mut act: impl FnMut(&Path) -> Result<T, E>,
    is_held: impl Fn(&E) -> bool,
) -> Result<T, Failure> {
    let config = session.config()?;
    let (pause, tries) = TRIES;
    for _ in 0..tries {
        match act(config.data_dir()) {
            Err(error) if is_held(&error) => session.block_on(async {
                tokio::time::sleep(pause).await;
                Ok(())
            })?,
            done => return done.map_err(Into::into),
        }
    }
    Err(Failure::new("JOURNAL", "a keeper holds the journal, and does not answer")
        .mended_by("stop the service, and try again"))
}

/// Has the journal of a service that does not run take an act that stops something: whenever it starts again, it starts by it.
///
/// # Errors
/// The officer has no charter here, the key cannot be used, or the act is refused.
pub(crate) fn stop(session: &Session, act: &Act, signing: &Signing) -> Result<Outcome, Failure> {
    let mut journal = wait_for(session, Stopped::open, |error| matches!(error, JournalError::Locked(_)))?;
    let charter = charter(session)?;
    // An origin that somebody wrote into the file gets a stop of a log that is not there: it widens nothing, and the start refuses it.
    let origin =
        journal.origin().parse().map_err(|error| Failure::unverified("the journal's origin", error))?;
    match signed(session, act, signing, (&charter, &origin))? {
        ControlFlow::Break(outcome) => Ok(outcome),
        ControlFlow::Continue(note) => hand_in(session, &mut journal, &note),
    }
}

/// As [`stop`], of an act that is signed already.
///
/// # Errors
/// As [`stop`].
pub(crate) fn submit(session: &Session, proposal: &str) -> Result<Outcome, Failure> {
    let mut journal = wait_for(session, Stopped::open, |error| matches!(error, JournalError::Locked(_)))?;
    hand_in(session, &mut journal, proposal)
}

fn hand_in(session: &Session, journal: &mut Stopped, proposal: &str) -> Result<Outcome, Failure> {
    let entry = journal.stop(proposal, session.now_ms())?;
    Ok(Outcome::InJournal { log: journal.origin().to_owned(), entry })
}

fn charter(session: &Session) -> Result<Charter, Failure> {
    let officer = session.places()?.officer().to_owned();
    let chain = own::chain(&officer)?.ok_or_else(|| {
        Failure::new("FILE", format!("{} holds no charter.note", officer.display()))
            .mended_by("the same with --officer-dir DIR, where `rootcellar init` put charter.note")
    })?;
    Ok(chain.in_force().clone())
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        StartError::from(error).into()
    }
}

impl From<StopError> for Failure {
    fn from(error: StopError) -> Self {
        match error {
            StopError::Refused(refusal) => refusal.into(),
            StopError::NoStop(_) => Self::new("NOT_RUNNING", error).mended_by("rootcellar serve"),
            StopError::Journal(error) => error.into(),
            StopError::Clock(_) => Self::new("CLOCK_WRONG", error).mended_by("set the clock, and try again"),
        }
    }
}
