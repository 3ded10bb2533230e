//! RenewCertificate: the holder of an identity's newest certificate asks for the next.

use cell::{AgentId, ControllerName};
use certs::Profile;
use ledger::entry::Profile as Recorded;
use proto::v1::{self, Reason};

use super::{Desk, Once, Plan, Signer, Then, issue};
use crate::HOUR_MS;
use crate::callers;
use crate::convert;
use crate::disk::Wanted;
use crate::journal::CertificateRow;
use crate::refusal::Refusal;
use crate::steps::{self, Authorised, Authority, Grants, Issuing, Order};

/// Lifetime of a controller's certificate, in seconds: 7 days (DESIGN §5).
pub(super) const CONTROLLER_TTL_SECS: u32 = 7 * 86_400;
/// Least time between two renewals of a controller, in milliseconds.
const REST_MS: i64 = 60_000;
/// Renewals that an agent has in an hour whatever its lifetime: restarts and retries.
const SHARE_PER_HOUR: u32 = 60;
/// And for each lifetime in an hour: twice as many as one that renews at half needs.
const SHARE_PER_LIFETIME: u32 = 4;
/// One part in so many of its owner's budget is the most that one agent takes,
const SHARE_OF_BUDGET: u32 = 10;
/// unless the budget is so small that an agent of an hour could not renew twice within each.
const SHARE_LEAST: u32 = 12;
/// Seconds in an hour.
const HOUR_SECS: u32 = 3600;

pub(super) fn plan(
    desk: &mut Desk<'_>,
    caller: &Signer<'_>,
    renew: &v1::RenewCertificateBody,
    request_id: &str,
) -> Result<Plan, Refusal> {
    let csr = caller.csr()?;
    let fields = v1::RenewCertificateBody {
        csr: csr.public_key().spki_der().to_vec(),
        request_id: String::new(),
        ..renew.clone()
    };
    let once = Once::new("RenewCertificate", request_id, &fields);
    if let Some(plan) = once.certificate_before(desk, caller)? {
        return Ok(plan);
    }
    let presented = caller.certificate()?.clone();
    caller.not_renewed_since(desk, &presented.subject)?;
    newest(desk, &presented)?;
    steps::admit::renewals_go_on(&desk.reader, desk.now_ms)?;
    desk.room.demand(Wanted::Renewal)?;
    let asked_secs = issue::asked_secs(renew.lifetime.as_ref())?;
    let (authority, order, mut issuing) = match caller.who.kind() {
        callers::Kind::Agent(id) => agent(desk, id, &presented, asked_secs)?,
        callers::Kind::Controller(name) => {
            // A line that is over is not to be waited for.
            let next = controller(desk, name)?;
            rested(desk, &presented)?;
            next
        }
        callers::Kind::Local(_) | callers::Kind::Front => {
            return Err(Refusal::not_allowed(caller.who.path()));
        }
    };
    issue::demand(csr, &order)?;
    issuing.csr_sha256 = csr.sha256().to_vec();
    issuing.renews = Some(desk.reference(presented.index));
    let (spki, entry) = (csr.public_key().spki_der(), desk.on_request_of(caller, &once));
    let certificate = Some(desk.certificate(authority, spki, (&order, issuing), entry)?);
    Ok(Plan::Record { entries: Vec::new(), certificate, then: Then::Certificate })
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
/// more in an hour than the lifetime asks for that the controller gave, and never more than a tenth of the budget.
fn within_share(
    desk: &Desk<'_>,
    subject: &str,
    line_secs: u32,
    authorised: &Authorised,
) -> Result<(), Refusal> {
    let by_lifetime = SHARE_PER_HOUR + SHARE_PER_LIFETIME * HOUR_SECS / line_secs.max(1);
    let share = by_lifetime.min((authorised.budget_per_hour() / SHARE_OF_BUDGET).max(SHARE_LEAST));
    let spent = desk.reader.spent(subject, "", desk.now_ms.div_euclid(HOUR_MS))?;
    if spent < share {
        return Ok(());
    }
    let wait = u32::try_from(HOUR_MS - desk.now_ms.rem_euclid(HOUR_MS)).unwrap_or(u32::MAX);
    let message = format!("{subject} renews at most {share} times an hour: renew at half of the lifetime");
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

/// An agent's next certificate is made from the agent as it is now, under its owner's grants as they are now, for no longer than its
/// controller gave when the line began: who steals a short-lived key does not make it a long-lived one.
fn agent(
    desk: &Desk<'_>,
    id: &AgentId,
    presented: &CertificateRow,
    asked_secs: u32,
) -> Result<(Authority, Order, Issuing), Refusal> {
    let row = desk.reader.agent(id.as_str())?.ok_or_else(|| Refusal::not_found("agent"))?;
    let spec = convert::record_spec(&row.record)?;
    let owner = row.record.owner.as_str();
    if desk.reader.controller(owner)?.is_none_or(|controller| controller.removed) {
        return Err(Refusal::new(
            Reason::CallerRemoved,
            format!("controllers/{owner}, which owns you, was removed"),
        ));
    }
    let subject = presented.subject.as_str();
    let line_secs = desk.reader.line_lifetime(subject)?.ok_or_else(|| Refusal::not_found("line"))?;
    if asked_secs > line_secs {
        return Err(Refusal::new(
            Reason::GrantDoesNotCover,
            format!("{subject} renews for at most {line_secs} s, the lifetime that its controller asked for"),
        )
        .on("lifetime"));
    }
    let grants = Grants::of(&desk.reader, owner)?;
    let ttl_secs = match asked_secs {
        0 => grants.longest_secs(&spec.id).min(line_secs),
        asked_secs => issue::lifetime(&grants, &spec, asked_secs)?,
    };
    let authorised = grants.cover(&spec, ttl_secs)?;
    within_share(desk, subject, line_secs, &authorised)?;
    authorised.within_budget(&desk.reader, desk.now_ms, 1)?;
    let issuing = issue::issuing(desk, &spec, (row.record.revision, ttl_secs), &authorised);
    Ok((Authority::of_grant(&authorised), issue::order(desk, &spec), issuing))
}

fn controller(desk: &Desk<'_>, name: &ControllerName) -> Result<(Authority, Order, Issuing), Refusal> {
    let row = desk.reader.controller(name.as_str())?.ok_or_else(|| Refusal::not_found("controller"))?;
    let (authority, left_secs) = Authority::of_line(&row, desk.now_ms)?;
    let lifetime_secs =
        u32::try_from(left_secs).map_or(CONTROLLER_TTL_SECS, |left| left.min(CONTROLLER_TTL_SECS));
    let order = Order::plain(Profile::Controller, name.spiffe_id(&desk.settings.cell));
    let issuing = Issuing {
        subject: format!("/controller/{name}"),
        profile: Recorded::Controller,
        approval: Some(desk.reference(row.line)),
        lifetime_secs,
        ..Issuing::default()
    };
    Ok((authority, order, issuing))
}
