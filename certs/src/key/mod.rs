//! Public keys: which kinds are taken, that each is what it says, and that none is weak in a way a look at it shows.
//!
//! A `PublicKey` has passed all of that; keys that are known to be weak one by one are a `Blocklist`'s matter, and what costs more than a look is
//! asked for apart ([`PublicKey::demand_hard_to_factor`]).
//! Does not: compare keys with each other (shared primes), which needs all of them.

mod blocklist;
mod factors;
mod rsa;

use der::{Decode, asn1::BitStringRef};
use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

use crate::judge::{Chosen, Judge as _};
use crate::raw;

pub use blocklist::{Blocklist, BlocklistError};

/// The longest key that is looked at, in bytes of its DER: ML-DSA-65 takes 1974, RSA 4096 550.
const MAX_SPKI_BYTES: usize = 2048;
/// An ML-DSA-65 key, in bytes (FIPS 204 §4, table 2).
const ML_DSA_65_BYTES: usize = 1952;

// AlgorithmIdentifiers as RFC 5480 §2.1.1 (named curves only), RFC 8410 §3 and RFC 3279 §2.3.1 demand them.
const ID_P256: &[u8] =
    b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const ID_P384: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";
const ID_ED25519: &[u8] = b"\x30\x05\x06\x03\x2b\x65\x70";
const ID_RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
// RFC 9881 §4.
const ID_ML_DSA_65: &[u8] = b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12";

/// The kinds of keys that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA.
    Rsa {
        /// The modulus, in bits, 2048 to 4096.
        bits: usize,
    },
    /// ML-DSA-65 (FIPS 204): for CAs alone.
    MlDsa65,
}

impl std::fmt::Display for KeyKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::P256 => f.write_str("P-256"),
            Self::P384 => f.write_str("P-384"),
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::Rsa { bits } => write!(f, "RSA {bits}"),
            Self::MlDsa65 => f.write_str("ML-DSA-65"),
        }
    }
}

/// The caller's fault: a key that is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a DER SubjectPublicKeyInfo, or a point that is not on its curve.
    #[error("the public key is malformed")]
    Malformed,
    /// A kind of key, or a form of it, that is not taken.
    #[error("the public key is not P-256, P-384, Ed25519 or RSA")]
    Unsupported,
    /// A key too weak, or too costly.
    #[error("the public key is weak: {0}")]
    Weak(&'static str),
}

/// A public key that is taken, with the exact DER of its SubjectPublicKeyInfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    der: Vec<u8>,
    kind: KeyKind,
    /// How many of the last bytes of `der` are the contents of its BIT STRING, its last field.
    key_len: usize,
}

impl TryFrom<&[u8]> for PublicKey {
    type Error = KeyError;

    /// Reads a DER SubjectPublicKeyInfo, strictly and to its end, and looks for every weakness that is none of a list's.
    fn try_from(der: &[u8]) -> Result<Self, KeyError> {
        if der.len() > MAX_SPKI_BYTES {
            return Err(KeyError::Malformed);
        }
        let fields = raw::fields(der).map_err(|_| KeyError::Malformed)?;
        let [algorithm, bits] = fields[..] else { return Err(KeyError::Malformed) };
        let bits = BitStringRef::from_der(bits).map_err(|_| KeyError::Malformed)?;
        let key = bits.as_bytes().ok_or(KeyError::Malformed)?;
        let kind = match algorithm {
            ID_P256 => ec_kind(KeyKind::P256, key)?,
            ID_P384 => ec_kind(KeyKind::P384, key)?,
            ID_ED25519 => ed25519_kind(key)?,
            ID_RSA => rsa::kind(key)?,
            // Every string of that length is a key: a seed and packed 10-bit integers (FIPS 204 §7.2, algorithm 22).
            ID_ML_DSA_65 if key.len() == ML_DSA_65_BYTES => KeyKind::MlDsa65,
            _ => return Err(KeyError::Unsupported),
        };
        Ok(Self { der: der.to_vec(), kind, key_len: key.len() })
    }
}

/// Uncompressed points only (RFC 5480 §2.2), on the curve and not at infinity: the judge of signatures checks. There is no more to check
/// (NIST SP 800-56A §5.6.2.3.3): the cofactor of both curves is 1.
fn ec_kind(kind: KeyKind, point: &[u8]) -> Result<KeyKind, KeyError> {
    match point.first() {
        Some(0x04) => {}
        Some(0x02 | 0x03) => return Err(KeyError::Unsupported),
        _ => return Err(KeyError::Malformed),
    }
    if Chosen::takes(kind, point) { Ok(kind) } else { Err(KeyError::Malformed) }
}

/// 32 bytes (RFC 8410 §4) that decode to a point, which is of no small order: of one that is, everybody signs.
fn ed25519_kind(key: &[u8]) -> Result<KeyKind, KeyError> {
    let key: &[u8; 32] = key.try_into().map_err(|_| KeyError::Malformed)?;
    let point = VerifyingKey::from_bytes(key).map_err(|_| KeyError::Malformed)?;
    if point.is_weak() {
        return Err(KeyError::Weak("an Ed25519 point of small order"));
    }
    Ok(KeyKind::Ed25519)
}

impl PublicKey {
    /// As `try_from`, for the key of one who is no CA: ML-DSA is not taken, since few TLS peers would take it from an agent. One whose private
    /// half is published is not taken either.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn of_holder(spki_der: &[u8]) -> Result<Self, KeyError> {
        let key = Self::try_from(spki_der)?;
        if key.kind == KeyKind::MlDsa65 {
            return Err(KeyError::Unsupported);
        }
        Blocklist::published().check(&key)?;
        Ok(key)
    }

    /// Looks at an RSA modulus for as long as a private key's operation takes: some ten milliseconds for 3072 bits. Of other kinds there is
    /// nothing to see.
    ///
    /// # Errors
    /// [`KeyError::Weak`].
    pub fn demand_hard_to_factor(&self) -> Result<(), KeyError> {
        match self.kind {
            KeyKind::Rsa { .. } => rsa::demand_hard_to_factor(self.key_bytes()),
            _ => Ok(()),
        }
    }

    /// The exact DER of the SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.der
    }

    /// Its kind.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// SHA-256 of the SubjectPublicKeyInfo: the key's name in records.
    pub fn spki_sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }

    /// The key identifier: the leftmost 160 bits of SHA-256 of the BIT STRING's contents (RFC 7093 §2, method 1).
    pub fn key_identifier(&self) -> [u8; 20] {
        let digest: [u8; 32] = Sha256::digest(self.key_bytes()).into();
        std::array::from_fn(|i| digest[i])
    }

    /// The contents of the BIT STRING: a point, an Ed25519 key, an RSAPublicKey.
    pub(crate) fn key_bytes(&self) -> &[u8] {
        let start = self.der.len() - self.key_len;
        &self.der[start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::element;

    /// The generator of P-256 (FIPS 186-4 §D.1.2.3).
    const P256_G: &str = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
                          4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

    fn p256(point: &[u8]) -> Result<KeyKind, KeyError> {
        let spki = element(0x30, &[ID_P256, &element(3, &[&[0], point])]);
        PublicKey::try_from(spki.as_slice()).map(|key| key.kind())
    }

    /// The points of order 1, 2, 4 and 8 (RFC 7748 §7 and RFC 8032 §5.1.7; the list is that of libsodium and of many tests), each with a
    /// sign bit set and without, in every encoding that decodes.
    #[test]
    fn a_point_of_small_order_is_no_key() {
        let small = [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            // 1, with the sign of a zero; p and p + 1, which are 0 and 1.
            "0100000000000000000000000000000000000000000000000000000000000080",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ];
        for point in small {
            let key = data_encoding::HEXLOWER.decode(point.as_bytes()).unwrap();
            let spki = element(0x30, &[ID_ED25519, &element(3, &[&[0], &key])]);
            let taken = PublicKey::try_from(spki.as_slice()).map(|key| key.kind());
            assert!(matches!(taken, Err(KeyError::Weak(_) | KeyError::Malformed)), "{point}: {taken:?}");
        }
        // RFC 8032 §7.1, test 1.
        let good = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let key = data_encoding::HEXLOWER.decode(good.as_bytes()).unwrap();
        let spki = element(0x30, &[ID_ED25519, &element(3, &[&[0], &key])]);
        assert_eq!(PublicKey::try_from(spki.as_slice()).map(|key| key.kind()), Ok(KeyKind::Ed25519));
    }

    #[test]
    fn points_are_uncompressed_and_on_their_curve() {
        let point = data_encoding::HEXLOWER.decode(P256_G.as_bytes()).unwrap();
        assert_eq!(p256(&point), Ok(KeyKind::P256));
        let mut off = point.clone();
        off[64] ^= 1;
        assert_eq!(p256(&off), Err(KeyError::Malformed));
        let compressed = [&[3], &point[1..33]].concat();
        assert_eq!(p256(&compressed), Err(KeyError::Unsupported));
        for bad in [&[][..], &[0], &point[..64], &[point.clone(), vec![0]].concat()] {
            assert_eq!(p256(bad), Err(KeyError::Malformed));
        }
    }

    #[test]
    fn ml_dsa_is_for_cas_alone() {
        let spki = |length: usize| element(0x30, &[ID_ML_DSA_65, &element(3, &[&[0], &vec![7; length]])]);
        let kind = |der: &[u8]| PublicKey::try_from(der).map(|key| key.kind());
        assert_eq!(kind(&spki(1952)), Ok(KeyKind::MlDsa65));
        assert_eq!(kind(&spki(1951)), Err(KeyError::Unsupported));
        assert_eq!(PublicKey::of_holder(&spki(1952)), Err(KeyError::Unsupported));
        let point = data_encoding::HEXLOWER.decode(P256_G.as_bytes()).unwrap();
        let p256 = element(0x30, &[ID_P256, &element(3, &[&[0], &point])]);
        assert_eq!(PublicKey::try_from(p256.as_slice()).map(|key| key.kind()), Ok(KeyKind::P256));
        let published = Err(KeyError::Weak("it is on a list of known weak keys"));
        assert_eq!(PublicKey::of_holder(&p256), published, "the generator: the private key is 1");
    }

    #[test]
    fn the_form_is_strict() {
        let point = data_encoding::HEXLOWER.decode(P256_G.as_bytes()).unwrap();
        let bits = element(3, &[&[0], &point]);
        let refused = |spki: &[u8]| PublicKey::try_from(spki).map(drop);
        assert_eq!(refused(&[element(0x30, &[ID_P256, &bits]), vec![0]].concat()), Err(KeyError::Malformed));
        assert_eq!(refused(&element(0x30, &[ID_P256, &bits, b"\x05\x00"])), Err(KeyError::Malformed));
        assert_eq!(
            refused(&element(0x30, &[ID_P384, &bits])),
            Err(KeyError::Malformed),
            "another curve's point"
        );
        let ed25519_with_null = b"\x30\x07\x06\x03\x2b\x65\x70\x05\x00";
        let key = element(3, &[&[0], &[9; 32]]);
        assert_eq!(refused(&element(0x30, &[ed25519_with_null, &key])), Err(KeyError::Unsupported));
        assert_eq!(
            refused(&element(0x30, &[ID_ED25519, &element(3, &[&[0; 34]])])),
            Err(KeyError::Malformed)
        );
        assert_eq!(refused(&[0x30; 2049]), Err(KeyError::Malformed));
        assert_eq!(refused(&[]), Err(KeyError::Malformed));
    }
}
