//! What officers stop while no keeper answers: their word goes into the journal itself, and the next keeper starts by it.

use std::path::Path;

use cell::Act;
use ledger::entry::entry::Kind;
use ledger::entry::{self, Actor, ActorKind, Entry, VERSION};

use crate::journal::{Durability, Journal, JournalError};
use crate::refusal::Refusal;
use crate::time::ClockWrong;
use crate::{requests, time};

/// The journal of a keeper that does not run, held so that none starts meanwhile.
#[derive(Debug)]
pub struct Stopped(Journal);

/// What was to stop goes on, as far as anything does without a keeper.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The disk's.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The officers': the proposal is none for this log, or was carried out before.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It sets something going: a running keeper alone carries it out.
    #[error("`{0}` is carried out by a running service alone")]
    NoStop(&'static str),
    /// Nothing is recorded of a time that the log has behind it.
    #[error(transparent)]
    Clock(#[from] ClockWrong),
}

impl Stopped {
    /// Opens the journal in `dir`.
    ///
    /// # Errors
    /// [`JournalError::Locked`] while a keeper holds it; or the disk's.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        Journal::open(dir).map(Self)
    }

    /// Origin of the log whose next entry is made here.
    pub fn origin(&self) -> &str {
        self.0.origin()
    }

    /// Records an act that stops something, judged as a running keeper judges it. Durable when this returns. Gives the entry's index.
    ///
    /// # Errors
    /// [`StopError`].
    pub fn stop(&mut self, proposal: &str, now_ms: i64) -> Result<u64, StopError> {
        let journal = &mut self.0;
        time::not_before(journal.newest_ms()?, now_ms)?;
        let (cell, origin) = (journal.cell().to_owned(), journal.origin().to_owned());
        let reader = journal.reader();
        let (note, act) = requests::approved(&reader, (&cell, &origin), now_ms, proposal)?;
        if !act.stops() {
            return Err(StopError::NoStop(act.name()));
        }
        if act == Act::RenewalsStop {
            requests::not_alone_again(&reader, now_ms)?;
        }
        journal.begin(Durability::Disk)?;
        let appended = journal.append(&Entry {
            version: VERSION,
            cell,
            time_unix_ms: now_ms,
            actor: Some(Actor { kind: ActorKind::Officers.into(), ..Actor::default() }),
            kind: Some(Kind::Act(entry::Act { note: note.to_string().into_bytes() })),
            ..Entry::default()
        })?;
        journal.commit()?;
        journal.settle()?;
        Ok(appended.index)
    }
}
