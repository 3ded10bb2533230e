//! RustCrypto: no C, for WebAssembly. Slower, and held against AWS-LC.

use ed25519_dalek::Verifier as _;
use ml_dsa::MlDsa65;
use ml_dsa::signature::Verifier as _;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::pkcs1::DecodeRsaPublicKey as _;
use rsa::{Pkcs1v15Sign, Pss};
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::Judge;
use crate::algorithm::{BadSignature, Scheme};
use crate::key::KeyKind;

/// The judge where there is no C.
pub(crate) struct Portable;

impl Judge for Portable {
    fn verify(
        scheme: Scheme,
        kind: KeyKind,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        let verifies = match kind {
            KeyKind::P256 => digest(scheme, message).and_then(|digest| p256(key, &digest, signature)),
            KeyKind::P384 => digest(scheme, message).and_then(|digest| p384(key, &digest, signature)),
            KeyKind::Ed25519 => ed25519(key, message, signature),
            KeyKind::Rsa { .. } => rsa(scheme, key, message, signature),
            KeyKind::MlDsa65 => ml_dsa_65(key, message, signature),
        };
        verifies.ok_or(BadSignature)
    }

    fn takes(kind: KeyKind, point: &[u8]) -> bool {
        match kind {
            KeyKind::P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok(),
            KeyKind::P384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok(),
            KeyKind::Ed25519 | KeyKind::Rsa { .. } | KeyKind::MlDsa65 => false,
        }
    }
}

fn digest(scheme: Scheme, message: &[u8]) -> Option<Vec<u8>> {
    Some(match scheme {
        Scheme::EcdsaSha256 | Scheme::Pkcs1Sha256 | Scheme::PssSha256 => Sha256::digest(message).to_vec(),
        Scheme::EcdsaSha384 | Scheme::Pkcs1Sha384 | Scheme::PssSha384 => Sha384::digest(message).to_vec(),
        Scheme::EcdsaSha512 | Scheme::Pkcs1Sha512 | Scheme::PssSha512 => Sha512::digest(message).to_vec(),
        Scheme::Ed25519 | Scheme::MlDsa65 => return None,
    })
}

/// Of a digest that is longer than the group's order the leftmost bits count (FIPS 186-5 §6.4.2).
fn p256(key: &[u8], digest: &[u8], signature: &[u8]) -> Option<()> {
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    key.verify_prehash(digest, &p256::ecdsa::Signature::from_der(signature).ok()?).ok()
}

fn p384(key: &[u8], digest: &[u8], signature: &[u8]) -> Option<()> {
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
    key.verify_prehash(digest, &p384::ecdsa::Signature::from_der(signature).ok()?).ok()
}

/// RFC 8032 §5.1.7, without the cofactor.
fn ed25519(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
    ed25519_dalek::VerifyingKey::from_bytes(key.try_into().ok()?).ok()?.verify(message, &signature).ok()
}

fn rsa(scheme: Scheme, key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = rsa::PublicKey::from_pkcs1_der(key).ok()?;
    let digest = digest(scheme, message)?;
    match scheme {
        Scheme::Pkcs1Sha256 => key.verify(Pkcs1v15Sign::new::<Sha256>(), &digest, signature),
        Scheme::Pkcs1Sha384 => key.verify(Pkcs1v15Sign::new::<Sha384>(), &digest, signature),
        Scheme::Pkcs1Sha512 => key.verify(Pkcs1v15Sign::new::<Sha512>(), &digest, signature),
        Scheme::PssSha256 => key.verify(Pss::<Sha256>::new(), &digest, signature),
        Scheme::PssSha384 => key.verify(Pss::<Sha384>::new(), &digest, signature),
        Scheme::PssSha512 => key.verify(Pss::<Sha512>::new(), &digest, signature),
        _ => return None,
    }
    .ok()
}

/// FIPS 204 §5.3, pure, with an empty context.
fn ml_dsa_65(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let key = ml_dsa::VerifyingKey::<MlDsa65>::decode(key.try_into().ok()?);
    let signature = ml_dsa::Signature::<MlDsa65>::try_from(signature).ok()?;
    key.verify(message, &signature).ok()
}
