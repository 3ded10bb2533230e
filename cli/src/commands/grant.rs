//! `rootcellar grant`: what a controller may ask for.

use cell::{Act, ControllerName, GrantName};
use clap::{Args, Subcommand};

use super::outcome;
use crate::client::officer::{Desk, Signing};
use crate::error::Failure;
use crate::session::Session;
use crate::spec::GrantSpec;

/// Set and remove grants of a controller
#[derive(Debug, Subcommand)]
pub(crate) enum Grant {
    Set(Set),
    Remove(Remove),
}

/// Set a grant, in place of the one of the same name (`controller add --help` explains its form)
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  rootcellar grant set build 'name=ci;agents=ci/*;roles=runner;ttl=30m;budget=500'"
)]
pub(crate) struct Set {
    /// The controller
    controller: ControllerName,
    /// The grant; without a name it is "default"
    grant: GrantSpec,
    #[command(flatten)]
    signing: Signing,
}

/// Remove a grant
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar grant remove build ci")]
pub(crate) struct Remove {
    /// The controller
    controller: ControllerName,
    /// The grant's name
    grant: GrantName,
    #[command(flatten)]
    signing: Signing,
}

pub(super) fn run(session: &Session, args: &Grant) -> Result<(), Failure> {
    let (act, signing) = match args {
        Grant::Set(Set { controller, grant, signing }) => {
            (Act::GrantSet { controller: controller.clone(), grant: grant.clone().into_grant() }, signing)
        }
        Grant::Remove(Remove { controller, grant, signing }) => {
            (Act::GrantRemove { controller: controller.clone(), grant: grant.clone() }, signing)
        }
    };
    session.block_on(async {
        let desk = Desk::open(session).await?;
        let outcome = desk.act(session, &act, signing).await?;
        outcome::say(session, act.name(), outcome)
    })
}
