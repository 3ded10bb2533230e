//! `rootcellar proposal`: acts that several officers sign.

use std::path::PathBuf;

use cell::Act;
use clap::{Args, Subcommand};
use ledger::note::Note;

use super::controller::{Enrolment, place};
use super::outcome::{laid, say};
use crate::client::officer::Desk;
use crate::client::stopped;
use crate::error::Failure;
use crate::files;
use crate::session::Session;

/// Hand in proposals that officers signed
#[derive(Debug, Subcommand)]
pub(crate) enum Proposal {
    Submit(Submit),
}

/// Hand in a signed proposal; where it adds or reissues a controller, its credentials are completed
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar proposal submit add-build.note")]
pub(crate) struct Submit {
    /// The signed note
    file: PathBuf,
    /// Directory where the controller's key waits [default: $XDG_CONFIG_HOME/rootcellar/controllers/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(session: &Session, args: &Proposal) -> Result<(), Failure> {
    let Proposal::Submit(args) = args;
    submit(session, args)
}

fn submit(session: &Session, args: &Submit) -> Result<(), Failure> {
    let text = files::read_text(&args.file)?;
    let malformed = |error: &dyn std::fmt::Display| Failure::malformed(&args.file, error);
    let note = Note::parse(text.as_bytes()).map_err(|error| malformed(&error))?;
    let proposal = ledger::proposal::Proposal::read(&note).map_err(|error| malformed(&error))?;
    let act = Act::parse(&proposal.act_name, &proposal.act_fields).map_err(|error| malformed(&error))?;
    let enrolment = match &act {
        Act::ControllerAdd { name, public_key, .. } | Act::ControllerReissue { name, public_key } => {
            Enrolment::resume(name, place(session, name, args.out.as_ref())?, public_key.as_bytes())?
        }
        _ => None,
    };
    let asked = session.block_on(async {
        let desk = Desk::open(session).await?;
        let outcome = desk.submit(session, text.clone()).await?;
        Ok((desk, outcome))
    });
    match (asked, enrolment) {
        (Err(failure), _) if act.stops() => {
            say(session, act.name(), laid(failure, || stopped::lay_signed(session, &text))?)
        }
        (asked, Some(enrolment)) => asked.and_then(|(desk, outcome)| enrolment.end(session, &desk, outcome)),
        (asked, None) => say(session, act.name(), asked?.1),
    }
}
