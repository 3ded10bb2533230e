//! `rootcellar ceremony`: what officers do together: plan, approve, execute, verify, import.
//!
//! A ceremony is a directory: the plan, its record, the transcript, the trust bundle that follows. It may be carried from machine to
//! machine, and each command goes on from what it finds there.

mod approve;
mod carried_out;
pub(super) mod charters;
mod describe;
pub(super) mod execute;
pub(crate) mod ground;
pub(crate) mod host;
pub(super) mod import;
pub(super) mod in_force;
mod judge;
mod plan;
mod rehearse;
mod show;
mod verify;

use std::path::Path;

use clap::Subcommand;

use crate::error::Failure;
use crate::session::Session;

/// Ceremonies: planned, approved by officers, executed with the tokens, told in a transcript
#[derive(Debug, Subcommand)]
pub(crate) enum Ceremony {
    #[command(subcommand)]
    Plan(plan::Plan),
    Approve(approve::Approve),
    Execute(execute::Execute),
    Verify(verify::Verify),
    Import(import::Import),
    Show(show::Show),
}

pub(super) fn run(session: &Session, args: &Ceremony) -> Result<(), Failure> {
    // Files for their owner alone, and nothing of an officer's key in a core dump.
    sys::harden().map_err(|error| Failure::new("CEREMONY", error))?;
    match args {
        Ceremony::Plan(args) => plan::run(session, args),
        Ceremony::Approve(args) => approve::run(session, args),
        Ceremony::Execute(args) => execute::run(session, args),
        Ceremony::Verify(args) => verify::run(session, args),
        Ceremony::Import(args) => import::run(session, args),
        Ceremony::Show(args) => show::run(session, args),
    }
}

/// Plans an issuing key in the standby token.
///
/// # Errors
/// As [`plan`].
pub(super) fn plan_issuer(session: &Session, dir: &Path) -> Result<(), Failure> {
    plan::standby(session, dir)
}

/// Signs all that waits in a ceremony's directory, for an officer who is alone and asked for the whole.
///
/// # Errors
/// As [`approve`].
pub(super) fn approve_all(session: &Session, dir: &Path) -> Result<(), Failure> {
    approve::all(session, dir)
}
