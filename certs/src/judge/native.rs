//! AWS-LC.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P256_SHA512_ASN1, ECDSA_P384_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA512_ASN1, ED25519, ML_DSA_65, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};

use super::Judge;
use crate::algorithm::{BadSignature, Scheme};
use crate::key::KeyKind;

/// The judge where there is C.
pub(crate) struct Native;

impl Judge for Native {
    fn verify(
        scheme: Scheme,
        kind: KeyKind,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        let verifier = verifier(scheme, kind).ok_or(BadSignature)?;
        UnparsedPublicKey::new(verifier, key).verify(message, signature).map_err(|_| BadSignature)
    }

    fn takes(kind: KeyKind, point: &[u8]) -> bool {
        match kind {
            KeyKind::P256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).is_ok(),
            KeyKind::P384 => ParsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, point).is_ok(),
            KeyKind::Ed25519 | KeyKind::Rsa { .. } | KeyKind::MlDsa65 => false,
        }
    }
}

fn verifier(scheme: Scheme, kind: KeyKind) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (kind, scheme) {
        (KeyKind::P256, Scheme::EcdsaSha256) => &ECDSA_P256_SHA256_ASN1,
        (KeyKind::P256, Scheme::EcdsaSha384) => &ECDSA_P256_SHA384_ASN1,
        (KeyKind::P256, Scheme::EcdsaSha512) => &ECDSA_P256_SHA512_ASN1,
        (KeyKind::P384, Scheme::EcdsaSha256) => &ECDSA_P384_SHA256_ASN1,
        (KeyKind::P384, Scheme::EcdsaSha384) => &ECDSA_P384_SHA384_ASN1,
        (KeyKind::P384, Scheme::EcdsaSha512) => &ECDSA_P384_SHA512_ASN1,
        (KeyKind::Ed25519, Scheme::Ed25519) => &ED25519,
        (KeyKind::Rsa { .. }, Scheme::Pkcs1Sha256) => &RSA_PKCS1_2048_8192_SHA256,
        (KeyKind::Rsa { .. }, Scheme::Pkcs1Sha384) => &RSA_PKCS1_2048_8192_SHA384,
        (KeyKind::Rsa { .. }, Scheme::Pkcs1Sha512) => &RSA_PKCS1_2048_8192_SHA512,
        (KeyKind::Rsa { .. }, Scheme::PssSha256) => &RSA_PSS_2048_8192_SHA256,
        (KeyKind::Rsa { .. }, Scheme::PssSha384) => &RSA_PSS_2048_8192_SHA384,
        (KeyKind::Rsa { .. }, Scheme::PssSha512) => &RSA_PSS_2048_8192_SHA512,
        (KeyKind::MlDsa65, Scheme::MlDsa65) => &ML_DSA_65,
        _ => return None,
    })
}
