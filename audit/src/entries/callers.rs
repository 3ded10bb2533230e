//! On whose word an entry was recorded: whether its caller was one then, and signed the request.

use std::collections::{HashMap, VecDeque};

use certs::PublicKey;
use ledger::entry::entry::Kind;
use ledger::entry::{Actor, ActorKind, Change, Entry, RequestSignature};
use ledger::request::{SLACK_MS, Terms};

use super::{Audit, Flaw};
use crate::changes::gives;

/// How far before the newest entry a caller's may be, in milliseconds: a step of NTP, which the keeper allows.
pub(super) const STEP_MS: i64 = 60_000;
/// How long a request is remembered, in milliseconds: as long as its signature could be shown again.
const REMEMBERED_MS: i64 = 2 * SLACK_MS + STEP_MS;

/// Requests remembered before those of longer ago are let go.
const KEPT: usize = 16_384;

/// What vouches for an entry.
#[derive(Clone, Copy, Debug)]
pub(super) enum By<'e> {
    /// Officers' signatures.
    Officers,
    /// The service itself.
    Service,
    /// A caller who signed.
    Caller(Caller<'e>),
}

/// A caller, with its signature.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<'e> {
    /// SPIFFE path.
    pub(super) identity: &'e str,
    /// The entry of the certificate that it presented.
    pub(super) certificate: u64,
    pub(super) signature: &'e RequestSignature,
}

/// Why an entry is not a caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallerFlaw {
    /// What it presented is not recorded before.
    #[error("presented a certificate that is not recorded before")]
    Unknown,
    /// What it presented is another's.
    #[error("presented a certificate of another identity")]
    OtherIdentity,
    /// What it presented was not signed, or had another signature.
    #[error("presented a certificate that is not the signed one")]
    Unsigned,
    /// What it presented was revoked.
    #[error("presented a certificate that was revoked")]
    Revoked,
    /// What it presented had ended.
    #[error("presented a certificate that had expired")]
    Expired,
    /// The agent or controller was removed, disabled, or made anew.
    #[error("was removed or disabled since its certificate was recorded")]
    Removed,
    /// No signature of this request by the key that it presented.
    #[error("did not sign the request with the key that it presented")]
    Signature,
    /// Signed at another time.
    #[error("signed the request more than 5 minutes from the entry's time")]
    SignatureTime,
    /// Recorded at a time that was over.
    #[error("asked before the newest entry was recorded")]
    Time,
    /// A request that gives, and was signed before a change of the same agent that came first.
    #[error("signed the request before a change of the agent that was recorded earlier")]
    Overtaken,
    /// A signed request, carried out for the second time.
    #[error("had the same request carried out before")]
    Repeated,
    /// No idempotency key, or no digest of what it was used for.
    #[error("asked without a request_id")]
    Unnamed,
}

/// The requests of the last minutes, by caller and idempotency key, with what each led to last.
#[derive(Default)]
pub(super) struct Requests {
    last: HashMap<(String, String), Led>,
    order: VecDeque<(i64, u64, (String, String))>,
    /// Time of the newest entry since officers confirmed the clock, in milliseconds since 1970.
    newest_ms: i64,
}

struct Led {
    index: u64,
    request_sha256: Vec<u8>,
    signed_ms: i64,
    /// Whether it created an agent: then further entries of the same request may follow.
    creates: bool,
}

impl Requests {
    /// Time of the newest entry since officers confirmed the clock, in milliseconds since 1970.
    pub(super) fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    /// Whether a time is before that, by more than the keeper allows.
    pub(super) fn is_past(&self, time_unix_ms: i64) -> bool {
        time_unix_ms < self.newest_ms.saturating_sub(STEP_MS)
    }

    /// Officers say that the clock is right.
    pub(super) fn clock_confirmed(&mut self, time_unix_ms: i64) {
        self.newest_ms = time_unix_ms;
    }

    /// An entry was recorded.
    pub(super) fn recorded(&mut self, time_unix_ms: i64) {
        self.newest_ms = self.newest_ms.max(time_unix_ms);
    }

    fn remember(&mut self, entry: &Entry, caller: &Caller<'_>, index: u64) {
        let key = (caller.identity.to_owned(), entry.request_id.clone());
        let request_sha256 = caller.signature.request_sha256.clone();
        let signed_ms = caller.signature.time_unix_ms;
        let creates = matches!(&entry.kind, Some(Kind::AgentChange(of)) if of.change() == Change::Created);
        self.last.insert(key.clone(), Led { index, request_sha256, signed_ms, creates });
        self.order.push_back((entry.time_unix_ms, index, key));
        // A clock that is ahead lets none go that could be shown again when it is set right.
        let over =
            |(time, ..): &(i64, u64, (String, String))| time.saturating_add(REMEMBERED_MS) < self.newest_ms;
        while self.order.len() > KEPT && self.order.front().is_some_and(over) {
            let Some((_, old, key)) = self.order.pop_front() else { return };
            // One that was asked again is remembered for longer.
            if self.last.get(&key).is_some_and(|led| led.index == old) {
                self.last.remove(&key);
            }
        }
    }
}

/// On whose word an entry says that it was recorded.
///
/// # Errors
/// [`Flaw::Actor`].
pub(super) fn said(entry: &Entry) -> Result<By<'_>, Flaw> {
    let actor = entry.actor.as_ref().ok_or(Flaw::Actor)?;
    let Actor { identity, certificate_sha256, certificate, signature, .. } = actor;
    let presented = !certificate_sha256.is_empty() || certificate.is_some() || signature.is_some();
    match (actor.kind(), certificate, signature) {
        (ActorKind::Officers, ..) if identity.is_empty() && !presented => Ok(By::Officers),
        (ActorKind::Service, ..) if identity.starts_with("/service/") && !presented => Ok(By::Service),
        (ActorKind::Caller, Some(certificate), Some(signature)) => {
            Ok(By::Caller(Caller { identity, certificate: certificate.index, signature }))
        }
        _ => Err(Flaw::Actor),
    }
}

impl Audit {
    /// Takes over whose request an entry came from that need not be judged: it is not carried out again above.
    pub(super) fn remember_request(&mut self, index: u64, entry: &Entry, caller: &Caller<'_>) {
        if entry.time_unix_ms.div_euclid(1000) >= self.known_secs {
            self.requests.remember(entry, caller, index);
        }
    }

    /// Judges an entry's caller: that it held a certificate that was valid then, and signed the request with its key.
    ///
    /// # Errors
    /// [`Flaw::Caller`].
    pub(super) fn judge_caller(
        &mut self,
        index: u64,
        entry: &Entry,
        caller: &Caller<'_>,
    ) -> Result<(), CallerFlaw> {
        let reference = entry.actor.as_ref().and_then(|actor| actor.certificate.as_ref());
        let is_before = reference.is_some_and(|to| self.is_origin(&to.origin) && to.index < index);
        let presented = self.certificates.get(caller.certificate).filter(|_| is_before);
        let presented = presented.ok_or(CallerFlaw::Unknown)?;
        let sha256 = entry.actor.as_ref().map(|actor| actor.certificate_sha256.as_slice());
        let secs = entry.time_unix_ms.div_euclid(1000);
        match () {
            () if *presented.subject != *caller.identity => return Err(CallerFlaw::OtherIdentity),
            () if presented.revoked => return Err(CallerFlaw::Revoked),
            () if presented.abandoned => return Err(CallerFlaw::Unsigned),
            () if presented.sha256.as_ref().map(<[u8; 32]>::as_slice) != sha256 => {
                return Err(CallerFlaw::Unsigned);
            }
            () if secs > presented.not_after => return Err(CallerFlaw::Expired),
            () if !self.authority.controllers.lives(caller.identity, caller.certificate) => {
                return Err(CallerFlaw::Removed);
            }
            () => {}
        }
        let key = PublicKey::try_from(&*presented.spki).map_err(|_| CallerFlaw::Signature)?;
        let origin = self.origins.last().map_or("", |origin| origin.as_str());
        let terms = Terms { origin, serial: &presented.serial, time_unix_ms: caller.signature.time_unix_ms };
        self.signatures.verify(&key, &terms, caller.signature).map_err(|_| CallerFlaw::Signature)?;
        let apart_ms = entry.time_unix_ms.saturating_sub(caller.signature.time_unix_ms);
        if apart_ms.saturating_abs() > SLACK_MS {
            return Err(CallerFlaw::SignatureTime);
        }
        let given = gives(entry, |id| self.authority.controllers.agent(id).cloned());
        let signed_ms = caller.signature.time_unix_ms;
        let since = |(agent, given): (String, _)| {
            self.changes.since((caller.identity, &agent), given, signed_ms, entry.time_unix_ms)
        };
        if given.and_then(since).is_some() {
            return Err(CallerFlaw::Overtaken);
        }
        self.judge_once(index, entry, caller)
    }

    /// A request is carried out once: again only where the certificate that it led to was given up, or had ended before it was
    /// signed anew.
    fn judge_once(&mut self, index: u64, entry: &Entry, caller: &Caller<'_>) -> Result<(), CallerFlaw> {
        if entry.request_id.is_empty() || entry.fields_sha256.len() != 32 {
            return Err(CallerFlaw::Unnamed);
        }
        if self.requests.is_past(entry.time_unix_ms) {
            return Err(CallerFlaw::Time);
        }
        let key = (caller.identity.to_owned(), entry.request_id.clone());
        let after_secs = caller.signature.time_unix_ms.min(entry.time_unix_ms).div_euclid(1000);
        let again = self.requests.last.get(&key).is_some_and(|led| {
            // Several entries of one request follow one another: agents, and one certificate at most.
            let same = led.creates
                && led.index + 1 == index
                && led.request_sha256 == caller.signature.request_sha256;
            // What was signed once is one request, however far its caller's clock is ahead; and so are two that take turns.
            let anew = led.signed_ms < caller.signature.time_unix_ms;
            let over = self.certificates.get(led.index).is_some_and(|certificate| {
                certificate.abandoned || (anew && certificate.not_after < after_secs)
            });
            !same && !over
        });
        self.requests.remember(entry, caller, index);
        if again { Err(CallerFlaw::Repeated) } else { Ok(()) }
    }
}
