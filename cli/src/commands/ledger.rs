//! `rootcellar ledger`: what was recorded, and the proof of it.

mod checkpoint;
mod entry;
mod offline;
mod online;
mod open_epoch;
mod rebuild;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::client::As;
use crate::error::Failure;
use crate::session::Session;
use crate::spec::Lifetime;

pub(super) use checkpoint::follow;

/// Verify the ledger, and read it
#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    Verify(Verify),
    Checkpoint(Checkpoint),
    Entry(Entry),
    Rebuild(Rebuild),
    OpenEpoch(OpenEpoch),
}

/// Open a new epoch of the log, where a start found that it went back; the service must be stopped
///
/// The officer's act says what is left of the log, what is known to be lost, what is done about certificates that were recorded in it, and which
/// revocations are repeated. The log goes on under another origin, with the entries that are left, and a new trust bundle names it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootcellar ledger open-epoch                 # where the charter asks for one officer

  rootcellar ledger open-epoch --out epoch/    # where it asks for more: the first writes it,
  rootcellar ceremony approve epoch/           # the others sign it,
  rootcellar ledger open-epoch epoch/          # and any of them carries it out")]
pub(crate) struct OpenEpoch {
    /// What `--out` wrote, signed by as many officers as the charter asks for
    #[arg(value_name = "DIR", conflicts_with_all = ["out", "officer_key", "expires", "crl", "retire_issuer", "without_log_key"])]
    approved: Option<PathBuf>,
    /// The officer's key [default: OFFICER_DIR/officer.key]
    #[arg(long, value_name = "FILE")]
    officer_key: Option<PathBuf>,
    /// Write what is to be signed, with this officer's signature, and open nothing
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Repeat the revocations on this CRL that the journal does not know; more than once for several lists
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// Retire the issuer of the lost certificates; a prepared one takes over. Without this, they are left to expire
    #[arg(long)]
    retire_issuer: bool,
    /// A key of the log that is in doubt (the beginning of its SHA-256): it signs nothing under the new origin
    #[arg(long, value_name = "SHA256")]
    without_log_key: Vec<String>,
    /// How long it is good for, up to 7d
    #[arg(long, value_name = "TIME", default_value = "1d")]
    expires: Lifetime,
}

/// Verify the whole ledger of this machine's service, or offline one certificate's proof
///
/// Without --proof, every entry is fetched and judged, the tree is made anew and compared with the log's signed checkpoint, and the
/// checkpoint is remembered: a log that changes what it said is found out the next time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootcellar ledger verify
  rootcellar ledger verify --proof logger-1.proof --certificate logger-1.chain.pem \\
      --charter charter.note --bundle bundle.note")]
pub(crate) struct Verify {
    /// Proof of a certificate, as `issue` wrote it: nothing but files is then used
    #[arg(long, value_name = "FILE", requires = "certificate")]
    proof: Option<PathBuf>,
    /// The certificate and its issuers
    #[arg(long, value_name = "FILE", requires = "proof")]
    certificate: Option<PathBuf>,
    /// The charter that you believe [default: the controller's where one is named, else OFFICER_DIR/charter.note]
    #[arg(long, value_name = "FILE")]
    charter: Option<PathBuf>,
    /// The bundle, offline [default: the controller's where one is named, else OFFICER_DIR/bundle.note]
    #[arg(long, value_name = "FILE", requires = "proof")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    who: As,
}

/// Fetch the newest checkpoint, check it, and prove that it follows from the one that was seen last
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar ledger checkpoint > checkpoint.note")]
pub(crate) struct Checkpoint {
    #[command(flatten)]
    who: As,
}

/// Show one entry, decoded, as JSON
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar ledger entry 17")]
pub(crate) struct Entry {
    /// Its index, from 0
    index: u64,
    #[command(flatten)]
    who: As,
}

/// Make the journal's tables anew from its entries, and compare; the service must be stopped
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar ledger rebuild --replace")]
pub(crate) struct Rebuild {
    /// Put the new tables in place of those that differ
    #[arg(long)]
    replace: bool,
}

pub(super) fn run(session: &Session, args: &Ledger) -> Result<(), Failure> {
    match args {
        Ledger::Verify(args @ Verify { proof: Some(proof), certificate: Some(certificate), .. }) => {
            offline::run(session, args, proof, certificate)
        }
        Ledger::Verify(args) => session.block_on(online::run(session, args)),
        Ledger::Checkpoint(args) => session.block_on(checkpoint::run(session, &args.who)),
        Ledger::Entry(args) => session.block_on(entry::run(session, args)),
        Ledger::Rebuild(args) => rebuild::run(session, args),
        Ledger::OpenEpoch(args) => open_epoch::run(session, args),
    }
}
