//! The body of the request that led to an entry: that it is the one that was signed, and asks for what was recorded.

use cell::AgentSpec;
use certs::{TbsFields, csr};
use ledger::entry::entry::Kind;
use ledger::entry::revocation::Target;
use ledger::entry::{AgentChange, AgentRecord, Change, Entry, Issuance, Revocation};
use proto::v1::revoke_certificate_body::Target as Asked;
use proto::v1::{Agent, RevokeCertificateBody};
use sha2::{Digest, Sha256};

use super::callers::Caller;
use super::{Audit, Flaw};
use crate::{Request, agents};

/// Lifetime where none is asked for, in seconds.
const DEFAULT_TTL_SECS: u32 = 3600;
/// How long the request for a certificate is kept after its end, in seconds.
pub const KEPT_SECS: i64 = 86_400;
/// Collection of agents' resource names.
const AGENTS: &str = "agents/";

/// The request that the newest entry of a caller came from, and those whose bodies are not there.
#[derive(Default)]
pub(super) struct Bodies {
    current: Option<Current>,
    /// The newest request below the checkpoint whose body is there.
    kept: Vec<u8>,
    /// Entries without the body that they need, with the last second of the certificate that they led to, where they led to one.
    missing: Vec<(u64, Option<i64>)>,
}

struct Current {
    sha256: Vec<u8>,
    /// None where its body is not there.
    request: Option<Request>,
}

/// Where an entry is not what its request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFlaw {
    /// Another body than the one that was signed.
    #[error("the body beside it is not the one that was signed")]
    Body,
    /// Bytes that are no request of this method.
    #[error("what was signed is no request of its method")]
    NoRequest,
    /// Another idempotency key.
    #[error("it has another request_id than the request")]
    RequestId,
    /// A field of the request and one of the entry differ.
    #[error("the request asks for another {0}")]
    Other(&'static str),
    /// Its body is gone, before it may be.
    #[error("the body that was signed is not there")]
    Missing,
}

impl Bodies {
    /// The entries whose body is missing although they led to no certificate, or to one that had not ended a day before this second since 1970.
    pub(super) fn missing(&self, newest_secs: i64) -> impl Iterator<Item = u64> {
        let over = newest_secs.saturating_sub(KEPT_SECS);
        let kept = move |(index, not_after): &(u64, Option<i64>)| {
            not_after.is_none_or(|not_after| not_after >= over).then_some(*index)
        };
        self.missing.iter().filter_map(kept)
    }

    /// For an entry that a checkpoint covers: whether its body is there, or that of the request that several entries came from. Certificates that
    /// had ended by `ended_secs`, a second since 1970, need none.
    pub(super) fn keep(
        &mut self,
        index: u64,
        entry: &Entry,
        caller: &Caller<'_>,
        is_there: bool,
        ended_secs: i64,
    ) {
        let signed = &caller.signature.request_sha256;
        if is_there {
            self.kept.clone_from(signed);
        } else if self.kept != *signed {
            let not_after = not_after(entry);
            if not_after.is_none_or(|not_after| not_after >= ended_secs.saturating_sub(KEPT_SECS)) {
                self.missing.push((index, not_after));
            }
        }
    }
}

/// The last second of the certificate that an entry records, since 1970. What created, changed or ended something keeps its request.
fn not_after(entry: &Entry) -> Option<i64> {
    match &entry.kind {
        Some(Kind::Issuance(issuance)) => TbsFields::parse(&issuance.tbs).map(|fields| fields.not_after).ok(),
        _ => None,
    }
}

impl Audit {
    /// Holds an entry against the body of the request that it came from, and whether its certificate is signed. Called before what the entry says
    /// is taken over.
    pub(super) fn judge_request(
        &mut self,
        index: u64,
        entry: &Entry,
        caller: &Caller<'_>,
        (body, is_completed): (Option<&[u8]>, bool),
    ) -> Result<(), RequestFlaw> {
        let signed = &caller.signature.request_sha256;
        if let Some(body) = body {
            if Sha256::digest(body).as_slice() != signed {
                return Err(RequestFlaw::Body);
            }
            let request =
                Request::decode(&caller.signature.method, body).map_err(|_| RequestFlaw::NoRequest)?;
            self.bodies.current = Some(Current { sha256: signed.clone(), request: Some(request) });
        } else if self.bodies.current.as_ref().is_none_or(|current| current.sha256 != *signed) {
            self.bodies.current = Some(Current { sha256: signed.clone(), request: None });
        }
        let request = self.bodies.current.as_ref().and_then(|current| current.request.as_ref());
        match request {
            Some(request) if request.request_id() != entry.request_id => Err(RequestFlaw::RequestId),
            Some(request) => self.asks_for(request, entry, caller).map_err(RequestFlaw::Other),
            // Of a certificate that has ended, the request is let go. That there was one, its issuer's signature says: without it anybody could
            // have written this.
            None => match not_after(entry).filter(|_| is_completed && !self.is_own) {
                Some(not_after) => {
                    self.bodies.missing.push((index, Some(not_after)));
                    Ok(())
                }
                None => Err(RequestFlaw::Missing),
            },
        }
    }

    /// # Errors
    /// What differs.
    fn asks_for(&self, request: &Request, entry: &Entry, caller: &Caller<'_>) -> Result<(), &'static str> {
        match (request, entry.kind.as_ref()) {
            (Request::Issue(body), Some(Kind::AgentChange(change))) => {
                let description = body.description.clone().unwrap_or_default();
                let described = Agent { name: body.agent.clone(), ..description };
                let created = body.allow_missing && change.change() == Change::Created;
                is_agent(change, &described).filter(|()| created).ok_or("agent")
            }
            (Request::Issue(body), Some(Kind::Issuance(issuance))) => {
                let subject = body.agent.strip_prefix(AGENTS).map(|id| format!("/agent/{id}"));
                demand(subject.as_deref() == Some(&issuance.subject), "subject")?;
                demand(issuance.renews.is_none(), "certificate to renew")?;
                let asked = body.lifetime.as_ref();
                let most = asked.map_or(Some(DEFAULT_TTL_SECS), |asked| u32::try_from(asked.seconds).ok());
                demand(most.is_some_and(|most| issuance.lifetime_seconds <= most), "lifetime")?;
                is_for_key_of(&body.csr, issuance)
            }
            (Request::Renew(body), Some(Kind::Issuance(issuance))) => {
                demand(issuance.subject == caller.identity, "subject")?;
                let asked = body.lifetime.as_ref().filter(|_| caller.identity.starts_with("/agent/"));
                let within = asked.is_none_or(|asked| i64::from(issuance.lifetime_seconds) <= asked.seconds);
                demand(within, "lifetime")?;
                let renews = issuance.renews.as_ref().map(|renews| renews.index);
                demand(renews == Some(caller.certificate), "certificate to renew")?;
                is_for_key_of(&body.csr, issuance)
            }
            (Request::Revoke(body), Some(Kind::Revocation(revocation))) => self.is_target(body, revocation),
            (Request::CreateAgent(body), Some(Kind::AgentChange(change))) => {
                let agent = body.agent.as_ref().and_then(|agent| is_agent(change, agent));
                agent.filter(|()| change.change() == Change::Created).ok_or("agent")
            }
            (Request::BatchCreateAgents(body), Some(Kind::AgentChange(change))) => {
                let agent = body.agents.iter().find_map(|agent| is_agent(change, agent));
                agent.filter(|()| change.change() == Change::Created).ok_or("agent")
            }
            (Request::UpdateAgent(body), Some(Kind::AgentChange(change))) => {
                let after = body.agent.as_ref().and_then(|agent| {
                    let before = self.authority.controllers.agent(agent.name.strip_prefix(AGENTS)?)?;
                    agents::updated(before, agent, body.update_mask.as_ref()).ok()
                });
                let same = after.is_some_and(|after| is_as(change.agent.as_ref(), &after));
                demand(same && change.change() == Change::Updated, "agent")
            }
            (Request::DeleteAgent(body), Some(Kind::AgentChange(change))) => {
                let id = change.agent.as_ref().map(|agent| format!("{AGENTS}{}", agent.id));
                demand(id.as_ref() == Some(&body.name) && change.change() == Change::Deleted, "agent")
            }
            _ => Err("change"),
        }
    }

    fn is_target(&self, body: &RevokeCertificateBody, revocation: &Revocation) -> Result<(), &'static str> {
        demand(body.reason == revocation.reason, "reason")?;
        let target = match (&body.target, &revocation.target) {
            (Some(Asked::Certificate(name)), Some(Target::Certificate(reference))) => {
                *name == format!("certificates/{}", reference.index)
            }
            (Some(Asked::Serial(serial)), Some(Target::Certificate(reference))) => {
                let serial = serial.parse::<cell::Serial>().ok();
                match serial.and_then(|serial| self.certificates.with_serial(serial.as_bytes())) {
                    Some(index) => index == reference.index,
                    // One that ended long ago is not kept here: nothing is revoked by that.
                    None => self.certificates.get(reference.index).is_none() && revocation.revoked == 0,
                }
            }
            (Some(Asked::Agent(name)), Some(Target::Agent(id))) => *name == format!("{AGENTS}{id}"),
            (Some(Asked::IssuedSince(asked)), Some(Target::IssuedSince(issued))) => {
                let since_ms = asked.since.as_ref().and_then(|since| {
                    since.seconds.checked_mul(1000)?.checked_add(i64::from(since.nanos) / 1_000_000)
                });
                asked.controller == format!("controllers/{}", issued.controller)
                    && since_ms == Some(issued.since_unix_ms)
            }
            _ => false,
        };
        demand(target, "target")
    }
}

fn demand(holds: bool, what: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(what) }
}

/// The request's key is the certificate's, and its CSR the one whose hash was recorded.
fn is_for_key_of(request: &[u8], issuance: &Issuance) -> Result<(), &'static str> {
    let csr = csr::from_pem_or_der(request).and_then(|der| csr::read(&der)).map_err(|_| "key")?;
    let fields = TbsFields::parse(&issuance.tbs).map_err(|_| "key")?;
    demand(csr.public_key().spki_der() == fields.spki, "key")?;
    demand(csr.sha256().as_slice() == issuance.csr_sha256, "CSR")
}

/// The agent that was recorded is the one that the request describes.
fn is_agent(change: &AgentChange, described: &Agent) -> Option<()> {
    let record = change.agent.as_ref()?;
    let id = described.name.strip_prefix(AGENTS)?.parse().ok()?;
    let described: AgentSpec = agents::described(id, described)?;
    (agents::recorded(record)? == described && !record.disabled).then_some(())
}

/// Both say the same of an agent, whatever the order of their words.
fn is_as(record: Option<&AgentRecord>, after: &AgentRecord) -> bool {
    let spec = |record| agents::recorded(record);
    record.is_some_and(|record| {
        spec(record).is_some() && spec(record) == spec(after) && record.disabled == after.disabled
    })
}

impl From<RequestFlaw> for Flaw {
    fn from(flaw: RequestFlaw) -> Self {
        Self::Request(flaw)
    }
}
