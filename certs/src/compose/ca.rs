//! The certificates of the root and of mesh issuers.

use std::str::FromStr;

use cell::TrustDomain;
use data_encoding::HEXLOWER;
use der::asn1::Ia5String;
use x509_cert::{
    ext::{
        Extension,
        pkix::{BasicConstraints, KeyUsage, KeyUsages, SubjectAltName, name::GeneralName},
    },
    name::Name,
};

use super::{
    ComposeError, Serial, Tbs, Validity,
    encode::{Shape, authority_key_identifier, encode, extension, subject_key_identifier},
};
use crate::{issuer::Issuer, key::PublicKey};

/// The longest common name (RFC 5280 §A.1, ub-common-name), in characters.
const MAX_COMMON_NAME: usize = 64;

/// A CA certificate to be composed.
#[derive(Debug, Clone)]
pub struct Ca<'a> {
    /// Its cell.
    pub cell: &'a TrustDomain,
    /// Its key.
    pub public_key: &'a PublicKey,
    /// Its serial number.
    pub serial: Serial,
    /// When it is valid.
    pub validity: Validity,
}

/// Composes a self-signed root: no path length, so that an issuer may stand between.
///
/// # Errors
/// [`ComposeError`]: our bug.
pub fn root(ca: &Ca<'_>) -> Result<Tbs, ComposeError> {
    let name = name(ca, "root")?;
    let extensions = extensions(ca, None)?;
    encode(shape(ca, name.clone(), ca.public_key, name, extensions))
}

/// Composes a mesh issuer under the root: path length 0, since it signs leaves only.
///
/// # Errors
/// [`ComposeError`]: our bug.
pub fn issuer(root: &Issuer, ca: &Ca<'_>) -> Result<Tbs, ComposeError> {
    let mut extensions = extensions(ca, Some(0))?;
    extensions.push(authority_key_identifier(root.key_identifier())?);
    encode(shape(ca, root.name().clone(), root.public_key(), name(ca, "issuer")?, extensions))
}

fn shape<'a>(
    ca: &Ca<'a>,
    issuer: Name,
    signer: &'a PublicKey,
    subject: Name,
    extensions: Vec<Extension>,
) -> Shape<'a> {
    let Ca { public_key, serial, validity, .. } = *ca;
    Shape { issuer, signer, subject, public_key, serial, validity, extensions }
}

fn extensions(ca: &Ca<'_>, path_len: Option<u8>) -> Result<Vec<Extension>, der::Error> {
    let uri = GeneralName::UniformResourceIdentifier(Ia5String::new(&ca.cell.uri())?);
    Ok(vec![
        // RFC 5280 §4.2.1.9: critical in every CA certificate.
        extension(true, &BasicConstraints { ca: true, path_len_constraint: path_len })?,
        // RFC 5280 §4.2.1.3, X509-SVID §4.3: keyCertSign; cRLSign for the issuer's own CRL.
        extension(true, &KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?,
        // X509-SVID §3.1: a signing certificate carries its trust domain. Not critical beside a subject (RFC 5280
        // §4.2.1.6).
        extension(false, &SubjectAltName(vec![uri]))?,
        subject_key_identifier(ca.public_key)?,
    ])
}

/// A name unique to the key: `CN=<cell> <kind> <first 8 hex digits of the key identifier>`, a long cell cut short.
///
/// Clients find issuers by name, so two keys of one name would cost them a failed attempt each.
fn name(ca: &Ca<'_>, kind: &str) -> Result<Name, der::Error> {
    let tail = format!(" {kind} {}", HEXLOWER.encode(&ca.public_key.key_identifier()[..4]));
    let cell: String = ca.cell.as_str().chars().take(MAX_COMMON_NAME - tail.len()).collect();
    // A trust domain has none of the characters that RFC 4514 §2.4 would have escaped.
    Name::from_str(&format!("CN={cell}{tail}"))
}
