//! `rootcellar init`: a cell founded by one officer. Numbered; each step says what a crash after it leaves.
//!
//! A founding that does not come to its end is not resumed: nothing was issued, so its directories are removed and it is begun anew.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use cell::{Act, TrustDomain};
use certs::compose::{Ca, Serial, Tbs, Validity};
use certs::lint::Expected;
use certs::{ATTRIBUTES_OID, Attributes, Issuer, Profile, PublicKey};
use data_encoding::HEXLOWER;
use hsm_config::KeyAlgorithm;
use keeper::Founder;
use ledger::bundle::{Contents, Log};
use ledger::charter::Charter;
use ledger::entry::entry::Kind;
use ledger::entry::{self, Attribute, CaCertificate, CaRole, Custody, KeyCustody};
use ledger::note::{KeyName, Note, NoteSigner, VerifierKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::host::{GeneratedKey, HostError, TokenHost};
use crate::officer::{self, OfficerKey};

/// How long the officer's approval of the first issuer counts, in seconds.
const APPROVAL_SECS: i64 = 600;
/// The one file that may be in a data directory before a cell is.
const CONFIGURATION: &str = "rootcellar.toml";
/// SubjectPublicKeyInfo of an Ed25519 key up to its 32 octets (RFC 8410 §4).
const ED25519_SPKI_PREFIX: usize = 12;

/// What to found.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Trust domain.
    pub cell: TrustDomain,
    /// The service's data directory.
    pub data_dir: PathBuf,
    /// The officer's own directory.
    pub officer_dir: PathBuf,
    /// Name of the officer.
    pub officer: String,
    /// Kind of the root's key.
    pub root_key: KeyAlgorithm,
    /// Kind of the issuer's key.
    pub issuing_key: KeyAlgorithm,
    /// Kind of the log's key.
    pub log_key: KeyAlgorithm,
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
}

/// What was founded.
#[derive(Clone, Debug)]
pub struct Founded {
    /// The root's certificate, DER.
    pub root: Vec<u8>,
    /// The issuer's certificate, DER.
    pub issuer: Vec<u8>,
    /// The officer's public key as notes name it.
    pub officer: VerifierKey,
    /// Label and serial of the root's and of the service's token.
    pub tokens: [(String, String); 2],
    /// The root's, the issuer's and the log's key.
    pub keys: [GeneratedKey; 3],
    /// Origin of the log.
    pub origin: String,
}

/// A cell could not be founded.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// The operator's: there is one.
    #[error("{} is not empty: a cell was founded there, or begun. One that was only begun is removed and begun anew", .0.display())]
    NotEmpty(PathBuf),
    /// The operator's: others could read what will be in it.
    #[error("{path} is open to others (mode {mode:04o}): chmod 0700 {path}", path = .path.display())]
    TooWide {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The operator's: the directory cannot be used.
    #[error("{path}: {source}", path = .path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The token's, or the operator's.
    #[error("{token}: {source}")]
    Token {
        /// Which token.
        token: &'static str,
        /// What it reported.
        source: HostError,
    },
    /// The operator's: the officer's key file.
    #[error(transparent)]
    Officer(#[from] officer::KeyFileError),
    /// The disk's.
    #[error(transparent)]
    Journal(#[from] keeper::FoundingError),
    /// The token's: it returned a signature that is not its key's (invariant I4).
    #[error("the root's token returned a signature that does not verify: it is not used")]
    BadSignature,
    /// The operating system's.
    #[error("no random numbers from the operating system")]
    NoRandom,
    /// Our own: {0}.
    #[error("a fault of our own: {0}")]
    Internal(String),
}

fn internal(error: impl ToString) -> FoundError {
    FoundError::Internal(error.to_string())
}

/// Founds the cell. `service` and `root` are the processes of the two tokens.
///
/// # Errors
/// As the variants say.
pub fn found(plan: &Plan, service: &mut TokenHost, root: &mut TokenHost) -> Result<Founded, FoundError> {
    // 1. Both tokens, and the keys in them. A crash leaves keys that signed nothing.
    let in_service = |source| FoundError::Token { token: "the service's token", source };
    let in_root = |source| FoundError::Token { token: "the root's token", source };
    let service_token = service.provision().map_err(in_service)?;
    let root_token = root.provision().map_err(in_root)?;
    let root_key = root.generate("rootcellar root", plan.root_key).map_err(in_root)?;
    let issuing_key = service.generate("rootcellar issuer", plan.issuing_key).map_err(in_service)?;
    let log_key = service.generate("rootcellar log", plan.log_key).map_err(in_service)?;

    // 2. The officer's key and the charter, entry 0. A crash leaves a journal without an issuer, which no keeper starts on.
    let mut seed = Zeroizing::new([0u8; 32]);
    getrandom::fill(&mut *seed).map_err(|_| FoundError::NoRandom)?;
    let name: KeyName = format!("{}/officer/{}", plan.cell, plan.officer).parse().map_err(internal)?;
    let officer = OfficerKey::create(&plan.officer_dir.join("officer.key"), name, &seed)?;
    let note = officer::found_charter(plan.cell.as_ref(), &[officer.key().clone()], 1, &[&officer])
        .map_err(internal)?;
    let charter = Charter::found(&note).map_err(internal)?;
    let origin = format!("{}/log/1", plan.cell);
    let mut founding = Founding {
        plan,
        founder: Founder::create(&plan.data_dir, plan.cell.as_ref(), &origin)?,
        officer,
        charter,
    };
    let charter_text = note.to_string();
    founding.record(Kind::Charter(entry::Charter { note: charter_text.clone().into_bytes() }))?;
    write(&plan.officer_dir.join("charter.note"), &charter_text)?;

    // 3. The root signs itself, then the issuer: each recorded before it is signed (invariant I2).
    let root_spki = spki(&root_key)?;
    let root_certificate = founding.certify(root, &root_spki, &root_spki, None)?;
    let anchor = Issuer::parse(&root_certificate).map_err(internal)?;
    let issuing_spki = spki(&issuing_key)?;
    let issuer = founding.certify(root, &issuing_spki, &root_spki, Some(&anchor))?;

    // 4. What the keys are like, the bundle, and the officer's word for the issuer. Only the last makes the cell usable.
    let custody = [
        ("root", &root_key, &root_token),
        ("issuer", &issuing_key, &service_token),
        ("log", &log_key, &service_token),
    ];
    founding.record(Kind::Custody(Custody {
        keys: custody.map(|(purpose, key, token)| key_custody(purpose, key, token)).to_vec(),
        ..Custody::default()
    }))?;
    let log =
        Log { origin: origin.parse().map_err(internal)?, key: note_key(&origin, &log_key, plan.log_key)? };
    founding.publish(log, root_certificate.clone())?;
    founding.activate(&origin, &issuing_spki)?;
    Ok(Founded {
        root: root_certificate,
        issuer,
        officer: founding.officer.key().clone(),
        tokens: [root_token, service_token],
        keys: [root_key, issuing_key, log_key],
        origin,
    })
}

/// Makes the two directories, private and empty but for a configuration.
///
/// # Errors
/// They are not empty, open to others, or cannot be made.
pub fn prepare(plan: &Plan) -> Result<(), FoundError> {
    for path in [&plan.data_dir, &plan.officer_dir] {
        let failed = |source| FoundError::Directory { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let mode = std::fs::metadata(path).map_err(failed)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(FoundError::TooWide { path: path.clone(), mode });
        }
        for there in std::fs::read_dir(path).map_err(failed)? {
            // A configuration written beforehand is no cell.
            if there.map_err(failed)?.file_name() != CONFIGURATION {
                return Err(FoundError::NotEmpty(path.clone()));
            }
        }
    }
    Ok(())
}

struct Founding<'a> {
    plan: &'a Plan,
    founder: Founder,
    officer: OfficerKey,
    charter: Charter,
}

impl Founding<'_> {
    fn record(&mut self, kind: Kind) -> Result<(), FoundError> {
        self.founder.record(self.plan.now_ms, kind)?;
        Ok(())
    }

    /// Composes, lints, records, signs, verifies and stores a CA certificate; `anchor` is its issuer, none for the root.
    fn certify(
        &mut self,
        root: &mut TokenHost,
        subject: &[u8],
        signer: &[u8],
        anchor: Option<&Issuer>,
    ) -> Result<Vec<u8>, FoundError> {
        let public_key = PublicKey::try_from(subject).map_err(internal)?;
        let serial = serial(root)?;
        let now = u64::try_from(self.plan.now_ms.div_euclid(1000)).map_err(internal)?;
        let validity = match anchor {
            None => Validity::for_root(now),
            Some(anchor) => Validity::for_issuer(now, anchor),
        }
        .map_err(internal)?;
        let ca = Ca { cell: &self.plan.cell, public_key: &public_key, serial, validity };
        let tbs = match anchor {
            None => certs::compose::root(&ca),
            Some(anchor) => certs::compose::issuer(anchor, &ca),
        };
        let tbs = lint(tbs.map_err(internal)?, &ca, anchor, now)?;
        let role = if anchor.is_some() { CaRole::Issuer } else { CaRole::Root };
        let recorded = self.founder.record(
            self.plan.now_ms,
            Kind::CaCertificate(CaCertificate {
                role: role.into(),
                tbs: tbs.as_bytes().to_vec(),
                signer_spki_sha256: Sha256::digest(signer).to_vec(),
            }),
        )?;
        let signature = root
            .sign(signer, tbs.as_bytes())
            .map_err(|source| FoundError::Token { token: "the root's token", source })?;
        let signer = PublicKey::try_from(signer).map_err(internal)?;
        let algorithm = certs::SignatureAlgorithm::of(signer.kind());
        algorithm.verify_by(&signer, tbs.as_bytes(), &signature).map_err(|_| FoundError::BadSignature)?;
        let certificate = certs::compose::join(tbs.as_bytes(), algorithm, &signature);
        self.founder.store_signature(recorded, &signature, &certificate)?;
        Ok(certificate)
    }

    fn publish(&mut self, log: Log, anchor: Vec<u8>) -> Result<(), FoundError> {
        let contents = Contents {
            cell: self.plan.cell.to_string(),
            number: 1,
            charter_revision: self.charter.revision(),
            logs: vec![log],
            anchors: vec![anchor],
        };
        let note = officer::publish_bundle(&contents, &self.charter, &[&self.officer])
            .map_err(internal)?
            .to_string();
        self.record(Kind::Bundle(entry::Bundle { note: note.clone().into_bytes() }))?;
        write(&self.plan.officer_dir.join("bundle.note"), &note)
    }

    fn activate(&mut self, origin: &str, issuing_spki: &[u8]) -> Result<(), FoundError> {
        let act = Act::IssuerActivate { spki_sha256: Sha256::digest(issuing_spki).into() };
        let mut nonce = [0u8; 16];
        getrandom::fill(&mut nonce).map_err(|_| FoundError::NoRandom)?;
        let terms = officer::ProposalTerms {
            charter: &self.charter,
            log: &origin.parse().map_err(internal)?,
            nonce,
            expires_unix: self.plan.now_ms.div_euclid(1000) + APPROVAL_SECS,
        };
        let note: Note =
            officer::propose(act.name(), &act.fields(), &terms, &[&self.officer]).map_err(internal)?;
        self.record(Kind::Act(entry::Act { note: note.to_string().into_bytes() }))
    }
}

fn lint(tbs: Tbs, ca: &Ca<'_>, anchor: Option<&Issuer>, now: u64) -> Result<Tbs, FoundError> {
    let expected = Expected {
        profile: if anchor.is_some() { Profile::Issuer } else { Profile::Root },
        issuer: anchor,
        uri: &ca.cell.uri(),
        dns_names: &[],
        ip_addresses: &[],
        attributes: &Attributes::default(),
        attributes_oid: ATTRIBUTES_OID,
        public_key: ca.public_key,
        validity: ca.validity,
        now,
    };
    match certs::lint::check(tbs, &expected) {
        Ok(linted) => Ok(linted.into_tbs()),
        Err(findings) => {
            Err(internal(findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
        }
    }
}

/// 159 bits from the root's token and the operating system.
fn serial(root: &mut TokenHost) -> Result<Serial, FoundError> {
    let token = root.random().map_err(|source| FoundError::Token { token: "the root's token", source })?;
    let mut system = [0u8; 32];
    getrandom::fill(&mut system).map_err(|_| FoundError::NoRandom)?;
    Serial::try_from(keeper::mix_entropy::<20>(&token, &system, "rootcellar/v1 serial")).map_err(internal)
}

fn spki(key: &GeneratedKey) -> Result<Vec<u8>, FoundError> {
    HEXLOWER.decode(key.spki.as_bytes()).map_err(internal)
}

/// The log's key as notes name it: Ed25519 where the token has it, else ECDSA on P-256.
fn note_key(origin: &str, key: &GeneratedKey, algorithm: KeyAlgorithm) -> Result<VerifierKey, FoundError> {
    let name: KeyName = origin.parse().map_err(internal)?;
    let spki = spki(key)?;
    match algorithm {
        KeyAlgorithm::Ed25519 => {
            let octets = spki.get(ED25519_SPKI_PREFIX..).and_then(|octets| octets.try_into().ok());
            VerifierKey::ed25519(name, octets.ok_or_else(|| internal("an Ed25519 key of another length"))?)
                .map_err(internal)
        }
        KeyAlgorithm::EcdsaP256 => VerifierKey::ecdsa_p256(name, &spki).map_err(internal),
        other => Err(internal(format!("a log key is ed25519 or p256, not {other}"))),
    }
}

fn key_custody(purpose: &str, key: &GeneratedKey, (label, serial): &(String, String)) -> KeyCustody {
    let attribute = |(name, value): &(String, String)| Attribute { name: name.clone(), value: value.clone() };
    KeyCustody {
        purpose: purpose.to_owned(),
        spki_sha256: spki(key).map(|spki| Sha256::digest(spki).to_vec()).unwrap_or_default(),
        cka_id: HEXLOWER.decode(key.id.as_bytes()).unwrap_or_default(),
        token_label: label.clone(),
        token_serial: serial.clone(),
        attributes: key.attributes.iter().map(attribute).collect(),
        ..KeyCustody::default()
    }
}

fn write(path: &Path, text: &str) -> Result<(), FoundError> {
    std::fs::write(path, text).map_err(|source| FoundError::Directory { path: path.to_owned(), source })
}
