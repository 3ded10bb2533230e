//! `rootcellar ceremony execute`: carries an approved plan out, or goes on with it.

use std::path::PathBuf;

use audit::ceremony::Evidence;
use ceremony::directory::{self, Directory};
use ceremony::execute::{self, ExecuteError, Progress};
use ceremony::record::{Event, Record};
use ceremony::transcript;
use clap::Args;
use data_encoding::HEXLOWER;
use keeper::{Journal, JournalError, bundles};
use ledger::bundle::Bundle;
use ledger::charter::Charter;
use ledger::note::Note;
use ledger::plan::{ApprovedPlan, Ceremony as Kind, KeyRef, Plan, PlanError, Step};
use serde::Serialize;

use super::ground::Tool;
use super::in_force::InForce;
use super::{carried_out, charters, rehearse};
use crate::error::Failure;
use crate::files;
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
    /// Destroy a key by what the officer's copy of the trust bundle says, where no service answers: compare its number first
    #[arg(long, conflicts_with = "rehearse")]
    offline: bool,
}

/// 32 octets in hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sha256Hex(pub(super) [u8; 32]);

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
    let args = Execute {
        dir: dir.to_owned(),
        rehearse: false,
        only: Vec::new(),
        accept: Vec::new(),
        offline: false,
    };
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
    let note = files::note(&dir, directory::PLAN)?;
    let note = note.ok_or_else(|| {
        Failure::usage(format!("{} holds no plan.note", args.dir.display()))
            .mended_by("rootcellar ceremony plan --help")
    })?;
    if args.rehearse {
        return rehearse::run(session, &note).map(|()| None);
    }
    let charter = charters::in_force(session, &dir)?;
    let approved = approve(session, &dir, &note, &charter)?;
    may_be(session, approved.plan())?;
    carried_out::demand_once(session, &dir, &approved)?;
    let before = InForce::before(session, approved.plan(), &charter)?;
    if let Some(before) = &before {
        spares(approved.plan(), before, args.offline)?;
    }
    let before = before.map(|before| before.bundle);
    let anchors = before.as_ref().map_or(&[][..], Bundle::anchors);
    let accepted: Vec<[u8; 32]> = args.accept.iter().map(|accepted| accepted.0).collect();
    let (config, tool) = (session.config()?, Tool::own(session)?);
    let ground = tool.ground(&approved, anchors, &accepted);
    let open = tokens::opener(session, &config, &args.only);
    let (progress, record) = execute::execute(dir.path(), &ground, open)?;
    let mut report = Report::of(&args.dir, &record, &approved);
    match progress {
        Progress::Elsewhere(tokens) => report.waits_for = tokens,
        Progress::Done => {
            report.bundle = leave(session, &dir, &approved, &note, &record, (&charter, before.as_ref()))?;
            report.done = true;
        }
    }
    Ok(Some(report))
}

/// Leaves the transcript and the bundle that follows, for officers to sign, where they are not there already: whether there is a bundle.
fn leave(
    session: &Session,
    dir: &Directory,
    approved: &ApprovedPlan,
    note: &Note,
    record: &Record,
    (charter, before): (&Charter, Option<&Bundle>),
) -> Result<bool, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new("CEREMONY", error);
    let anchors = before.map_or(&[][..], Bundle::anchors);
    let done = transcript::transcript(approved, note, record, anchors).map_err(|error| failed(&error))?;
    // Nobody has signed it yet: what it says is judged all the same, before anyone is asked to.
    let evidence = Evidence::of_draft(&done, approved, anchors).map_err(|error| failed(&error))?;
    let contents = bundles::after(&evidence, charter, before.map(Bundle::contents));
    let contents = contents.map_err(|error| failed(&error))?;
    let draft = done.draft().map_err(|error| failed(&error))?;
    carried_out::remember(session, approved, &draft)?;
    let bundle = contents.map(|contents| contents.draft().map_err(|error| failed(&error))).transpose()?;
    for (name, note) in [(directory::TRANSCRIPT, Some(&draft)), (directory::BUNDLE, bundle.as_ref())] {
        let Some(note) = note else { continue };
        let written = dir.read(name).map_err(|error| failed(&error))?;
        if written.is_none_or(|written| written.text() != note.text()) {
            dir.write(name, note).map_err(|error| failed(&error))?;
        }
    }
    Ok(bundle.is_some())
}

/// A plan of another cell is not for this machine's tokens, and a cell that is here is not founded again.
fn may_be(session: &Session, plan: &Plan) -> Result<(), Failure> {
    let config = session.config()?;
    if plan.cell != config.cell().as_ref() {
        return Err(Failure::usage(format!(
            "the plan is of the cell {}, this machine of {}",
            plan.cell,
            config.cell()
        ))
        .mended_by("the same with --config FILE, of that cell"));
    }
    if plan.ceremony == Kind::Found
        && !matches!(Journal::is_free(config.data_dir()), Err(JournalError::Missing(_)))
    {
        return Err(Failure::new(
            "CELL_EXISTS",
            format!("there is a cell in {}", config.data_dir().display()),
        )
        .mended_by("the same with --data-dir DIR, for another cell"));
    }
    Ok(())
}

/// A key that the cell needs is not destroyed, whoever approved it: the bundle in force may be another than when they did, and another than
/// an officer's copy of it.
fn spares(plan: &Plan, before: &InForce, offline: bool) -> Result<(), Failure> {
    let destroyed = plan.steps.iter().enumerate().filter_map(|(i, step)| match step {
        Step::Destroy(destroy) => Some((i + 1, existing(&destroy.key)?)),
        _ => None,
    });
    for (step, key) in destroyed {
        if !before.is_served && !offline {
            let what = format!(
                "step {step} destroys a key, and the service does not answer: bundle {}, the officer's copy, may be older than the one in force",
                before.bundle.number()
            );
            return Err(Failure::new("NOT_IN_FORCE", what).mended_by(
                "start the service; or the same with --offline, on a machine that is none of its own",
            ));
        }
        if let Some(why) = bundles::needed(before.bundle.contents(), key) {
            return Err(Failure::new("KEY_NEEDED", format!("step {step} destroys a key: {why}")));
        }
    }
    Ok(())
}

/// The quorum is verified before anything else happens, and again when an execution goes on.
fn approve(
    session: &Session,
    dir: &Directory,
    note: &Note,
    charter: &Charter,
) -> Result<ApprovedPlan, Failure> {
    let mut approved = Plan::approve(note, charter, session.now_secs());
    if approved == Err(PlanError::Expired) && Record::has_ended(dir.path()) {
        // All is done, if its tokens bear it out: it is looked at, and what follows is written anew.
        let expires = Plan::read(note).map(|plan| plan.expires_unix);
        approved = expires.and_then(|expires| Plan::approve(note, charter, expires - 1));
    }
    approved.map_err(|error| {
        let remedy = match &error {
            PlanError::Expired | PlanError::WrongCell | PlanError::WrongCharter => {
                "rootcellar ceremony plan --help, for another plan".to_owned()
            }
            _ => format!("rootcellar ceremony approve {}", dir.path().display()),
        };
        Failure::new("NOT_APPROVED", error).mended_by(remedy)
    })
}

impl From<ExecuteError> for Failure {
    fn from(error: ExecuteError) -> Self {
        match &error {
            ExecuteError::NotAccepted { .. } => Self::new("NOT_ACCEPTED", error)
                .mended_by("the same with --accept SHA256, of its public key as that machine showed it"),
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
    fn of(dir: &std::path::Path, record: &Record, approved: &ApprovedPlan) -> Self {
        let steps = &approved.plan().steps;
        let made = |step: usize| {
            record.last(|event| match event {
                Event::Made { step: of, key } if *of == step => Some(key.spki_sha256()),
                _ => None,
            })
        };
        let keys = steps.iter().enumerate().filter_map(|(step, what)| match what {
            Step::MakeKey(make) => Some(Made { name: make.name.clone(), sha256: made(step)? }),
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
        page.line("Carry the directory to the machine with that token, and there, for the token that is root's for example:");
        page.line(&format!("  rootcellar ceremony execute --only root {}", self.directory));
    }
}

/// A key that is there already, as a plan names it.
pub(super) fn existing(key: &KeyRef) -> Option<[u8; 32]> {
    match key {
        KeyRef::Sha256(hash) => Some(*hash),
        KeyRef::Named(_) => None,
    }
}
