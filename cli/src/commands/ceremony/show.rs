//! `rootcellar ceremony show`: what a ceremony's directory holds, and what is next. Nothing is changed, and nobody is believed: signatures are
//! checked, and what the record says is told as the record's word.

use std::path::PathBuf;

use audit::ceremony::step_name;
use ceremony::directory::{self, Directory};
use ceremony::record::{self, Event};
use clap::Args;
use ledger::plan::Plan;
use serde::Serialize;

use super::charters::Signers;
use crate::error::Failure;
use crate::files;
use crate::output::{Page, Show as Shown};
use crate::session::Session;

/// Show what a ceremony's directory holds: which notes, who signed them, which steps are done, what is next
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar ceremony show found/")]
pub(crate) struct Show {
    /// The ceremony's directory
    dir: PathBuf,
}

pub(super) fn run(session: &Session, args: &Show) -> Result<(), Failure> {
    let dir = Directory::at(&args.dir);
    let mut report = Report { notes: Vec::new(), steps: Vec::new(), next: String::new() };
    let mut waits = false;
    for name in directory::NOTES {
        let Some(note) = files::note(&dir, name)? else { continue };
        let (signed_by, needed) = match Signers::of(session, &note, &dir) {
            Ok(signers) => (signers.signed(&note), Some(signers.terms.quorum)),
            Err(_) => (Vec::new(), None),
        };
        // One officer who was present is enough for a transcript.
        let needed = if name == directory::TRANSCRIPT { needed.map(|_| 1) } else { needed };
        waits |= needed.is_none_or(|needed| signed_by.len() < usize::from(needed));
        report.notes.push(Note { name, signed_by, needed });
    }
    let plan = files::note(&dir, directory::PLAN)?.map(|note| Plan::read(&note)).transpose();
    let plan = plan.map_err(|error| Failure::malformed(&dir.file(directory::PLAN), error))?;
    let events = events(&dir)?;
    if let Some(plan) = &plan {
        let state = |step| events.iter().rev().find_map(|event| said(event, step)).unwrap_or("to be done");
        report.steps = plan.steps.iter().enumerate().map(|(i, step)| (step_name(step), state(i))).collect();
    }
    let shown = args.dir.display();
    let ended = plan.is_none() || dir.file(directory::TRANSCRIPT).exists();
    report.next = match (report.notes.is_empty(), waits, ended) {
        (true, ..) => "rootcellar ceremony plan --help".to_owned(),
        (_, true, _) => format!("rootcellar ceremony approve {shown}"),
        (_, _, false) => format!("rootcellar ceremony execute {shown}"),
        _ => format!("rootcellar ceremony import {shown}"),
    };
    session.output().say(&report)
}

/// The record's lines, as far as they are events.
fn events(dir: &Directory) -> Result<Vec<Event>, Failure> {
    let path = dir.file(record::FILE);
    let bytes = match sys::carried::read(&path, record::MAX_LEN) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|error| Failure::file(&path, error))?,
    };
    let lines = bytes.split(|octet| *octet == b'\n');
    Ok(lines.map_while(|line| serde_json::from_slice(line).ok()).collect())
}

/// What an event says of this step.
fn said(event: &Event, wanted: usize) -> Option<&'static str> {
    let (step, word) = match event {
        Event::Intended { step, .. } | Event::Destroying { step, .. } => (step, "begun"),
        Event::Unmade { step, .. } => (step, "no key made"),
        Event::Discarding { step, .. } => (step, "an unfit key destroyed"),
        Event::Made { step, .. } => (step, "key made"),
        Event::Proved { step, .. } => (step, "key made, and proved"),
        Event::Composed { step, .. } => (step, "composed"),
        Event::Signed { step, .. } => (step, "signed"),
        Event::Destroyed { step, .. } => (step, "destroyed"),
        Event::Began { .. }
        | Event::Token { .. }
        | Event::Entropy { .. }
        | Event::EntropyFailed { .. }
        | Event::Ended { .. } => return None,
    };
    (*step == wanted).then_some(word)
}

#[derive(Serialize)]
struct Report {
    notes: Vec<Note>,
    /// Each step, and how far it is by the record's word.
    steps: Vec<(String, &'static str)>,
    next: String,
}

#[derive(Serialize)]
struct Note {
    name: &'static str,
    signed_by: Vec<String>,
    /// Officers needed; none where this machine has no charter by which to tell.
    needed: Option<u8>,
}

impl Shown for Report {
    fn show(&self, page: &mut Page) {
        for note in &self.notes {
            let by = if note.signed_by.is_empty() { "nobody".to_owned() } else { note.signed_by.join(", ") };
            let said = match note.needed {
                Some(needed) => format!("signed by {by}; {needed} needed"),
                None => "not checked: the charter by which to tell is not in --officer-dir".to_owned(),
            };
            page.field(note.name, said);
        }
        if !self.steps.is_empty() {
            page.head(["step", "by the record's word"]);
        }
        for (step, state) in &self.steps {
            page.row([step.clone(), (*state).to_owned()]);
        }
        page.line("");
        page.line(&format!("Next: {}", self.next));
    }
}
