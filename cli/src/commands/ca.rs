//! `rootcellar ca`: whom the cell's peers believe.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::client::As;
use crate::client::caller::Caller;
use crate::client::officer::Desk;
use crate::error::Failure;
use crate::files::{self, PUBLIC};
use crate::session::Session;

/// The cell's trust anchors
#[derive(Debug, Subcommand)]
pub(crate) enum Ca {
    Bundle(Bundle),
}

/// Print the trust bundle, once it is checked against the pinned charter (the officer's, or the controller's)
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar ca bundle --out anchors.pem")]
pub(crate) struct Bundle {
    /// Write it to a file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The note that officers signed, instead of the anchors in PEM
    #[arg(long)]
    note: bool,
    #[command(flatten)]
    who: As,
}

pub(super) fn run(session: &Session, args: &Ca) -> Result<(), Failure> {
    let Ca::Bundle(args) = args;
    let text = session.block_on(fetch(session, args))?;
    match &args.out {
        Some(path) => files::replace(path, text.as_bytes(), PUBLIC),
        None => session.output().text(if args.note { "note" } else { "pem" }, &text),
    }
}

async fn fetch(session: &Session, args: &Bundle) -> Result<String, Failure> {
    let (trust, note) = if args.who.is_given() {
        let caller = Caller::connect(session, &args.who).await?;
        crate::client::fetch_trust(&caller.client, &caller.credentials.charter_note).await?
    } else {
        let desk = Desk::open(session).await?;
        (desk.trust, desk.bundle_note)
    };
    Ok(if args.note { note } else { trust.bundle().pem() })
}
