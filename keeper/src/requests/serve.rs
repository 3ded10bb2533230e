//! The front's own certificate. Its names are the keeper's configuration, never the front's word.

use certs::Profile;
use ledger::entry::Profile as Recorded;
use ledger::entry::entry::Kind;
use proto::door::Serve;

use super::{Desk, Plan, Request, Then};
use crate::callers::{self, Who};
use crate::refusal::Refusal;
use crate::steps::{Issuing, Order};

/// Lifetime of the service's certificate, in seconds: three days, renewed at half, so that a lost token does not lock callers out.
const SERVICE_TTL_SECS: u32 = 3 * 86_400;

pub(super) fn plan(desk: &mut Desk<'_>, who: &Who, serve: &Serve) -> Result<Plan, Refusal> {
    if *who.kind() != callers::Kind::Front {
        return Err(Refusal::not_allowed(who.path()));
    }
    let name: cell::ServiceName = crate::SERVICE_NAME.parse().map_err(Refusal::internal)?;
    let order = Order {
        dns_names: desk.settings.service_dns.clone(),
        ip_addresses: desk.settings.service_addresses.clone(),
        ..Order::plain(Profile::Service, name.spiffe_id(&desk.settings.cell))
    };
    let issuing =
        Issuing { subject: crate::SERVICE_PATH.to_owned(), profile: Recorded::Service, ..Issuing::default() };
    let issuance = desk.certificate(&serve.public_key, SERVICE_TTL_SECS, &order, issuing)?;
    let entry = desk.entry(who.actor(&desk.settings.origin), &Request::anonymous(), Kind::Issuance(issuance));
    Ok(Plan::Record { entries: vec![entry], then: Then::Certificate })
}
