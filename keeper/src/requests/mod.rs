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
pub(crate) use proposal::{act_of, approved, not_alone_again, officers};
pub(crate) use revoke::answered as revoked;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use audit::{Given, Request};
use cell::{DnsNames, TrustDomain};
use certs::csr::VerifiedCsr;
use certs::{Blocklist, Issuer};
use const_oid::ObjectIdentifier;
use ledger::entry::entry::Kind;
use ledger::entry::{self, Actor, Entry, Reference};
use ledger::request::SLACK_MS;
use prost::Message;
use proto::door::answer;
use proto::v1::Reason;
use sha2::{Digest, Sha256};

use crate::Probe;
use crate::asks::Change;
use crate::callers::{self, Asker, Who};
use crate::convert;
use crate::disk::Room;
use crate::entropy::Entropy;
use crate::journal::{CertificateRow, JournalError, Reader};
use crate::refusal::Refusal;
use crate::signed::SignedRequest;
use crate::steps::{self, Authority, Issuing, Order, Recordable};
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
    pub(crate) room: Room,
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
        /// In order.
        entries: Vec<Entry>,
        /// The last, where there is one.
        certificate: Option<Recordable>,
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
        /// Whether they thawed the cell.
        thaws: bool,
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
pub(crate) fn plan(desk: &mut Desk<'_>, by: &Asker, change: &Change) -> Result<Plan, (Refusal, String)> {
    let who = callers::recognise(&desk.reader, by, desk.now_ms).map_err(|no| (no, String::new()))?;
    // Of what nobody signed nobody is said to have asked.
    let name = if matches!(change, Change::Signed(Ok(_))) { who.path().to_owned() } else { String::new() };
    // Officers may say that the clock is right: that alone is taken by a clock that seems wrong.
    if let (Err(wrong), false) = (desk.clock, matches!(change, Change::Proposal(_))) {
        // How long ago it was signed, nobody knows now.
        return Err((wrong.into(), String::new()));
    }
    let planned = match change {
        Change::Signed(Ok(signed)) => self::signed(desk, &who, signed),
        Change::Signed(Err(refusal)) | Change::Serve(Err(refusal), _) => Err(refusal.clone()),
        Change::Serve(Ok(csr), is_first) => serve::plan(desk, &who, csr, *is_first),
        Change::Proposal(submit) => proposal::plan(desk, submit),
        Change::Import(import) => import::plan(desk, import),
    };
    planned.map_err(|refusal| match refusal.reason() {
        // Whoever has seen a request can show it for ever.
        Reason::SignatureExpired => (refusal, String::new()),
        _ => (refusal, name),
    })
}

/// A request that its caller signed, for this certificate and not long ago.
fn signed(desk: &mut Desk<'_>, who: &Who, signed: &SignedRequest) -> Result<Plan, Refusal> {
    let caller = Signer::of(&desk.reader, who, signed)?;
    // A caller may write any number.
    let apart_ms = desk.now_ms.saturating_sub(signed.signature().time_unix_ms);
    if apart_ms.saturating_abs() > SLACK_MS {
        return Err(Refusal::new(
            Reason::SignatureExpired,
            format!(
                "the request's time is {} s {} the service's clock, and may be {} s from it: set the clock, or sign anew",
                apart_ms.saturating_abs() / 1000,
                if apart_ms > 0 { "before" } else { "after" },
                SLACK_MS / 1000
            ),
        )
        .on("signature"));
    }
    let request_id = convert::request_id(signed.request().request_id())?;
    match signed.request() {
        Request::Issue(body) => issue::plan(desk, &caller, body, request_id),
        Request::Renew(body) => renew::plan(desk, &caller, body, request_id),
        Request::Revoke(body) => revoke::plan(desk, &caller, body, request_id),
        Request::CreateAgent(body) => agents::create(desk, &caller, body, request_id),
        Request::BatchCreateAgents(body) => agents::batch_create(desk, &caller, body, request_id),
        Request::UpdateAgent(body) => agents::update(desk, &caller, body, request_id),
        Request::DeleteAgent(body) => agents::delete(desk, &caller, body, request_id),
    }
}

impl Desk<'_> {
    /// Makes an entry of this moment, on the word of officers or of the service.
    fn on_the_word_of(&self, actor: Actor) -> impl FnOnce(Kind) -> Entry + use<> {
        let (cell, now_ms) = (self.settings.cell.clone(), self.now_ms);
        move |kind| Entry::new(cell.as_ref(), now_ms, actor, kind)
    }

    /// An entry of this moment, on the word of officers or of the service.
    fn entry(&self, actor: Actor, kind: Kind) -> Entry {
        self.on_the_word_of(actor)(kind)
    }

    /// Makes an entry of this moment that a request of this caller's leads to.
    fn on_request_of(&self, caller: &Signer<'_>, once: &Once<'_>) -> impl FnOnce(Kind) -> Entry + use<> {
        let (request_id, fields_sha256) = (once.id.to_owned(), once.fields.to_vec());
        let entry = self.on_the_word_of(caller.actor(&self.settings.origin));
        move |kind| Entry { request_id, fields_sha256, ..entry(kind) }
    }

    /// An entry of this moment that a request of this caller's leads to.
    fn entry_for(&self, caller: &Signer<'_>, once: &Once<'_>, kind: Kind) -> Entry {
        self.on_request_of(caller, once)(kind)
    }

    /// A reference to an entry of this log.
    fn reference(&self, index: u64) -> Reference {
        Reference { origin: self.settings.origin.clone(), index }
    }

    /// The receipt of an entry of this log.
    fn receipt(&self, index: u64) -> Result<proto::v1::Receipt, Refusal> {
        let leaf = self.reader.leaf(index)?;
        let leaf = leaf.ok_or_else(|| Refusal::internal("a request's entry is not there"))?;
        Ok(steps::release::receipt(&self.settings.origin, index, leaf))
    }

    /// Steps 4 to 6, and what step 7 records, in the entry that `entry` makes of it.
    fn certificate(
        &mut self,
        authority: Authority,
        spki: &[u8],
        (order, issuing): (&Order, Issuing),
        entry: impl FnOnce(Kind) -> Entry,
    ) -> Result<Recordable, Refusal> {
        let ttl_secs = issuing.lifetime_secs;
        (self.probe)("3 authorise");
        let key = steps::admit::key(&self.reader, &self.settings.weak_keys, spki, &issuing.subject)?;
        let admitted = steps::admit::admit(authority, self.issuer, self.entropy, self.now_ms, key, ttl_secs)?;
        (self.probe)("4 admit");
        let oid = self.settings.attributes_oid;
        let composed = steps::compose::compose(self.issuer, admitted, order, oid)?;
        (self.probe)("5 compose");
        let linted = steps::lint::lint(self.issuer, composed, order, oid, self.now_ms)?;
        (self.probe)("6 lint");
        Ok(issuing.recordable(&linted, self.issuer.spki_sha256(), entry))
    }
}

/// An idempotency key with what it is used for (AIP-155): the same request is carried out once.
///
/// This is what makes a signed request that someone sends again lead to nothing new.
pub(crate) struct Once<'a> {
    id: &'a str,
    fields: [u8; 32],
}

fn missing(index: u64) -> JournalError {
    JournalError::Corrupt(format!("entry {index} is no certificate any more"))
}

impl<'a> Once<'a> {
    /// `fields` is the request without its idempotency key and without what differs between two tries of the same, such as the bytes of
    /// an ECDSA CSR. prost's encoding is the same for the same fields.
    fn new(method: &str, id: &'a str, fields: &impl Message) -> Self {
        let mut hash = Sha256::new_with_prefix(method);
        hash.update([0]);
        hash.update(fields.encode_to_vec());
        Self { id, fields: hash.finalize().into() }
    }

    /// The entry that the same request led to before.
    ///
    /// # Errors
    /// The key was used for another request.
    fn before(&self, reader: &Reader<'_>, who: &Who) -> Result<Option<u64>, Refusal> {
        match reader.request(who.path(), self.id)? {
            Some((fields, index)) if fields == self.fields => Ok(Some(index)),
            Some(_) => Err(Refusal::new(
                Reason::RequestIdReused,
                "this request_id was used for another request: use a new one for each",
            )
            .on("request_id")),
            None => Ok(None),
        }
    }

    /// The plan where the same request led to a certificate that still stands. A certificate that was abandoned is made anew. One that has
    /// expired is, too, where the request was signed anew after its end: what was signed once is the same request, sent again.
    fn certificate_before(&self, desk: &Desk<'_>, caller: &Signer<'_>) -> Result<Option<Plan>, Refusal> {
        let row = match self.before(&desk.reader, caller.who) {
            Ok(Some(index)) => Some(desk.reader.proved(index)?.ok_or_else(|| missing(index))?),
            Ok(None) => None,
            Err(reused) => {
                let row = desk.reader.request(caller.who.path(), self.id)?.map(|(_, index)| index);
                let row = row.map(|index| desk.reader.proved(index)).transpose()?.flatten();
                let is_over = row.map(|row| caller.signed_after(desk, &row)).transpose()?.unwrap_or(false);
                return if is_over { Ok(None) } else { Err(reused) };
            }
        };
        let Some(row) = row.filter(|row| !row.abandoned) else { return Ok(None) };
        Ok(if caller.signed_after(desk, &row)? { None } else { Some(Plan::Await(row.index)) })
    }
}

/// A caller, and the request that it signed with the certificate it presents. Only [`Signer::of`] makes one.
pub(crate) struct Signer<'a> {
    who: &'a Who,
    signed: &'a SignedRequest,
}

impl<'a> Signer<'a> {
    /// # Errors
    /// The certificate that was presented is not the one whose key signed, or that key is not the one of its entry.
    fn of(reader: &Reader<'_>, who: &'a Who, signed: &'a SignedRequest) -> Result<Self, Refusal> {
        match who.certificate() {
            Some(row) if row.index == signed.certificate() => {
                signed.demand_key(reader)?;
                Ok(Self { who, signed })
            }
            _ => Err(Refusal::internal("a request signed by another certificate than the presented one")),
        }
    }

    /// The CSR in its request.
    fn csr(&self) -> Result<&'a VerifiedCsr, Refusal> {
        self.signed.csr()
    }

    /// The certificate that it presents.
    fn certificate(&self) -> Result<&CertificateRow, Refusal> {
        self.who.certificate().ok_or_else(|| Refusal::not_allowed(self.who.path()))
    }

    /// Whether this certificate has ended, and the request was signed after that and after the one that led to it: a caller whose clock is
    /// ahead signs both after the end of what lasts some seconds.
    fn signed_after(&self, desk: &Desk<'_>, row: &CertificateRow) -> Result<bool, Refusal> {
        let signed_ms = self.signed.signature().time_unix_ms;
        if row.not_after >= signed_ms.min(desk.now_ms).div_euclid(1000) {
            return Ok(false);
        }
        let body = desk.reader.entry(row.index)?.unwrap_or_default();
        let entry = entry::decode(&body).map_err(Refusal::internal)?;
        let before = entry.actor.and_then(|actor| actor.signature);
        Ok(before.is_none_or(|before| before.time_unix_ms < signed_ms))
    }

    /// What gives to an agent was not signed before its caller, or officers, changed the agent or ended its certificates, nor a certificate before
    /// the newest: who held it back since would have it carried out after what was meant to follow it.
    ///
    /// # Errors
    /// [`Reason::SignatureExpired`].
    fn not_overtaken(&self, desk: &Desk<'_>, id: &str, given: Given) -> Result<(), Refusal> {
        let signed_ms = self.signed.signature().time_unix_ms;
        let agent = format!("/agent/{id}");
        let changed = desk.reader.changed_since((self.who.path(), &agent), given, signed_ms, desk.now_ms);
        let Some(changed_ms) = changed else { return Ok(()) };
        let since = match changed_ms.saturating_sub(signed_ms) {
            before @ 1.. => format!("{before} ms before"),
            _ => "too close to".to_owned(),
        };
        let message = format!(
            "the request was signed {since} what is recorded of agents/{id} since (a change, an end of its certificates, or a newer one): look at what it is now, and sign anew"
        );
        Err(Refusal::new(Reason::SignatureExpired, message).on("signature"))
    }

    /// Its holder asked for a later renewal, which was carried out: that this one comes now is nobody's theft.
    ///
    /// # Errors
    /// [`Reason::SignatureExpired`].
    fn not_renewed_since(&self, desk: &Desk<'_>, subject: &str) -> Result<(), Refusal> {
        let signed_ms = self.signed.signature().time_unix_ms;
        let Some(renewed_ms) = desk.reader.renewed_since(subject, signed_ms, desk.now_ms) else {
            return Ok(());
        };
        let before = renewed_ms.saturating_sub(signed_ms);
        let message = format!("the renewal was signed {before} ms before one that was carried out since");
        Err(Refusal::new(Reason::SignatureExpired, message).on("signature"))
    }

    /// As the ledger records it.
    fn actor(&self, origin: &str) -> Actor {
        Actor { signature: Some(self.signed.signature().clone()), ..self.who.actor(origin) }
    }
}
