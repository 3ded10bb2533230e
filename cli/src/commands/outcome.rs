//! What became of an officer's act: done, signed and waiting for other officers, or laid beside the journal.

use std::path::PathBuf;

use serde::Serialize;

use crate::client::officer::Outcome;
use crate::client::stopped;
use crate::error::Failure;
use crate::output::{Page, Show};
use crate::session::Session;

/// An act that stops something and failed: laid beside the journal where no service answers. Where one does that cannot record it, it is laid
/// there for the next start, and failed all the same.
///
/// # Errors
/// The failure; or it could not be laid either.
pub(super) fn laid(
    failure: Failure,
    lay: impl FnOnce() -> Result<Outcome, Failure>,
) -> Result<Outcome, Failure> {
    if stopped::answers_not(&failure) {
        return lay();
    }
    if !stopped::records_not(&failure) {
        return Err(failure);
    }
    match lay()? {
        Outcome::Laid(file) => Err(failure.and_also(format!(
            "the officer's word lies in {}: the service stops so once it is started again",
            file.display()
        ))),
        _ => Err(failure),
    }
}

/// Says what became of an act that leads to no credentials here.
pub(super) fn say(session: &Session, act: &'static str, outcome: Outcome) -> Result<(), Failure> {
    match outcome {
        Outcome::Shown => Ok(()),
        Outcome::Written(proposal) => signed(session, proposal, None),
        Outcome::Done(response) => {
            let receipt = response.receipt.ok_or_else(|| Failure::incomplete("receipt"))?;
            session.output().say(&Done { act, log: receipt.origin, entry: receipt.index })
        }
        Outcome::Laid(file) => session.output().say(&Laid { act, laid: file }),
    }
}

/// Says that a proposal waits for other officers, and where a key waits with it.
pub(super) fn signed(session: &Session, proposal: PathBuf, key: Option<PathBuf>) -> Result<(), Failure> {
    let next = format!("rootcellar proposal submit {}", proposal.display());
    session.output().say(&Signed { proposal, key, next })
}

#[derive(Serialize)]
struct Signed {
    proposal: PathBuf,
    key: Option<PathBuf>,
    /// What to run once enough officers have signed.
    next: String,
}

impl Show for Signed {
    fn show(&self, page: &mut Page) {
        page.field("signed", self.proposal.display());
        if let Some(key) = &self.key {
            page.field("key waits in", key.display());
        }
        page.line("Once enough officers have signed:");
        page.line(&format!("  {}", self.next));
    }
}

#[derive(Serialize)]
struct Done {
    act: &'static str,
    log: String,
    entry: u64,
}

impl Show for Done {
    fn show(&self, page: &mut Page) {
        page.field("done", self.act);
        page.field("recorded", format!("entry {} of {}", self.entry, self.log));
    }
}

#[derive(Serialize)]
struct Laid {
    act: &'static str,
    /// The file beside the journal.
    laid: PathBuf,
}

impl Show for Laid {
    fn show(&self, page: &mut Page) {
        page.field("done", self.act);
        page.field("laid beside the journal", self.laid.display());
        page.line("The service does not run. Whenever it starts, it starts so.");
    }
}
