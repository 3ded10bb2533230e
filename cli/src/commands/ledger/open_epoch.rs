//! A new epoch of the log, where it went back.

use std::path::{Path, PathBuf};

use audit::entries::LIFETIME_MAX_SECS;
use cell::{Act, LostCertificates};
use ceremony::directory::{self, Directory, DirectoryError};
use ceremony::epoch::{self, Decision, DraftError, Epoch};
use data_encoding::HEXLOWER;
use keeper::{Decided, EpochError, Kept, WentBack};
use ledger::note::{Note, VerifierKey};
use ledger::proposal::Proposal;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::OpenEpoch;
use crate::client::memory;
use crate::error::Failure;
use crate::files::{self, PUBLIC};
use crate::officer_key::load;
use crate::output::{Page, Show};
use crate::session::Session;
use crate::tokens;

/// Name of the officer's own copy of the trust bundle.
const BUNDLE: &str = "bundle.note";
/// Most revocations that one act repeats: its text stays below what an entry holds.
const REPEATED_MAX: usize = 500;

pub(super) fn run(session: &Session, args: &OpenEpoch) -> Result<(), Failure> {
    sys::harden().map_err(|error| Failure::new("EPOCH", error))?;
    let places = session.places()?;
    let oid = session.config()?.attributes_oid();
    let mut kept = tokens::kept(session).unwrap_or_else(|why| {
        tracing::warn!(cause = why, "the service's token was not asked for its newest checkpoint");
        Kept::default()
    });
    kept.checkpoints.extend(memory::all(session)?);
    let went_back = WentBack::read(places.data(), oid, &kept).map_err(failed)?;
    let abandoned: Vec<u64> = went_back.abandoned().collect();
    if !went_back.is_signed() {
        tracing::warn!(
            "no key that this journal knows signed the checkpoint by which entries are lost: the log had another key since, or somebody wrote \
             lost-checkpoint.note. Compare it with what the token keeps, and with checkpoints that others have"
        );
    }
    let epoch = match &args.approved {
        Some(dir) => read(dir)?,
        None => draft(session, args, &went_back)?,
    };
    if let Some(dir) = &args.out {
        return write(session, dir, &epoch, abandoned);
    }
    let (kept, lost) = went_back.sizes();
    let (certificates, revoked) = decided(&epoch.proposal)?;
    let log = went_back.open(&epoch.proposal, &epoch.bundle, session.now_ms()).map_err(failed)?;
    files::replace(&places.officer().join(BUNDLE), epoch.bundle.to_string().as_bytes(), PUBLIC)?;
    session.output().say(&Opened { log, kept, lost, certificates, revoked, abandoned })
}

fn failed(error: EpochError) -> Failure {
    let remedy = match &error {
        EpochError::Signed(_) => {
            "rootcellar ledger open-epoch --out DIR, for the other officers to sign".to_owned()
        }
        EpochError::NotOurCrl => "the same without --crl, or with another list".to_owned(),
        EpochError::NothingLost(_) => "rootcellar serve".to_owned(),
        EpochError::FarBeyond { path, .. } => format!("mv {} /var/tmp/", path.display()),
        EpochError::Journal(journal) if journal.is_damage() => "rootcellar journal restore FILE".to_owned(),
        EpochError::Journal(_) => return Failure::new("EPOCH", error),
    };
    Failure::new("EPOCH", error).mended_by(remedy)
}

/// Both notes, signed by this officer.
fn draft(session: &Session, args: &OpenEpoch, went_back: &WentBack) -> Result<Epoch, Failure> {
    let (_, key) = load(session, args.officer_key.as_ref())?;
    let officer = Directory::at(session.places()?.officer());
    let seen = officer.read(BUNDLE).map_err(unread)?;
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| Failure::new("RANDOM", error))?;
    let expires_unix = session.now_secs() + i64::from(args.expires.secs());
    let decision = Decision {
        decided: decide(args, went_back, expires_unix)?,
        in_doubt: &in_doubt(args, went_back)?,
        seen: seen.as_ref(),
    };
    let drafted = epoch::draft(went_back, &key, &decision, nonce, expires_unix);
    drafted.map_err(|error| match error {
        DraftError::Epoch(error) => failed(error),
        DraftError::Signing(error) => Failure::new("EPOCH", error),
    })
}

/// How certificates and revocations of the lost entries are handled.
fn decide(args: &OpenEpoch, went_back: &WentBack, expires_unix: i64) -> Result<Decided, Failure> {
    let certificates = if args.retire_issuer {
        let active = went_back.bundle().contents().active_issuer();
        let active = active.ok_or_else(|| Failure::usage("the trust bundle names no issuer that signs"))?;
        LostCertificates::Retired(active)
    } else {
        // However late it is carried out.
        let until = jiff::Timestamp::from_second(expires_unix + LIFETIME_MAX_SECS);
        LostCertificates::Until(until.map_err(|error| Failure::usage(error.to_string()))?)
    };
    if args.retire_issuer && !args.crl.is_empty() {
        // CRLs are made for the active issuer alone: these revocations would be on none.
        return Err(Failure::usage(
            "the issuer of these revocations would be retired, and no list is made for it",
        )
        .mended_by("the same with one of --crl and --retire-issuer"));
    }
    let crls: Vec<Vec<u8>> = args.crl.iter().map(|path| crl(path)).collect::<Result<_, _>>()?;
    let revoked = went_back.unknown_of(&crls).map_err(failed)?;
    if revoked.len() > REPEATED_MAX {
        return Err(Failure::usage(format!(
            "{} revocations are to be repeated, and an act takes {REPEATED_MAX}",
            revoked.len()
        ))
        .mended_by("the same with --retire-issuer, and without --crl"));
    }
    Ok(Decided { certificates, revoked })
}

/// A CRL, DER or PEM.
fn crl(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = files::read(path)?;
    Ok(pem::parse(&bytes).map(pem::Pem::into_contents).unwrap_or(bytes))
}

/// The keys of the log that were named.
fn in_doubt(args: &OpenEpoch, went_back: &WentBack) -> Result<Vec<VerifierKey>, Failure> {
    let hash = |key: &VerifierKey| HEXLOWER.encode(&Sha256::digest(audit::note_spki(key)));
    let named = |prefix: &String| {
        let mut keys = went_back.log().keys.iter().filter(|key| hash(key).starts_with(prefix.as_str()));
        match (keys.next(), keys.next()) {
            (Some(only), None) => Ok(only.clone()),
            _ => Err(Failure::usage(format!("no key of the log, or several, begin with {prefix}"))),
        }
    };
    args.without_log_key.iter().map(named).collect()
}

/// How a proposal handles certificates of the lost entries, and how many revocations it repeats.
fn decided(proposal: &Note) -> Result<(String, usize), Failure> {
    let malformed = |error: &dyn std::fmt::Display| Failure::new("EPOCH", error.to_string());
    let proposal = Proposal::read(proposal).map_err(|error| malformed(&error))?;
    match Act::parse(&proposal.act_name, &proposal.act_fields).map_err(|error| malformed(&error))? {
        Act::EpochOpen { certificates, revoked, .. } => Ok((certificates.to_string(), revoked.len())),
        _ => Err(malformed(&"another act")),
    }
}

fn unread(error: DirectoryError) -> Failure {
    Failure::new("FILE_MALFORMED", error)
}

fn read(dir: &Path) -> Result<Epoch, Failure> {
    let note = |name: &str| -> Result<Note, Failure> {
        let note = Directory::at(dir).read(name).map_err(unread)?;
        note.ok_or_else(|| Failure::usage(format!("{} is not there", dir.join(name).display())))
    };
    Ok(Epoch { proposal: note(directory::PROPOSAL)?, bundle: note(directory::BUNDLE)? })
}

fn write(session: &Session, dir: &Path, epoch: &Epoch, abandoned: Vec<u64>) -> Result<(), Failure> {
    let notes = Directory::create(dir).map_err(unread)?;
    notes.write(directory::PROPOSAL, &epoch.proposal).map_err(unread)?;
    notes.write(directory::BUNDLE, &epoch.bundle).map_err(unread)?;
    let approve = format!("rootcellar ceremony approve {}", dir.display());
    let next = format!("rootcellar ledger open-epoch {}", dir.display());
    session.output().say(&Drafted { epoch: dir.to_owned(), abandoned, approve, next })
}

#[derive(Serialize)]
struct Drafted {
    epoch: PathBuf,
    /// Entries of certificates that are given up: nobody signed them.
    abandoned: Vec<u64>,
    approve: String,
    next: String,
}

impl Show for Drafted {
    fn show(&self, page: &mut Page) {
        page.field("epoch", self.epoch.display());
        given_up(page, &self.abandoned);
        page.field("other officers", &self.approve);
        page.field("then", &self.next);
    }
}

/// Whoever has one of these certificates has what nobody is said to have.
fn given_up(page: &mut Page, abandoned: &[u64]) {
    if !abandoned.is_empty() {
        let entries: Vec<String> = abandoned.iter().map(u64::to_string).collect();
        page.field("given up", format!("the unsigned certificates of entries {}", entries.join(", ")));
    }
}

/// What was opened.
#[derive(Serialize)]
struct Opened {
    /// Origin of the log from now on.
    log: String,
    /// Entries that it begins with.
    kept: u64,
    /// Entries that the log before is known to have had.
    lost: u64,
    /// How certificates recorded in the lost entries are handled.
    certificates: String,
    /// Revocations repeated.
    revoked: usize,
    /// Entries of certificates that are given up: nobody signed them.
    abandoned: Vec<u64>,
}

impl Show for Opened {
    fn show(&self, page: &mut Page) {
        page.field("log", &self.log);
        page.field("begins with", format!("{} entries", self.kept));
        page.field("before", format!("the log was known to have {}", self.lost));
        page.field("lost certificates", &self.certificates);
        page.field("repeated", format!("{} revocations", self.revoked));
        given_up(page, &self.abandoned);
        page.line("Removals, grants and freezes recorded in the lost entries are undone: repeat those acts.");
        page.line("Start the service. It does not know certificates recorded in the lost entries, and refuses them;");
        page.line("elsewhere they are believed until they end. Hand the new trust bundle to those who pin the charter.");
    }
}
