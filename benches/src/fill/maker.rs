//! Makes entries as the keeper would have recorded them: an agent when it first appears, then its certificates, a new key for each.
//!
//! Does not: sign. A signature here has the form of one; under a checkpoint nobody who reads the journal to issue verifies it.

use cell::{AgentId, DnsNames, TrustDomain};
use certs::compose::{Leaf, LeafProfile, Serial, Validity, join, leaf};
use certs::{ATTRIBUTES_OID, Attributes, Issuer, PublicKey, ecdsa_der};
use ledger::entry::entry::Kind;
use ledger::entry::{
    Actor, ActorKind, AgentChange, AgentRecord, Change, Entry, Issuance, Profile, Reference,
    RequestSignature, VERSION,
};
use prost::Message;
use proto::v1::IssueCertificateBody;
use rcgen::{KeyPair, PublicKeyData as _};
use sha2::{Digest, Sha256};

use crate::Failed;
use crate::steps::{NOW, issuer};

/// Octets of a CSR of a P-256 key that asks for nothing else.
const CSR_LEN: usize = 230;
/// Hashes in the path of a request that 64 were signed together with.
const PATH_LEN: usize = 6;
/// Lifetime of the certificates, in seconds: the default.
const TTL_SECS: u64 = 3600;

/// Whose certificates are made, and under what.
#[derive(Clone, Debug)]
pub(crate) struct Maker {
    /// The issuer that they are under.
    pub(crate) issuer: Issuer,
    /// The trust domain.
    pub(crate) cell: TrustDomain,
    /// Origin of the log.
    pub(crate) origin: String,
    /// The controller that asks; its agents are `<controller>/…`.
    pub(crate) controller: String,
    /// The entry that set its grant, and the one of its own certificate.
    pub(crate) approval: u64,
    /// How many agents it has.
    pub(crate) agents: u64,
    /// When, in milliseconds since 1970.
    pub(crate) now_ms: i64,
}

/// What one certificate leaves in the journal.
pub(crate) struct Made {
    /// Its agent's first entry, where this is the first certificate.
    pub(crate) agent: Option<Entry>,
    /// Its own.
    pub(crate) issuance: Entry,
    /// What stands for the body of the request.
    pub(crate) request: Vec<u8>,
    /// What stands for its signature.
    pub(crate) signature: Vec<u8>,
    /// SHA-256 of the whole.
    pub(crate) sha256: [u8; 32],
}

impl Maker {
    /// Under an issuer and in a cell that are made up, for a journal that nothing serves.
    pub(crate) fn alone(agents: u64) -> Result<Self, Failed> {
        Ok(Self {
            issuer: issuer(&KeyPair::generate()?)?,
            cell: "cell.example".parse()?,
            origin: "cell.example/log/1".into(),
            controller: "build".into(),
            approval: 0,
            agents,
            now_ms: i64::try_from(NOW)? * 1000,
        })
    }

    /// The certificate of this number. The agents take turns.
    pub(crate) fn make(&self, number: u64) -> Result<Made, Failed> {
        let turn = number % self.agents;
        // Odd, so that no two meet: names in no order, as names are.
        let id: AgentId =
            format!("{}/{:016x}", self.controller, turn.wrapping_mul(0x9e37_79b9_7f4a_7c15)).parse()?;
        let chance = Sha256::new_with_prefix(&self.controller).chain_update(number.to_be_bytes()).finalize();
        let tbs = self.tbs(&id, &chance)?;
        let signature = ecdsa_der(&[chance.as_slice(), chance.as_slice()].concat())?;
        let sha256 = Sha256::digest(join(&tbs, self.issuer.algorithm(), &signature)).into();
        let issuance = Issuance {
            tbs,
            issuer_spki_sha256: self.issuer.spki_sha256().to_vec(),
            subject: format!("/agent/{id}"),
            profile: Profile::Agent.into(),
            agent_revision: 1,
            grant: "default".into(),
            approval: Some(self.reference()),
            csr_sha256: chance.to_vec(),
            renews: None,
            lifetime_seconds: 3600,
        };
        let request_id = data_encoding::HEXLOWER.encode(&chance[..16]);
        let request = IssueCertificateBody {
            agent: format!("agents/{id}"),
            csr: vec![0x73; CSR_LEN],
            request_id: request_id.clone(),
            ..IssueCertificateBody::default()
        }
        .encode_to_vec();
        let entry = |kind| self.entry(&request_id, &request, kind);
        let agent = (number < self.agents).then(|| entry(Kind::AgentChange(self.created(&id))));
        let issuance = entry(Kind::Issuance(issuance));
        Ok(Made { agent, issuance, request, signature, sha256 })
    }

    fn tbs(&self, id: &AgentId, chance: &[u8]) -> Result<Vec<u8>, Failed> {
        let public_key = PublicKey::try_from(KeyPair::generate()?.subject_public_key_info().as_slice())?;
        let mut serial: [u8; 20] = chance[..20].try_into()?;
        // RFC 5280 §4.1.2.2: positive, and 20 octets long.
        serial[0] = serial[0] & 0x7f | 0x40;
        let attributes = Attributes::default();
        let made = Leaf {
            profile: LeafProfile::Agent { dns_names: DnsNames::default(), attributes },
            uri: &id.spiffe_id(&self.cell),
            public_key: &public_key,
            serial: Serial::try_from(serial)?,
            validity: Validity::for_lifetime(
                u64::try_from(self.now_ms / 1000)?,
                TTL_SECS,
                self.issuer.validity(),
            )?,
        };
        Ok(leaf(&self.issuer, &made, ATTRIBUTES_OID)?.as_bytes().to_vec())
    }

    fn created(&self, id: &AgentId) -> AgentChange {
        let record = AgentRecord {
            id: id.to_string(),
            owner: self.controller.clone(),
            revision: 1,
            ..AgentRecord::default()
        };
        AgentChange {
            change: Change::Created.into(),
            agent: Some(record),
            grant: "default".into(),
            approval: Some(self.reference()),
        }
    }

    /// An entry of the length that a busy caller's has: its signature covers as many requests as are in flight.
    fn entry(&self, request_id: &str, request: &[u8], kind: Kind) -> Entry {
        let signature = RequestSignature {
            method: "/rootcellar.v1.IssuanceService/IssueCertificate".into(),
            request_sha256: Sha256::digest(request).to_vec(),
            time_unix_ms: self.now_ms,
            size: 1 << PATH_LEN,
            index: 7,
            path: vec![vec![0x73; 32]; PATH_LEN],
            signature: vec![0x73; 71],
        };
        let actor = Actor {
            kind: ActorKind::Caller.into(),
            identity: format!("/controller/{}", self.controller),
            certificate_sha256: vec![0x73; 32],
            certificate: Some(self.reference()),
            signature: Some(signature),
        };
        Entry {
            version: VERSION,
            cell: self.cell.to_string(),
            time_unix_ms: self.now_ms,
            actor: Some(actor),
            request_id: request_id.to_owned(),
            fields_sha256: vec![0x73; 32],
            kind: Some(kind),
        }
    }

    fn reference(&self) -> Reference {
        Reference { origin: self.origin.clone(), index: self.approval }
    }
}
