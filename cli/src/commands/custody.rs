//! `rootcellar custody`: where the service's keys are, as the ledger's manifests say it.

mod offline;
mod online;
pub(super) mod view;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::error::Failure;
use crate::session::Session;

/// Show, compare, export and verify the manifests of the keys' custody
#[derive(Debug, Subcommand)]
pub(crate) enum Custody {
    Show(Show),
    Diff(Diff),
    Export(Export),
    Verify(Verify),
}

/// Show a manifest: keys with their attributes, token, module, and that the root's token is absent
///
/// The keeper writes one at every start and every hour. What it can show, and what not, is in docs/custody.md.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rootcellar custody show\n  rootcellar custody show 42 --output json")]
pub(crate) struct Show {
    /// Its entry [default: the newest]
    entry: Option<u64>,
}

/// Show what differs between two manifests; exits with 1 when something does
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rootcellar custody diff\n  rootcellar custody diff 4 117")]
pub(crate) struct Diff {
    /// Entry of the older [default: the one before the newer]
    older: Option<u64>,
    /// Entry of the newer [default: the newest]
    newer: Option<u64>,
}

/// Write a manifest to a file, with the proof that it is in the log and the checkpoint that says so
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar custody export --out custody.proof")]
pub(crate) struct Export {
    /// Its entry [default: the newest]
    entry: Option<u64>,
    /// The file (c2sp.org/tlog-proof, with the entry beside it)
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Verify an exported manifest offline: that the log holds it, and that the keys in it are as CA keys must be
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rootcellar custody verify custody.proof --charter charter.note --bundle bundle.note")]
pub(crate) struct Verify {
    /// The exported manifest
    file: PathBuf,
    /// The charter that you believe [default: OFFICER_DIR/charter.note]
    #[arg(long, value_name = "FILE")]
    charter: Option<PathBuf>,
    /// The bundle of its officers [default: OFFICER_DIR/bundle.note]
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
}

pub(super) fn run(session: &Session, args: &Custody) -> Result<(), Failure> {
    match args {
        Custody::Show(args) => session.block_on(online::show(session, args)),
        Custody::Diff(args) => session.block_on(online::diff(session, args)),
        Custody::Export(args) => session.block_on(online::export(session, args)),
        Custody::Verify(args) => offline::run(session, args),
    }
}
