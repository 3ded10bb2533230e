//! Rules for names: issuer, subject, subject alternative names.

use std::net::IpAddr;

use x509_parser::{extensions::GeneralName, oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME};

use super::super::{
    Rule,
    candidate::{Candidate, demand},
};

/// The rules of this file.
pub(in super::super) const NAMES: &[Rule] = &[
    Rule { name: "issuer-name", section: "RFC 5280 §4.1.2.4", check: issuer_name },
    Rule { name: "subject", section: "RFC 5280 §4.1.2.6", check: subject },
    Rule { name: "san-critical", section: "RFC 5280 §4.2.1.6", check: san_critical },
    Rule { name: "san-uri", section: "X509-SVID §2", check: san_uri },
    Rule { name: "san-names", section: "design §5", check: san_names },
];

/// Byte for byte the issuer's subject, so that no comparison of names is ever needed; a root's own.
fn issuer_name(c: &Candidate<'_>) -> Result<(), String> {
    let expected = c.expected.issuer.map_or(c.tbs.subject.as_raw(), |issuer| issuer.subject_der());
    demand(c.tbs.issuer.as_raw() == expected, || format!("the issuer is `{}`", c.tbs.issuer))
}

/// A CA has a subject; a leaf has none, its URI is its name.
fn subject(c: &Candidate<'_>) -> Result<(), String> {
    let named = c.tbs.subject.iter().next().is_some();
    demand(named == c.expected.profile.is_ca(), || format!("the subject is `{}`", c.tbs.subject))
}

fn san_critical(c: &Candidate<'_>) -> Result<(), String> {
    let named = c.tbs.subject.iter().next().is_some();
    let critical = c.extension(&OID_X509_EXT_SUBJECT_ALT_NAME).is_none_or(|san| san.critical);
    demand(named || critical, || "not critical, although the subject is empty".to_owned())
}

fn san_uri(c: &Candidate<'_>) -> Result<(), String> {
    let uris: Vec<&str> = c
        .alternative_names()?
        .into_iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(uri),
            _ => None,
        })
        .collect();
    demand(uris == [c.expected.uri], || format!("the URIs are {uris:?}, not {:?}", c.expected.uri))
}

/// Beside the URI: the granted DNS names and addresses, each once, and no other kind of name.
fn san_names(c: &Candidate<'_>) -> Result<(), String> {
    let mut found = Vec::new();
    for name in c.alternative_names()? {
        match name {
            GeneralName::URI(_) => {}
            GeneralName::DNSName(name) => found.push(format!("DNS:{name}")),
            GeneralName::IPAddress(bytes) => found.push(address(bytes)?),
            other => return Err(format!("{other:?} is of a kind that is never issued")),
        }
    }
    let names = c.expected.dns_names.iter().map(|name| format!("DNS:{name}"));
    let addresses = c.expected.ip_addresses.iter().map(|address| format!("IP:{address}"));
    let mut expected: Vec<_> = names.chain(addresses).collect();
    found.sort();
    expected.sort();
    demand(found == expected, || format!("the names are {found:?}, not {expected:?}"))
}

/// RFC 5280 §4.2.1.6: 4 octets or 16.
fn address(bytes: &[u8]) -> Result<String, String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let address = v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from));
    match address {
        Ok(address) => Ok(format!("IP:{address}")),
        Err(_) => Err(format!("an address of {} octets", bytes.len())),
    }
}
