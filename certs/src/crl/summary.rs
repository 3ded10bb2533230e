//! A CRL for people.
//!
//! Does not: verify anything; what it shows is what the CRL says.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use x509_parser::{
    extensions::ParsedExtension,
    prelude::FromDer,
    revocation_list::{CertificateRevocationList, RevokedCertificate},
    time::ASN1Time,
};

use super::{Reason, Revoked};
use crate::{SignatureAlgorithm, raw};

/// Not one DER CRL with a number, a next update and lasting reasons, as ours have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a DER CRL, or none that this service would have written")]
pub struct NotACrl;

/// What a CRL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrlSummary {
    /// Its issuer.
    pub issuer: String,
    /// Its number.
    pub number: u64,
    /// From when it is, in seconds since 1970.
    pub this_update: u64,
    /// When the next one is due at the latest, in seconds since 1970.
    pub next_update: u64,
    /// What is revoked, in its order.
    pub revoked: Vec<Revoked>,
    /// The algorithm it is signed with: a name, or an OID.
    pub algorithm: String,
    /// The authority key identifier, hexadecimal; empty without.
    pub authority_key_identifier: String,
    /// SHA-256 of the whole CRL, hexadecimal.
    pub sha256: String,
}

impl CrlSummary {
    /// Reads a DER CRL.
    ///
    /// # Errors
    /// [`NotACrl`], also when bytes follow it, or an extension is critical.
    pub fn parse(der: &[u8]) -> Result<Self, NotACrl> {
        let parts = raw::signed(der).map_err(|_| NotACrl)?;
        let (_rest, crl) = CertificateRevocationList::from_der(der).map_err(|_| NotACrl)?;
        // x509-parser leaves what it cannot read: then the list would be shorter than it is.
        if AsRef::<[u8]>::as_ref(&crl.tbs_cert_list).len() != parts.tbs.len() {
            return Err(NotACrl);
        }
        let algorithm = SignatureAlgorithm::from_identifier_der(parts.algorithm)
            .map_or_else(|| crl.signature_algorithm.algorithm.to_string(), |a| a.to_string());
        let (number, authority_key_identifier) = extensions(&crl)?;
        Ok(Self {
            issuer: crl.issuer().to_string(),
            number: number.ok_or(NotACrl)?,
            this_update: seconds(crl.last_update())?,
            next_update: seconds(crl.next_update().ok_or(NotACrl)?)?,
            revoked: crl.iter_revoked_certificates().map(revoked).collect::<Result<_, _>>()?,
            algorithm,
            authority_key_identifier,
            sha256: HEXLOWER.encode(&Sha256::digest(der)),
        })
    }
}

/// The number and the authority key identifier. A critical one could limit what the list says (RFC 5280 §5.2).
fn extensions(crl: &CertificateRevocationList<'_>) -> Result<(Option<u64>, String), NotACrl> {
    let (mut number, mut authority) = (None, String::new());
    for extension in crl.extensions() {
        match extension.parsed_extension() {
            _ if extension.critical => return Err(NotACrl),
            ParsedExtension::CRLNumber(found) => {
                number = Some(u64::try_from(found).map_err(|_| NotACrl)?);
            }
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                authority = id.key_identifier.as_ref().map(|id| HEXLOWER.encode(id.0)).unwrap_or_default();
            }
            ParsedExtension::ParseError { .. } => return Err(NotACrl),
            _ => {}
        }
    }
    Ok((number, authority))
}

fn revoked(entry: &RevokedCertificate<'_>) -> Result<Revoked, NotACrl> {
    let mut code = Reason::Unspecified.code();
    for extension in entry.extensions() {
        match extension.parsed_extension() {
            // RFC 5280 §5.3: what is critical and not understood makes the whole list useless.
            _ if extension.critical => return Err(NotACrl),
            ParsedExtension::ReasonCode(found) => code = found.0,
            ParsedExtension::ParseError { .. } => return Err(NotACrl),
            _ => {}
        }
    }
    Ok(Revoked {
        serial: entry.raw_serial().iter().copied().skip_while(|&b| b == 0).collect(),
        revoked_at: seconds(entry.revocation_date)?,
        reason: Reason::try_from(i32::from(code)).map_err(|_| NotACrl)?,
    })
}

fn seconds(time: ASN1Time) -> Result<u64, NotACrl> {
    u64::try_from(time.timestamp()).map_err(|_| NotACrl)
}
