//! The commands, one module for each noun: its arguments, what it does, what it says.

pub(crate) mod agent;
pub(crate) mod ca;
pub(crate) mod ceremony;
pub(crate) mod cert;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod controller;
pub(crate) mod custody;
pub(crate) mod doctor;
pub(crate) mod freeze;
pub(crate) mod front;
pub(crate) mod grant;
pub(crate) mod init;
pub(crate) mod issue;
pub(crate) mod issuer;
pub(crate) mod journal;
pub(crate) mod keeper;
pub(crate) mod ledger;
pub(crate) mod lint;
pub(crate) mod officer;
mod outcome;
pub(crate) mod proposal;
pub(crate) mod renew;
pub(crate) mod serve;
pub(crate) mod shell;
pub(crate) mod status;
pub(crate) mod token;
mod view;

use crate::args::Command;
use crate::error::Failure;
use crate::session::Session;

/// Does what a command says.
///
/// # Errors
/// Why it was not done.
pub(crate) fn run(session: &Session, command: &Command) -> Result<(), Failure> {
    // The service's processes start their own log, as the configuration says.
    if !matches!(command, Command::Serve(_) | Command::Keeper(_) | Command::Front(_)) {
        session.start_quiet_log();
    }
    match command {
        Command::Init(args) => init::run(session, args),
        Command::TokenHost(args) => ceremony::host::run(session, args),
        Command::Serve(args) => serve::run(session, args),
        Command::Keeper(args) => keeper::run(session, args),
        Command::Front(args) => front::run(session, args),
        Command::Status(args) => status::run(session, args),
        Command::Clock(args) => clock::run(session, args),
        Command::Freeze(args) => freeze::freeze(session, args),
        Command::Thaw(args) => freeze::thaw(session, args),
        Command::Ceremony(args) => ceremony::run(session, args),
        Command::Issuer(args) => issuer::run(session, args),
        Command::Officer(args) => officer::run(session, args),
        Command::Controller(args) => controller::run(session, args),
        Command::Custody(args) => custody::run(session, args),
        Command::Doctor(args) => doctor::run(session, args),
        Command::Grant(args) => grant::run(session, args),
        Command::Proposal(args) => proposal::run(session, args),
        Command::Issue(args) => issue::run(session, args),
        Command::Renew(args) => renew::run(session, args),
        Command::Agent(args) => agent::run(session, args),
        Command::Cert(args) => cert::run(session, args),
        Command::Ca(args) => ca::run(session, args),
        Command::Journal(args) => journal::run(session, args),
        Command::Ledger(args) => ledger::run(session, args),
        Command::Lint(args) => lint::run(session, args),
        Command::Token(args) => token::run(session, args),
        Command::Config(args) => config::run(session, args),
        Command::Completions(args) => shell::completions(session, args),
        Command::Man(args) => shell::man(session, args),
    }
}
