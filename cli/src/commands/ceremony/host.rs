//! The other end of a ceremony's token: this program again, with the module's environment.

use std::io::{BufReader, stdin, stdout};
use std::path::PathBuf;

use ceremony::host;
use clap::Args;
use hsm_config::PinGuard;

use crate::error::Failure;
use crate::session::Session;
use crate::tokens::{Which, throw_away};

/// One token, for a ceremony: questions on standard input, answers on standard output (started by ceremonies)
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar token-host --token root")]
pub(crate) struct Host {
    /// Which token of the configuration
    #[arg(long, value_enum, required_unless_present = "rehearsal")]
    token: Option<Which>,
    /// A throw-away token below this directory instead
    #[arg(long, value_name = "DIR", requires = "label", conflicts_with = "token")]
    rehearsal: Option<PathBuf>,
    /// Its label
    #[arg(long)]
    label: Option<String>,
}

pub(crate) fn run(session: &Session, args: &Host) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new("TOKEN_HOST", error);
    sys::harden().map_err(failed)?;
    let config = session.config()?;
    let (token, guarded) = match (&args.rehearsal, args.token) {
        (Some(dir), _) => (throw_away(dir, args.label.as_deref().unwrap_or_default())?, dir.as_path()),
        (None, which) => {
            let which = which.unwrap_or(Which::Issuing);
            let token =
                which.config(&config).ok_or_else(|| Failure::usage("the configuration has no such token"))?;
            (token, config.state_dir())
        }
    };
    let (asks, answers) = (BufReader::new(stdin().lock()), stdout().lock());
    host::serve(&token, &PinGuard::new(guarded), &session.probe(), asks, answers).map_err(failed)
}
