//! The few fields of recorded bytes that a journal keeps beside them.

use der::{Decode, asn1::UintRef};
use sha2::{Digest, Sha256};
use x509_cert::time::Validity;

use crate::raw;

/// Fields of a TBSCertificate (RFC 5280 §4.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TbsFields {
    /// The serial number, big-endian without leading zero bytes.
    pub serial: Vec<u8>,
    /// The first second, inclusive, since 1970.
    pub not_before: i64,
    /// The last second, inclusive, since 1970.
    pub not_after: i64,
    /// The SubjectPublicKeyInfo, DER.
    pub spki: Vec<u8>,
}

/// Not the bytes of a version 3 TBSCertificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a TBSCertificate")]
pub struct NotATbs;

impl TbsFields {
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub fn spki_sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.spki).into()
    }

    /// Reads exactly one TBSCertificate.
    ///
    /// # Errors
    /// It is none, or not of version 3.
    pub fn parse(tbs: &[u8]) -> Result<Self, NotATbs> {
        let fields = raw::fields(tbs).map_err(|_| NotATbs)?;
        // version, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo.
        let [_version, serial, _signature, _issuer, validity, _subject, spki, ..] = fields.as_slice() else {
            return Err(NotATbs);
        };
        let serial = UintRef::from_der(serial).map_err(|_| NotATbs)?;
        let validity =
            Validity::<x509_cert::certificate::Rfc5280>::from_der(validity).map_err(|_| NotATbs)?;
        let seconds = |time: x509_cert::time::Time| {
            i64::try_from(time.to_unix_duration().as_secs()).map_err(|_| NotATbs)
        };
        Ok(Self {
            serial: serial.as_bytes().to_vec(),
            not_before: seconds(validity.not_before)?,
            not_after: seconds(validity.not_after)?,
            spki: spki.to_vec(),
        })
    }
}
