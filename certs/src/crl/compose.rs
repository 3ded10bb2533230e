//! From what was revoked to the bytes of a TBSCertList, encoded once.
//!
//! Written element by element: a list may have a hundred thousand entries.

use der::{Encode, asn1::Uint};
use sha2::{Digest, Sha256};
use x509_cert::ext::pkix::CrlNumber;

use super::{Reason, Revoked};
use crate::{
    compose::{authority_key_identifier, extension, time},
    issuer::Issuer,
    raw,
};

const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`, the extensions of a TBSCertList.
const EXTENSIONS: u8 = 0xa0;
/// The version: v2, which is 1 (RFC 5280 §5.1.2.1).
const V2: &[u8] = b"\x02\x01\x01";

/// The crlEntryExtensions with a reasonCode, not critical: SEQUENCE OF { id-ce-cRLReasons, OCTET STRING { ENUMERATED } },
/// whose last byte is the code.
const REASON: &[u8; 14] = b"\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01\x00";

/// The longest time, a GeneralizedTime to the second, in bytes of DER.
const MAX_TIME_BYTES: usize = 17;

/// The longest serial number, in octets, the one of its sign included (RFC 5280 §4.1.2.2).
const MAX_SERIAL_OCTETS: usize = 20;

/// About the bytes of one entry with a reason, for one allocation of the whole.
const ENTRY_BYTES: usize = 56;

/// A CRL to be composed.
#[derive(Debug, Clone, Copy)]
pub struct Crl<'a> {
    /// Its number, higher than that of every CRL before it of the same issuer (RFC 5280 §5.2.3).
    pub number: u64,
    /// From when it is, in seconds since 1970.
    pub this_update: u64,
    /// When the next one will be there at the latest, in seconds since 1970.
    pub next_update: u64,
    /// Every revoked certificate of the issuer, in any order.
    pub revoked: &'a [Revoked],
}

/// Our bug, or an issuer that signs no CRLs: nothing was composed.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// The issuer's key usage has no cRLSign; the operator's fault.
    #[error("the issuer's certificate does not let it sign CRLs")]
    NotCrlSigner,
    /// A next update that is not after this one.
    #[error("the next update, {next_update}, is not after this one, {this_update}")]
    Times {
        /// When this one is from.
        this_update: u64,
        /// When the next one is due.
        next_update: u64,
    },
    /// A serial number of no bytes, of more than 20 octets, or with leading zero bytes.
    #[error("{0:02x?} is no serial number")]
    Serial(Vec<u8>),
    /// One serial number twice.
    #[error("a serial number is there twice")]
    Twice,
    /// The encoder refused a value.
    #[error("the CRL cannot be encoded: {0}")]
    Encoding(#[from] der::Error),
}

/// The exact bytes of a TBSCertList: what is linted, recorded and signed. Not `Clone`: there is one of each.
#[derive(Debug, PartialEq, Eq)]
pub struct TbsCrl(Vec<u8>);

impl TbsCrl {
    /// Bytes that were recorded before and are to be signed again after a crash.
    pub fn from_recorded(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Their SHA-256.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}

/// Composes the CRL of this issuer; entries are written in the order of their serial numbers.
///
/// # Errors
/// [`CrlError`].
pub fn compose(issuer: &Issuer, crl: &Crl<'_>) -> Result<TbsCrl, CrlError> {
    let Crl { number, this_update, next_update, revoked } = *crl;
    if !issuer.signs_crls() {
        return Err(CrlError::NotCrlSigner);
    }
    if next_update <= this_update {
        return Err(CrlError::Times { this_update, next_update });
    }
    let fields = [
        V2,
        issuer.algorithm().identifier_der(),
        issuer.subject_der(),
        // RFC 5280 §5.1.2.5: nextUpdate is always there.
        &time(this_update)?.to_der()?,
        &time(next_update)?.to_der()?,
        &entries(revoked)?,
        &extensions(issuer, number)?,
    ];
    Ok(TbsCrl(raw::element(SEQUENCE, &fields)))
}

/// The revokedCertificates; no bytes at all when there are none (RFC 5280 §5.1.2.6).
fn entries(revoked: &[Revoked]) -> Result<Vec<u8>, CrlError> {
    let ordered = in_order(revoked)?;
    if ordered.is_empty() {
        return Ok(Vec::new());
    }
    let mut entries = Vec::with_capacity(ordered.len() * ENTRY_BYTES);
    let mut serial = Vec::with_capacity(2 + MAX_SERIAL_OCTETS);
    let mut buffer = [0; MAX_TIME_BYTES];
    for entry in ordered {
        serial.clear();
        raw::append_uint(&mut serial, &entry.serial);
        let revoked_at = time(entry.revoked_at)?.encode_to_slice(&mut buffer)?;
        let mut reason = *REASON;
        raw::append(&mut entries, SEQUENCE, &[&serial, revoked_at, with_reason(&mut reason, entry.reason)]);
    }
    Ok(raw::element(SEQUENCE, &[&entries]))
}

/// By serial number, each once.
fn in_order(revoked: &[Revoked]) -> Result<Vec<&Revoked>, CrlError> {
    let right = |serial: &[u8]| match serial.first() {
        None | Some(0) => false,
        Some(first) => serial.len() + usize::from(*first >= 0x80) <= MAX_SERIAL_OCTETS,
    };
    if let Some(wrong) = revoked.iter().find(|entry| !right(&entry.serial)) {
        return Err(CrlError::Serial(wrong.serial.clone()));
    }
    let mut ordered: Vec<&Revoked> = revoked.iter().collect();
    ordered.sort_by_key(|entry| entry.rank());
    let twice = ordered.windows(2).any(|pair| matches!(pair, [a, b] if a.serial == b.serial));
    if twice { Err(CrlError::Twice) } else { Ok(ordered) }
}

/// The crlEntryExtensions with this reason; no bytes at all for `unspecified` (RFC 5280 §5.3.1).
fn with_reason(extension: &mut [u8; 14], reason: Reason) -> &[u8] {
    if reason == Reason::Unspecified {
        return &[];
    }
    extension[13] = reason.code();
    extension
}

/// RFC 5280 §5.2.1 and §5.2.3: both are there in every CRL, and neither is critical.
fn extensions(issuer: &Issuer, number: u64) -> Result<Vec<u8>, der::Error> {
    let number = CrlNumber(Uint::new(&number.to_be_bytes())?);
    let extensions = [authority_key_identifier(issuer.key_identifier())?, extension(false, &number)?];
    Ok(raw::element(EXTENSIONS, &[&extensions.to_vec().to_der()?]))
}
