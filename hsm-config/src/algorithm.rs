//! Kinds of key that a token may hold for us, and how each signs.

use std::fmt;
use std::str::FromStr;

use cryptoki::mechanism::dsa::{HedgeType, SignAdditionalContext};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, MlDsaParameterSetType, ParameterSetType};
use sha2::{Digest, Sha256, Sha384};

/// secp256r1, as `CKA_EC_PARAMS` (RFC 5480 §2.1.1.1).
const P256_PARAMS: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// secp384r1.
const P384_PARAMS: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
/// id-Ed25519 (RFC 8410 §3), the form that SoftHSM2 and kryoptic take.
const ED25519_PARAMS: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// Octets of a SHA-256 digest, and of the PSS salt (RFC 8017 §9.1 recommends the two alike).
const SHA256_LEN: usize = 32;

/// A kind of key, with the one way in which we let it sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// ECDSA on P-256 over SHA-256.
    EcdsaP256,
    /// ECDSA on P-384 over SHA-384.
    EcdsaP384,
    /// Ed25519.
    Ed25519,
    /// RSA-PSS over SHA-256 with a modulus of this many bits: 2048, 3072 or 4096.
    RsaPss(u16),
    /// ML-DSA-65 (FIPS 204), pure and with an empty context (RFC 9881 §3): for the keys of CAs.
    MlDsa65,
}

/// Not one of the algorithms that we know.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no key algorithm: use p256, p384, ed25519, rsa-2048, rsa-3072, rsa-4096 or ml-dsa-65")]
pub struct UnknownAlgorithm(String);

impl FromStr for KeyAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        Ok(match text {
            "p256" => Self::EcdsaP256,
            "p384" => Self::EcdsaP384,
            "ed25519" => Self::Ed25519,
            "rsa-2048" => Self::RsaPss(2048),
            "rsa-3072" => Self::RsaPss(3072),
            "rsa-4096" => Self::RsaPss(4096),
            "ml-dsa-65" => Self::MlDsa65,
            _ => return Err(UnknownAlgorithm(text.to_owned())),
        })
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EcdsaP256 => f.write_str("p256"),
            Self::EcdsaP384 => f.write_str("p384"),
            Self::Ed25519 => f.write_str("ed25519"),
            Self::RsaPss(bits) => write!(f, "rsa-{bits}"),
            Self::MlDsa65 => f.write_str("ml-dsa-65"),
        }
    }
}

impl KeyAlgorithm {
    /// Mechanism that makes such a key pair (PKCS#11 v3.1 §6.1.4, §6.3.4; v3.2 for ML-DSA).
    pub(crate) fn generation(self) -> Mechanism<'static> {
        match self {
            Self::EcdsaP256 | Self::EcdsaP384 => Mechanism::EccKeyPairGen,
            Self::Ed25519 => Mechanism::EccEdwardsKeyPairGen,
            Self::RsaPss(_) => Mechanism::RsaPkcsKeyPairGen,
            Self::MlDsa65 => Mechanism::MlDsaKeyPairGen,
        }
    }

    /// Attributes of the public key that say which key to make.
    pub(crate) fn parameters(self) -> Vec<Attribute> {
        match self {
            Self::EcdsaP256 => vec![Attribute::EcParams(P256_PARAMS.to_vec())],
            Self::EcdsaP384 => vec![Attribute::EcParams(P384_PARAMS.to_vec())],
            Self::Ed25519 => vec![Attribute::EcParams(ED25519_PARAMS.to_vec())],
            Self::RsaPss(bits) => vec![
                Attribute::ModulusBits(u64::from(bits).into()),
                Attribute::PublicExponent(vec![0x01, 0x00, 0x01]),
            ],
            Self::MlDsa65 => vec![Attribute::ParameterSet(MlDsaParameterSetType::ML_DSA_65.into())],
        }
    }

    /// The curve that `CKA_EC_PARAMS` names.
    pub(crate) fn from_ec_params(params: &[u8]) -> Option<Self> {
        match params {
            P256_PARAMS => Some(Self::EcdsaP256),
            P384_PARAMS => Some(Self::EcdsaP384),
            ED25519_PARAMS => Some(Self::Ed25519),
            _ => None,
        }
    }

    /// The parameter set that `CKA_PARAMETER_SET` of an ML-DSA key names.
    pub(crate) fn from_ml_dsa(set: ParameterSetType) -> Option<Self> {
        (set == MlDsaParameterSetType::ML_DSA_65.into()).then_some(Self::MlDsa65)
    }

    /// The one mechanism that the key is allowed. The hash is made in software: not all tokens hash, all of these sign digests.
    pub(crate) fn signing(self) -> Mechanism<'static> {
        match self {
            Self::EcdsaP256 | Self::EcdsaP384 => Mechanism::Ecdsa,
            Self::Ed25519 => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)),
            Self::RsaPss(_) => Mechanism::RsaPkcsPss(PkcsPssParams {
                hash_alg: MechanismType::SHA256,
                mgf: PkcsMgfType::MGF1_SHA256,
                s_len: (SHA256_LEN as u64).into(),
            }),
            // FIPS 204 §3.4: hedged where the token can. No context, which cryptoki 0.12 would not tie to its life.
            Self::MlDsa65 => Mechanism::MlDsa(SignAdditionalContext::new(HedgeType::Preferred, None)),
        }
    }

    /// What the mechanism is given for a message: a digest, or for Ed25519 (RFC 8032 §5.1) and ML-DSA the message itself.
    pub(crate) fn input(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::EcdsaP256 | Self::RsaPss(_) => Sha256::digest(message).to_vec(),
            Self::EcdsaP384 => Sha384::digest(message).to_vec(),
            Self::Ed25519 | Self::MlDsa65 => message.to_vec(),
        }
    }

    /// Octets of a signature as the token returns it. Tokens do not check lengths; we do.
    pub(crate) fn signature_len(self) -> usize {
        match self {
            Self::EcdsaP256 | Self::Ed25519 => 64,
            Self::EcdsaP384 => 96,
            Self::RsaPss(bits) => usize::from(bits) / 8,
            // FIPS 204 §4, table 2.
            Self::MlDsa65 => 3309,
        }
    }
}
