//! A new epoch of the log, where it went back.

use std::path::{Path, PathBuf};

use cell::Act;
use ceremony::directory::{self, Directory, DirectoryError};
use ceremony::epoch::{self, DraftError, Epoch};
use keeper::{EpochError, WentBack};
use ledger::note::Note;
use serde::Serialize;

use super::OpenEpoch;
use crate::commands::officer::load;
use crate::error::Failure;
use crate::files::{self, PUBLIC};
use crate::output::{Page, Show};
use crate::session::Session;

/// Name of the officer's own copy of the trust bundle.
const BUNDLE: &str = "bundle.note";

pub(super) fn run(session: &Session, args: &OpenEpoch) -> Result<(), Failure> {
    keeper::harden().map_err(|error| Failure::new("EPOCH", error))?;
    let places = session.places()?;
    let went_back = WentBack::read(places.data()).map_err(failed)?;
    let epoch = match &args.approved {
        Some(dir) => read(dir)?,
        None => draft(session, args, &went_back)?,
    };
    if let Some(dir) = &args.out {
        return write(session, dir, &epoch);
    }
    let Act::EpochOpen { kept, lost, .. } = went_back.act() else {
        return Err(Failure::new("EPOCH", "another act"));
    };
    let log = went_back.open(&epoch.proposal, &epoch.bundle, session.now_ms()).map_err(failed)?;
    files::replace(&places.officer().join(BUNDLE), epoch.bundle.to_string().as_bytes(), PUBLIC)?;
    session.output().say(&Opened { log, kept: kept.size, lost: lost.size })
}

fn failed(error: EpochError) -> Failure {
    let remedy = match &error {
        EpochError::Signed(_) => "rootcellar ledger open-epoch --out DIR, for the other officers to sign",
        EpochError::NothingLost(_) | EpochError::Journal(_) => return Failure::new("EPOCH", error),
    };
    Failure::new("EPOCH", error).mended_by(remedy)
}

/// Both notes, signed by this officer.
fn draft(session: &Session, args: &OpenEpoch, went_back: &WentBack) -> Result<Epoch, Failure> {
    let (_, key) = load(session, args.officer_key.as_ref())?;
    let officer = Directory::at(session.places()?.officer());
    let seen = officer.read(BUNDLE).map_err(unread)?;
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| Failure::new("RANDOM", error))?;
    let expires_unix = session.now_secs() + i64::from(args.expires.secs());
    let drafted = epoch::draft(went_back, &key, seen.as_ref(), nonce, expires_unix);
    drafted.map_err(|error| match error {
        DraftError::Epoch(error) => failed(error),
        DraftError::Signing(error) => Failure::new("EPOCH", error),
    })
}

fn unread(error: DirectoryError) -> Failure {
    Failure::new("FILE_MALFORMED", error)
}

fn read(dir: &Path) -> Result<Epoch, Failure> {
    let note = |name: &str| -> Result<Note, Failure> {
        let note = Directory::at(dir).read(name).map_err(unread)?;
        note.ok_or_else(|| Failure::usage(format!("{} is not there", dir.join(name).display())))
    };
    Ok(Epoch { proposal: note(directory::PROPOSAL)?, bundle: note(directory::BUNDLE)? })
}

fn write(session: &Session, dir: &Path, epoch: &Epoch) -> Result<(), Failure> {
    let notes = Directory::create(dir).map_err(unread)?;
    notes.write(directory::PROPOSAL, &epoch.proposal).map_err(unread)?;
    notes.write(directory::BUNDLE, &epoch.bundle).map_err(unread)?;
    let approve = format!("rootcellar ceremony approve {}", dir.display());
    let next = format!("rootcellar ledger open-epoch {}", dir.display());
    session.output().say(&Drafted { epoch: dir.to_owned(), approve, next })
}

#[derive(Serialize)]
struct Drafted {
    epoch: PathBuf,
    approve: String,
    next: String,
}

impl Show for Drafted {
    fn show(&self, page: &mut Page) {
        page.field("epoch", self.epoch.display());
        page.field("other officers", &self.approve);
        page.field("then", &self.next);
    }
}

/// What was opened.
#[derive(Serialize)]
struct Opened {
    /// Origin of the log from now on.
    log: String,
    /// Entries that it begins with.
    kept: u64,
    /// Entries that the log before is known to have had.
    lost: u64,
}

impl Show for Opened {
    fn show(&self, page: &mut Page) {
        page.field("log", &self.log);
        page.field("begins with", format!("{} entries", self.kept));
        page.field("before", format!("the log was known to have {}", self.lost));
        page.line("Revocations, removals and a freeze of what is lost are undone: repeat those acts.");
        page.line("Start the service. What was issued after the first and not kept is unknown to it: those certificates");
        page.line("are refused here, and end elsewhere when they expire. Hand the new trust bundle to those who pin the charter.");
    }
}
