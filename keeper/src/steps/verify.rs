//! Step 9, verify: every signature a token returns is checked with the issuer's public key before anyone sees it (invariant I4).
//!
//! A crash here leaves an entry without a certificate.

use certs::{BadSignature, Issuer};
use sha2::{Digest, Sha256};

use super::{Recorded, Signed};

/// A certificate whose signature is the issuer's.
#[derive(Debug)]
pub(crate) struct Verified {
    /// Index of its entry.
    pub(crate) index: u64,
    /// Leaf hash of its entry.
    pub(crate) leaf: ledger::Hash,
    /// The signature as it stands in the certificate.
    pub(crate) signature: Vec<u8>,
    /// The certificate, DER.
    pub(crate) certificate: Vec<u8>,
    /// SHA-256 of the certificate.
    pub(crate) sha256: [u8; 32],
}

/// Verifies the signature, and joins the certificate from the bytes that were recorded.
///
/// # Errors
/// It is not the issuer's: the token returned something else.
pub(crate) fn verify(issuer: &Issuer, signed: Signed) -> Result<Verified, (Recorded, BadSignature)> {
    let Signed { recorded, signature } = signed;
    if let Err(bad) = issuer.verify(recorded.tbs(), &signature) {
        return Err((recorded, bad));
    }
    let certificate = certs::compose::join(recorded.tbs(), issuer.algorithm(), &signature);
    let sha256 = Sha256::digest(&certificate).into();
    Ok(Verified { index: recorded.index(), leaf: recorded.leaf(), signature, certificate, sha256 })
}
