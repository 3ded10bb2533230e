//! The certificates of agents, controllers and services.

use std::net::IpAddr;

use cell::{DnsNames, SpiffeId};
use const_oid::{
    ObjectIdentifier,
    db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH},
};
use der::asn1::{Ia5String, OctetString};
use x509_cert::{
    ext::{
        Extension,
        pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName, name::GeneralName},
    },
    name::Name,
};

use super::{
    ComposeError, Serial, Tbs, Validity,
    encode::{Shape, authority_key_identifier, encode, extension, subject_key_identifier},
};
use crate::{Attributes, Profile, issuer::Issuer, key::PublicKey};

/// A leaf's kind, with what only that kind has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeafProfile {
    /// An agent's.
    Agent {
        /// Host names beside its URI.
        dns_names: DnsNames,
        /// Its roles and tags; no extension when there are none.
        attributes: Attributes,
    },
    /// A controller's.
    Controller,
    /// A service's.
    Service {
        /// The host names it is reached by.
        dns_names: DnsNames,
        /// The addresses it is reached by.
        ip_addresses: Vec<IpAddr>,
    },
}

impl From<&LeafProfile> for Profile {
    fn from(profile: &LeafProfile) -> Self {
        match profile {
            LeafProfile::Agent { .. } => Self::Agent,
            LeafProfile::Controller => Self::Controller,
            LeafProfile::Service { .. } => Self::Service,
        }
    }
}

/// A leaf to be composed.
#[derive(Debug, Clone)]
pub struct Leaf<'a> {
    /// Its kind.
    pub profile: LeafProfile,
    /// Its identity.
    pub uri: &'a SpiffeId,
    /// Its key.
    pub public_key: &'a PublicKey,
    /// Its serial number.
    pub serial: Serial,
    /// When it is valid.
    pub validity: Validity,
}

/// Composes a leaf under this issuer; `attributes_oid` is that of the roles and tags.
///
/// # Errors
/// [`ComposeError`]: our bug.
pub fn leaf(issuer: &Issuer, leaf: &Leaf<'_>, attributes_oid: ObjectIdentifier) -> Result<Tbs, ComposeError> {
    encode(Shape {
        issuer: issuer.name().clone(),
        signer: issuer.public_key(),
        // X509-SVID §2 leaves it free; without one, the URI is the only name there is.
        subject: Name::default(),
        public_key: leaf.public_key,
        serial: leaf.serial,
        validity: leaf.validity,
        extensions: extensions(issuer, leaf, attributes_oid)?,
    })
}

fn extensions(issuer: &Issuer, leaf: &Leaf<'_>, oid: ObjectIdentifier) -> Result<Vec<Extension>, der::Error> {
    let mut extensions = vec![
        // RFC 5280 §4.2.1.6: critical, since the subject is empty.
        extension(true, &SubjectAltName(alternative_names(leaf)?))?,
        // X509-SVID §4.3: digitalSignature, and no keyCertSign or cRLSign on a leaf.
        extension(true, &KeyUsage(KeyUsages::DigitalSignature.into()))?,
        extension(false, &ExtendedKeyUsage(PURPOSES.to_vec()))?,
        // X509-SVID §4.1: cA false. Empty, since DER leaves a default out.
        extension(true, &BasicConstraints { ca: false, path_len_constraint: None })?,
        subject_key_identifier(leaf.public_key)?,
        authority_key_identifier(issuer.key_identifier())?,
    ];
    if let LeafProfile::Agent { attributes, .. } = &leaf.profile
        && !attributes.is_empty()
    {
        let extn_value = OctetString::new(attributes.to_der()?)?;
        extensions.push(Extension { extn_id: oid, critical: false, extn_value });
    }
    Ok(extensions)
}

/// X509-SVID §2: exactly one URI; then the other names.
fn alternative_names(leaf: &Leaf<'_>) -> Result<Vec<GeneralName>, der::Error> {
    let mut names = vec![GeneralName::UniformResourceIdentifier(Ia5String::new(&leaf.uri.to_string())?)];
    if let LeafProfile::Agent { dns_names, .. } | LeafProfile::Service { dns_names, .. } = &leaf.profile {
        for name in dns_names {
            names.push(GeneralName::DnsName(Ia5String::new(name.as_str())?));
        }
    }
    if let LeafProfile::Service { ip_addresses, .. } = &leaf.profile {
        names.extend(ip_addresses.iter().copied().map(GeneralName::from));
    }
    Ok(names)
}

/// X509-SVID §4.4: where the extension is there, it has both, whichever end a caller is.
const PURPOSES: [ObjectIdentifier; 2] = [ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH];
