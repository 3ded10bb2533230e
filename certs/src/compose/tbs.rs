//! The to-be-signed bytes, and the certificate joined from them.

use sha2::{Digest, Sha256};

use crate::{algorithm::SignatureAlgorithm, raw};

/// The exact bytes of a TBSCertificate: what is linted, recorded and signed. Not `Clone`: there is one of each.
#[derive(Debug, PartialEq, Eq)]
pub struct Tbs(Vec<u8>);

impl Tbs {
    /// Bytes that the composer has just encoded.
    pub(super) fn composed(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

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

/// The DER certificate of these TBS bytes and this signature (ECDSA in DER): the bytes go in as they are, never
/// encoded again (RFC 5280 §4.1).
pub fn join(tbs: &[u8], algorithm: SignatureAlgorithm, signature: &[u8]) -> Vec<u8> {
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 0x03;
    const NO_UNUSED_BITS: &[u8] = &[0];

    let signature = raw::element(BIT_STRING, &[NO_UNUSED_BITS, signature]);
    raw::element(SEQUENCE, &[tbs, algorithm.identifier_der(), &signature])
}
