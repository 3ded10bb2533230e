//! Requests that change something: each is planned from what is there, then its entries are appended in one batch.
//!
//! Planning writes nothing and may refuse; appending refuses nothing. So a request either leaves all of its entries or none.

mod agents;
mod import;
mod issue;
mod proposal;
mod renew;
mod revoke;
mod serve;

pub(crate) use import::{Signed, in_force};
pub(crate) use renew::LINE_MS;
pub(crate) use revoke::answered as revoked;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use cell::{DnsNames, TrustDomain};
use certs::{Blocklist, Issuer};
use const_oid::ObjectIdentifier;
use ledger::entry::entry::Kind;
use ledger::entry::{Actor, Entry, Issuance, Reference, VERSION};
use prost::Message;
use proto::door::{Ask, answer, ask};
use sha2::{Digest, Sha256};

use crate::Probe;
use crate::callers::{self, Who};
use crate::convert;
use crate::entropy::Entropy;
use crate::journal::Reader;
use crate::refusal::Refusal;
use crate::steps::{self, Issuing, Order};
use crate::time::ClockWrong;

/// What a plan is made from. Lives for one request.
pub(crate) struct Desk<'a> {
    pub(crate) reader: Reader<'a>,
    pub(crate) settings: &'a Settings,
    pub(crate) issuer: &'a Issuer,
    pub(crate) entropy: &'a mut Entropy,
    pub(crate) probe: &'a Probe,
    /// When each controller last revoked everything since a time.
    pub(crate) swept: &'a mut BTreeMap<String, i64>,
    pub(crate) now_ms: i64,
    /// Whether that is to be trusted.
    pub(crate) clock: Result<(), ClockWrong>,
    /// Index that the first entry of the plan will have.
    pub(crate) next: u64,
}

/// What stays the same while the keeper runs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) cell: TrustDomain,
    pub(crate) origin: String,
    pub(crate) attributes_oid: ObjectIdentifier,
    pub(crate) service_dns: DnsNames,
    pub(crate) service_addresses: Vec<IpAddr>,
    pub(crate) weak_keys: Arc<Blocklist>,
}

/// What will be done for a request.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Nothing is recorded: this is the answer.
    Answer(Box<answer::Answer>),
    /// Nothing is recorded: the certificate at this entry is the answer, once it is signed.
    Await(u64),
    /// These entries are appended, then this is answered.
    Record {
        /// In order; the certificate, where there is one, is the last.
        entries: Vec<Entry>,
        /// What is answered.
        then: Then,
    },
}

/// What is answered once a plan is durable.
#[derive(Clone, Debug)]
pub(crate) enum Then {
    /// The certificate, once it is signed.
    Certificate,
    /// The receipt of the first entry, how many certificates it revoked, and the certificate where there is one.
    Proposal {
        /// Certificates revoked.
        revoked: u64,
        /// Whether officers confirmed the clock.
        clock: bool,
    },
    /// The agent created.
    Created(String),
    /// The agents created, in this order.
    BatchCreated(Vec<String>),
    /// The agent changed.
    Updated(String),
    /// Nothing more.
    Deleted,
    /// How many certificates were revoked, and the receipt of the entry.
    Revoked(u64),
    /// The receipt of the first entry.
    Imported {
        /// For each entry the signature of the certificate that it holds, where it holds one.
        signed: Vec<Option<Signed>>,
        /// Whether another issuer signs from now on.
        switches: bool,
        /// Whether there is a new trust bundle.
        bundle: bool,
    },
}

/// Plans what an ask leads to.
///
/// # Errors
/// The refusal, and the SPIFFE path of the caller where it is known.
pub(crate) fn plan(desk: &mut Desk<'_>, ask: &Ask) -> Result<Plan, (Refusal, String)> {
    let who = callers::recognise(&desk.reader, ask.caller.as_ref(), desk.now_ms)
        .map_err(|no| (no, String::new()))?;
    // Officers may say that the clock is right: that alone is taken by a clock that seems wrong.
    if let (Err(wrong), false) = (desk.clock, matches!(ask.ask, Some(ask::Ask::SubmitProposal(_)))) {
        return Err((wrong.into(), who.path().to_owned()));
    }
    let planned = match ask.ask.as_ref() {
        Some(ask::Ask::Issue(issue)) => issue::plan(desk, &who, issue),
        Some(ask::Ask::Renew(renew)) => renew::plan(desk, &who, renew),
        Some(ask::Ask::Serve(serve)) => serve::plan(desk, &who, serve),
        Some(ask::Ask::CreateAgent(create)) => agents::create(desk, &who, create),
        Some(ask::Ask::BatchCreateAgents(batch)) => agents::batch_create(desk, &who, batch),
        Some(ask::Ask::UpdateAgent(update)) => agents::update(desk, &who, update),
        Some(ask::Ask::DeleteAgent(delete)) => agents::delete(desk, &who, delete),
        Some(ask::Ask::RevokeCertificate(revoke)) => revoke::plan(desk, &who, revoke),
        Some(ask::Ask::SubmitProposal(submit)) => proposal::plan(desk, &who, submit),
        Some(ask::Ask::ImportCeremony(import)) => import::plan(desk, &who, import),
        _ => Err(Refusal::internal("an ask that plans nothing")),
    };
    planned.map_err(|refusal| (refusal, who.path().to_owned()))
}

impl Desk<'_> {
    /// An entry of this moment.
    fn entry(&self, actor: Actor, request: &Request<'_>, kind: Kind) -> Entry {
        Entry {
            version: VERSION,
            cell: self.settings.cell.to_string(),
            time_unix_ms: self.now_ms,
            actor: Some(actor),
            request_id: request.id.to_owned(),
            body_sha256: if request.id.is_empty() { Vec::new() } else { request.body.to_vec() },
            kind: Some(kind),
        }
    }

    /// A reference to an entry of this log.
    fn reference(&self, index: u64) -> Reference {
        Reference { origin: self.settings.origin.clone(), index }
    }

    /// Steps 4 to 6, and what step 7 records.
    fn certificate(
        &mut self,
        spki: &[u8],
        ttl_secs: u32,
        order: &Order,
        issuing: Issuing,
    ) -> Result<Issuance, Refusal> {
        (self.probe)("3 authorise");
        let key = steps::admit::key(&self.reader, &self.settings.weak_keys, spki, &issuing.subject)?;
        let admitted = steps::admit::admit(self.issuer, self.entropy, self.now_ms, key, ttl_secs)?;
        (self.probe)("4 admit");
        let oid = self.settings.attributes_oid;
        let composed = steps::compose::compose(self.issuer, admitted, order, oid)?;
        (self.probe)("5 compose");
        let linted = steps::lint::lint(self.issuer, composed, order, oid, self.now_ms)?;
        (self.probe)("6 lint");
        Ok(issuing.entry(&linted, self.issuer.spki_sha256()))
    }
}

/// An idempotency key with what it was used for (AIP-155).
pub(crate) struct Request<'a> {
    id: &'a str,
    body: [u8; 32],
}

impl<'a> Request<'a> {
    /// Without an idempotency key.
    fn anonymous() -> Self {
        Self { id: "", body: [0; 32] }
    }

    /// `body` is the request without its idempotency key and without what differs between two tries of the same, such as the bytes of
    /// an ECDSA CSR. prost's encoding is the same for the same fields.
    fn new(method: &str, id: &'a str, body: &impl Message) -> Result<Self, Refusal> {
        let mut hash = Sha256::new_with_prefix(method);
        hash.update([0]);
        hash.update(body.encode_to_vec());
        Ok(Self { id: convert::request_id(id)?, body: hash.finalize().into() })
    }

    /// The entry that the same request led to before.
    ///
    /// # Errors
    /// The key was used for another request.
    fn before(&self, reader: &Reader<'_>, who: &Who) -> Result<Option<u64>, Refusal> {
        if self.id.is_empty() {
            return Ok(None);
        }
        match reader.request(who.path(), self.id)? {
            Some((body, index)) if body == self.body => Ok(Some(index)),
            Some(_) => Err(Refusal::new(
                proto::v1::Reason::RequestIdReused,
                "this request_id was used for another request: use a new one for each",
            )
            .on("request_id")),
            None => Ok(None),
        }
    }

    /// The plan where the same request led to a certificate that lives still. An idempotency key is kept as long as that.
    fn certificate_before(&self, desk: &Desk<'_>, who: &Who) -> Result<Option<Plan>, Refusal> {
        let row = match self.before(&desk.reader, who) {
            Ok(Some(index)) => desk.reader.certificate(index)?,
            Ok(None) => None,
            Err(reused) => {
                let row = desk.reader.request(who.path(), self.id)?.map(|(_, index)| index);
                let row = row.map(|index| desk.reader.certificate(index)).transpose()?.flatten();
                if row.is_some_and(|row| row.not_after < desk.now_ms.div_euclid(1000)) {
                    return Ok(None);
                }
                return Err(reused);
            }
        };
        let lives = row.filter(|row| !row.abandoned && row.not_after >= desk.now_ms.div_euclid(1000));
        Ok(lives.map(|row| Plan::Await(row.index)))
    }
}
