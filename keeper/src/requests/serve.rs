//! The front's own certificate. Its names are the keeper's configuration, never the front's word.
//!
//! Each one ends the one before: a front that was in other hands for a while leaves no credential that outlives the next.

use cell::{ServiceName, SpiffeId};
use certs::Profile;
use certs::csr::{RequestedName, VerifiedCsr};
use ledger::entry::entry::Kind;
use ledger::entry::revocation::Target;
use ledger::entry::{Entry, Profile as Recorded, Revocation, RevocationReason};
use proto::v1::Reason;

use super::{Desk, Plan, Then};
use crate::HOUR_MS;
use crate::callers::Who;
use crate::journal::{CertificateRow, Scope};
use crate::refusal::Refusal;
use crate::steps::{Authority, Issuing, Order};

/// Lifetime of the service's certificate, in seconds: a day, renewed at half, so that a lost token does not lock callers out at once.
const SERVICE_TTL_SECS: u32 = 86_400;
/// Certificates that the front is given in an hour. It keeps its own in a file, over restarts.
const PER_HOUR: usize = 12;
/// Beyond these, for fronts that have just been started.
const FIRSTS_PER_HOUR: usize = 12;

pub(super) fn plan(
    desk: &mut Desk<'_>,
    who: &Who,
    csr: &VerifiedCsr,
    is_first: bool,
) -> Result<Plan, Refusal> {
    let authority = Authority::of_configuration(who)?;
    let uri = ServiceName::ca().spiffe_id(&desk.settings.cell);
    is_its_own(csr, &uri)?;
    let spki = csr.public_key().spki_der();
    let before = desk.reader.newest_held(crate::SERVICE_PATH)?;
    let before = before.map(|index| desk.reader.proved(index)).transpose()?.flatten();
    if let Some(row) = &before
        && is_the_same(desk, row, spki)?
    {
        return Ok(Plan::Await(row.index));
    }
    rested(desk, is_first)?;
    let entries: Vec<Entry> = match before {
        Some(row) => superseded(desk, who, &row)?.into_iter().collect(),
        None => Vec::new(),
    };
    let order = Order {
        dns_names: desk.settings.service_dns.clone(),
        ip_addresses: desk.settings.service_addresses.clone(),
        ..Order::plain(Profile::Service, uri)
    };
    let issuing = Issuing {
        subject: crate::SERVICE_PATH.to_owned(),
        profile: Recorded::Service,
        lifetime_secs: SERVICE_TTL_SECS,
        ..Issuing::default()
    };
    let entry = desk.on_the_word_of(who.actor(&desk.settings.origin));
    let certificate = Some(desk.certificate(authority, spki, (&order, issuing), entry)?);
    Ok(Plan::Record { entries, certificate, then: Then::Certificate })
}

/// A CSR for the service's SPIFFE ID alone. The front sees those of all callers: one of theirs proves that they have the key, not that it has.
fn is_its_own(csr: &VerifiedCsr, uri: &SpiffeId) -> Result<(), Refusal> {
    if *csr.names() == [RequestedName::Uri(uri.to_string())] && csr.extensions().is_empty() {
        return Ok(());
    }
    Err(Refusal::new(Reason::CsrNameNotIssued, format!("the front's CSR is not for {uri} alone")).on("csr"))
}

/// Whether this certificate is what is asked for: of the same key, in the first half of its life, and not revoked. A front whose answer was
/// lost asks again.
fn is_the_same(desk: &Desk<'_>, row: &CertificateRow, spki: &[u8]) -> Result<bool, Refusal> {
    if desk.now_ms.div_euclid(1000) >= row.not_before.midpoint(row.not_after)
        || row.issuer != desk.issuer.spki_sha256()
        || desk.reader.revoked(row.index)?.is_some()
    {
        return Ok(false);
    }
    let (_, certified) = desk.reader.certified_key(row.index)?;
    Ok(certified == spki)
}

/// The entry that revokes the one before; none where nothing is left of it.
fn superseded(desk: &Desk<'_>, who: &Who, before: &CertificateRow) -> Result<Option<Entry>, Refusal> {
    let target = Target::Certificate(desk.reference(before.index));
    let revoked = desk.reader.revocable(&Scope::new(target.clone(), None, desk.now_ms.div_euclid(1000)))?;
    let revocation = Revocation {
        target: Some(target),
        reason: RevocationReason::Superseded.into(),
        revoked,
        ..Revocation::default()
    };
    let entry = desk.entry(who.actor(&desk.settings.origin), Kind::Revocation(revocation));
    Ok((revoked > 0).then_some(entry))
}

/// A front asks when it starts without one and every half day: one that asks without end is out of order, or in other hands. The next front finds
/// some left for the first time that it asks.
fn rested(desk: &Desk<'_>, is_first: bool) -> Result<(), Refusal> {
    let given = desk.reader.own_given(desk.now_ms.div_euclid(HOUR_MS))?;
    let most = if is_first { PER_HOUR + FIRSTS_PER_HOUR } else { PER_HOUR };
    if given < most {
        return Ok(());
    }
    let wait = u32::try_from(HOUR_MS - desk.now_ms.rem_euclid(HOUR_MS)).unwrap_or(u32::MAX);
    Err(Refusal::new(
        Reason::BudgetExhausted,
        format!("the front has asked for {PER_HOUR} certificates in this hour"),
    )
    .retry(wait))
}
