//! Step 6, lint: another decoder reads the bytes and holds them against what was ordered, before they are recorded.
//!
//! A crash here leaves nothing.

use certs::Issuer;
use certs::lint::Expected;
use const_oid::ObjectIdentifier;

use super::Composed;
use super::compose::Order;
use crate::refusal::Refusal;

pub(crate) use certs::lint::Linted;

/// Applies every rule.
///
/// # Errors
/// A finding: our own fault, seen before anything was signed.
pub(crate) fn lint(
    issuer: &Issuer,
    composed: Composed,
    order: &Order,
    attributes_oid: ObjectIdentifier,
    now_ms: i64,
) -> Result<Linted, Refusal> {
    let uri = order.uri.to_string();
    let expected = Expected {
        profile: order.profile,
        issuer: Some(issuer),
        uri: &uri,
        dns_names: order.dns_names.as_slice(),
        ip_addresses: &order.ip_addresses,
        attributes: &order.attributes,
        attributes_oid,
        public_key: &composed.public_key,
        validity: composed.validity,
        now: u64::try_from(now_ms.div_euclid(1000)).map_err(Refusal::internal)?,
    };
    certs::lint::check(composed.tbs, &expected).map_err(|findings| {
        let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
        Refusal::internal(format!("lint: {}", findings.join("; ")))
    })
}
