//! `rootcellar completions` and `rootcellar man`: what a shell and a package want.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};

use crate::args::Cli;
use crate::error::Failure;
use crate::session::Session;

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  rootcellar completions bash > ~/.local/share/bash-completion/completions/rootcellar"
)]
pub(crate) struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

/// Write the manual pages, one for each command
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Directory for them
    dir: PathBuf,
}

pub(super) fn completions(session: &Session, args: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "rootcellar", &mut script);
    session.output().raw(&String::from_utf8_lossy(&script))
}

pub(super) fn man(_session: &Session, args: &Man) -> Result<(), Failure> {
    std::fs::create_dir_all(&args.dir).map_err(|error| Failure::file(&args.dir, error))?;
    clap_mangen::generate_to(Cli::command(), &args.dir).map_err(|error| Failure::file(&args.dir, error))
}
