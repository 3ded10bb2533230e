//! `rootcellar ceremony verify`: a transcript, judged off line.

use std::path::{Path, PathBuf};

use audit::ceremony::{Evidence, EvidenceError};
use ceremony::directory::Directory;
use clap::Args;
use data_encoding::HEXLOWER;
use ledger::charter::{Charter, Charters, Terms};
use ledger::note::{Note, VerifierKey};
use ledger::transcript::Transcript;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sys::durable;

use super::charters;
use crate::client::own;
use crate::client::own::charters as charters_of;
use crate::error::Failure;
use crate::files::{self, PUBLIC};
use crate::output::{Page, Show};
use crate::session::Session;

/// Verify a transcript off line: the quorum's approvals, each key's proof and attributes, each certificate. A line that was altered is named
#[derive(Debug, Args)]
#[command(after_help = "\
Give the officers' public keys with --officer and --quorum (they must make the very charter that the plan names), or a charter's note; \
without either the officer's own copy counts, and where there is none, charter.note beside the transcript. Of charters that follow one another \
the one under which the plan was approved counts.

Examples:
  rootcellar ceremony verify found/transcript.note
  rootcellar ceremony verify transcript.note --quorum 2 --officer KEY --officer KEY --officer KEY
  rootcellar ceremony verify root-crl-1/transcript.note --out published/     # root-1a2b3c4d.crl.pem")]
pub(crate) struct Verify {
    /// The transcript
    transcript: PathBuf,
    /// The charter's note
    #[arg(long, value_name = "FILE", conflicts_with_all = ["officer", "quorum"])]
    charter: Option<PathBuf>,
    /// The public keys of the charter's officers, in its order
    #[arg(long, value_name = "KEY", requires = "quorum")]
    officer: Vec<VerifierKey>,
    /// How many of them approve
    #[arg(long, value_name = "N", requires = "officer")]
    quorum: Option<u8>,
    /// Certificates of roots that were there before, PEM [default: the officer's trust bundle, then what the transcript tells]
    #[arg(long, value_name = "FILE")]
    anchors: Option<PathBuf>,
    /// Write the certificates and CRLs that it proves into this directory, PEM, each named by the beginning of its SHA-256
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(session: &Session, args: &Verify) -> Result<(), Failure> {
    let bytes = files::read(&args.transcript)?;
    let (charter, whose) = charter(session, args, &bytes)?;
    let mut anchors = match &args.anchors {
        Some(path) => files::read_certificates(path)?,
        None => own::bundle(session, &charter).map(|bundle| bundle.anchors().to_vec()).unwrap_or_default(),
    };
    let told = Evidence::roots_told(&bytes);
    let told: Vec<Vec<u8>> = told.into_iter().filter(|root| !anchors.contains(root)).collect();
    anchors.extend(told.iter().cloned());
    let evidence = Evidence::open(&bytes, &charter, &anchors)?;
    if let Some(dir) = &args.out {
        export(&evidence, dir)?;
    }
    session.output().say(&Verified {
        roots_told: told.iter().map(|root| sha256(root)).collect(),
        ..Verified::new(&evidence, &charter, whose)
    })
}

/// The certificates and CRLs, each in a file of its own.
fn export(evidence: &Evidence, dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(|error| Failure::file(dir, error))?;
    let write = |profile: &str, label: &str, extension: &str, der: &[u8]| {
        let hash = HEXLOWER.encode(&Sha256::digest(der)[..4]);
        files::replace(
            &dir.join(format!("{profile}-{hash}.{extension}")),
            files::pem_of(label, der).as_bytes(),
            PUBLIC,
        )
    };
    for one in &evidence.certificates {
        write(&one.profile.to_string(), "CERTIFICATE", "pem", &one.der)?;
    }
    // RFC 7468 §6.
    evidence.crls.iter().try_for_each(|der| write("root", "X509 CRL", "crl.pem", der))?;
    Ok(())
}

/// Whose approvals count, and who says so. What is wrong with a transcript that was altered so far that it names none, its judge says.
fn charter(session: &Session, args: &Verify, bytes: &[u8]) -> Result<(Charter, &'static str), Failure> {
    let plan = Note::parse(bytes).ok().and_then(|note| Transcript::read(&note).ok()?.plan().ok());
    if let Some(quorum) = args.quorum {
        let (cell, revision) = match plan {
            Some(plan) => (plan.cell, plan.charter_revision),
            None => (session.config()?.cell().to_string(), 1),
        };
        let terms = Terms { cell, revision, quorum, officers: args.officer.clone() };
        return Charter::known(terms)
            .map(|charter| (charter, "of the officers that were given"))
            .map_err(|error| Failure::unverified("the charter", error));
    }
    // What was approved under a charter counts under it, whatever followed.
    let then = |chain: &Charters| {
        let named = plan.as_ref().and_then(|plan| chain.of_revision(plan.charter_revision));
        named.unwrap_or(chain.in_force()).clone()
    };
    if let Some(path) = &args.charter {
        return Ok((then(&charters_of(&files::read(path)?)?), "as it was given"));
    }
    if let Some(chain) = own::chain(session.places()?.officer())? {
        return Ok((then(&chain), "the officer's own copy"));
    }
    let charter = charters::in_force(session, &Directory::at(durable::parent(&args.transcript)))?;
    Ok((charter, "beside the transcript: nobody else says that these are the officers; compare them"))
}

fn sha256(der: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(der))
}

impl From<EvidenceError> for Failure {
    fn from(error: EvidenceError) -> Self {
        let failure = Self::new("NOT_VERIFIED", &error);
        if error.lacks_a_signature() {
            return failure.mended_by("rootcellar ceremony approve, by an officer who was present");
        }
        if error.lacks_a_root() {
            return failure.mended_by("the same with --anchors FILE, of the roots that were there before");
        }
        failure
    }
}

#[derive(Serialize)]
struct Verified {
    cell: String,
    ceremony: String,
    approved_by: Vec<String>,
    quorum: u8,
    charter: &'static str,
    present: Vec<String>,
    keys: Vec<Key>,
    certificates: Vec<Certificate>,
    crls: usize,
    /// SHA-256 of roots of which the transcript alone tells.
    roots_told: Vec<String>,
    destroyed: Vec<String>,
    /// Keys that were not found, and that may have been gone before.
    gone: Vec<String>,
}

#[derive(Serialize)]
struct Key {
    name: String,
    sha256: String,
    token: String,
    /// Claims of invariant I1 from which the officers excused it.
    exceptions: Vec<String>,
}

#[derive(Serialize)]
struct Certificate {
    profile: String,
    sha256: String,
}

impl Verified {
    fn new(evidence: &Evidence, charter: &Charter, whose: &'static str) -> Self {
        let plan = evidence.plan.plan();
        Self {
            cell: plan.cell.clone(),
            ceremony: plan.ceremony.to_string(),
            approved_by: evidence.plan.approvals().officers().iter().map(ToString::to_string).collect(),
            quorum: charter.quorum(),
            charter: whose,
            present: evidence.present.iter().map(ToString::to_string).collect(),
            keys: evidence
                .keys
                .iter()
                .map(|key| Key {
                    name: key.name.clone(),
                    sha256: HEXLOWER.encode(&key.public_key.spki_sha256()),
                    token: format!("{} (serial {})", key.token.0, key.token.1),
                    exceptions: key.exceptions.clone(),
                })
                .collect(),
            certificates: evidence
                .certificates
                .iter()
                .map(|one| Certificate { profile: one.profile.to_string(), sha256: sha256(&one.der) })
                .collect(),
            crls: evidence.crls.len(),
            roots_told: Vec::new(),
            destroyed: evidence.destroyed.iter().map(|key| HEXLOWER.encode(key)).collect(),
            gone: evidence.gone.iter().map(|key| HEXLOWER.encode(key)).collect(),
        }
    }
}

impl Show for Verified {
    fn show(&self, page: &mut Page) {
        page.field("verified", format!("a ceremony ({}) of the cell {}", self.ceremony, self.cell));
        page.field("approved", format!("{} ({} needed)", self.approved_by.join(", "), self.quorum));
        page.field("charter", self.charter);
        page.field("present", self.present.join(", "));
        for key in &self.keys {
            page.field(&format!("{} key", key.name), format!("sha256 {}, made in {}", key.sha256, key.token));
            if !key.exceptions.is_empty() {
                page.field("  excused from", key.exceptions.join(", "));
            }
        }
        for certificate in &self.certificates {
            page.field(
                &format!("{} certificate", certificate.profile),
                format!("sha256 {}", certificate.sha256),
            );
        }
        for root in &self.roots_told {
            page.field(
                "under the root",
                format!("sha256 {root}, says the transcript: compare it with one you trust"),
            );
        }
        if self.crls > 0 {
            page.field("CRLs", self.crls);
        }
        for key in &self.destroyed {
            page.field("destroyed", format!("the key {key}"));
        }
        for key in &self.gone {
            page.field(
                "not found",
                format!(
                    "the key {key}: no proof that it was there to be destroyed, it may have been gone before"
                ),
            );
        }
    }
}
