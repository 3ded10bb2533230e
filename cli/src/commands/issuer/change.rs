//! Which issuer signs: a trust bundle that says so, and the officers' word on it.

use std::path::PathBuf;

use ceremony::directory::{self, Directory};
use ceremony::officer::countersign;
use clap::Args;
use data_encoding::HEXLOWER;
use keeper::bundles;
use ledger::bundle::{Bundle, IssuerState};
use ledger::charter::Charter;
use serde::Serialize;

use super::Issuers;
use crate::commands::ceremony::import;
use crate::commands::ceremony::in_force::InForce;
use crate::error::Failure;
use crate::officer_key;
use crate::output::{Page, Show};
use crate::session::Session;
use crate::tokens::{self, Which};

/// Have another issuer sign from now on. Works also while the service is down
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootcellar issuer activate                              # the one that stands ready
  rootcellar issuer activate 1a2b3c4d                     # the beginning of its SHA-256 is enough
  rootcellar issuer activate 1a2b3c4d --out switch        # for several officers: approve switch, then import switch")]
pub(crate) struct Activate {
    /// SHA-256 of the issuer's public key, or its beginning [default: the only one that stands ready, if its key is here]
    issuer: Option<String>,
    /// Do it although this machine's configuration names no token with the issuer's key, or that token does not open
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    word: Word,
}

/// Take back an issuer that signs no more: it never stands ready again, and what it signed counts until it expires
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootcellar issuer retire 1a2b3c4d
  rootcellar issuer retire 1a2b3c4d --out over            # for several officers: approve over, then import over")]
pub(crate) struct Retire {
    /// SHA-256 of the issuer's public key, or its beginning
    issuer: String,
    #[command(flatten)]
    word: Word,
}

/// Whose word it is, and how many more are needed.
#[derive(Debug, Args)]
struct Word {
    /// The officer's key [default: OFFICER_DIR/officer.key]
    #[arg(long, value_name = "FILE")]
    officer_key: Option<PathBuf>,
    /// Write the trust bundle into this directory instead of handing it in, for other officers to sign
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn activate(session: &Session, args: &Activate) -> Result<(), Failure> {
    let InForce { charter, bundle, .. } = InForce::known(session)?;
    let spki_sha256 = match &args.issuer {
        Some(beginning) => find(&bundle, beginning)?,
        None => ready(&bundle)?,
    };
    let was = bundle.issuers().iter().find(|line| line.spki_sha256 == spki_sha256).map(|line| line.state);
    if was == Some(IssuerState::Retired) {
        return Err(Failure::new(
            "ISSUER_RETIRED",
            "the issuer is retired, and signs no more: its key may be gone",
        )
        .mended_by("rootcellar issuer prepare --out DIR, for another"));
    }
    if !args.force {
        match (is_here(session, spki_sha256), &args.word.out) {
            // It may be the machine of an officer, where no token of the service is. Unnamed, it might be the issuer that died.
            (Err(failure), Some(_)) if args.issuer.is_some() => tracing::warn!("{failure}"),
            (found, _) => found?,
        }
    }
    args.word.give(session, (&charter, &bundle), spki_sha256, IssuerState::Active)
}

pub(super) fn retire(session: &Session, args: &Retire) -> Result<(), Failure> {
    let InForce { charter, bundle, .. } = InForce::known(session)?;
    let spki_sha256 = find(&bundle, &args.issuer)?;
    if bundle.contents().active_issuer() == Some(spki_sha256) {
        return Err(
            Failure::usage("it is the issuer that signs").mended_by("rootcellar issuer activate, of another")
        );
    }
    args.word.give(session, (&charter, &bundle), spki_sha256, IssuerState::Retired)
}

impl Word {
    /// Signs the trust bundle in which the issuer has this state, and hands it in or writes it down for other officers.
    fn give(
        &self,
        session: &Session,
        (charter, bundle): (&Charter, &Bundle),
        spki_sha256: [u8; 32],
        state: IssuerState,
    ) -> Result<(), Failure> {
        if charter.quorum() > 1 && self.out.is_none() {
            let what = format!("{} officers sign a trust bundle of this cell", charter.quorum());
            return Err(Failure::usage(what).mended_by("the same with --out DIR, for the others to approve"));
        }
        let contents = bundles::with_issuer(bundle.contents(), charter, spki_sha256, state)
            .ok_or_else(|| Failure::new("INTERNAL", "an issuer that was just found is not there"))?;
        let draft = contents.draft().map_err(|error| Failure::new("INTERNAL", error))?;
        let (_, key) = officer_key::load(session, self.officer_key.as_ref())?;
        let note = countersign(draft, charter.officers(), &key)
            .map_err(|error| Failure::new("NOT_SIGNED", error))?;
        if let Some(out) = &self.out {
            let dir = Directory::create(out).map_err(|error| Failure::new("FILE", error))?;
            dir.write(directory::BUNDLE, &note).map_err(|error| Failure::new("FILE", error))?;
            let issuer = HEXLOWER.encode(&spki_sha256);
            return session.output().say(&Waits {
                issuer,
                state: state.to_string(),
                directory: out.display().to_string(),
            });
        }
        import::bundle(session, note.clone())?;
        let bundle = Bundle::open(&note, charter).map_err(|error| Failure::new("NOT_APPROVED", error))?;
        session.output().say(&Issuers::of(&bundle))
    }
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

/// The only issuer that stands ready.
fn ready(bundle: &Bundle) -> Result<[u8; 32], Failure> {
    let mut ready = bundle.issuers().iter().filter(|line| line.state == IssuerState::Prepared);
    match (ready.next(), ready.count()) {
        (Some(only), 0) => Ok(only.spki_sha256),
        (None, _) => Err(Failure::new("NOT_FOUND", "no issuer stands ready")
            .mended_by("rootcellar issuer prepare --out DIR; or give its SHA-256: rootcellar issuer list")),
        (Some(_), more) => Err(Failure::usage(format!("{} issuers stand ready: say which", more + 1))
            .mended_by("rootcellar issuer list")),
    }
}

#[derive(Serialize)]
struct Waits {
    issuer: String,
    state: String,
    directory: String,
}

impl Show for Waits {
    fn show(&self, page: &mut Page) {
        page.field(&self.state, &self.issuer);
        page.field("written", &self.directory);
        page.line("Next, each officer:");
        page.line(&format!("  rootcellar ceremony approve {}", self.directory));
        page.line("then:");
        page.line(&format!("  rootcellar ceremony import {}", self.directory));
    }
}
