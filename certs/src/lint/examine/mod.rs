//! The rules applied to a certificate for which there is no order: what it is to be is taken from what it says.
//!
//! For those who look at certificates of other makers, or at old ones. What needs an order or the issuer is left out where there is
//! none. Does not: say whether a chain is trusted.

mod claims;

use cell::{SpiffeId, TrustDomain};
use const_oid::ObjectIdentifier;
use x509_parser::{
    certificate::TbsCertificate, extensions::ParsedExtension,
    oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER, prelude::FromDer, x509::AlgorithmIdentifier,
};

use claims::Claims;

use super::{Expected, Finding, findings};
use crate::{
    Profile, SignatureAlgorithm,
    issuer::Issuer,
    key::PublicKey,
    raw::{self, Signed},
};

/// What is known beside the certificate.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// Its kind; guessed from its shape without.
    pub profile: Option<Profile>,
    /// Who signed it; not needed for a root.
    pub issuer: Option<&'a Issuer>,
    /// The OID of the roles and tags.
    pub attributes_oid: ObjectIdentifier,
    /// Now, in seconds since 1970.
    pub now: u64,
}

/// What was found in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The kind that it was held to; none when it could not be read.
    pub profile: Option<Profile>,
    /// Its first URI; empty without.
    pub uri: String,
    /// What does not hold; nothing when all does.
    pub findings: Vec<Finding>,
}

/// Rules that compare with an order, which nobody gave.
const OF_AN_ORDER: &[&str] = &["validity-granted"];
/// Rules that look at the issuer.
const OF_THE_ISSUER: &[&str] =
    &["issuer-name", "signature-algorithm", "validity-issuer", "authority-key-identifier"];
/// Rules that look at a key that is not taken; it is a finding itself.
const OF_THE_KEY: &[&str] = &["public-key", "subject-key-identifier"];

/// Applies every rule that can be applied to a DER certificate, and verifies its signature where its issuer is known.
pub fn examine(der: &[u8], given: &Given<'_>) -> Examined {
    let unreadable = |detail: String| {
        let findings = vec![finding("decodes", "RFC 5280 §4.1", detail)];
        Examined { profile: given.profile, uri: String::new(), findings }
    };
    let parts = match raw::signed(der) {
        Ok(parts) => parts,
        Err(error) => return unreadable(format!("the bytes are no certificate: {error:?}")),
    };
    let tbs = match TbsCertificate::from_der(parts.tbs) {
        Ok((_rest, tbs)) => tbs,
        Err(error) => return unreadable(format!("the bytes are no TBSCertificate: {error}")),
    };
    let Some(claims) = Claims::of(&tbs, given) else {
        return unreadable("a certificate of no time".to_owned());
    };
    let mut all = claims.findings(&parts, &tbs, given);
    let left_out = claims.left_out(given);
    let expected = claims.expected(given);
    all.extend(findings(parts.tbs, &expected).into_iter().filter(|found| !left_out.contains(&found.rule)));
    Examined { profile: Some(claims.profile), uri: claims.uri, findings: all }
}

fn finding(rule: &'static str, section: &'static str, detail: String) -> Finding {
    Finding { rule, section, detail }
}

impl Claims {
    fn expected<'a>(&'a self, given: &Given<'a>) -> Expected<'a> {
        Expected {
            profile: self.profile,
            issuer: self.issuer(given),
            uri: &self.uri,
            dns_names: &self.dns_names,
            ip_addresses: &self.ip_addresses,
            attributes: &self.attributes,
            attributes_oid: given.attributes_oid,
            public_key: &self.public_key,
            validity: self.validity,
            now: given.now,
        }
    }

    /// A root has no issuer but itself, whatever is given.
    fn issuer<'a>(&self, given: &Given<'a>) -> Option<&'a Issuer> {
        given.issuer.filter(|_| self.profile != Profile::Root)
    }

    /// The rules that there is nothing to compare with for.
    fn left_out(&self, given: &Given<'_>) -> Vec<&'static str> {
        let mut rules = OF_AN_ORDER.to_vec();
        let no_issuer = self.issuer(given).is_none();
        if no_issuer && self.profile != Profile::Root {
            rules.extend(OF_THE_ISSUER);
        }
        if self.key_error.is_some() {
            rules.extend(OF_THE_KEY);
            // A root's own key is its issuer's.
            rules.extend(no_issuer.then_some("signature-algorithm"));
        }
        rules
    }

    /// What the rules do not look at, since the service itself cannot get it wrong or looks at it elsewhere.
    fn findings(&self, parts: &Signed<'_>, tbs: &TbsCertificate<'_>, given: &Given<'_>) -> Vec<Finding> {
        let issuer = self.issuer(given);
        let key = issuer.map_or(&self.public_key, Issuer::public_key);
        let verified = issuer.is_some() || self.profile == Profile::Root && self.key_error.is_none();
        let signature = if verified { signature(parts, key) } else { Ok(()) };
        let identifier =
            if issuer.is_none() && self.profile != Profile::Root { key_identifier(tbs) } else { Ok(()) };
        let checks = [
            ("signature-algorithm", "RFC 5280 §4.1.1.2", algorithm(parts, tbs)),
            ("signature", "RFC 5280 §4.1.1.3", signature),
            (
                "public-key",
                "RFC 5280 §4.1.2.7",
                self.key_error.map_or(Ok(()), |error| Err(error.to_string())),
            ),
            ("san-uri", "X509-SVID §2", self.identity()),
            ("authority-key-identifier", "RFC 5280 §4.2.1.1", identifier),
        ];
        let found = |(rule, section, checked): (_, _, Result<(), String>)| {
            Some(finding(rule, section, checked.err()?))
        };
        checks.into_iter().filter_map(found).collect()
    }

    /// A leaf's URI is a SPIFFE ID, a CA's that of a trust domain (X509-SVID §2, §3.1).
    fn identity(&self) -> Result<(), String> {
        let uri = &self.uri;
        let valid = if self.profile.is_ca() {
            let domain = uri.strip_prefix("spiffe://").map(str::parse::<TrustDomain>);
            domain.is_some_and(|domain| domain.is_ok())
        } else {
            uri.parse::<SpiffeId>().is_ok()
        };
        match (valid, self.profile.is_ca()) {
            (true, _) => Ok(()),
            (false, true) => Err(format!("{uri:?} is not the URI of a trust domain")),
            (false, false) => Err(format!("{uri:?} is no SPIFFE ID")),
        }
    }
}

/// One of the service's algorithms, and the same inside and outside.
fn algorithm(parts: &Signed<'_>, tbs: &TbsCertificate<'_>) -> Result<(), String> {
    let outside = AlgorithmIdentifier::from_der(parts.algorithm);
    if !matches!(&outside, Ok((_rest, outside)) if *outside == tbs.signature) {
        return Err("there is one algorithm inside and another outside".to_owned());
    }
    match SignatureAlgorithm::from_identifier_der(parts.algorithm) {
        Some(_) => Ok(()),
        None => Err(format!("{} is none that this service signs with", tbs.signature.algorithm)),
    }
}

fn signature(parts: &Signed<'_>, key: &PublicKey) -> Result<(), String> {
    let algorithm = SignatureAlgorithm::of(key.kind());
    let verified = algorithm.identifier_der() == parts.algorithm
        && algorithm.verify_by(key, parts.tbs, parts.signature).is_ok();
    if verified { Ok(()) } else { Err("it does not verify by the issuer's key".to_owned()) }
}

/// The key identifier of an issuer that is not known: there, and alone.
fn key_identifier(tbs: &TbsCertificate<'_>) -> Result<(), String> {
    let found = tbs.extensions().iter().find(|e| e.oid == OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER);
    let Some(extension) = found else { return Err("the extension is missing".to_owned()) };
    match extension.parsed_extension() {
        _ if extension.critical => Err("critical".to_owned()),
        ParsedExtension::AuthorityKeyIdentifier(id) if id.key_identifier.is_some() => Ok(()),
        _ => Err("there is no key identifier in it".to_owned()),
    }
}
