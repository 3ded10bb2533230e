//! Public keys of notes, in the form `<name>+<id>+<base64>`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ed25519_dalek::VerifyingKey as Ed25519;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature as EcdsaSignature, VerifyingKey as EcdsaP256};
use sha2::{Digest as _, Sha256};
use signed_note::Signature;

use super::is_deceptive;

/// Signature type of Ed25519 over the text (c2sp.org/signed-note, "Signature types").
pub(super) const ED25519: u8 = 0x01;

/// Signature type of ECDSA (same place).
const ECDSA: u8 = 0x02;

/// A SubjectPublicKeyInfo of P-256 up to the coordinates of its uncompressed point (RFC 5480 §2).
const P256_SPKI_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// What is no public key of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The name cannot be one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not `<name>+<id>+<base64>`, or not in its one form.
    #[error("not a key of the form name+id+base64")]
    Form,
    /// A signature type that is not supported.
    #[error("signature type {0:#04x} is not supported")]
    Algorithm(u8),
    /// The bytes are no key of their type, or a weak one.
    #[error("not a valid public key")]
    Key,
    /// The id is not that of the key.
    #[error("the key has another id")]
    Id,
}

/// A name that cannot be that of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a name: 1 to 384 bytes without spaces, plus signs or invisible characters")]
pub struct NameError;

/// Name of a key, or origin of a log: 1 to 384 bytes without spaces or plus signs (c2sp.org/signed-note, "Format") or
/// characters that cannot be seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

impl KeyName {
    /// Longest name in bytes: a SPIFFE trust domain has 255, and origins and officers' names begin with one.
    pub const MAX_LEN: usize = 384;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for KeyName {
    type Error = NameError;

    fn try_from(name: &str) -> Result<Self, NameError> {
        let valid = name.len() <= Self::MAX_LEN
            && signed_note::is_key_name_valid(name)
            && !name.chars().any(is_deceptive);
        valid.then(|| Self(name.to_owned())).ok_or(NameError)
    }
}

impl FromStr for KeyName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::try_from(name)
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<str> for KeyName {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Ed25519 over the text (RFC 8032), 64 bytes.
    Ed25519,
    /// ECDSA with P-256 over the SHA-256 of the text, as a DER ECDSA-Sig-Value (RFC 3279 §2.2.3).
    EcdsaP256,
}

#[derive(Clone, PartialEq, Eq)]
enum PublicKey {
    Ed25519(Box<Ed25519>),
    EcdsaP256(Box<EcdsaP256>),
}

/// The public key of a signer of notes, with its name.
///
/// The id of an ECDSA key is the truncated SHA-256 of its SubjectPublicKeyInfo alone, without name and type: the standard
/// notes this for type 0x02, and Sigstore's Rekor and the Go verifiers of transparency-dev expect it.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: KeyName,
    id: u32,
    key: PublicKey,
    /// Signature type, then the key as its type encodes it.
    encoded: Vec<u8>,
}

impl VerifierKey {
    /// An Ed25519 key by its 32 bytes (RFC 8032 §5.1.2).
    ///
    /// # Errors
    /// [`KeyError::Key`] when they are no point, or one of small order, for which signatures prove nothing.
    pub fn ed25519(name: KeyName, public_key: &[u8; 32]) -> Result<Self, KeyError> {
        let key = Ed25519::from_bytes(public_key).map_err(|_| KeyError::Key)?;
        if key.is_weak() {
            return Err(KeyError::Key);
        }
        let encoded = [&[ED25519], public_key.as_slice()].concat();
        let id = signed_note::key_id(name.as_str(), &encoded);
        Ok(Self { name, id, key: PublicKey::Ed25519(Box::new(key)), encoded })
    }

    /// A P-256 key by its DER SubjectPublicKeyInfo of 91 bytes, its point uncompressed.
    ///
    /// # Errors
    /// [`KeyError::Key`] when they are anything else.
    pub fn ecdsa_p256(name: KeyName, spki: &[u8]) -> Result<Self, KeyError> {
        let point = spki.strip_prefix(&P256_SPKI_PREFIX).filter(|point| point.len() == 64);
        let point = [&[0x04], point.ok_or(KeyError::Key)?].concat();
        let key = EcdsaP256::from_sec1_bytes(&point).map_err(|_| KeyError::Key)?;
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(spki));
        let id = u32::from_be_bytes([a, b, c, d]);
        Ok(Self { name, id, key: PublicKey::EcdsaP256(Box::new(key)), encoded: [&[ECDSA], spki].concat() })
    }

    /// The same key under another name, which gives it another id: a log's key in its next epoch.
    ///
    /// # Errors
    /// None of a key that is one.
    pub fn named(&self, name: KeyName) -> Result<Self, KeyError> {
        match self.algorithm() {
            Algorithm::Ed25519 => {
                Self::ed25519(name, self.public_key().try_into().map_err(|_| KeyError::Key)?)
            }
            Algorithm::EcdsaP256 => Self::ecdsa_p256(name, self.public_key()),
        }
    }

    /// Name of the key.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Short id, not unique by itself: together with the name it tells which key signed.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How the key signs.
    pub fn algorithm(&self) -> Algorithm {
        match self.key {
            PublicKey::Ed25519(_) => Algorithm::Ed25519,
            PublicKey::EcdsaP256(_) => Algorithm::EcdsaP256,
        }
    }

    /// The public key without its name: 32 bytes of an Ed25519 key, the SubjectPublicKeyInfo of an ECDSA key.
    pub fn public_key(&self) -> &[u8] {
        self.encoded.get(1..).unwrap_or_default()
    }

    /// Tells whether a raw signature over a text is this key's.
    pub fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        match &self.key {
            // Strict: no other verifier may come to another answer (RFC 8032 §8.9, small-order components).
            PublicKey::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(text, &signature).is_ok()),
            PublicKey::EcdsaP256(key) => EcdsaSignature::from_der(signature)
                .is_ok_and(|signature| key.verify(text, &signature).is_ok()),
        }
    }

    /// True when a signature line names this key.
    pub(super) fn names(&self, signature: &Signature) -> bool {
        signature.name() == self.name.as_str() && signature.id() == self.id
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(_), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(KeyError::Form);
        };
        let name = KeyName::try_from(name)?;
        let encoded = BASE64_STANDARD.decode(encoded).map_err(|_| KeyError::Form)?;
        let key = match encoded.split_first() {
            Some((&ED25519, key)) => Self::ed25519(name, key.try_into().map_err(|_| KeyError::Key)?)?,
            Some((&ECDSA, spki)) => Self::ecdsa_p256(name, spki)?,
            Some((&other, _)) => return Err(KeyError::Algorithm(other)),
            None => return Err(KeyError::Form),
        };
        if key.to_string() == text { Ok(key) } else { Err(KeyError::Id) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:08x}+{}", self.name, self.id, BASE64_STANDARD.encode(&self.encoded))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}
