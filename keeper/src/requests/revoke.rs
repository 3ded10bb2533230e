//! RevokeCertificate: a controller ends certificates that were issued under its grants, all of an act at once.

use cell::{AgentId, RevocationReason, RevocationTarget};
use ledger::entry::entry::Kind;
use ledger::entry::revocation::Target;
use ledger::entry::{self, Entry, IssuedSince, Revocation};
use proto::door::answer;
use proto::v1::revoke_certificate_body::Target as Asked;
use proto::v1::{self, Reason};

use super::{Desk, Once, Plan, Signer, Then};
use crate::callers::Who;
use crate::convert;
use crate::disk::Wanted;
use crate::journal::{CertificateRow, Scope};
use crate::refusal::Refusal;
use crate::steps::{Authorised, Grants};

/// How long after its end a certificate can still be named, in seconds: it was there when its name was looked for.
const ENDED_SECS: i64 = 1800;
/// Least time between two revocations of everything by one controller, in milliseconds.
const SWEEP_MS: i64 = 60_000;

pub(super) fn plan(
    desk: &mut Desk<'_>,
    caller: &Signer<'_>,
    revoke: &v1::RevokeCertificateBody,
    request_id: &str,
) -> Result<Plan, Refusal> {
    let who = caller.who;
    let controller = who.controller()?.as_str();
    let fields = v1::RevokeCertificateBody { request_id: String::new(), ..revoke.clone() };
    let once = Once::new("RevokeCertificate", request_id, &fields);
    if let Some(index) = once.before(&desk.reader, who)? {
        return replayed(desk, index);
    }
    let reason = RevocationReason::try_from(revoke.reason)
        .map_err(|error| Refusal::malformed("reason", format!("{} {error}", revoke.reason)))?;
    let asked = revoke.target.as_ref().ok_or_else(|| Refusal::malformed("target", "name what to revoke"))?;
    let (target, authorised) = match asked {
        Asked::Certificate(name) => one(desk, who, &found(desk, convert::certificate_index(name)?)?)?,
        Asked::Serial(serial) => one(desk, who, &by_serial(desk, serial, "serial")?)?,
        Asked::Agent(name) => {
            let id = convert::agent_id(name, "agent")?;
            let authorised = within_grants(desk, who, id.clone())?;
            (Target::Agent(id.to_string()), authorised)
        }
        Asked::IssuedSince(issued) => {
            let name = convert::controller_name(&issued.controller)?;
            if name.as_str() != controller {
                return Err(Refusal::not_allowed(who.path()));
            }
            let authorised = any_grant(desk, who)?;
            rested(desk, controller)?;
            (Target::IssuedSince(since(controller, issued)?), authorised)
        }
    };
    desk.room.demand(Wanted::End)?;
    authorised.within_reserve(&desk.reader, desk.now_ms)?;
    let scope = Scope::new(target, Some(controller), desk.now_ms.div_euclid(1000));
    let revoked = desk.reader.revocable(&scope)?;
    let revocation = Revocation {
        target: Some(scope.target().clone()),
        reason: reason.code().into(),
        revoked,
        grant: authorised.grant().to_owned(),
        approval: Some(authorised.approval(&desk.settings.origin)),
    };
    // Recorded also where nothing is left to revoke: to look for it has its price, and so it has a budget.
    let entry = desk.entry_for(caller, &once, Kind::Revocation(revocation));
    Ok(Plan::Record { entries: vec![entry], certificate: None, then: Then::Revoked(revoked) })
}

/// What officers revoke: the same over everybody's certificates. The act is the entry just before.
///
/// # Errors
/// There is nothing to revoke, so that nobody believes that something was.
pub(super) fn by_officers(
    desk: &Desk<'_>,
    target: &RevocationTarget,
    reason: RevocationReason,
) -> Result<(Entry, u64), Refusal> {
    let target = match target {
        RevocationTarget::Entry(index) => Target::Certificate(desk.reference(found(desk, *index)?.index)),
        RevocationTarget::Serial(serial) => {
            Target::Certificate(desk.reference(by_serial(desk, &serial.to_string(), "proposal")?.index))
        }
        RevocationTarget::Agent(id) => Target::Agent(id.to_string()),
        RevocationTarget::IssuedSince { controller, since } => Target::IssuedSince(IssuedSince {
            controller: controller.to_string(),
            since_unix_ms: since.as_millisecond(),
        }),
    };
    let scope = Scope::new(target, None, desk.now_ms.div_euclid(1000));
    let revoked = desk.reader.revocable(&scope)?;
    if revoked == 0 {
        return Err(Refusal::new(
            Reason::NotFound,
            "there is nothing to revoke: no such certificate, or all of them are expired or revoked",
        )
        .on("proposal"));
    }
    let revocation = Revocation {
        target: Some(scope.target().clone()),
        reason: reason.code().into(),
        revoked,
        grant: String::new(),
        approval: Some(desk.reference(desk.next)),
    };
    let actor = super::proposal::officers();
    Ok((desk.entry(actor, Kind::Revocation(revocation)), revoked))
}

/// One certificate of an agent that the caller's grants speak for. One that is another's is as if it were not there.
fn one(desk: &Desk<'_>, who: &Who, row: &CertificateRow) -> Result<(Target, Authorised), Refusal> {
    // Whose it was, the keeper knows of those that can live; of the others the file's word is none.
    let lives = row.not_after >= desk.now_ms.div_euclid(1000) - ENDED_SECS;
    let ours = lives && row.controller.as_deref() == Some(who.controller()?.as_str());
    let id = row.subject.strip_prefix("/agent/").filter(|_| ours).ok_or_else(missing)?;
    let authorised = within_grants(desk, who, id.parse().map_err(Refusal::internal)?)?;
    Ok((Target::Certificate(desk.reference(row.index)), authorised))
}

/// Counting all that a controller obtained takes as long as that is much: once a minute is enough for all that is honest.
fn rested(desk: &mut Desk<'_>, controller: &str) -> Result<(), Refusal> {
    let since = desk.swept.get(controller).map(|last| desk.now_ms - last);
    if let Some(since) = since.filter(|since| (0..SWEEP_MS).contains(since)) {
        let wait = u32::try_from(SWEEP_MS - since).unwrap_or(u32::MAX);
        let message = "everything since a time is revoked at most once a minute; officers can at any time";
        return Err(Refusal::new(Reason::BudgetExhausted, message).retry(wait));
    }
    desk.swept.insert(controller.to_owned(), desk.now_ms);
    Ok(())
}

fn within_grants(desk: &Desk<'_>, who: &Who, id: AgentId) -> Result<Authorised, Refusal> {
    Grants::of_caller(&desk.reader, who)?.speak_for(id)
}

/// What a controller obtained under several grants draws on the first of them that is left.
fn any_grant(desk: &Desk<'_>, who: &Who) -> Result<Authorised, Refusal> {
    Grants::of_caller(&desk.reader, who)?.first()
}

fn since(controller: &str, issued: &v1::IssuedSince) -> Result<IssuedSince, Refusal> {
    let since =
        issued.since.as_ref().ok_or_else(|| Refusal::malformed("issued_since.since", "it is missing"))?;
    let millis =
        since.seconds.checked_mul(1000).and_then(|ms| ms.checked_add(i64::from(since.nanos) / 1_000_000));
    let since_unix_ms = millis.ok_or_else(|| Refusal::malformed("issued_since.since", "it is no time"))?;
    Ok(IssuedSince { controller: controller.to_owned(), since_unix_ms })
}

fn found(desk: &Desk<'_>, index: u64) -> Result<CertificateRow, Refusal> {
    desk.reader.proved(index)?.ok_or_else(missing)
}

fn by_serial(desk: &Desk<'_>, serial: &str, field: &'static str) -> Result<CertificateRow, Refusal> {
    let serial: cell::Serial = serial.parse().map_err(|error| Refusal::malformed(field, error))?;
    desk.reader.proved_by_serial(serial.as_bytes())?.ok_or_else(missing)
}

fn missing() -> Refusal {
    Refusal::not_found("live certificate of that name or serial number")
}

/// The answer to a request that was carried out before, read from its entry.
fn replayed(desk: &Desk<'_>, index: u64) -> Result<Plan, Refusal> {
    let body =
        desk.reader.entry(index)?.ok_or_else(|| Refusal::internal("a request's entry is not there"))?;
    match entry::decode(&body).map_err(Refusal::internal)?.kind {
        Some(Kind::Revocation(revocation)) => {
            Ok(Plan::Answer(Box::new(answered(revocation.revoked, Some(desk.receipt(index)?)))))
        }
        _ => Err(Refusal::internal("a request's entry is no revocation")),
    }
}

/// The answer.
pub(crate) fn answered(revoked: u64, receipt: Option<v1::Receipt>) -> answer::Answer {
    answer::Answer::RevokeCertificate(v1::RevokeCertificateResponse { revoked, receipt })
}
