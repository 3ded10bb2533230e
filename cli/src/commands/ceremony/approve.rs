//! `rootcellar ceremony approve`: an officer reads a note, and signs it.

use std::io::{IsTerminal as _, Write as _, stderr, stdin};
use std::path::{Path, PathBuf};

use ceremony::directory::{self, Directory, DirectoryError};
use ceremony::officer::{OfficerKey, countersign};
use clap::Args;
use ledger::note::{Note, NoteSigner as _};
use ledger::text::Kind;
use serde::Serialize;
use sys::durable;

use super::charters::Signers;
use super::describe;
use super::judge::judge;
use crate::error::Failure;
use crate::files;
use crate::officer_key;
use crate::output::{Page, Show};
use crate::session::Session;

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
    let (_, key) = officer_key::load(session, None)?;
    let mut waiting = waiting(&args)?;
    waiting.retain(|waits| !waits.is_signed_by(&key));
    waiting.iter().try_for_each(|waits| waits.judged(session).map(drop))?;
    waiting
        .iter()
        .try_for_each(|waits| waits.sign(&Signers::of(session, &waits.note, &waits.dir)?, &key).map(drop))
}

/// A note in a directory, which is a ceremony's or only holds the note.
struct Waiting {
    dir: Directory,
    name: String,
    note: Note,
}

impl Waiting {
    fn path(&self) -> PathBuf {
        self.dir.file(&self.name)
    }

    fn is_signed_by(&self, key: &OfficerKey) -> bool {
        self.note.is_signed_by(key.key()) == Ok(true)
    }

    /// What the officer must know beyond the note's own words.
    fn judged(&self, session: &Session) -> Result<Vec<String>, Failure> {
        judge(session, &self.dir, &self.note)
    }

    /// Prints the note, with what it leads to.
    fn show(&self, session: &Session, beyond: Vec<String>) -> Result<(), Failure> {
        let words = [describe::in_plain_words(&self.note), beyond].concat().join("\n* ");
        let text = describe::shown(&self.note);
        session.output().raw(&format!("--- {}\n* {words}\n\n{text}\n", self.path().display()))
    }

    /// Adds the officer's signature to the note that was read, and to those that other officers gave it meanwhile.
    fn sign(&self, signers: &Signers, key: &OfficerKey) -> Result<Note, Failure> {
        let file = |error: DirectoryError| Failure::new("FILE", error);
        let unsigned = |why: String| Failure::new("NOT_SIGNED", format!("{}: {why}", self.path().display()));
        let _alone = self.dir.lock().map_err(file)?;
        let now = self.dir.read(&self.name).map_err(file)?;
        let now = now.filter(|now| now.text() == self.note.text());
        let now = now.ok_or_else(|| unsigned("it is not what was read: nothing more was signed".into()))?;
        let signed = countersign(now, &signers.terms.officers, key).map_err(|e| unsigned(e.to_string()))?;
        self.dir.write(&self.name, &signed).map_err(file)?;
        Ok(signed)
    }
}

pub(super) fn run(session: &Session, args: &Approve) -> Result<(), Failure> {
    let waiting = waiting(args)?;
    if waiting.is_empty() {
        return Err(Failure::usage("there is no note that officers sign"));
    }
    if args.show {
        return waiting.iter().try_for_each(|waits| waits.show(session, waits.judged(session)?));
    }
    if session.output().is_json() && !args.yes {
        return Err(Failure::usage("--output json asks nobody: add --yes, or --show first"));
    }
    let (_, key) = officer_key::load(session, args.officer_key.as_ref())?;
    // All of them before the first is signed; none of what this officer signed before.
    let judged: Result<Vec<_>, Failure> = waiting
        .iter()
        .map(|waits| (!waits.is_signed_by(&key)).then(|| waits.judged(session)).transpose())
        .collect();
    let mut report = Report { officer: key.key().name().to_string(), notes: Vec::new() };
    for (waits, beyond) in waiting.iter().zip(judged?) {
        let signers = Signers::of(session, &waits.note, &waits.dir)?;
        let Some(beyond) = beyond else {
            report.add(&waits.path(), &waits.note, &signers);
            continue;
        };
        if !session.output().is_json() {
            waits.show(session, beyond)?;
        }
        if !args.yes && !confirmed(&key)? {
            return Err(
                Failure::new("NOT_SIGNED", "nothing more was signed").mended_by("the same with --yes")
            );
        }
        report.add(&waits.path(), &waits.sign(&signers, &key)?, &signers);
    }
    session.output().say(&report)
}

/// The notes to sign.
fn waiting(args: &Approve) -> Result<Vec<Waiting>, Failure> {
    let mut waiting = Vec::new();
    for path in &args.paths {
        let (dir, names): (PathBuf, Vec<&str>) = if path.is_dir() {
            // What was carried out needs nobody's approval any more.
            let done = path.join(directory::TRANSCRIPT).exists();
            let names =
                if done { &[directory::TRANSCRIPT, directory::BUNDLE][..] } else { &directory::NOTES };
            (path.clone(), names.to_vec())
        } else {
            let name = path.file_name().and_then(|name| name.to_str());
            (
                durable::parent(path).to_owned(),
                vec![name.ok_or_else(|| Failure::usage("a path without a name"))?],
            )
        };
        let dir = Directory::at(&dir);
        for name in names {
            match files::note(&dir, name)? {
                Some(note) => waiting.push(Waiting { dir: dir.clone(), name: name.to_owned(), note }),
                None if path.is_dir() => {}
                None => return Err(Failure::usage(format!("{} is not there", path.display()))),
            }
        }
    }
    Ok(waiting)
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
