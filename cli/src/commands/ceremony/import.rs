//! `rootcellar ceremony import`: what officers did and signed comes into the ledger.

use std::path::{Path, PathBuf};

use ceremony::directory::{self, Directory};
use clap::Args;
use keeper::{FoundingError, Import as Notes, Journal, JournalError};
use ledger::charter::Charter;
use ledger::note::Note;
use proto::v1::{ImportCeremonyRequest, ImportCeremonyResponse};
use serde::Serialize;

use crate::client::officer::{CHARTER, Desk};
use crate::error::Failure;
use crate::output::{Page, Show};
use crate::session::Session;

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
    let notes = Notes {
        charter: found.charter.as_ref(),
        transcript: transcript.as_deref().map(str::as_bytes),
        bundle: found.bundle.as_ref(),
    };
    keeper::found(config.data_dir(), config.cell().as_ref(), &notes, session.now_ms())?;
    Ok(Report { founded: true, log: format!("{}/log/1", config.cell()), entry: 0 })
}

/// A cell that is there: its service takes the notes.
fn hand_in(session: &Session, found: &Found) -> Result<Report, Failure> {
    session.block_on(async {
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
    })
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
    found.bundle.as_ref().map_or(Ok(()), |bundle| keep_bundle(session, bundle))
}

/// The officer's own copy of the trust bundle follows.
///
/// # Errors
/// The file system's.
pub(in crate::commands) fn keep_bundle(session: &Session, bundle: &Note) -> Result<(), Failure> {
    let path = session.places()?.officer().join(directory::BUNDLE);
    directory::write_note(&path, bundle).map_err(|error| Failure::new("FILE", error))
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
