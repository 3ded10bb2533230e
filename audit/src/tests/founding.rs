//! The ceremony that makes the cell's keys, as its transcript tells it.

use cell::TrustDomain;
use certs::compose::{self, Serial, join};
use certs::{Issuer, PublicKey, SignatureAlgorithm};
use data_encoding::{BASE64, HEXLOWER};
use jiff::Timestamp;
use ledger::charter::Charter;
use ledger::note::{Ed25519Signer, Note};
use ledger::plan::{ApprovedPlan, Ceremony, Certify, CertifyAs, KeyRef, MakeKey, Plan, Step};
use ledger::transcript::Transcript;
use rcgen::{KeyPair, SigningKey as _};
use sha2::{Digest as _, Sha256};

use super::{Authority, CELL, NOW, public, signed};
use crate::attributes::REQUIRED;
use crate::ceremony::{CaOrder, step_name};

/// When it was.
const AT: i64 = NOW - 1000;
const DAYS: u32 = 365;
const ROOT_TOKEN: &str = "pkcs11:token=root;model=by%20hand";
const ISSUING_TOKEN: &str = "pkcs11:token=issuing;model=by%20hand";
/// Either alone signs P-256.
const ALGORITHM: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;

/// What it made, and the note that tells it.
pub(super) struct Founding {
    pub(super) root: Authority,
    pub(super) issuer: Authority,
    pub(super) transcript: Note,
}

fn step_key(name: &str, token: &str) -> Step {
    Step::MakeKey(MakeKey {
        name: name.into(),
        algorithm: "p256".into(),
        token: token.into(),
        label: format!("rootcellar {name}"),
        exceptions: Vec::new(),
    })
}

fn step_certificate(profile: CertifyAs, subject: &str) -> Step {
    let key = |name: &str| KeyRef::Named(name.into());
    let token = ROOT_TOKEN.into();
    Step::Certify(Certify { profile, subject: key(subject), signer: key("root"), token, days: DAYS })
}

pub(super) fn hold(charter: &Note, officer: &Ed25519Signer, keys: [KeyPair; 2]) -> Founding {
    let charter = Charter::found(charter).unwrap();
    let plan = Plan {
        cell: CELL.into(),
        ceremony: Ceremony::Found,
        charter_revision: 1,
        charter_sha256: charter.sha256(),
        quorum: 1,
        // No two are the same.
        nonce: public(&keys[0]).key_identifier()[..16].try_into().unwrap(),
        expires_unix: NOW,
        steps: vec![
            step_key("root", ROOT_TOKEN),
            step_certificate(CertifyAs::Root, "root"),
            step_key("issuer", ISSUING_TOKEN),
            step_certificate(CertifyAs::Issuer, "issuer"),
        ],
    };
    let note = signed(plan.draft().unwrap(), officer);
    let approved = Plan::approve(&note, &charter, AT).unwrap();
    let [root, issuer] = keys;
    let root = certificate(CertifyAs::Root, root, None, 1);
    let issuer = certificate(CertifyAs::Issuer, issuer, Some(&root), 2);
    let fields = transcript_fields(&approved, [&root, &issuer]);
    let transcript = Transcript { cell: CELL.into(), plan: note.to_string(), fields };
    Founding { root, issuer, transcript: signed(transcript.draft().unwrap(), officer) }
}

fn certificate(profile: CertifyAs, key: KeyPair, by: Option<&Authority>, serial: u8) -> Authority {
    let (cell, public_key): (TrustDomain, PublicKey) = (CELL.parse().unwrap(), public(&key));
    let order = CaOrder {
        cell: &cell,
        profile,
        public_key: &public_key,
        signer: by.map(|by| &by.issuer),
        days: DAYS,
        at_secs: AT.unsigned_abs(),
    };
    let tbs = order.compose(Serial::try_from([serial; 20]).unwrap()).unwrap().tbs().as_bytes().to_vec();
    let signature = by.map_or(&key, |by| &by.key).sign(&tbs).unwrap();
    let issuer = Issuer::parse(&join(&tbs, ALGORITHM, &signature)).unwrap();
    Authority { key, issuer, tbs }
}

fn transcript_fields(plan: &ApprovedPlan, made: [&Authority; 2]) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut line = |key: &str, value: String| lines.push((key.to_owned(), value));
    let at = Timestamp::from_second(AT).unwrap().to_string();
    let sha256 = |octets: &[u8]| HEXLOWER.encode(&Sha256::digest(octets));
    line("tool", "rootcellar 0.1.0".into());
    line("binary-sha256", sha256(b"rootcellar"));
    line("began", at.clone());
    line("ended", at.clone());
    for (opening, uri, label) in [(1, ROOT_TOKEN, "root"), (2, ISSUING_TOKEN, "issuing")] {
        line("token", uri.into());
        line("opening", format!("{opening}"));
        line("token-label", label.into());
        line("token-serial", "0001".into());
        line("token-model", "by hand".into());
        line("module", "none".into());
        line("module-sha256", sha256(b"module"));
        line("library", "none".into());
        line("attestation", "none".into());
        line("entropy", "healthy".into());
        line("system-entropy", "healthy".into());
    }
    for (step, what) in plan.plan().steps.iter().enumerate() {
        let ca = made[step / 2];
        line("step", format!("{} {}", step + 1, step_name(what)));
        if let Step::MakeKey(make) = what {
            let spki = ca.issuer.public_key().spki_der();
            let info = compose::request(&CELL.parse().unwrap(), ca.issuer.public_key()).unwrap();
            let csr = join(&info, ALGORITHM, &ca.key.sign(&info).unwrap());
            line("opening", format!("{}", step / 2 + 1));
            line("cka-id", HEXLOWER.encode(&plan.cka_id(step)));
            line("cka-label", make.label.clone());
            line("algorithm", make.algorithm.clone());
            line("public-key-sha256", sha256(spki));
            line("public-key", BASE64.encode(spki));
            for (name, value, _) in REQUIRED {
                line("attribute", format!("{name} {value}"));
            }
            line("csr", BASE64.encode(&csr));
        } else {
            let der = ca.issuer.certificate_der();
            line("composed", at.clone());
            line("sha256", sha256(der));
            line("certificate", BASE64.encode(der));
        }
    }
    lines
}
