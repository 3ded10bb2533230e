//! The front's own certificate. Its names are the keeper's configuration, never the front's word.

use certs::Profile;
use ledger::entry::Profile as Recorded;
use ledger::entry::entry::Kind;
use proto::door::Serve;
use proto::v1::Reason;

use super::{Desk, Plan, Then};
use crate::HOUR_MS;
use crate::callers::{self, Who};
use crate::refusal::Refusal;
use crate::steps::{Issuing, Order};

/// Lifetime of the service's certificate, in seconds: three days, renewed at half, so that a lost token does not lock callers out.
const SERVICE_TTL_SECS: u32 = 3 * 86_400;
/// Certificates that the front is given in an hour: as many as it can be started in one, at the supervisor's longest pause of 5 s.
const PER_HOUR: u32 = 720;

pub(super) fn plan(desk: &mut Desk<'_>, who: &Who, serve: &Serve) -> Result<Plan, Refusal> {
    if *who.kind() != callers::Kind::Front {
        return Err(Refusal::not_allowed(who.path()));
    }
    rested(desk)?;
    let name: cell::ServiceName = crate::SERVICE_NAME.parse().map_err(Refusal::internal)?;
    let order = Order {
        dns_names: desk.settings.service_dns.clone(),
        ip_addresses: desk.settings.service_addresses.clone(),
        ..Order::plain(Profile::Service, name.spiffe_id(&desk.settings.cell))
    };
    let issuing =
        Issuing { subject: crate::SERVICE_PATH.to_owned(), profile: Recorded::Service, ..Issuing::default() };
    let issuance = desk.certificate(&serve.public_key, SERVICE_TTL_SECS, &order, issuing)?;
    let entry = desk.entry(who.actor(&desk.settings.origin), Kind::Issuance(issuance));
    Ok(Plan::Record { entries: vec![entry], then: Then::Certificate })
}

/// A front asks when it starts and every day and a half: one that asks without end is out of order, or in other hands.
fn rested(desk: &Desk<'_>) -> Result<(), Refusal> {
    let spent = desk.reader.spent(crate::SERVICE_PATH, "", desk.now_ms.div_euclid(HOUR_MS))?;
    if spent < PER_HOUR {
        return Ok(());
    }
    let wait = u32::try_from(HOUR_MS - desk.now_ms.rem_euclid(HOUR_MS)).unwrap_or(u32::MAX);
    Err(Refusal::new(
        Reason::BudgetExhausted,
        format!("the front has asked for {PER_HOUR} certificates in this hour"),
    )
    .retry(wait))
}
