//! Step 8, sign: in the token, each recorded certificate once.
//!
//! A crash here leaves an entry without a certificate. A `C_Sign` that has begun is never cancelled.

use hsm_config::{KeyAlgorithm, TokenError};

use super::Recorded;
use crate::custody::Session;

/// A certificate with a signature that nobody has checked yet.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(super) recorded: Recorded,
    pub(super) signature: Vec<u8>,
}

/// Has the issuer's key sign.
///
/// # Errors
/// The token did not, after every rung of the recovery ladder that this process has.
pub(crate) fn sign(session: &mut Session, recorded: Recorded) -> Result<Signed, (Recorded, TokenError)> {
    match session.sign_as_issuer(recorded.tbs()) {
        Ok(signature) => Ok(Signed { recorded, signature }),
        Err(error) => Err((recorded, error)),
    }
}

/// A token's signature in the form that certificates carry: for ECDSA a DER ECDSA-Sig-Value (RFC 5758 §3.2), else as it is.
///
/// # Errors
/// It has not the form that the algorithm has.
pub fn encoded(algorithm: KeyAlgorithm, raw: Vec<u8>) -> Result<Vec<u8>, TokenError> {
    match algorithm {
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 => certs::ecdsa_der(&raw)
            .map_err(|_| TokenError::Malformed("a signature that is no pair of numbers")),
        KeyAlgorithm::Ed25519 | KeyAlgorithm::RsaPss(_) | KeyAlgorithm::MlDsa65 => Ok(raw),
    }
}
