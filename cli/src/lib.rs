//! The `rootcellar` command: the only place where the parts meet.
//!
//! - `args`, `globals`: the command line; `commands`: one module for each noun, its arguments beside what it does
//! - `config`: the configuration, what was written and what it means
//! - `client`: the service, over the local socket or as a controller, and the files of a controller
//! - `officer_key`, `tokens`: what an officer signs with, and the tokens that commands open
//! - `output`, `error`: tables or JSON, and what went wrong with the line that mends it
//!
//! Does not: sign with a CA key, or decide what is issued (the keeper does).

mod args;
mod client;
mod commands;
mod config;
mod error;
mod files;
mod globals;
mod logging;
mod officer_key;
mod output;
mod processes;
mod session;
mod spec;
mod tokens;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;

use args::Cli;
use session::Session;

/// Tells the time: milliseconds since 1970-01-01T00:00:00Z.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Fills what it is given with the operating system's random octets.
pub type Random = Arc<dyn Fn(&mut [u8]) -> std::io::Result<()> + Send + Sync>;

/// Told when a numbered step of a certificate is done, so that a test can end the process there.
pub type Probe = Arc<dyn Fn(&'static str) + Send + Sync>;

/// What the program is given of the world, so that a test decides it.
#[derive(Clone)]
pub struct Surroundings {
    /// The time.
    pub clock: Clock,
    /// Milliseconds since the machine started, suspends included.
    pub boot: Clock,
    /// The operating system's random octets.
    pub random: Random,
    /// Who is told of each step.
    pub probe: Probe,
}

/// Does what the arguments say, the program's name first among them, and reports how it went. The exit codes are part of the
/// interface: `rootcellar --help` lists them.
pub fn main(args: impl IntoIterator<Item = OsString>, surroundings: Surroundings) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is no reason for another exit code.
            let _ = error.print();
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    let session = Session::new(cli.globals, surroundings);
    let outcome = commands::run(&session, &cli.command);
    logging::finish();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            session.output().report(&failure);
            ExitCode::from(failure.exit().code())
        }
    }
}
