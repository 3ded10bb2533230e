//! Signature algorithms: their identifiers, and the verification of signatures.
//!
//! Does not: sign; hash for a token (the token's side does).

use crate::judge::{Chosen, Judge as _};
use crate::key::{KeyKind, PublicKey};

/// The algorithms that an issuer signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384Sha384,
    /// Ed25519.
    Ed25519,
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 bytes; keys of 2048 to 4096 bits.
    RsaPssSha256,
    /// ML-DSA-65 (FIPS 204), pure and with an empty context. Verified with AWS-LC, which shares no code with the tokens that make such
    /// signatures today (they use OpenSSL), and which the house verifies everything else with.
    MlDsa65,
}

/// A signature that is not one: over these bytes, by this key, in this algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

impl SignatureAlgorithm {
    /// The algorithm with which a key of this kind signs certificates.
    pub fn of(kind: KeyKind) -> Self {
        match kind {
            KeyKind::P256 => Self::EcdsaP256Sha256,
            KeyKind::P384 => Self::EcdsaP384Sha384,
            KeyKind::Ed25519 => Self::Ed25519,
            KeyKind::Rsa { .. } => Self::RsaPssSha256,
            KeyKind::MlDsa65 => Self::MlDsa65,
        }
    }

    /// The AlgorithmIdentifier, DER.
    pub fn identifier_der(self) -> &'static [u8] {
        self.scheme().identifier_der()
    }

    /// The algorithm of this AlgorithmIdentifier, byte for byte; none for any other.
    pub fn from_identifier_der(der: &[u8]) -> Option<Self> {
        [Self::EcdsaP256Sha256, Self::EcdsaP384Sha384, Self::Ed25519, Self::RsaPssSha256, Self::MlDsa65]
            .into_iter()
            .find(|algorithm| algorithm.identifier_der() == der)
    }

    /// Verifies a signature by the key of this DER SubjectPublicKeyInfo; ECDSA signatures in DER.
    ///
    /// # Errors
    /// [`BadSignature`], also when the key is malformed or of another kind than the algorithm's.
    pub fn verify(self, spki_der: &[u8], message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let key = PublicKey::try_from(spki_der).map_err(|_| BadSignature)?;
        self.verify_by(&key, message, signature)
    }

    /// As [`SignatureAlgorithm::verify`], by a key that is parsed already.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify_by(self, key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        if Self::of(key.kind()) != self {
            return Err(BadSignature);
        }
        self.scheme().verify(key, message, signature)
    }

    fn scheme(self) -> Scheme {
        match self {
            Self::EcdsaP256Sha256 => Scheme::EcdsaSha256,
            Self::EcdsaP384Sha384 => Scheme::EcdsaSha384,
            Self::Ed25519 => Scheme::Ed25519,
            Self::RsaPssSha256 => Scheme::PssSha256,
            Self::MlDsa65 => Scheme::MlDsa65,
        }
    }
}

impl std::fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::EcdsaP256Sha256 => "ECDSA P-256 SHA-256",
            Self::EcdsaP384Sha384 => "ECDSA P-384 SHA-384",
            Self::Ed25519 => "Ed25519",
            Self::RsaPssSha256 => "RSA-PSS SHA-256",
            Self::MlDsa65 => "ML-DSA-65",
        })
    }
}

/// What an AlgorithmIdentifier says: more than we sign with, since requests come from anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    EcdsaSha256,
    EcdsaSha384,
    EcdsaSha512,
    Ed25519,
    Pkcs1Sha256,
    Pkcs1Sha384,
    Pkcs1Sha512,
    PssSha256,
    PssSha384,
    PssSha512,
    MlDsa65,
}

impl Scheme {
    const ALL: [Self; 11] = [
        Self::EcdsaSha256,
        Self::EcdsaSha384,
        Self::EcdsaSha512,
        Self::Ed25519,
        Self::Pkcs1Sha256,
        Self::Pkcs1Sha384,
        Self::Pkcs1Sha512,
        Self::PssSha256,
        Self::PssSha384,
        Self::PssSha512,
        Self::MlDsa65,
    ];

    /// The scheme of this AlgorithmIdentifier, byte for byte: parameters are part of it.
    pub(crate) fn from_identifier_der(der: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.identifier_der() == der)
    }

    fn identifier_der(self) -> &'static [u8] {
        match self {
            // RFC 5758 §3.2: ecdsa-with-SHA2, parameters absent.
            Self::EcdsaSha256 => b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02",
            Self::EcdsaSha384 => b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03",
            Self::EcdsaSha512 => b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04",
            // RFC 8410 §3: id-Ed25519, parameters absent.
            Self::Ed25519 => b"\x30\x05\x06\x03\x2b\x65\x70",
            // RFC 4055 §5: sha256/384/512WithRSAEncryption, parameters NULL.
            Self::Pkcs1Sha256 => b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00",
            Self::Pkcs1Sha384 => b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00",
            Self::Pkcs1Sha512 => b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00",
            // RFC 4055 §3.1: id-RSASSA-PSS { [0] hash, [1] MGF1 with the same hash, [2] salt as long as the hash }, and no other.
            Self::PssSha256 => {
                b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\
                  \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\
                  \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
                  \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\
                  \xa2\x03\x02\x01\x20"
            }
            Self::PssSha384 => {
                b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\
                  \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
                  \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
                  \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\
                  \xa2\x03\x02\x01\x30"
            }
            Self::PssSha512 => {
                b"\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\
                  \xa0\x0f\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\
                  \xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08\
                  \x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\
                  \xa2\x03\x02\x01\x40"
            }
            // RFC 9881 §2: id-ml-dsa-65, parameters absent.
            Self::MlDsa65 => b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12",
        }
    }

    /// Whether a key of this kind can have made such a signature.
    pub(crate) fn fits(self, kind: KeyKind) -> bool {
        match kind {
            KeyKind::P256 | KeyKind::P384 => {
                matches!(self, Self::EcdsaSha256 | Self::EcdsaSha384 | Self::EcdsaSha512)
            }
            KeyKind::Ed25519 => self == Self::Ed25519,
            KeyKind::Rsa { .. } => matches!(
                self,
                Self::Pkcs1Sha256
                    | Self::Pkcs1Sha384
                    | Self::Pkcs1Sha512
                    | Self::PssSha256
                    | Self::PssSha384
                    | Self::PssSha512
            ),
            KeyKind::MlDsa65 => self == Self::MlDsa65,
        }
    }

    /// Verifies a signature by this key.
    pub(crate) fn verify(
        self,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature> {
        if !self.fits(key.kind()) {
            return Err(BadSignature);
        }
        Chosen::verify(self, key.kind(), key.key_bytes(), message, signature)
    }
}

#[cfg(test)]
mod tests {
    use der::{Decode, asn1::AnyRef};

    use super::*;

    #[test]
    fn every_identifier_is_der_and_its_own() {
        for scheme in Scheme::ALL {
            assert!(AnyRef::from_der(scheme.identifier_der()).is_ok(), "{scheme:?}");
            assert_eq!(Scheme::from_identifier_der(scheme.identifier_der()), Some(scheme));
        }
        assert_eq!(Scheme::from_identifier_der(b"\x30\x00"), None);
    }

    #[test]
    fn ml_dsa_65_verifies_pure_signatures_by_the_key_as_it_stands_in_certificates() {
        use aws_lc_rs::signature::{KeyPair as _, ML_DSA_65_SIGNING, PqdsaKeyPair};

        let key = PqdsaKeyPair::generate(&ML_DSA_65_SIGNING).unwrap();
        let (mut signature, message) = (vec![0; 3309], b"a TBS");
        key.sign(message, &mut signature).unwrap();
        let bits = crate::raw::element(3, &[&[0], key.public_key().as_ref()]);
        let spki = crate::raw::element(0x30, &[Scheme::MlDsa65.identifier_der(), &bits]);
        let verify = |algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]| {
            algorithm.verify(&spki, message, signature)
        };
        assert_eq!(verify(SignatureAlgorithm::MlDsa65, message, &signature), Ok(()));
        assert_eq!(verify(SignatureAlgorithm::MlDsa65, b"another", &signature), Err(BadSignature));
        assert_eq!(verify(SignatureAlgorithm::Ed25519, message, &signature), Err(BadSignature));
        signature[9] ^= 1;
        assert_eq!(verify(SignatureAlgorithm::MlDsa65, message, &signature), Err(BadSignature));
    }
}
