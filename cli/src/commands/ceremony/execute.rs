//! `rootcellar ceremony execute`: carries an approved plan out, or goes on with it.

use std::path::PathBuf;

use ceremony::directory::{self, Directory};
use ceremony::execute::{self, ExecuteError, Progress};
use ceremony::{bundles, transcript};
use clap::Args;
use data_encoding::HEXLOWER;
use keeper::Evidence;
use ledger::bundle::{Bundle, Contents};
use ledger::charter::Charter;
use ledger::note::Note;
use ledger::plan::{ApprovedPlan, Ceremony as Kind, KeyRef, Plan, Step};
use serde::Serialize;

use super::ground::Tool;
use super::{charters, rehearse};
use crate::error::Failure;
use crate::output::{Page, Show};
use crate::session::Session;
use crate::tokens::{self, Which};

/// Carry an approved plan out, step by step. Cut short, or with tokens on another machine, the same command goes on from the record
#[derive(Debug, Args)]
#[command(after_help = "\
When all steps are done it leaves transcript.note, and bundle.note where the trust bundle changes: officers sign both with
`rootcellar ceremony approve DIR`, then `rootcellar ceremony import DIR` brings them into the ledger.

Examples:
  rootcellar ceremony execute --rehearse found/     # the same plan, in throw-away SoftHSM2 tokens
  rootcellar ceremony execute found/
  rootcellar ceremony execute --only root found/    # on the machine that has only the root's token")]
pub(crate) struct Execute {
    /// The ceremony's directory
    dir: PathBuf,
    /// Execute it in throw-away SoftHSM2 tokens, on nobody's approval, and leave nothing
    #[arg(long)]
    rehearse: bool,
    /// The tokens of the configuration that this machine has [default: all]
    #[arg(long, value_enum, value_name = "TOKEN", conflicts_with = "rehearse")]
    only: Vec<Which>,
    /// Certify a key that another machine made: SHA-256 of its public key, as that machine showed it
    #[arg(long, value_name = "SHA256", conflicts_with = "rehearse")]
    accept: Vec<Sha256Hex>,
}

/// 32 octets in hexadecimal digits.
#[derive(Clone, Copy, Debug)]
struct Sha256Hex([u8; 32]);

impl std::str::FromStr for Sha256Hex {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let octets = HEXLOWER.decode(text.as_bytes()).ok().and_then(|octets| octets.try_into().ok());
        octets.map(Self).ok_or("64 hexadecimal digits are needed")
    }
}

pub(super) fn run(session: &Session, args: &Execute) -> Result<(), Failure> {
    match carry_out(session, args)? {
        Some(report) => session.output().say(&report),
        None => Ok(()),
    }
}

/// Executes a plan in all of this machine's tokens, and says nothing.
///
/// # Errors
/// As the command; a token is of another machine.
pub(in crate::commands) fn all(session: &Session, dir: &std::path::Path) -> Result<(), Failure> {
    let args = Execute { dir: dir.to_owned(), rehearse: false, only: Vec::new(), accept: Vec::new() };
    match carry_out(session, &args)? {
        Some(report) if !report.done => Err(Failure::new(
            "CEREMONY",
            format!("a token is not of this machine: {}", report.waits_for.join(", ")),
        )),
        _ => Ok(()),
    }
}

/// What was done; none of a rehearsal, which says it itself.
fn carry_out(session: &Session, args: &Execute) -> Result<Option<Report>, Failure> {
    let dir = Directory::at(&args.dir);
    let note = dir.read(directory::PLAN).map_err(|error| Failure::new("FILE_MALFORMED", error))?;
    let note = note.ok_or_else(|| {
        Failure::usage(format!("{} holds no plan.note", args.dir.display()))
            .mended_by("rootcellar ceremony plan --help")
    })?;
    if args.rehearse {
        return rehearse::run(session, &note).map(|()| None);
    }
    let charter = charters::in_force(session, &dir)?;
    let approved = approve(session, &dir, &note, &charter)?;
    let before = before(session, approved.plan(), &charter)?;
    let anchors = before.as_ref().map(|bundle| bundle.anchors().to_vec()).unwrap_or_default();
    let accepted: Vec<[u8; 32]> = args.accept.iter().map(|accepted| accepted.0).collect();
    let (config, tool) = (session.config()?, Tool::own(session)?);
    let ground = tool.ground(&approved, &anchors, &accepted);
    let open = tokens::opener(session, &config, &args.only);
    let (progress, record) = execute::execute(dir.path(), &ground, open)?;
    let mut report = Report::of(&args.dir, &record, &approved);
    match progress {
        Progress::Elsewhere(tokens) => report.waits_for = tokens,
        Progress::Done => {
            let failed = |error: &dyn std::fmt::Display| Failure::new("CEREMONY", error);
            let done = transcript::transcript(&approved, &note, &record).map_err(|error| failed(&error))?;
            let written = dir.read(directory::TRANSCRIPT).map_err(|error| failed(&error))?;
            let draft = done.draft().map_err(|error| failed(&error))?;
            if written.is_none_or(|written| written.text() != draft.text()) {
                dir.write(directory::TRANSCRIPT, &draft).map_err(|error| failed(&error))?;
            }
            let contents = before.as_ref().map(Bundle::contents);
            if let Some(bundle) = follow_up(&approved, &done, &charter, contents, &anchors)? {
                let written = dir.read(directory::BUNDLE).map_err(|error| failed(&error))?;
                if written.is_none_or(|written| written.text() != bundle.text()) {
                    dir.write(directory::BUNDLE, &bundle).map_err(|error| failed(&error))?;
                }
                report.bundle = true;
            }
            report.done = true;
        }
    }
    Ok(Some(report))
}

/// The quorum is verified before anything else happens, and again when an execution goes on.
fn approve(
    session: &Session,
    dir: &Directory,
    note: &Note,
    charter: &Charter,
) -> Result<ApprovedPlan, Failure> {
    Plan::approve(note, charter, session.now_secs()).map_err(|error| {
        let remedy = format!("rootcellar ceremony approve {}", dir.path().display());
        Failure::new("NOT_APPROVED", error).mended_by(remedy)
    })
}

/// The trust bundle in force, for a cell that has one.
pub(super) fn before(session: &Session, plan: &Plan, charter: &Charter) -> Result<Option<Bundle>, Failure> {
    if plan.ceremony == Kind::Found { Ok(None) } else { charters::bundle(session, charter).map(Some) }
}

/// The bundle that officers are to sign, from what the transcript says was done.
fn follow_up(
    approved: &ApprovedPlan,
    done: &ledger::transcript::Transcript,
    charter: &Charter,
    before: Option<&Contents>,
    anchors: &[Vec<u8>],
) -> Result<Option<Note>, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new("CEREMONY", error);
    // Nobody has signed it yet: what it says is judged all the same.
    let evidence = Evidence::of_draft(done, approved, anchors).map_err(|error| failed(&error))?;
    let contents = bundles::after(&evidence, charter, before).map_err(|error| failed(&error))?;
    contents.map(|contents| contents.draft().map_err(|error| failed(&error))).transpose()
}

impl From<ExecuteError> for Failure {
    fn from(error: ExecuteError) -> Self {
        match &error {
            ExecuteError::NotAccepted { sha256, .. } => {
                let remedy = format!("the same with --accept {sha256}, once it was compared");
                Self::new("NOT_ACCEPTED", error).mended_by(remedy)
            }
            ExecuteError::Token { .. } => Self::new("TOKEN", error)
                .mended_by("mend it, then the same again: it goes on from the record"),
            ExecuteError::Internal(_) => Self::new("INTERNAL", error),
            _ => Self::new("CEREMONY", error),
        }
    }
}

#[derive(Serialize)]
struct Report {
    done: bool,
    directory: String,
    keys: Vec<Made>,
    /// Tokens that are not of this machine, for which steps wait.
    waits_for: Vec<String>,
    /// Whether a trust bundle waits for officers.
    bundle: bool,
}

#[derive(Serialize)]
struct Made {
    name: String,
    sha256: String,
}

impl Report {
    fn of(dir: &std::path::Path, record: &ceremony::record::Record, approved: &ApprovedPlan) -> Self {
        let steps = &approved.plan().steps;
        let keys = record.events().iter().filter_map(|event| match event {
            ceremony::record::Event::Made { step, key } => match steps.get(*step) {
                Some(Step::MakeKey(make)) => {
                    Some(Made { name: make.name.clone(), sha256: key.spki_sha256() })
                }
                _ => None,
            },
            _ => None,
        });
        let directory = dir.display().to_string();
        Self { done: false, directory, keys: keys.collect(), waits_for: Vec::new(), bundle: false }
    }
}

impl Show for Report {
    fn show(&self, page: &mut Page) {
        for key in &self.keys {
            page.field(&format!("{} key", key.name), format!("sha256 {}", key.sha256));
        }
        if self.done {
            page.field("done", format!("{}/transcript.note", self.directory));
            page.line("");
            page.line("Next, each officer who was present:");
            page.line(&format!("  rootcellar ceremony approve {}", self.directory));
            page.line("then:");
            page.line(&format!("  rootcellar ceremony import {}", self.directory));
            return;
        }
        page.field("waits for", self.waits_for.join(", "));
        page.line("");
        page.line("Carry the directory to the machine with that token, and there:");
        page.line(&format!("  rootcellar ceremony execute {}", self.directory));
    }
}

/// A key that is there already, as a plan names it.
pub(super) fn existing(key: &KeyRef) -> Option<[u8; 32]> {
    match key {
        KeyRef::Sha256(hash) => Some(*hash),
        KeyRef::Named(_) => None,
    }
}
