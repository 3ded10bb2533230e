//! A certificate for people, and its parts for those who verify it.
//!
//! Does not: verify anything; what it shows is what the certificate says.

use std::net::IpAddr;

use const_oid::ObjectIdentifier;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer,
};

use crate::{Attributes, PublicKey, SignatureAlgorithm, raw};

/// Not one DER certificate, or one whose extensions cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a DER certificate")]
pub struct NotACertificate;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CertificateSummary {
    /// The serial number, lower-case hexadecimal without leading zero bytes, as [`crate::compose::Serial`] prints.
    pub serial: String,
    /// The subject; empty for a leaf of ours.
    pub subject: String,
    /// The issuer.
    pub issuer: String,
    /// The URIs; exactly one in a certificate of ours.
    pub uris: Vec<String>,
    /// The DNS names.
    pub dns_names: Vec<String>,
    /// The addresses.
    pub ip_addresses: Vec<IpAddr>,
    /// The roles and tags; empty when there are none.
    pub attributes: Attributes,
    /// The first second, inclusive, since 1970; negative before.
    pub not_before: i64,
    /// The last second, inclusive, since 1970.
    pub not_after: i64,
    /// Whether it certifies others.
    pub is_ca: bool,
    /// The kind of its key, or `unknown`.
    pub key: String,
    /// The algorithm it is signed with: a name, or an OID.
    pub algorithm: String,
    /// The subject key identifier, hexadecimal; empty without.
    pub key_identifier: String,
    /// The authority key identifier, hexadecimal; empty without.
    pub authority_key_identifier: String,
    /// SHA-256 of the SubjectPublicKeyInfo, hexadecimal.
    pub spki_sha256: String,
    /// SHA-256 of the whole certificate, hexadecimal.
    pub sha256: String,
}

impl CertificateSummary {
    /// Reads a DER certificate; `attributes_oid` is that of the roles and tags.
    ///
    /// # Errors
    /// [`NotACertificate`], also when bytes follow it, or its roles and tags are malformed.
    pub fn parse(der: &[u8], attributes_oid: ObjectIdentifier) -> Result<Self, NotACertificate> {
        let parts = raw::signed(der).map_err(|_| NotACertificate)?;
        let (_rest, certificate) = X509Certificate::from_der(der).map_err(|_| NotACertificate)?;
        let spki = certificate.public_key().raw;
        let key = PublicKey::try_from(spki).map_or("unknown".to_owned(), |key| key.kind().to_string());
        let algorithm = SignatureAlgorithm::from_identifier_der(parts.algorithm)
            .map_or_else(|| certificate.signature_algorithm.algorithm.to_string(), |a| a.to_string());
        let serial: Vec<u8> = certificate.raw_serial().iter().copied().skip_while(|&b| b == 0).collect();
        let mut summary = Self {
            serial: HEXLOWER.encode(&serial),
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            key,
            algorithm,
            spki_sha256: HEXLOWER.encode(&Sha256::digest(spki)),
            sha256: HEXLOWER.encode(&Sha256::digest(der)),
            ..Self::default()
        };
        summary.read_extensions(&certificate, attributes_oid)?;
        Ok(summary)
    }

    fn read_extensions(
        &mut self,
        certificate: &X509Certificate<'_>,
        oid: ObjectIdentifier,
    ) -> Result<(), NotACertificate> {
        for extension in certificate.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(names) => {
                    names.general_names.iter().for_each(|name| self.read_name(name));
                }
                ParsedExtension::BasicConstraints(constraints) => self.is_ca = constraints.ca,
                ParsedExtension::SubjectKeyIdentifier(id) => self.key_identifier = HEXLOWER.encode(id.0),
                ParsedExtension::AuthorityKeyIdentifier(id) => {
                    let id = id.key_identifier.as_ref().map(|id| HEXLOWER.encode(id.0));
                    self.authority_key_identifier = id.unwrap_or_default();
                }
                ParsedExtension::ParseError { .. } => return Err(NotACertificate),
                _ if extension.oid.as_bytes() == oid.as_bytes() => {
                    self.attributes = Attributes::from_der(extension.value).map_err(|_| NotACertificate)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_name(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::URI(uri) => self.uris.push((*uri).to_owned()),
            GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
            GeneralName::IPAddress(bytes) => {
                let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                self.ip_addresses.extend(v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)));
            }
            _ => {}
        }
    }
}

/// The TBS bytes of a DER certificate, which are what was recorded and signed.
///
/// # Errors
/// [`NotACertificate`], also when bytes follow it.
pub fn tbs_of(der: &[u8]) -> Result<&[u8], NotACertificate> {
    raw::signed(der).map(|parts| parts.tbs).map_err(|_| NotACertificate)
}

/// The signature of a DER certificate (ECDSA in DER).
///
/// # Errors
/// [`NotACertificate`], also when bytes follow it.
pub fn signature_of(der: &[u8]) -> Result<&[u8], NotACertificate> {
    raw::signed(der).map(|parts| parts.signature).map_err(|_| NotACertificate)
}
