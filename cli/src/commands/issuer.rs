//! `rootcellar issuer`: which issuer signs, which stand ready, which are over. Each change is a trust bundle that officers sign, so that
//! everyone who watches sees it before it counts.

mod change;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use ledger::bundle::Bundle;
use serde::Serialize;

use change::{Activate, Retire};

use super::ceremony::in_force::InForce;
use super::ceremony::{execute, import};
use crate::error::Failure;
use crate::output::{Page, Show};
use crate::session::Session;

/// The issuers of the cell: which signs, which stands ready, which is over
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  rootcellar issuer list\n  rootcellar issuer prepare --out issuer-2\n  rootcellar issuer activate"
)]
pub(crate) enum Issuer {
    List(List),
    Prepare(Prepare),
    Activate(Activate),
    Retire(Retire),
}

/// List the issuers that the trust bundle names
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar issuer list")]
pub(crate) struct List {}

/// Make an issuing key that stands ready in the standby token: plan, approve, execute and import in one, for a cell of one officer
#[derive(Debug, Args)]
#[command(after_help = "\
A cell of several officers does the same step by step: rootcellar ceremony plan issuer --help

Example:
  rootcellar issuer prepare --out issuer-2")]
pub(crate) struct Prepare {
    /// The ceremony's directory, new or empty; or one in which this was begun
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn run(session: &Session, args: &Issuer) -> Result<(), Failure> {
    sys::harden().map_err(|error| Failure::new("ISSUER", error))?;
    match args {
        Issuer::List(_) => session.output().say(&Issuers::of(&InForce::known(session)?.bundle)),
        Issuer::Prepare(args) => prepare(session, &args.out),
        Issuer::Activate(args) => change::activate(session, args),
        Issuer::Retire(args) => change::retire(session, args),
    }
}

/// The whole ceremony of one officer; each step that was done before is passed over.
fn prepare(session: &Session, out: &Path) -> Result<(), Failure> {
    let charter = InForce::known(session)?.charter;
    if charter.quorum() > 1 {
        return Err(Failure::usage(format!("{} officers approve a ceremony of this cell", charter.quorum()))
            .mended_by(format!("rootcellar ceremony plan issuer --token standby --out {}", out.display())));
    }
    super::ceremony::plan_issuer(session, out)?;
    super::ceremony::approve_all(session, out)?;
    execute::all(session, out)?;
    super::ceremony::approve_all(session, out)?;
    import::all(session, out)
}

#[derive(Serialize)]
struct Issuers {
    bundle: u64,
    issuers: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    state: String,
    sha256: String,
}

impl Issuers {
    fn of(bundle: &Bundle) -> Self {
        let line = |line: &ledger::bundle::IssuerLine| Line {
            state: line.state.to_string(),
            sha256: HEXLOWER.encode(&line.spki_sha256),
        };
        Self { bundle: bundle.number(), issuers: bundle.issuers().iter().map(line).collect() }
    }
}

impl Show for Issuers {
    fn show(&self, page: &mut Page) {
        page.field("trust bundle", self.bundle);
        page.head(["state", "issuer"]);
        for line in &self.issuers {
            page.row([line.state.clone(), line.sha256.clone()]);
        }
    }
}
