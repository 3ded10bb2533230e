//! `rootcellar ceremony import`: what officers did and signed comes into the ledger.

use std::path::{Path, PathBuf};
use std::time::Duration;

use audit::Trust;
use audit::ceremony::Evidence;
use ceremony::directory::{self, Directory};
use clap::Args;
use keeper::bundles;
use keeper::{FoundingError, Import as Notes, Journal, JournalError};
use ledger::bundle::Bundle;
use ledger::charter::{Charter, Charters};
use ledger::entry;
use ledger::entry::entry::Kind;
use ledger::note::Note;
use proto::v1::{ImportCeremonyRequest, ImportCeremonyResponse};
use serde::Serialize;

use super::charters;
use crate::client::officer::Desk;
use crate::client::{own, recorded, stopped};
use crate::error::Failure;
use crate::files;
use crate::output::{Page, Show};
use crate::session::Session;

/// How often, and how many times, a journal is asked for that a keeper holds while it tries to start.
const TRIES: (Duration, u32) = (Duration::from_millis(100), 100);

/// The service's reason where a ceremony was imported before.
const REPLAYED: &str = "PROPOSAL_REPLAYED";

/// Bring a ceremony into the ledger: its transcript, and the charter and trust bundle that follow, once officers signed them. The first one founds the cell
#[derive(Debug, Args)]
#[command(after_help = "\
Where there is no cell yet, the journal is made in the data directory; else the running service takes it. What is in force already is \
not recorded again. The officer's own copies in --officer-dir follow: charter.note gets a new charter behind those before.

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
    let read = |name| files::note(&dir, name);
    let found = Found {
        charter: read(directory::CHARTER)?,
        transcript: read(directory::TRANSCRIPT)?,
        bundle: read(directory::BUNDLE)?,
    };
    if found.notes(None).is_nothing() && found.transcript.is_none() {
        let waits = dir.file(directory::PLAN).exists();
        let what = format!(
            "{} holds nothing to import: no transcript.note, charter.note or bundle.note",
            dir.path().display()
        );
        let next = if waits { "rootcellar ceremony execute" } else { "rootcellar ceremony show" };
        return Err(Failure::usage(what).mended_by(format!("{next} {}", dir.path().display())));
    }
    let config = session.config()?;
    let founds = matches!(Journal::is_free(config.data_dir()), Err(JournalError::Missing(_)));
    let report = if founds { found_cell(session, &found)? } else { hand_in(session, &found)? };
    own::keep(session, found.charter.as_ref(), found.bundle.as_ref())?;
    session.output().say(&report)
}

/// A new cell: its journal is made here.
fn found_cell(session: &Session, found: &Found) -> Result<Report, Failure> {
    let config = session.config()?;
    files::make_private_dir(config.data_dir())?;
    let transcript = found.transcript.as_ref().map(ToString::to_string);
    let notes = found.notes(transcript.as_deref());
    keeper::found(config.data_dir(), config.cell().as_ref(), &notes, session.now_ms())?;
    Ok(Report { founded: true, log: format!("{}/log/1", config.cell()), entry: Some(0) })
}

/// A cell that is there: its service takes the notes; where no keeper answers, such as one whose token is lost, the journal itself.
fn hand_in(session: &Session, found: &Found) -> Result<Report, Failure> {
    let handed = session.block_on(async {
        let desk = Desk::open(session).await?;
        let trust = &desk.trust;
        found.is_whole(trust.charter(), trust.bundle())?;
        let transcript = found.transcript.as_ref().map(ToString::to_string);
        let notes = found.notes(transcript.as_deref()).beyond(trust.charters(), Some(trust.bundle()));
        if notes.is_nothing() {
            return Ok(Report::known(desk.log.origin.to_string()));
        }
        let text = |note: Option<&Note>| note.map(ToString::to_string).unwrap_or_default();
        let request = ImportCeremonyRequest {
            charter: text(notes.charter),
            transcript: transcript.clone().unwrap_or_default(),
            bundle: text(notes.bundle),
        };
        let answer = desk.client().admin().import_ceremony(request).await.map_err(Failure::from);
        let answer: ImportCeremonyResponse = match answer {
            // Of a ceremony that was carried out before, nothing is left that is not in force.
            Err(failure)
                if failure.reason() == REPLAYED && notes.charter.is_none() && notes.bundle.is_none() =>
            {
                return Ok(Report::known(desk.log.origin.to_string()));
            }
            answer => answer?.into_inner(),
        };
        let receipt = answer.receipt.ok_or_else(|| Failure::incomplete("receipt"))?;
        let after = found.followed(trust.charters(), &desk.bundle_note)?;
        recorded::demand(session, &after, &receipt, &kinds(&notes)).await?;
        Ok(Report { founded: false, log: receipt.origin, entry: Some(receipt.index) })
    });
    match handed {
        Err(failure) if stopped::answers_not(&failure) => into_journal(session, found),
        handed => handed,
    }
}

/// Where no keeper answers, the journal itself takes the notes. One that tries to start holds it now and then: it is waited for.
fn into_journal(session: &Session, found: &Found) -> Result<Report, Failure> {
    if found.lacks_bundle()
        && let Some(charter) = charters::pinned(session)?
    {
        found.is_whole(&charter, &own::bundle(session, &charter)?)?;
    }
    let transcript = found.transcript.as_ref().map(ToString::to_string);
    let notes = found.notes(transcript.as_deref());
    let (pause, tries) = TRIES;
    for _ in 0..tries {
        match keeper::import(session.config()?.data_dir(), &notes, session.now_ms()) {
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
    own::keep(session, None, found.bundle.as_ref())
}

/// The entries that hold these notes.
fn kinds(notes: &Notes<'_>) -> Vec<Kind> {
    let bytes = |note: &Note| note.to_string().into_bytes();
    let charter = notes.charter.map(|note| Kind::Charter(entry::Charter { note: bytes(note) }));
    let transcript = notes.transcript.map(<[u8]>::to_vec);
    let ceremony = transcript.map(|transcript| Kind::Ceremony(entry::Ceremony { transcript }));
    let bundle = notes.bundle.map(|note| Kind::Bundle(entry::Bundle { note: bytes(note) }));
    [charter, ceremony, bundle].into_iter().flatten().collect()
}

impl Found {
    fn notes<'a>(&'a self, transcript: Option<&'a str>) -> Notes<'a> {
        Notes {
            charter: self.charter.as_ref(),
            transcript: transcript.map(str::as_bytes),
            bundle: self.bundle.as_ref(),
        }
    }

    /// Whom one believes once all of it is in force.
    fn followed(&self, before: &Charters, bundle: &str) -> Result<Trust, Failure> {
        let mut charters = before.clone();
        let charter = self.charter.as_ref().map(ToString::to_string);
        charters.follow(charter.as_deref()).map_err(|error| Failure::unverified("the charter", error))?;
        let bundle = self.bundle.as_ref().map_or_else(|| bundle.to_owned(), ToString::to_string);
        Trust::open(charters, bundle.as_bytes())
            .map_err(|error| Failure::unverified("the trust bundle", error))
    }

    fn lacks_bundle(&self) -> bool {
        self.transcript.is_some() && self.bundle.is_none()
    }

    /// Refuses a ceremony that is to change the trust bundle without that bundle: once the ledger has the one, it takes the other no
    /// more. What proves nothing, the keeper refuses.
    fn is_whole(&self, charter: &Charter, in_force: &Bundle) -> Result<(), Failure> {
        let transcript = self.transcript.as_ref().filter(|_| self.lacks_bundle()).map(ToString::to_string);
        let evidence =
            transcript.and_then(|text| Evidence::open(text.as_bytes(), charter, in_force.anchors()).ok());
        let follows = evidence.is_some_and(|evidence| {
            matches!(bundles::after(&evidence, charter, Some(in_force.contents())), Ok(Some(_)))
        });
        if follows {
            Err(Failure::new(
                "NO_BUNDLE",
                "a trust bundle follows from this ceremony, and bundle.note is not there",
            )
            .mended_by(
                "rootcellar ceremony execute DIR, which drafts it; officers approve it, then import again",
            ))
        } else {
            Ok(())
        }
    }
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
    /// The first entry of it; none where all of it was in force already.
    entry: Option<u64>,
}

impl Report {
    fn known(log: String) -> Self {
        Self { founded: false, log, entry: None }
    }
}

impl Show for Report {
    fn show(&self, page: &mut Page) {
        if self.founded {
            page.field("founded", &self.log);
            page.line("");
            page.line("Next: rootcellar serve");
        } else if let Some(entry) = self.entry {
            page.field("recorded", format!("entry {entry} of {}", self.log));
        } else {
            page.field("in force already", format!("all of it; nothing was recorded in {}", self.log));
        }
    }
}
