//! A new epoch of the log, where it went back.

use ceremony::epoch::{self, Opened};
use ledger::note::Note;

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
    let (_, key) = load(session, args.officer_key.as_ref())?;
    let copy = places.officer().join(BUNDLE);
    let seen = if copy.exists() { Some(files::read_text(&copy)?) } else { None };
    let seen = seen.map(|text| Note::parse(text.as_bytes())).transpose();
    let seen = seen.map_err(|error| Failure::malformed(&copy, error))?;
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| Failure::new("RANDOM", error))?;
    let opened = epoch::open(places.data(), &key, seen.as_ref(), nonce, session.now_ms())
        .map_err(|error| Failure::new("EPOCH", error))?;
    files::replace(&copy, opened.bundle.as_bytes(), PUBLIC)?;
    session.output().say(&Shown(opened))
}

#[derive(serde::Serialize)]
#[serde(transparent)]
struct Shown(Opened);

impl Show for Shown {
    fn show(&self, page: &mut Page) {
        let Self(opened) = self;
        page.field("log", &opened.log);
        page.field("begins with", format!("{} entries", opened.kept));
        page.field("before", format!("the log was known to have {}", opened.lost));
        page.line("Revocations, removals and a freeze of what is lost are undone: repeat those acts.");
        page.line("Start the service. What was issued after the first and not kept is unknown to it: those certificates");
        page.line("are refused here, and end elsewhere when they expire. Hand the new trust bundle to those who pin the charter.");
    }
}
