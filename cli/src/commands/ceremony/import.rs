//! `rootcellar ceremony import`: what officers did and signed comes into the ledger.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ceremony::directory::{self, Directory};
use clap::Args;
use keeper::{FoundingError, Import as Notes, Journal, JournalError};
use ledger::charter::Charter;
use ledger::note::Note;
use proto::v1::{ImportCeremonyRequest, ImportCeremonyResponse};
use serde::Serialize;

use crate::client::officer::{CHARTER, Desk};
use crate::error::{Exit, Failure};
use crate::output::{Page, Show};
use crate::session::Session;

/// How often, and how many times, a journal is asked for that a keeper holds while it tries to start.
const TRIES: (Duration, u32) = (Duration::from_millis(100), 100);

/// Bring a ceremony into the ledger: its transcript, and the charter and trust bundle that follow, once officers signed them. The first one founds the cell
#[derive(Debug, Args)]
#[command(after_help = "\
Where there is no cell yet, the journal is made in the data directory; else the running service takes it.

Example:
  rootcellar ceremony import found/")]
pub(crate) struct Import {
    /// The ceremony's directory
    dir: PathBuf,
}

/// The notes of a directory.
struct Found {
    charter: Option<Note>,
    transcript: Option<Note>,
    bundle: Option<Note>,
}

pub(super) fn run(session: &Session, args: &Import) -> Result<(), Failure> {
    all(session, &args.dir)
}

/// Brings all that a directory holds into the ledger.
///
/// # Errors
/// As the command.
pub(in crate::commands) fn all(session: &Session, dir: &Path) -> Result<(), Failure> {
    let dir = Directory::at(dir);
    let read = |name| dir.read(name).map_err(|error| Failure::new("FILE_MALFORMED", error));
    let found = Found {
        charter: read(directory::CHARTER)?,
        transcript: read(directory::TRANSCRIPT)?,
        bundle: read(directory::BUNDLE)?,
    };
    let config = session.config()?;
    let founds = matches!(Journal::is_free(config.data_dir()), Err(JournalError::Missing(_)));
    let report = if founds { found_cell(session, &found)? } else { hand_in(session, &found)? };
    keep(session, &found)?;
    session.output().say(&report)
}

/// A new cell: its journal is made here.
fn found_cell(session: &Session, found: &Found) -> Result<Report, Failure> {
    let config = session.config()?;
    crate::files::make_private_dir(config.data_dir())?;
    let transcript = found.transcript.as_ref().map(ToString::to_string);
    let notes = found.notes(transcript.as_deref());
    keeper::found(config.data_dir(), config.cell().as_ref(), &notes, session.now_ms())?;
    Ok(Report { founded: true, log: format!("{}/log/1", config.cell()), entry: 0 })
}

/// A cell that is there: its service takes the notes; where no keeper answers, such as one whose token is lost, the journal itself.
fn hand_in(session: &Session, found: &Found) -> Result<Report, Failure> {
    let handed = session.block_on(async {
        let desk = Desk::open(session).await?;
        let text = |note: &Option<Note>| note.as_ref().map(ToString::to_string).unwrap_or_default();
        let request = ImportCeremonyRequest {
            charter: text(&found.charter),
            transcript: text(&found.transcript),
            bundle: text(&found.bundle),
        };
        let answer: ImportCeremonyResponse =
            desk.client().admin().import_ceremony(request).await?.into_inner();
        let receipt = answer.receipt.ok_or_else(|| Failure::incomplete("receipt"))?;
        Ok(Report { founded: false, log: receipt.origin, entry: receipt.index })
    });
    match handed {
        Err(failure) if failure.exit() == Exit::TryLater => into_journal(session, found),
        handed => handed,
    }
}

/// A keeper that tries to start holds the journal now and then: it is waited for.
fn into_journal(session: &Session, found: &Found) -> Result<Report, Failure> {
    let config = session.config()?;
    let transcript = found.transcript.as_ref().map(ToString::to_string);
    let notes = found.notes(transcript.as_deref());
    let (pause, tries) = TRIES;
    for _ in 0..tries {
        match keeper::import(config.data_dir(), &notes, session.now_ms()) {
            Err(FoundingError::Journal(JournalError::Locked(_))) => session.block_on(async {
                tokio::time::sleep(pause).await;
                Ok(())
            })?,
            done => return Ok(done.map(|(log, entry)| Report { founded: false, log, entry })?),
        }
    }
    Err(Failure::new("JOURNAL", "a keeper holds the journal, and does not answer")
        .mended_by("stop the service, and try again"))
}

/// Brings one trust bundle into the ledger, and keeps the officer's own copy of it.
///
/// # Errors
/// As the command.
pub(in crate::commands) fn bundle(session: &Session, bundle: Note) -> Result<(), Failure> {
    let found = Found { charter: None, transcript: None, bundle: Some(bundle) };
    hand_in(session, &found)?;
    keep(session, &found)
}

impl Found {
    fn notes<'a>(&'a self, transcript: Option<&'a str>) -> Notes<'a> {
        Notes {
            charter: self.charter.as_ref(),
            transcript: transcript.map(str::as_bytes),
            bundle: self.bundle.as_ref(),
        }
    }
}

/// The officer's own copies follow what is in force now. An officer's directory without a charter is another machine's, and stays as it is.
fn keep(session: &Session, found: &Found) -> Result<(), Failure> {
    let officer = session.places()?.officer().to_owned();
    let write = |name: &str, note: &Note| {
        directory::write_note(&officer.join(name), note).map_err(|error| Failure::new("FILE", error))
    };
    let first = found.charter.as_ref().and_then(|note| Charter::found(note).ok().map(|_| note));
    if let Some(first) = first {
        crate::files::make_private_dir(&officer)?;
        write(CHARTER, first)?;
    } else if !Path::new(&officer).join(CHARTER).exists() {
        return Ok(());
    }
    // A later charter the officer's copy has followed already, when the service was asked.
    found.bundle.as_ref().map_or(Ok(()), |bundle| write(directory::BUNDLE, bundle))
}

impl From<FoundingError> for Failure {
    fn from(error: FoundingError) -> Self {
        Self::new("IMPORT", error)
    }
}

#[derive(Serialize)]
struct Report {
    founded: bool,
    log: String,
    entry: u64,
}

impl Show for Report {
    fn show(&self, page: &mut Page) {
        if self.founded {
            page.field("founded", &self.log);
            page.line("");
            page.line("Next: rootcellar serve");
        } else {
            page.field("recorded", format!("entry {} of {}", self.entry, self.log));
        }
    }
}
