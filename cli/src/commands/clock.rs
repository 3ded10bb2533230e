//! `rootcellar clock`: what officers say of the service's clock.

use cell::Act;
use clap::{Args, Subcommand};

use super::outcome;
use crate::client::officer::{Desk, Signing};
use crate::error::Failure;
use crate::session::Session;

/// Confirm the service's clock
#[derive(Debug, Subcommand)]
pub(crate) enum Clock {
    Confirm(Confirm),
}

/// Confirm that the service's clock is right as it is: the way out where the log has entries of a time to come. Needs the quorum
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  date -u && rootcellar clock confirm")]
pub(crate) struct Confirm {
    #[command(flatten)]
    signing: Signing,
}

pub(super) fn run(session: &Session, args: &Clock) -> Result<(), Failure> {
    let Clock::Confirm(args) = args;
    session.block_on(async {
        let desk = Desk::open(session).await?;
        let act = Act::ClockConfirm { entries: desk.entries };
        let outcome = desk.act(session, &act, &args.signing).await?;
        outcome::say(session, act.name(), outcome)
    })
}
