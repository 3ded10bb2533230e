//! RenewCertificate: the holder of an identity's newest certificate asks for the next.

use cell::{AgentId, ControllerName};
use certs::Profile;
use ledger::entry::Profile as Recorded;
use ledger::entry::entry::Kind;
use proto::door::Renew;
use proto::v1::Reason;

use super::{Desk, Plan, Request, Then, issue};
use crate::HOUR_MS;
use crate::callers::{self, Who};
use crate::convert;
use crate::journal::CertificateRow;
use crate::refusal::Refusal;
use crate::steps::{self, Issuing, Order};

/// Lifetime of a controller's certificate, in seconds: 7 days (DESIGN §5).
pub(super) const CONTROLLER_TTL_SECS: u32 = 7 * 86_400;
/// Least time between two renewals of a controller, in milliseconds.
const REST_MS: i64 = 60_000;
/// Renewals that an agent has in an hour whatever its lifetime: restarts and retries.
const SHARE_PER_HOUR: i64 = 60;
/// And for each lifetime in an hour: twice as many as one that renews at half needs.
const SHARE_PER_LIFETIME: i64 = 4;
/// How long a controller renews on one officer's word, in milliseconds: 90 days (DESIGN §5).
pub(crate) const LINE_MS: i64 = 90 * 86_400_000;

pub(super) fn plan(desk: &mut Desk<'_>, who: &Who, renew: &Renew) -> Result<Plan, Refusal> {
    let body = Renew {
        csr_sha256: Vec::new(),
        request_id: String::new(),
        requested_names: Vec::new(),
        ..renew.clone()
    };
    let request = Request::new("RenewCertificate", &renew.request_id, &body)?;
    if let Some(plan) = request.certificate_before(desk, who)? {
        return Ok(plan);
    }
    let presented = who.certificate().ok_or_else(|| Refusal::not_allowed(who.path()))?.clone();
    newest(desk, &presented)?;
    steps::admit::renewals_go_on(&desk.reader, desk.now_ms)?;
    let (order, ttl_secs, mut issuing) = match who.kind() {
        callers::Kind::Agent(id) => {
            within_share(desk, &presented)?;
            agent(desk, id, renew)?
        }
        callers::Kind::Controller(name) => {
            // A line that is over is not to be waited for.
            let next = controller(desk, name)?;
            rested(desk, &presented)?;
            next
        }
        callers::Kind::Local(_) | callers::Kind::Front => return Err(Refusal::not_allowed(who.path())),
    };
    issue::demand_names(&order, &renew.requested_names)?;
    issuing.csr_sha256.clone_from(&renew.csr_sha256);
    issuing.renews = Some(desk.reference(presented.index));
    let issuance = desk.certificate(&renew.public_key, ttl_secs, &order, issuing)?;
    let entry = desk.entry(who.actor(&desk.settings.origin), &request, Kind::Issuance(issuance));
    Ok(Plan::Record { entries: vec![entry], then: Then::Certificate })
}

/// Two holders of one identity mean that one of them stole it: the one who comes second is refused, and that is an alarm.
fn newest(desk: &Desk<'_>, presented: &CertificateRow) -> Result<(), Refusal> {
    let newest = desk.reader.newest_held(&presented.subject)?;
    if newest == Some(presented.index) {
        return Ok(());
    }
    tracing::warn!(
        alarm = "older-certificate-renews",
        subject = presented.subject,
        presented = presented.index,
        newest,
        "an older certificate of a line was used for renewal: someone else may hold this identity"
    );
    Err(Refusal::new(
        Reason::CertificateNotNewest,
        format!(
            "{} has a newer certificate than the one presented; only the newest renews. If you do not have it, it may be stolen: tell the controller",
            presented.subject
        ),
    ))
}

/// An agent's renewals draw on its owner's budget, which is for all its agents: one alone, stolen or out of order, is not to spend it. A few
/// more than its lifetime asks for in an hour.
fn within_share(desk: &Desk<'_>, presented: &CertificateRow) -> Result<(), Refusal> {
    let lifetime_secs = (presented.not_after - presented.not_before + 1).max(1);
    let share = SHARE_PER_HOUR + SHARE_PER_LIFETIME * (HOUR_MS / 1000) / lifetime_secs;
    let spent = desk.reader.spent(&presented.subject, "", desk.now_ms.div_euclid(HOUR_MS))?;
    if i64::from(spent) < share {
        return Ok(());
    }
    let wait = u32::try_from(HOUR_MS - desk.now_ms.rem_euclid(HOUR_MS)).unwrap_or(u32::MAX);
    let message =
        format!("{} renews at most {share} times an hour: renew at half of the lifetime", presented.subject);
    Err(Refusal::new(Reason::BudgetExhausted, message).retry(wait))
}

/// A controller's renewals draw on no grant's budget: one a minute is enough for all that is honest.
fn rested(desk: &Desk<'_>, presented: &CertificateRow) -> Result<(), Refusal> {
    // `Validity::for_lifetime` sets notBefore a minute back, and a tenth of the lifetime at most.
    let lifetime_secs = presented.not_after - presented.not_before + 1;
    let issued_secs = presented.not_before + (lifetime_secs / 10).min(60);
    let age_ms = desk.now_ms - issued_secs * 1000;
    if age_ms >= REST_MS {
        return Ok(());
    }
    let wait = u32::try_from(REST_MS - age_ms).unwrap_or(u32::MAX);
    Err(Refusal::new(
        Reason::BudgetExhausted,
        "a controller renews at most once a minute: use the certificate you have",
    )
    .retry(wait))
}

/// An agent's next certificate is made from the agent as it is now, under its owner's grants as they are now.
fn agent(desk: &Desk<'_>, id: &AgentId, renew: &Renew) -> Result<(Order, u32, Issuing), Refusal> {
    let row = desk.reader.agent(id.as_str())?.ok_or_else(|| Refusal::not_found("agent"))?;
    let spec = convert::record_spec(&row.record)?;
    let owner = row.record.owner.as_str();
    if desk.reader.controller(owner)?.is_none_or(|controller| controller.removed) {
        return Err(Refusal::new(
            Reason::CallerRemoved,
            format!("controllers/{owner}, which owns you, was removed"),
        ));
    }
    let ttl_secs = issue::lifetime(desk, owner, &spec, renew.lifetime_seconds)?;
    let authorised = steps::authorise::under(&desk.reader, owner, &spec, ttl_secs)?;
    authorised.within_budget(&desk.reader, desk.now_ms, 1)?;
    Ok((issue::order(desk, &spec), ttl_secs, issue::issuing(desk, &spec, row.record.revision, &authorised)))
}

fn controller(desk: &Desk<'_>, name: &ControllerName) -> Result<(Order, u32, Issuing), Refusal> {
    let row = desk.reader.controller(name.as_str())?.ok_or_else(|| Refusal::not_found("controller"))?;
    let left_secs = (row.line_start_ms + LINE_MS - desk.now_ms).div_euclid(1000);
    if left_secs < i64::from(*cell::TTL_SECS.start()) {
        return Err(Refusal::new(
            Reason::LineEnded,
            format!(
                "controllers/{name} has renewed for 90 days: have an officer run `rootcellar controller reissue {name}`"
            ),
        ));
    }
    let ttl_secs = u32::try_from(left_secs).map_or(CONTROLLER_TTL_SECS, |left| left.min(CONTROLLER_TTL_SECS));
    let order = Order::plain(Profile::Controller, name.spiffe_id(&desk.settings.cell));
    let issuing = Issuing {
        subject: format!("/controller/{name}"),
        profile: Recorded::Controller,
        approval: Some(desk.reference(row.line)),
        ..Issuing::default()
    };
    Ok((order, ttl_secs, issuing))
}
