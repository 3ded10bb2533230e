//! `rootcellar config`: what is configured, and what could be.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::config::{Config, REFERENCE, Setting};
use crate::error::Failure;
use crate::output::{Page, Show};
use crate::session::Session;

/// Check the configuration, or show what could be in it
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    Check(Check),
    Show(Reference),
}

/// Check a configuration file and print what is in force; all problems are told together, with their lines
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar config check --file /etc/rootcellar/rootcellar.toml")]
pub(crate) struct Check {
    /// The file [default: the one in force]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Print the values in force, or the commented file with every key and its default
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  rootcellar config show --reference > ~/.local/share/rootcellar/rootcellar.toml"
)]
pub(crate) struct Reference {
    /// The commented file instead of the values in force
    #[arg(long)]
    reference: bool,
}

pub(super) fn run(session: &Session, args: &ConfigCommand) -> Result<(), Failure> {
    match args {
        ConfigCommand::Show(Reference { reference: true }) => session.output().text("reference", REFERENCE),
        ConfigCommand::Show(_) => show(session, None),
        ConfigCommand::Check(Check { file }) => show(session, file.clone()),
    }
}

fn show(session: &Session, file: Option<PathBuf>) -> Result<(), Failure> {
    let places = session.places()?;
    let file = file.or_else(|| session.config_file(&places));
    let config = Config::load(file.as_deref(), places)?;
    session.output().say(&InForce { file, settings: config.settings().to_vec() })
}

#[derive(Serialize)]
struct InForce {
    file: Option<PathBuf>,
    settings: Vec<Setting>,
}

impl Show for InForce {
    fn show(&self, page: &mut Page) {
        match &self.file {
            Some(file) => page.line(&format!("# {}", file.display())),
            None => page.line("# no file: every key has its default"),
        }
        page.head(["key", "value", "from"]);
        for Setting { key, value, written } in &self.settings {
            let from = if *written { "file" } else { "default" };
            page.row([(*key).to_owned(), value.clone(), from.to_owned()]);
        }
    }
}
