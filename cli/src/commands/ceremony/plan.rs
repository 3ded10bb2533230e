//! `rootcellar ceremony plan`: writes a plan for officers to approve.

mod args;
mod without;

use std::path::Path;

use cell::RevocationReason;
use ceremony::directory::{self, Directory};
use ceremony::execute::lint;
use ceremony::plans::{ISSUER_DAYS, KeyIn, RootIn, Terms, terms_of};
use certs::Issuer;
use data_encoding::HEXLOWER;
use keeper::bundles;
use ledger::bundle::Bundle;
use ledger::charter::{self, Charter};
use ledger::note::{KeyName, Note, VerifierKey};
use ledger::plan::{Ceremony, Plan as CeremonyPlan, Revoke};
use serde::Serialize;

pub(crate) use args::Plan;
use args::{Issuing, NewCharter, Written};

use super::charters;
use super::execute::Sha256Hex;
use crate::client::own;
use crate::config::Config;
use crate::error::Failure;
use crate::files;
use crate::output::{Page, Show};
use crate::session::Session;
use crate::tokens::{Which, place};

/// Plans an issuing key in the standby token, good for a day, and says nothing. A plan that is there already must be that one, but for its
/// nonce and its end.
///
/// # Errors
/// As the command; another plan is there.
pub(super) fn standby(session: &Session, dir: &Path) -> Result<(), Failure> {
    let expires = "1d".parse().map_err(Failure::usage)?;
    let written = Written { out: dir.to_owned(), expires };
    let args = Issuing { token: Which::Standby, algorithm: None, days: ISSUER_DAYS, signer: None, written };
    let args = Plan::Issuer(args);
    let config = session.config()?;
    let charter = charters::pinned(session)?.ok_or_else(|| Failure::new("NO_CHARTER", "there is no cell"))?;
    let bundle = own::bundle(session, &charter)?;
    let terms = terms_of(&charter, nonce()?, session.now_secs() + i64::from(args.expires_secs()));
    let plan = plan(session, &config, &bundle, &terms, &args)?;
    let Some(there) = files::note(&Directory::at(dir), directory::PLAN)? else {
        return keep(args.out(), &[], Some(&plan));
    };
    let own = CeremonyPlan::read(&there).is_ok_and(|read| {
        let again = CeremonyPlan { nonce: read.nonce, expires_unix: read.expires_unix, ..plan };
        again.draft().is_ok_and(|again| is_same(there.text(), again.text()))
    });
    if own {
        return Ok(());
    }
    Err(Failure::usage(format!("{} holds another plan than this command's", dir.display()))
        .mended_by("rootcellar ceremony show DIR; the same with --out of a new directory"))
}

/// Whether a text says the same as one of now; a token that was not there yet had no serial number.
fn is_same(there: &str, now: &str) -> bool {
    let without_serial = |line: &str| {
        let (before, rest) = line.split_once(";serial=")?;
        Some(before.to_owned() + rest.find(';').and_then(|end| rest.get(end..)).unwrap_or_default())
    };
    let same =
        |(there, now): (&str, &str)| there == now || without_serial(now).is_some_and(|now| there == now);
    there.lines().count() == now.lines().count() && there.lines().zip(now.lines()).all(same)
}

pub(super) fn run(session: &Session, args: &Plan) -> Result<(), Failure> {
    let config = session.config()?;
    let out = args.out();
    let (nonce, expires_unix) = (nonce()?, session.now_secs() + i64::from(args.expires_secs()));
    if let Plan::Found(args) = args {
        let cell = config.cell().to_string();
        let terms = charter::Terms { cell, revision: 1, quorum: args.quorum, officers: args.officer.clone() };
        let draft = terms.draft().map_err(Failure::usage)?;
        let plan = found(session, &config, &Terms { charter: &terms, nonce, expires_unix })?;
        lint(&plan, &[], &names(&args.officer), session.now_ms())?;
        return write(session, out, &[(directory::CHARTER, draft)], Some(&plan));
    }
    let charter = charters::pinned(session)?.ok_or_else(|| {
        Failure::new("NO_CHARTER", "there is no cell: charter.note is not in the officer's directory")
            .mended_by("rootcellar ceremony plan found --help")
    })?;
    let bundle = own::bundle(session, &charter)?;
    if let Plan::Charter(args) = args {
        let notes = new_charter(&charter, &bundle, args)?;
        return write(session, out, &notes, None);
    }
    if let Plan::Bundle(args) = args {
        let contents = without::apply(&charter, &bundle, args)?;
        let draft = contents.draft().map_err(|error| Failure::new("INTERNAL", error))?;
        return write(session, out, &[(directory::BUNDLE, draft)], None);
    }
    let plan = plan(session, &config, &bundle, &terms_of(&charter, nonce, expires_unix), args)?;
    lint(&plan, bundle.anchors(), &names(charter.officers()), session.now_ms())?;
    write(session, out, &[], Some(&plan))
}

fn names(officers: &[VerifierKey]) -> Vec<KeyName> {
    officers.iter().map(|officer| officer.name().clone()).collect()
}

fn found(session: &Session, config: &Config, terms: &Terms<'_>) -> Result<CeremonyPlan, Failure> {
    let (root, issuing) = (place(session, config, Which::Root)?, place(session, config, Which::Issuing)?);
    Ok(terms.found(
        KeyIn { token: &root, algorithm: config.root_key() },
        KeyIn { token: &issuing, algorithm: config.issuing_key() },
        KeyIn { token: &issuing, algorithm: config.log_key() },
    ))
}

fn plan(
    session: &Session,
    config: &Config,
    bundle: &Bundle,
    terms: &Terms<'_>,
    args: &Plan,
) -> Result<CeremonyPlan, Failure> {
    let place = |which| place(session, config, which);
    let root_in = |token, spki_sha256| RootIn { token, spki_sha256 };
    Ok(match args {
        Plan::Root(args) => {
            let algorithm = args.algorithm.unwrap_or(config.root_key());
            terms.root(KeyIn { token: &place(Which::Root)?, algorithm }, args.days)
        }
        Plan::Issuer(issuing) | Plan::Rotation(issuing) => {
            let (token, root) = (place(issuing.token)?, place(Which::Root)?);
            let algorithm = issuing.algorithm.unwrap_or(config.issuing_key());
            // The service's first token has a log key already.
            let log = (issuing.token != Which::Issuing)
                .then_some(KeyIn { token: &token, algorithm: config.log_key() });
            let kind = if matches!(args, Plan::Rotation(_)) { Ceremony::Rotation } else { Ceremony::Issuer };
            terms.issuer(
                kind,
                KeyIn { token: &token, algorithm },
                log,
                root_in(&root, signer(bundle, issuing.signer.as_ref())?),
                issuing.days,
            )
        }
        Plan::LogKey(args) => {
            terms.log_key(KeyIn { token: &place(args.token)?, algorithm: config.log_key() })
        }
        Plan::Cross(args) => {
            let root = place(Which::Root)?;
            terms.cross(hash(&args.subject)?, root_in(&root, signer(bundle, Some(&args.signer))?), args.days)
        }
        Plan::Retirement(args) => {
            let key = hash(&args.key)?;
            if let Some(why) = bundles::needed(bundle.contents(), key) {
                return Err(Failure::usage(why));
            }
            terms.retirement(key, &place(args.token)?)
        }
        Plan::RootCrl(args) => {
            // The newest root is seldom the one that signed what is revoked.
            if args.signer.is_none() && bundle.anchors().len() > 1 {
                return Err(Failure::usage("the trust bundle has several roots: say which signs")
                    .mended_by("the same with --signer SHA256, of the public key of the root that issued what is revoked"));
            }
            let revoked: Result<Vec<Revoke>, Failure> = args.revoke.iter().map(|text| revoke(text)).collect();
            terms.root_crl(
                root_in(&place(Which::Root)?, signer(bundle, args.signer.as_ref())?),
                args.number,
                args.days,
                revoked?,
            )
        }
        Plan::Found(_) | Plan::Charter(_) | Plan::Bundle(_) => {
            return Err(Failure::new("INTERNAL", "planned elsewhere"));
        }
    })
}

fn new_charter(
    charter: &Charter,
    bundle: &Bundle,
    args: &NewCharter,
) -> Result<[(&'static str, Note); 2], Failure> {
    let revision = charter.revision() + 1;
    let terms = charter::Terms {
        cell: charter.cell().to_owned(),
        revision,
        quorum: args.quorum,
        officers: args.officer.clone(),
    };
    let contents = bundle.contents().following(revision);
    Ok([
        (directory::CHARTER, terms.draft().map_err(Failure::usage)?),
        (directory::BUNDLE, contents.draft().map_err(|error| Failure::new("INTERNAL", error))?),
    ])
}

/// The root that signs: the one asked for, which is an anchor, else of several anchors the newest, which stands last.
fn signer(bundle: &Bundle, asked: Option<&String>) -> Result<[u8; 32], Failure> {
    let anchors: Result<Vec<_>, _> = bundle.anchors().iter().map(|der| Issuer::parse(der)).collect();
    let anchors = anchors.map_err(|error| Failure::unverified("the trust bundle", error))?;
    let mut keys = anchors.iter().map(Issuer::spki_sha256);
    let Some(asked) = asked else {
        return keys.next_back().ok_or_else(|| Failure::new("INTERNAL", "a trust bundle without anchors"));
    };
    let asked = hash(asked)?;
    keys.find(|key| *key == asked)
        .ok_or_else(|| Failure::usage("--signer: the trust bundle has no such root"))
}

fn hash(hex: &str) -> Result<[u8; 32], Failure> {
    hex.parse().map(|Sha256Hex(octets)| octets).map_err(|error| Failure::usage(format!("{hex}: {error}")))
}

fn revoke(text: &str) -> Result<Revoke, Failure> {
    let malformed = || Failure::usage(format!("{text}: write SERIAL=REASON, such as 1a2b3c=superseded"));
    let (serial, reason) = text.split_once('=').ok_or_else(malformed)?;
    let serial = HEXLOWER.decode(serial.as_bytes()).map_err(|_| malformed())?;
    let reason: RevocationReason = reason.parse().map_err(|_| malformed())?;
    Ok(Revoke { serial, reason: reason.code() })
}

fn nonce() -> Result<[u8; 16], Failure> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| Failure::new("RANDOM", error))?;
    Ok(nonce)
}

/// Writes what officers are to sign into a directory that holds nothing yet.
fn write(
    session: &Session,
    out: &Path,
    notes: &[(&str, Note)],
    plan: Option<&CeremonyPlan>,
) -> Result<(), Failure> {
    keep(out, notes, plan)?;
    session.output().say(&Planned {
        directory: out.display().to_string(),
        steps: plan.map_or(0, |plan| plan.steps.len()),
    })
}

fn keep(out: &Path, notes: &[(&str, Note)], plan: Option<&CeremonyPlan>) -> Result<(), Failure> {
    let dir = Directory::create(out).map_err(|error| Failure::new("FILE", error))?;
    let holds =
        std::fs::read_dir(dir.path()).map_err(|error| Failure::file(dir.path(), error))?.next().is_some();
    if holds {
        return Err(Failure::usage(format!(
            "{} is not empty: each ceremony has a directory of its own",
            out.display()
        )));
    }
    let draft = plan.map(|plan| plan.draft().map_err(Failure::usage)).transpose()?;
    let plan_note = draft.iter().map(|note| (directory::PLAN, note));
    for (name, note) in notes.iter().map(|(name, note)| (*name, note)).chain(plan_note) {
        dir.write(name, note).map_err(|error| Failure::new("FILE", error))?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Planned {
    directory: String,
    steps: usize,
}

impl Show for Planned {
    fn show(&self, page: &mut Page) {
        page.field("written", &self.directory);
        page.line("");
        if self.steps > 0 {
            page.line("Try it without any of your tokens:");
            page.line(&format!("  rootcellar ceremony execute --rehearse {}", self.directory));
        }
        page.line("Next, each officer:");
        page.line(&format!("  rootcellar ceremony approve {}", self.directory));
    }
}
