//! `rootcellar ceremony approve`: an officer reads a note, and signs it.

use std::io::{IsTerminal as _, Write as _, stderr, stdin};
use std::path::{Path, PathBuf};

use ceremony::directory::{self, Directory};
use ceremony::officer::{OfficerKey, countersign};
use clap::Args;
use ledger::note::{Note, NoteSigner as _};
use ledger::text::Kind;
use serde::Serialize;

use super::charters::Signers;
use super::describe;
use super::judge::judge;
use crate::commands::officer;
use crate::error::Failure;
use crate::output::{Page, Show};
use crate::session::Session;

/// The notes of a ceremony's directory, in the order in which they are signed.
const NOTES: [&str; 5] =
    [directory::CHARTER, directory::PLAN, directory::PROPOSAL, directory::TRANSCRIPT, directory::BUNDLE];

/// Read what is to be approved, in plain words, and add an officer's signature: to a proposal, or to all that waits in a ceremony's directory
#[derive(Debug, Args)]
#[command(after_help = "\
The text is printed before it is signed; what it does not say is not approved. On a terminal you are asked, elsewhere give --yes.

Examples:
  rootcellar ceremony approve found/
  rootcellar ceremony approve add-build.note
  rootcellar ceremony approve --show found/plan.note")]
pub(crate) struct Approve {
    /// Signed notes, or directories of ceremonies
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The officer's key [default: OFFICER_DIR/officer.key]
    #[arg(long, value_name = "FILE")]
    officer_key: Option<PathBuf>,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    /// Print what would be signed, and sign nothing
    #[arg(long, conflicts_with = "yes")]
    show: bool,
}

/// Signs all that waits in a directory, without asking and without a word.
///
/// # Errors
/// As the command.
pub(super) fn all(session: &Session, dir: &Path) -> Result<(), Failure> {
    let args = Approve { paths: vec![dir.to_owned()], officer_key: None, yes: true, show: false };
    let (_, key) = officer::load(session, None)?;
    waiting(&args)?.into_iter().try_for_each(|(path, dir, note)| {
        if let Some(dir) = &dir {
            judge(session, dir, &note)?;
        }
        let signers = Signers::of(session, &note, dir.as_ref())?;
        if note.is_signed_by(key.key()) == Ok(true) {
            Ok(())
        } else {
            sign(&path, note, &signers, &key).map(drop)
        }
    })
}

fn sign(path: &Path, note: Note, signers: &Signers, key: &OfficerKey) -> Result<Note, Failure> {
    let signed = countersign(note, &signers.terms.officers, key)
        .map_err(|error| Failure::new("NOT_SIGNED", format!("{}: {error}", path.display())))?;
    directory::write_note(path, &signed).map_err(|error| Failure::new("FILE", error))?;
    Ok(signed)
}

pub(super) fn run(session: &Session, args: &Approve) -> Result<(), Failure> {
    let waiting = waiting(args)?;
    if waiting.is_empty() {
        return Err(Failure::usage("there is no note that officers sign"));
    }
    if args.show {
        return waiting.iter().try_for_each(|(path, dir, note)| show(session, path, dir.as_ref(), note));
    }
    if session.output().is_json() && !args.yes {
        return Err(Failure::usage("--output json asks nobody: add --yes, or --show first"));
    }
    let (_, key) = officer::load(session, args.officer_key.as_ref())?;
    let mut report = Report { officer: key.key().name().to_string(), notes: Vec::new() };
    for (path, dir, note) in waiting {
        let signers = Signers::of(session, &note, dir.as_ref())?;
        if note.is_signed_by(key.key()) == Ok(true) {
            report.add(&path, &note, &signers);
            continue;
        }
        if !session.output().is_json() {
            show(session, &path, dir.as_ref(), &note)?;
        } else if let Some(dir) = &dir {
            judge(session, dir, &note)?;
        }
        if !args.yes && !confirmed(&key)? {
            return Err(
                Failure::new("NOT_SIGNED", "nothing more was signed").mended_by("the same with --yes")
            );
        }
        let signed = sign(&path, note, &signers, &key)?;
        report.add(&path, &signed, &signers);
    }
    session.output().say(&report)
}

/// The notes to sign, with the directory of their ceremony.
fn waiting(args: &Approve) -> Result<Vec<(PathBuf, Option<Directory>, Note)>, Failure> {
    let mut waiting = Vec::new();
    for path in &args.paths {
        let (dir, names): (PathBuf, Vec<&str>) = if path.is_dir() {
            (path.clone(), NOTES.to_vec())
        } else {
            let name = path.file_name().and_then(|name| name.to_str());
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
            (dir.to_owned(), vec![name.ok_or_else(|| Failure::usage("a path without a name"))?])
        };
        let dir = Directory::at(&dir);
        for name in names {
            match dir.read(name).map_err(|error| Failure::new("FILE_MALFORMED", error))? {
                Some(note) => waiting.push((dir.file(name), Some(dir.clone()), note)),
                None if path.is_dir() => {}
                None => return Err(Failure::usage(format!("{} is not there", path.display()))),
            }
        }
    }
    Ok(waiting)
}

/// Judges a note and prints it, with what it leads to.
fn show(session: &Session, path: &Path, dir: Option<&Directory>, note: &Note) -> Result<(), Failure> {
    let beyond = dir.map_or(Ok(Vec::new()), |dir| judge(session, dir, note))?;
    let words = [describe::in_plain_words(note), beyond].concat().join("\n* ");
    session.output().raw(&format!("--- {}\n* {words}\n\n{}\n", path.display(), describe::shown(note)))
}

/// Asks on the terminal.
fn confirmed(key: &OfficerKey) -> Result<bool, Failure> {
    if !stdin().is_terminal() {
        return Ok(false);
    }
    let failed = |error: std::io::Error| Failure::new("TERMINAL", error);
    write!(stderr(), "Sign this as {}? [y/N] ", key.key().name()).map_err(failed)?;
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[derive(Serialize)]
struct Report {
    officer: String,
    notes: Vec<Signed>,
}

#[derive(Serialize)]
struct Signed {
    note: String,
    signed_by: Vec<String>,
    needed: u8,
}

impl Report {
    fn add(&mut self, path: &Path, note: &Note, signers: &Signers) {
        self.notes.push(Signed {
            note: path.display().to_string(),
            signed_by: signers.signed(note),
            // Officers say by it that they were present: one is enough.
            needed: if note.kind() == Some(Kind::Transcript) { 1 } else { signers.terms.quorum },
        });
    }
}

impl Show for Report {
    fn show(&self, page: &mut Page) {
        page.field("signed as", &self.officer);
        for note in &self.notes {
            let state = if note.signed_by.len() >= usize::from(note.needed) { "approved" } else { "waits" };
            page.field(&note.note, format!("{} of {}: {state}", note.signed_by.len(), note.needed));
        }
    }
}
