//! A tiny cell with its log, made by hand: keys outside of any token, hashes as RFC 9162 writes them.

#[path = "tests/founding.rs"]
mod founding;

use cell::{Act, AgentId, ControllerName, SpiffeId, SpkiDer, TrustDomain};
use certs::compose::{self, Leaf, LeafProfile, Serial, Validity, join};
use certs::{ATTRIBUTES_OID, Attributes, Issuer, PublicKey};
use ledger::Hash;
use ledger::bundle::{Contents, IssuerLine, IssuerState, Log};
use ledger::charter::Terms;
use ledger::checkpoint::Checkpoint;
use ledger::entry::entry::Kind;
use ledger::entry::{self, Entry};
use ledger::note::{Ed25519Signer, KeyName, Note, NoteSigner as _};
use ledger::proof::Proof;
use ledger::proposal::Proposal;
use ledger::request::{self, Together, leaf_of};
use prost::Message;
use proto::v1::{Agent, CreateAgentBody, DeleteAgentBody, IssueCertificateBody, UpdateAgentBody};
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use sha2::{Digest as _, Sha256};

use founding::Founding;

/// When everything happens: 2026-01-01T00:00:00Z.
pub(crate) const NOW: i64 = 1_767_225_600;
pub(crate) const CELL: &str = "prod.example";
pub(crate) const ORIGIN: &str = "prod.example/log/1";

/// Index of the entry with the act that adds the controller, of its certificate, of the agent, and of the agent's certificate.
pub(crate) const ACT: u64 = 5;
pub(crate) const AGENT: u64 = 7;
pub(crate) const LEAF: u64 = 8;

/// A CA key with its certificate.
pub(crate) struct Authority {
    key: KeyPair,
    pub(crate) issuer: Issuer,
    tbs: Vec<u8>,
}

/// An entry with what lies beside it.
#[derive(Clone)]
pub(crate) struct Recorded {
    pub(crate) entry: Vec<u8>,
    /// Of the certificate that it records; empty where there is none.
    pub(crate) signature: Vec<u8>,
    /// Body of the request that it came from.
    pub(crate) request: Option<Vec<u8>>,
}

/// Who asks.
pub(crate) struct Caller {
    pub(crate) key: KeyPair,
    pub(crate) identity: String,
    /// The entry of its certificate.
    pub(crate) certificate: u64,
    pub(crate) sha256: Vec<u8>,
    pub(crate) serial: Vec<u8>,
    /// By its own clock, in milliseconds since 1970.
    pub(crate) signs_ms: i64,
}

/// The cell.
pub(crate) struct Tiny {
    officer: Ed25519Signer,
    log: Ed25519Signer,
    pub(crate) root: Authority,
    pub(crate) issuer: Authority,
    pub(crate) charter: Note,
    pub(crate) bundle: Note,
    /// The entries.
    pub(crate) entries: Vec<Recorded>,
    /// The controller's key and the certificate that it presents.
    pub(crate) controller: Caller,
    /// The agent's certificate and its issuer.
    pub(crate) chain: Vec<Vec<u8>>,
}

pub(crate) fn name(name: &str) -> KeyName {
    name.parse().unwrap()
}

fn public(key: &KeyPair) -> PublicKey {
    PublicKey::try_from(key.subject_public_key_info().as_slice()).unwrap()
}

fn key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

fn cell() -> TrustDomain {
    CELL.parse().unwrap()
}

impl Authority {
    /// A certificate's TBS with its signature, for an hour.
    pub(crate) fn leaf(&self, uri: &SpiffeId, profile: LeafProfile, key: &KeyPair) -> (Vec<u8>, Vec<u8>) {
        let public_key = public(key);
        let validity = Validity::for_lifetime(NOW.unsigned_abs(), 3600, self.issuer.validity()).unwrap();
        // No two keys, no two serial numbers.
        let serial: [u8; 20] = public_key.spki_sha256()[..20].try_into().unwrap();
        let serial = Serial::try_from(serial.map(|octet| octet | 1)).unwrap();
        let leaf = Leaf { profile, uri, public_key: &public_key, serial, validity };
        let tbs = compose::leaf(&self.issuer, &leaf, ATTRIBUTES_OID).unwrap().as_bytes().to_vec();
        let signature = self.key.sign(&tbs).unwrap();
        (tbs, signature)
    }

    fn entry(&self, role: entry::CaRole, signer: &Self) -> Kind {
        Kind::CaCertificate(entry::CaCertificate {
            role: role.into(),
            tbs: self.tbs.clone(),
            signer_spki_sha256: signer.issuer.spki_sha256().to_vec(),
        })
    }

    fn signature(&self) -> Vec<u8> {
        certs::summary::signature_of(self.issuer.certificate_der()).unwrap().to_vec()
    }
}

fn signed(mut note: Note, signer: &Ed25519Signer) -> Note {
    note.sign_with(signer).unwrap();
    note
}

pub(crate) fn reference(index: u64) -> entry::Reference {
    entry::Reference { origin: ORIGIN.to_owned(), index }
}

pub(crate) fn controller() -> ControllerName {
    "build".parse().unwrap()
}

pub(crate) fn agent() -> AgentId {
    "build/logger-1".parse().unwrap()
}

/// Loggers below build/, for a day, a thousand entries an hour.
fn grant() -> cell::Grant {
    cell::Grant {
        name: "default".parse().unwrap(),
        agents: vec!["build/*".parse().unwrap()].try_into().unwrap(),
        roles: vec!["logger".parse().unwrap()].try_into().unwrap(),
        tags: cell::BoundedSet::default(),
        dns: cell::BoundedSet::default(),
        max_ttl: 86_400.try_into().unwrap(),
        budget: 1000.try_into().unwrap(),
    }
}

pub(crate) fn record(roles: &[&str], revision: u64) -> entry::AgentRecord {
    entry::AgentRecord {
        id: agent().to_string(),
        roles: roles.iter().map(ToString::to_string).collect(),
        owner: controller().to_string(),
        revision,
        ..entry::AgentRecord::default()
    }
}

pub(crate) fn change(what: entry::Change, record: entry::AgentRecord) -> Kind {
    let grant = "default".to_owned();
    Kind::AgentChange(entry::AgentChange {
        change: what.into(),
        agent: Some(record),
        grant,
        approval: Some(reference(ACT)),
    })
}

pub(crate) fn profile(roles: &[&str]) -> LeafProfile {
    let roles: Vec<cell::Role> = roles.iter().map(|role| role.parse().unwrap()).collect();
    let attributes = Attributes { roles: roles.try_into().unwrap(), ..Attributes::default() };
    LeafProfile::Agent { dns_names: cell::DnsNames::default(), attributes }
}

impl Tiny {
    /// A cell with a charter, a root, an issuer, a bundle, a controller that may make loggers, an agent and its certificate.
    pub(crate) fn new() -> Self {
        let officer = Ed25519Signer::from_seed(name("prod.example/officer/ada"), &[1; 32]).unwrap();
        let log = Ed25519Signer::from_seed(name(ORIGIN), &[2; 32]).unwrap();
        let terms =
            Terms { cell: CELL.into(), revision: 1, quorum: 1, officers: vec![officer.key().clone()] };
        let charter = signed(terms.draft().unwrap(), &officer);
        let Founding { root, issuer, transcript } = founding::hold(&charter, &officer, [key(), key()]);
        let contents = Contents {
            cell: CELL.into(),
            number: 1,
            charter_revision: 1,
            logs: vec![Log { origin: name(ORIGIN), keys: vec![log.key().clone()] }],
            issuers: vec![IssuerLine {
                state: IssuerState::Active,
                spki_sha256: issuer.issuer.spki_sha256(),
            }],
            anchors: vec![root.issuer.certificate_der().to_vec()],
        };
        let bundle = signed(contents.draft().unwrap(), &officer);
        let (entries, chain) = (Vec::new(), Vec::new());
        let controller = Caller {
            key: key(),
            identity: "/controller/build".into(),
            certificate: ACT + 1,
            sha256: Vec::new(),
            serial: Vec::new(),
            signs_ms: NOW * 1000,
        };
        let mut tiny = Self { officer, log, root, issuer, charter, bundle, entries, controller, chain };
        tiny.fill(&transcript);
        tiny
    }

    fn fill(&mut self, transcript: &Note) {
        let note = self.charter.to_string().into_bytes();
        self.push(Kind::Charter(entry::Charter { note }), Vec::new());
        let transcript = transcript.to_string().into_bytes();
        self.push(Kind::Ceremony(entry::Ceremony { transcript }), Vec::new());
        self.push(self.root.entry(entry::CaRole::Root, &self.root), self.root.signature());
        self.push(self.issuer.entry(entry::CaRole::Issuer, &self.root), self.issuer.signature());
        let note = self.bundle.to_string().into_bytes();
        self.push(Kind::Bundle(entry::Bundle { note }), Vec::new());
        let grants = cell::Grants::try_from(vec![grant()]).unwrap();
        let public_key = SpkiDer::try_from(self.controller.key.subject_public_key_info()).unwrap();
        self.act(&Act::ControllerAdd { name: controller(), public_key, grants }, 7);
        let uri = controller().spiffe_id(&cell());
        let (tbs, signature) = self.issuer.leaf(&uri, LeafProfile::Controller, &self.controller.key);
        let der = join(&tbs, certs::SignatureAlgorithm::EcdsaP256Sha256, &signature);
        self.controller.sha256 = Sha256::digest(der).to_vec();
        self.controller.serial = certs::TbsFields::parse(&tbs).unwrap().serial;
        let issuance =
            entry::Issuance { approval: Some(reference(ACT)), ..self.issuance("/controller/build", tbs, 2) };
        self.push(Kind::Issuance(issuance), signature);
        self.create(record(&["logger"], 1));
        self.issue(&["logger"], 1);
    }

    /// An act that the officer signed, under this nonce.
    pub(crate) fn act(&mut self, act: &Act, nonce: u8) {
        let proposal = Proposal {
            cell: CELL.into(),
            log: name(ORIGIN),
            charter_revision: 1,
            nonce: [nonce; 16],
            expires_unix: NOW + 600,
            act_name: act.name().into(),
            act_fields: act.fields(),
        };
        let note = signed(proposal.draft().unwrap(), &self.officer).to_string().into_bytes();
        self.push(Kind::Act(entry::Act { note }), Vec::new());
    }

    /// The controller has an agent created.
    pub(crate) fn create(&mut self, record: entry::AgentRecord) {
        let body = CreateAgentBody { agent: Some(wire(&record)), request_id: self.request_id() };
        self.ask("AgentService/CreateAgent", &body, change(entry::Change::Created, record), Vec::new());
    }

    /// The controller has an agent changed.
    pub(crate) fn update(&mut self, record: entry::AgentRecord) {
        let body = UpdateAgentBody {
            agent: Some(wire(&record)),
            request_id: self.request_id(),
            ..UpdateAgentBody::default()
        };
        self.ask("AgentService/UpdateAgent", &body, change(entry::Change::Updated, record), Vec::new());
    }

    /// The controller has an agent deleted.
    pub(crate) fn delete(&mut self, record: entry::AgentRecord) {
        let name = format!("agents/{}", record.id);
        let body = DeleteAgentBody { name, request_id: self.request_id(), ..DeleteAgentBody::default() };
        self.ask("AgentService/DeleteAgent", &body, change(entry::Change::Deleted, record), Vec::new());
    }

    /// A certificate for the agent with these roles, for which the controller asks.
    pub(crate) fn issue(&mut self, roles: &[&str], revision: u64) {
        let (issuance, body, signature) = self.asked(roles, revision);
        self.ask("IssuanceService/IssueCertificate", &body, Kind::Issuance(issuance), signature);
    }

    /// Such a certificate with the request for it, to be recorded.
    pub(crate) fn asked(
        &mut self,
        roles: &[&str],
        revision: u64,
    ) -> (entry::Issuance, IssueCertificateBody, Vec<u8>) {
        let (key, uri) = (key(), agent().spiffe_id(&cell()));
        let (tbs, signature) = self.issuer.leaf(&uri, profile(roles), &key);
        let algorithm = certs::SignatureAlgorithm::EcdsaP256Sha256;
        self.chain = vec![join(&tbs, algorithm, &signature), self.issuer.issuer.certificate_der().to_vec()];
        let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
        let issuance = entry::Issuance {
            agent_revision: revision,
            grant: "default".to_owned(),
            approval: Some(reference(ACT)),
            csr_sha256: Sha256::digest(&csr).to_vec(),
            ..self.issuance("/agent/build/logger-1", tbs, 1)
        };
        let body = IssueCertificateBody {
            agent: "agents/build/logger-1".into(),
            csr,
            request_id: self.request_id(),
            ..IssueCertificateBody::default()
        };
        (issuance, body, signature)
    }

    /// A request_id that no entry has.
    pub(crate) fn request_id(&self) -> String {
        format!("request-{}", self.entries.len())
    }

    /// Records what the controller's signed request led to.
    pub(crate) fn ask(&mut self, method: &str, body: &impl Message, kind: Kind, signature: Vec<u8>) {
        let body = body.encode_to_vec();
        let request_id = self.request_id();
        let actor = self.controller.actor(method, &body);
        self.push_by(actor, request_id, kind, signature, Some(body));
    }

    pub(crate) fn issuance(&self, subject: &str, tbs: Vec<u8>, profile: i32) -> entry::Issuance {
        let issuer_spki_sha256 = self.issuer.issuer.spki_sha256().to_vec();
        entry::Issuance {
            tbs,
            issuer_spki_sha256,
            subject: subject.into(),
            profile,
            lifetime_seconds: 3600,
            ..entry::Issuance::default()
        }
    }

    /// Records what officers did, or the service where it is of its kinds.
    pub(crate) fn push(&mut self, kind: Kind, signature: Vec<u8>) {
        let service =
            matches!(kind, Kind::Custody(_) | Kind::Crl(_) | Kind::Abandonment(_) | Kind::Refusals(_));
        let actor = if service {
            let identity = "/service/ca".into();
            entry::Actor { kind: entry::ActorKind::Service.into(), identity, ..entry::Actor::default() }
        } else {
            entry::Actor { kind: entry::ActorKind::Officers.into(), ..entry::Actor::default() }
        };
        self.push_by(actor, String::new(), kind, signature, None);
    }

    pub(crate) fn push_by(
        &mut self,
        actor: entry::Actor,
        request_id: String,
        kind: Kind,
        signature: Vec<u8>,
        request: Option<Vec<u8>>,
    ) {
        let entry = Entry {
            version: entry::VERSION,
            cell: CELL.to_owned(),
            time_unix_ms: NOW * 1000,
            actor: Some(actor),
            fields_sha256: if request_id.is_empty() { Vec::new() } else { vec![1; 32] },
            request_id,
            kind: Some(kind),
        };
        self.entries.push(Recorded { entry: entry::encode(&entry).unwrap(), signature, request });
    }

    pub(crate) fn checkpoint(&self) -> Note {
        let leaves = self.leaves();
        let size = leaves.len() as u64;
        let checkpoint = Checkpoint { origin: name(ORIGIN), size, root: Hash::from_bytes(root_of(&leaves)) };
        signed(Note::unsigned(&checkpoint.text()).unwrap(), &self.log)
    }

    /// The checkpoint as a verifier has it.
    pub(crate) fn head(&self) -> Checkpoint {
        Checkpoint::verify_note(&self.checkpoint(), std::slice::from_ref(self.log.key()), &name(ORIGIN))
            .unwrap()
    }

    /// A proof with its entry beside it.
    pub(crate) fn proof(&self, index: u64) -> Proof {
        let i = usize::try_from(index).unwrap();
        let hashes = path(i, &self.leaves()).into_iter().map(Hash::from_bytes).collect();
        Proof { index, hashes, checkpoint: self.checkpoint(), extra: Some(self.entries[i].entry.clone()) }
    }

    fn leaves(&self) -> Vec<[u8; 32]> {
        self.entries.iter().map(|recorded| hash(0, &[&recorded.entry])).collect()
    }
}

impl Caller {
    /// Itself, having signed this request alone.
    pub(crate) fn actor(&self, method: &str, body: &[u8]) -> entry::Actor {
        let method = format!("/rootcellar.v1.{method}");
        let together = Together::new(vec![leaf_of(&method, body)]).unwrap();
        let terms = request::Terms { origin: ORIGIN, serial: &self.serial, time_unix_ms: self.signs_ms };
        let signature = entry::RequestSignature {
            method,
            request_sha256: Sha256::digest(body).to_vec(),
            time_unix_ms: self.signs_ms,
            size: 1,
            index: 0,
            path: Vec::new(),
            signature: self.key.sign(terms.text(&together.head()).as_bytes()).unwrap(),
        };
        entry::Actor {
            kind: entry::ActorKind::Caller.into(),
            identity: self.identity.clone(),
            certificate_sha256: self.sha256.clone(),
            certificate: Some(reference(self.certificate)),
            signature: Some(signature),
        }
    }
}

/// An agent as a request describes it.
fn wire(record: &entry::AgentRecord) -> Agent {
    Agent {
        name: format!("agents/{}", record.id),
        roles: record.roles.clone(),
        disabled: record.disabled,
        ..Agent::default()
    }
}

fn hash(prefix: u8, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update([prefix]);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// RFC 9162 §2.1.1: the largest power of two below the number of leaves.
fn split(len: usize) -> usize {
    len.next_power_of_two() / 2
}

fn root_of(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest([]).into(),
        [only] => *only,
        several => {
            let (left, right) = several.split_at(split(several.len()));
            hash(1, &[&root_of(left), &root_of(right)])
        }
    }
}

/// RFC 9162 §2.1.3.1.
fn path(index: usize, leaves: &[[u8; 32]]) -> Vec<[u8; 32]> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut hashes, sibling) = match index.checked_sub(left.len()) {
        None => (path(index, left), root_of(right)),
        Some(index) => (path(index, right), root_of(left)),
    };
    hashes.push(sibling);
    hashes
}
