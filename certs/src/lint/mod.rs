//! A second look at the bytes before they are signed (step 6 of the issuance cycle).
//!
//! Another decoder than the encoder's reads them, and a table of small rules compares them with what was granted.
//! The values that rules compare with are written here by hand, byte for byte, not made by the composer.
//! Does not: repair, warn, or know where the expectation came from.

mod candidate;
mod examine;
mod rules;

use std::{fmt, net::IpAddr};

use cell::DnsName;
use const_oid::ObjectIdentifier;

use crate::{
    Attributes, Profile,
    compose::{Tbs, Validity},
    issuer::Issuer,
    key::PublicKey,
};

pub use candidate::Candidate;
pub(crate) use candidate::demand;
pub use examine::{Examined, Given, examine};

/// What the certificate is to be, from those who granted it and not from those who encoded it.
#[derive(Debug, Clone)]
pub struct Expected<'a> {
    /// Its kind.
    pub profile: Profile,
    /// Who is to sign it; none for a root, which signs itself.
    pub issuer: Option<&'a Issuer>,
    /// Its one URI: a SPIFFE ID, or the trust domain's for a CA.
    pub uri: &'a str,
    /// Its DNS names, all of them.
    pub dns_names: &'a [DnsName],
    /// Its addresses, all of them.
    pub ip_addresses: &'a [IpAddr],
    /// Its roles and tags; empty means no such extension.
    pub attributes: &'a Attributes,
    /// The OID of the roles and tags.
    pub attributes_oid: ObjectIdentifier,
    /// Its key.
    pub public_key: &'a PublicKey,
    /// When it is to be valid.
    pub validity: Validity,
    /// Now, in seconds since 1970.
    pub now: u64,
}

/// One rule: a name that tests and findings use, where it comes from, and the look at it.
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// The section that demands it.
    pub section: &'static str,
    /// What is wrong, if something is.
    pub check: fn(&Candidate<'_>) -> Result<(), String>,
}

/// A rule that does not hold: our bug, found before it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The rule's name.
    pub rule: &'static str,
    /// The section that demands it.
    pub section: &'static str,
    /// What was found.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.rule, self.detail, self.section)
    }
}

/// Proof that every rule held for these TBS bytes, which it owns. Only [`check`] makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct Linted(Tbs);

impl Linted {
    /// The bytes that every rule held for.
    pub fn tbs(&self) -> &Tbs {
        &self.0
    }

    /// The same, given up.
    pub fn into_tbs(self) -> Tbs {
        self.0
    }
}

/// Every rule, in the order of the fields.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    [rules::FIELDS, rules::NAMES, rules::EXTENSIONS].into_iter().flatten()
}

/// Applies every rule to the bytes.
///
/// # Errors
/// All findings; at least one.
pub fn check(tbs: Tbs, expected: &Expected<'_>) -> Result<Linted, Vec<Finding>> {
    let findings = findings(tbs.as_bytes(), expected);
    if findings.is_empty() { Ok(Linted(tbs)) } else { Err(findings) }
}

/// What every rule finds in these bytes; nothing when all hold. For those who look at what was issued before.
pub fn findings(tbs: &[u8], expected: &Expected<'_>) -> Vec<Finding> {
    let candidate = match Candidate::decode(tbs, expected) {
        Ok(candidate) => candidate,
        Err(detail) => return vec![Finding { rule: "decodes", section: "RFC 5280 §4.1", detail }],
    };
    rules()
        .filter_map(|rule| match (rule.check)(&candidate) {
            Ok(()) => None,
            Err(detail) => Some(Finding { rule: rule.name, section: rule.section, detail }),
        })
        .collect()
}
