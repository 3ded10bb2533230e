//! Keys that sign notes, as tokens and certificates have them: by their SubjectPublicKeyInfo.

use ledger::note::{Algorithm, KeyError, KeyName, VerifierKey};

/// SubjectPublicKeyInfo of an Ed25519 key up to its 32 octets (RFC 8410 §4).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// SubjectPublicKeyInfo of a note's key, DER.
pub fn note_spki(key: &VerifierKey) -> Vec<u8> {
    match key.algorithm() {
        Algorithm::Ed25519 => [&ED25519_SPKI, key.public_key()].concat(),
        Algorithm::EcdsaP256 => key.public_key().to_vec(),
    }
}

/// A key of a token as signed notes name it: Ed25519 or ECDSA on P-256, by its SubjectPublicKeyInfo.
///
/// # Errors
/// It is of another kind.
pub fn note_key(name: KeyName, spki: &[u8]) -> Result<VerifierKey, KeyError> {
    match spki.strip_prefix(&ED25519_SPKI) {
        Some(octets) => VerifierKey::ed25519(name, octets.try_into().map_err(|_| KeyError::Key)?),
        None => VerifierKey::ecdsa_p256(name, spki),
    }
}
