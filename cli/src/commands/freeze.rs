//! `rootcellar freeze` and `thaw`: what officers stop, and set going again.

use cell::Act;
use clap::Args;

use super::outcome;
use crate::client::officer::{Desk, Signing};
use crate::client::stopped;
use crate::error::Failure;
use crate::session::Session;

/// Freeze the cell: no new identity, grant or controller; renewals, revocations and checkpoints go on. One officer is enough
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootcellar freeze                        # what a controller could do with a stolen key ends here
  rootcellar freeze --renewals             # also no renewals, for 15 minutes; one officer alone, once a day
  rootcellar freeze --renewals --confirm   # no renewals until a thaw; needs the quorum

Where the service does not answer, the officer's word is laid beside its journal: whenever it starts again, it starts frozen.")]
pub(crate) struct Freeze {
    /// Stop renewals instead, for 15 minutes
    #[arg(long)]
    renewals: bool,
    /// Stop them until a thaw; needs the quorum
    #[arg(long, requires = "renewals")]
    confirm: bool,
    #[command(flatten)]
    signing: Signing,
}

/// Thaw the cell: everything goes on, renewals too. Needs the quorum
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar thaw")]
pub(crate) struct Thaw {
    #[command(flatten)]
    signing: Signing,
}

pub(super) fn freeze(session: &Session, args: &Freeze) -> Result<(), Failure> {
    let act = match (args.renewals, args.confirm) {
        (false, _) => Act::Freeze,
        (true, false) => Act::RenewalsStop,
        (true, true) => Act::RenewalsStopConfirm,
    };
    carry_out(session, &act, &args.signing)
}

pub(super) fn thaw(session: &Session, args: &Thaw) -> Result<(), Failure> {
    carry_out(session, &Act::Thaw, &args.signing)
}

/// What stops and is not recorded lies beside the journal: no service starts but by it. A thaw waits for the service.
fn carry_out(session: &Session, act: &Act, signing: &Signing) -> Result<(), Failure> {
    let asked = session.block_on(async {
        let desk = Desk::open(session).await?;
        desk.act(session, act, signing).await
    });
    let outcome = match asked {
        Err(failure) if act.stops() => outcome::laid(failure, || stopped::lay(session, act, signing)),
        asked => asked,
    };
    outcome::say(session, act.name(), outcome?)
}
