//! The certificates of the root and of mesh issuers.

use std::str::FromStr;

use cell::TrustDomain;
use data_encoding::HEXLOWER;
use der::asn1::{Ia5String, SetOfVec};
use der::{Decode, Encode};
use spki::SubjectPublicKeyInfoOwned;
use x509_cert::{
    ext::{
        Extension,
        pkix::{BasicConstraints, KeyUsage, KeyUsages, SubjectAltName, name::GeneralName},
    },
    name::Name,
    request::{CertReqInfo, Version},
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

/// Composes the certificate by which one root vouches for another, under the other's own name: chains to the new root then also lead to
/// the old one (RFC 4210 §4.4, "newWithOld").
///
/// # Errors
/// [`ComposeError`]: our bug.
pub fn cross(signer: &Issuer, ca: &Ca<'_>) -> Result<Tbs, ComposeError> {
    let mut extensions = extensions(ca, None)?;
    extensions.push(authority_key_identifier(signer.key_identifier())?);
    encode(shape(ca, signer.name().clone(), signer.public_key(), name(ca, "root")?, extensions))
}

/// Composes a CertificationRequestInfo (RFC 2986 §4.1) by whose signature a new CA key proves that it is there and signs: it asks for
/// nothing, and is no TBSCertificate, whatever key signs it.
///
/// # Errors
/// [`ComposeError`]: our bug.
pub fn request(cell: &TrustDomain, public_key: &PublicKey) -> Result<Vec<u8>, ComposeError> {
    let tail = HEXLOWER.encode(&public_key.key_identifier()[..4]);
    let room = MAX_COMMON_NAME - tail.len() - 1;
    let cell: String = cell.as_str().chars().take(room).collect();
    request_of(&format!("{cell} {tail}"), public_key)
}

/// Composes a CertificationRequestInfo by whose signature a CA key proves, before a plan destroys it, that it was there to be destroyed: it
/// names the plan, of which the SHA-256 is given, and asks for nothing.
///
/// # Errors
/// [`ComposeError`]: our bug.
pub fn farewell(plan_sha256: &[u8; 32], public_key: &PublicKey) -> Result<Vec<u8>, ComposeError> {
    // 160 bits of the hash, for the length of a name.
    request_of(&format!("destroyed by plan {}", HEXLOWER.encode(&plan_sha256[..20])), public_key)
}

fn request_of(name: &str, public_key: &PublicKey) -> Result<Vec<u8>, ComposeError> {
    let info = CertReqInfo {
        version: Version::V1,
        subject: Name::from_str(&format!("CN={name}"))?,
        public_key: SubjectPublicKeyInfoOwned::from_der(public_key.spki_der())?,
        attributes: SetOfVec::default(),
    };
    Ok(info.to_der()?)
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
