//! `rootcellar officer`: an officer's own key.

use std::path::PathBuf;

use cell::TrustDomain;
use ceremony::officer::OfficerKey;
use clap::{Args, Subcommand};
use ledger::note::{KeyName, NoteSigner as _};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::client::officer::KEY;
use crate::error::Failure;
use crate::files;
use crate::output::{Page, Show};
use crate::session::Session;

/// An officer's key: make one, show its public half
#[derive(Debug, Subcommand)]
pub(crate) enum Officer {
    Create(Create),
    Show(ShowKey),
}

/// Make an officer's key (Ed25519) in a file that only its owner reads, and print its public half, which a charter names
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar officer create alice")]
pub(crate) struct Create {
    /// Name of the officer
    name: String,
    /// Trust domain of the cell [default: the configuration's, cell.internal]
    #[arg(long, value_name = "NAME")]
    cell: Option<TrustDomain>,
    /// Where the key goes [default: OFFICER_DIR/officer.key]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Print the public half of an officer's key
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar officer show")]
pub(crate) struct ShowKey {
    /// The key [default: OFFICER_DIR/officer.key]
    #[arg(long, value_name = "FILE")]
    officer_key: Option<PathBuf>,
}

pub(super) fn run(session: &Session, args: &Officer) -> Result<(), Failure> {
    keeper::harden().map_err(|error| Failure::new("OFFICER", error))?;
    match args {
        Officer::Create(args) => create(session, args),
        Officer::Show(args) => {
            let (path, key) = load(session, args.officer_key.as_ref())?;
            session.output().say(&Key { officer: key.key().to_string(), file: path })
        }
    }
}

fn create(session: &Session, args: &Create) -> Result<(), Failure> {
    let config = session.config()?;
    let cell = args.cell.as_ref().unwrap_or(config.cell());
    let name: KeyName = format!("{cell}/officer/{}", args.name)
        .parse()
        .map_err(|error| Failure::usage(format!("{}: {error}", args.name)))?;
    let path = if let Some(path) = &args.out {
        path.clone()
    } else {
        files::make_private_dir(config.officer_dir())?;
        config.officer_dir().join(KEY)
    };
    let mut seed = Zeroizing::new([0u8; 32]);
    getrandom::fill(&mut *seed).map_err(|error| Failure::new("RANDOM", error))?;
    let key = OfficerKey::create(&path, name, &seed).map_err(|error| Failure::malformed(&path, error))?;
    session.output().say(&Key { officer: key.key().to_string(), file: path })
}

/// An officer's key: the one in this file, or in the officer's directory.
///
/// # Errors
/// It cannot be used.
pub(super) fn load(session: &Session, file: Option<&PathBuf>) -> Result<(PathBuf, OfficerKey), Failure> {
    let path = match file {
        Some(path) => path.clone(),
        None => session.places()?.officer().join(KEY),
    };
    let key = OfficerKey::load(&path);
    let key =
        key.map_err(|error| Failure::malformed(&path, error).mended_by("the same with --officer-key FILE"))?;
    Ok((path, key))
}

#[derive(Serialize)]
struct Key {
    officer: String,
    file: PathBuf,
}

impl Show for Key {
    fn show(&self, page: &mut Page) {
        page.field("officer", &self.officer);
        page.field("key", self.file.display());
    }
}
