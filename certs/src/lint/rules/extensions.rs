//! Rules for extensions: each is there with exactly the value it is to have, and no other is.

use x509_parser::oid_registry::{
    OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER as AKI, OID_X509_EXT_BASIC_CONSTRAINTS as BC,
    OID_X509_EXT_EXTENDED_KEY_USAGE as EKU, OID_X509_EXT_KEY_USAGE as KU,
    OID_X509_EXT_SUBJECT_ALT_NAME as SAN, OID_X509_EXT_SUBJECT_KEY_IDENTIFIER as SKI, Oid,
};

use super::super::{
    Rule,
    candidate::{Candidate, demand},
};
use crate::{Attributes, Profile};

/// The rules of this file.
pub(in super::super) const EXTENSIONS: &[Rule] = &[
    Rule { name: "key-usage", section: "RFC 5280 §4.2.1.3, X509-SVID §4.3", check: key_usage },
    Rule {
        name: "extended-key-usage",
        section: "RFC 5280 §4.2.1.12, X509-SVID §4.4",
        check: extended_key_usage,
    },
    Rule {
        name: "basic-constraints",
        section: "RFC 5280 §4.2.1.9, X509-SVID §4.1",
        check: basic_constraints,
    },
    Rule {
        name: "subject-key-identifier",
        section: "RFC 5280 §4.2.1.2, RFC 7093 §2",
        check: subject_key_identifier,
    },
    Rule { name: "authority-key-identifier", section: "RFC 5280 §4.2.1.1", check: authority_key_identifier },
    Rule { name: "attributes", section: "design §5", check: attributes },
    Rule { name: "extensions-once", section: "RFC 5280 §4.2", check: extensions_once },
    Rule { name: "extensions-known", section: "RFC 5280 §4.2", check: extensions_known },
];

/// A leaf signs its handshakes, a CA certificates and CRLs; neither does anything else.
fn key_usage(c: &Candidate<'_>) -> Result<(), String> {
    // BIT STRING: digitalSignature is bit 0, keyCertSign bit 5, cRLSign bit 6.
    let value: &[u8] = if c.expected.profile.is_ca() { b"\x03\x02\x01\x06" } else { b"\x03\x02\x07\x80" };
    c.demand_extension(&KU, true, value)
}

fn extended_key_usage(c: &Candidate<'_>) -> Result<(), String> {
    const SERVER_AND_CLIENT: &[u8] =
        b"\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02";
    match c.expected.profile {
        Profile::Agent | Profile::Controller | Profile::Service => {
            c.demand_extension(&EKU, false, SERVER_AND_CLIENT)
        }
        Profile::Issuer | Profile::Root => c.demand_no_extension(&EKU),
    }
}

fn basic_constraints(c: &Candidate<'_>) -> Result<(), String> {
    let value: &[u8] = match c.expected.profile {
        // cA is false by default, and DER leaves a default out (X.690 §11.5).
        Profile::Agent | Profile::Controller | Profile::Service => b"\x30\x00",
        Profile::Issuer => b"\x30\x06\x01\x01\xff\x02\x01\x00",
        Profile::Root => b"\x30\x03\x01\x01\xff",
    };
    c.demand_extension(&BC, true, value)
}

fn subject_key_identifier(c: &Candidate<'_>) -> Result<(), String> {
    let value = [b"\x04\x14".as_slice(), &c.expected.public_key.key_identifier()].concat();
    c.demand_extension(&SKI, false, &value)
}

/// The issuer's subject key identifier and nothing beside it; a root needs none.
fn authority_key_identifier(c: &Candidate<'_>) -> Result<(), String> {
    let Some(issuer) = c.expected.issuer else { return c.demand_no_extension(&AKI) };
    let value = [b"\x30\x16\x80\x14".as_slice(), &issuer.key_identifier()].concat();
    c.demand_extension(&AKI, false, &value)
}

fn attributes(c: &Candidate<'_>) -> Result<(), String> {
    let Some(extension) = c.extension(&attributes_oid(c)) else {
        return demand(c.expected.attributes.is_empty(), || "the extension is missing".to_owned());
    };
    demand(!extension.critical, || "critical, which peers that do not know it refuse".to_owned())?;
    let found = Attributes::from_der(extension.value).map_err(|error| error.to_string())?;
    demand(!c.expected.attributes.is_empty(), || "there are none to carry".to_owned())?;
    demand(found == *c.expected.attributes, || format!("they are {found:?}, not {:?}", c.expected.attributes))
}

fn extensions_once(c: &Candidate<'_>) -> Result<(), String> {
    let extensions = c.tbs.extensions();
    let twice = (1..extensions.len()).find(|&i| extensions[..i].iter().any(|e| e.oid == extensions[i].oid));
    match twice {
        Some(i) => Err(format!("{} is there twice", extensions[i].oid)),
        None => Ok(()),
    }
}

fn extensions_known(c: &Candidate<'_>) -> Result<(), String> {
    let known = [SAN, KU, EKU, BC, SKI, AKI, attributes_oid(c)];
    match c.tbs.extensions().iter().find(|extension| !known.contains(&extension.oid)) {
        Some(extension) => Err(format!("{} is in no profile", extension.oid)),
        None => Ok(()),
    }
}

fn attributes_oid(c: &Candidate<'_>) -> Oid<'static> {
    Oid::new(c.expected.attributes_oid.as_bytes().to_vec().into())
}
