//! `rootcellar issuer`: which issuer signs, which stand ready, which are over. Each change is a trust bundle that officers sign, so that
//! everyone who watches sees it before it counts.

use std::path::{Path, PathBuf};

use ceremony::bundles;
use ceremony::directory::{self, Directory};
use ceremony::officer::countersign;
use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use ledger::bundle::{Bundle, IssuerState};
use ledger::charter::Charter;
use ledger::note::Note;
use serde::Serialize;

use super::ceremony::{charters, execute, import, own};
use super::officer;
use crate::error::Failure;
use crate::output::{Page, Show};
use crate::session::Session;
use crate::tokens::{self, Which};

/// The issuers of the cell: which signs, which stands ready, which is over
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  rootcellar issuer list\n  rootcellar issuer prepare --out issuer-2\n  rootcellar issuer activate 1a2b3c4d"
)]
pub(crate) enum Issuer {
    List(List),
    Prepare(Prepare),
    /// Have another issuer sign from now on. Works also while the service is down
    #[command(after_help = "\
Examples:
  rootcellar issuer activate 1a2b3c4d                     # the beginning of its SHA-256 is enough
  rootcellar issuer activate 1a2b3c4d --out switch        # for several officers: approve switch, then import switch")]
    Activate(Change),
    /// Take back an issuer that signs no more: it never stands ready again, and what it signed counts until it expires
    #[command(after_help = "\
Examples:
  rootcellar issuer retire 1a2b3c4d
  rootcellar issuer retire 1a2b3c4d --out over            # for several officers: approve over, then import over")]
    Retire(Change),
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

/// Which issuer, and whose word.
#[derive(Debug, Args)]
pub(crate) struct Change {
    /// SHA-256 of the issuer's public key, or its beginning
    issuer: String,
    /// The officer's key [default: OFFICER_DIR/officer.key]
    #[arg(long, value_name = "FILE")]
    officer_key: Option<PathBuf>,
    /// Write the trust bundle into this directory instead of handing it in, for other officers to sign
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Do it although this machine's configuration names no token with the issuer's key, or that token does not open
    #[arg(long)]
    force: bool,
}

pub(super) fn run(session: &Session, args: &Issuer) -> Result<(), Failure> {
    keeper::harden().map_err(|error| Failure::new("ISSUER", error))?;
    match args {
        Issuer::List(_) => {
            let (_, bundle) = in_force(session)?;
            session.output().say(&Issuers::of(&bundle))
        }
        Issuer::Prepare(args) => prepare(session, &args.out),
        Issuer::Activate(args) => change(session, args, IssuerState::Active),
        Issuer::Retire(args) => change(session, args, IssuerState::Retired),
    }
}

/// The charter and the bundle in force: the service's, where it answers and hands out none that is older than the officer's own copy;
/// else the officer's own copies, which may be older.
pub(super) fn in_force(session: &Session) -> Result<(Charter, Bundle), Failure> {
    let asked = session.block_on(async {
        let desk = crate::client::officer::Desk::open(session).await?;
        let note = Note::parse(desk.bundle_note.as_bytes())
            .map_err(|error| Failure::unverified("the trust bundle", error))?;
        own::keep(session, None, Some(&note))?;
        Ok((desk.trust.charter().clone(), desk.trust.bundle().clone()))
    });
    match asked {
        Ok(both) => Ok(both),
        Err(failure) if failure.exit() == crate::error::Exit::TryLater => {
            let charter = charters::pinned(session)?.ok_or(failure)?;
            let bundle = charters::bundle(session, &charter)?;
            Ok((charter, bundle))
        }
        Err(failure) => Err(failure),
    }
}

fn change(session: &Session, args: &Change, state: IssuerState) -> Result<(), Failure> {
    let (charter, bundle) = in_force(session)?;
    let spki_sha256 = find(&bundle, &args.issuer)?;
    if state == IssuerState::Retired && bundle.contents().active_issuer() == Some(spki_sha256) {
        return Err(
            Failure::usage("it is the issuer that signs").mended_by("rootcellar issuer activate, of another")
        );
    }
    let contents = bundles::with_issuer(bundle.contents(), &charter, spki_sha256, state)
        .ok_or_else(|| Failure::new("INTERNAL", "an issuer that was just found is not there"))?;
    let was = bundle.issuers().iter().find(|line| line.spki_sha256 == spki_sha256).map(|line| line.state);
    if state == IssuerState::Active && was == Some(IssuerState::Retired) {
        return Err(Failure::new(
            "ISSUER_RETIRED",
            "the issuer is retired, and signs no more: its key may be gone",
        )
        .mended_by("rootcellar issuer prepare --out DIR, for another"));
    }
    if state == IssuerState::Active && !args.force {
        match (is_here(session, spki_sha256), &args.out) {
            // It may be the machine of an officer, where no token of the service is.
            (Err(failure), Some(_)) => tracing::warn!("{failure}"),
            (found, _) => found?,
        }
    }
    let draft = contents.draft().map_err(|error| Failure::new("INTERNAL", error))?;
    let (_, key) = officer::load(session, args.officer_key.as_ref())?;
    let note =
        countersign(draft, charter.officers(), &key).map_err(|error| Failure::new("NOT_SIGNED", error))?;
    if let Some(out) = &args.out {
        let dir = Directory::create(out).map_err(|error| Failure::new("FILE", error))?;
        dir.write(directory::BUNDLE, &note).map_err(|error| Failure::new("FILE", error))?;
        return session.output().say(&Waits { directory: out.display().to_string() });
    }
    import::bundle(session, note.clone())?;
    let bundle = Bundle::open(&note, &charter).map_err(|error| Failure::new("NOT_APPROVED", error))?;
    session.output().say(&Issuers::of(&bundle))
}

/// Looks for the issuer's key in the service's tokens: a keeper that does not find it there serves no more.
fn is_here(session: &Session, spki_sha256: [u8; 32]) -> Result<(), Failure> {
    let config = session.config()?;
    let mut why = Vec::new();
    for which in [Which::Issuing, Which::Standby] {
        let Some(token) = which.config(&config) else { continue };
        let found = tokens::process(session, &config, which).map_err(|failure| failure.to_string()).and_then(
            |mut host| {
                match host.open(false) {
                    Ok(Some(_)) => host.find(spki_sha256).map(|found| found.ok_or("it has no such key")),
                    Ok(None) => Ok(Err("it is not there")),
                    Err(error) => Err(error),
                }
                .map_err(|error| error.to_string())
            },
        );
        match found {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(lack)) => why.push(format!("{}: {lack}", token.uri)),
            Err(error) => why.push(format!("{}: {error}", token.uri)),
        }
    }
    Err(Failure::new("ISSUER_NOT_HERE", format!("no token of the service holds this issuer's key ({})", why.join("; ")))
        .mended_by("rootcellar doctor, on the service's machine; or the same with --force, and nothing is issued until the token is there"))
}

fn find(bundle: &Bundle, beginning: &str) -> Result<[u8; 32], Failure> {
    let mut found =
        bundle.issuers().iter().filter(|line| HEXLOWER.encode(&line.spki_sha256).starts_with(beginning));
    match (found.next(), found.count()) {
        (Some(only), 0) if beginning.len() >= 4 => Ok(only.spki_sha256),
        (None, _) => Err(Failure::new("NOT_FOUND", format!("the trust bundle names no issuer {beginning}"))
            .mended_by("rootcellar issuer list")),
        _ => Err(Failure::usage("it is not clear which issuer is meant").mended_by("rootcellar issuer list")),
    }
}

/// The whole ceremony of one officer; each step that was done before is passed over.
fn prepare(session: &Session, out: &Path) -> Result<(), Failure> {
    let (charter, _) = in_force(session)?;
    if charter.quorum() > 1 {
        return Err(Failure::usage(format!("{} officers approve a ceremony of this cell", charter.quorum()))
            .mended_by(format!("rootcellar ceremony plan issuer --out {}", out.display())));
    }
    let dir = out.to_owned();
    if !out.join(directory::PLAN).exists() {
        super::ceremony::plan_issuer(session, &dir)?;
    }
    super::ceremony::approve_all(session, &dir)?;
    execute::all(session, &dir)?;
    super::ceremony::approve_all(session, &dir)?;
    import::all(session, &dir)
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

#[derive(Serialize)]
struct Waits {
    directory: String,
}

impl Show for Waits {
    fn show(&self, page: &mut Page) {
        page.field("written", &self.directory);
        page.line("Next, each officer:");
        page.line(&format!("  rootcellar ceremony approve {}", self.directory));
        page.line("then:");
        page.line(&format!("  rootcellar ceremony import {}", self.directory));
    }
}
