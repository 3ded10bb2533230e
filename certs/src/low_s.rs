//! The one form of an ECDSA signature. Whoever has (r, s) can make (r, n - s) of it, which verifies too (SEC 1 §4.1.4): of the two, the one with
//! the smaller s is ours. Nobody then has a certificate in another form than the one that was handed out.

use der::{Decode, Encode, Sequence, asn1::UintRef};

use crate::algorithm::{BadSignature, SignatureAlgorithm};

/// Orders of the groups (SEC 2 §2.4.2, §2.5.1), big-endian.
const P256_N: [u8; 32] = *b"\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51";
const P384_N: [u8; 48] = *b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xc7\x63\x4d\x81\xf4\x37\x2d\xdf\x58\x1a\x0d\xb2\x48\xb0\xa7\x7a\xec\xec\x19\x6a\xcc\xc5\x29\x73";

#[derive(Sequence)]
struct EcdsaSigValue<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// The DER Ecdsa-Sig-Value of a PKCS#11 signature, r and s in a row (PKCS#11 v3.1 §6.3.1; RFC 3279 §2.2.3), in its one form.
///
/// # Errors
/// [`BadSignature`] unless there are 64 (P-256) or 96 (P-384) bytes and neither half is zero: tokens do not check.
pub fn ecdsa_der(raw: &[u8]) -> Result<Vec<u8>, BadSignature> {
    let order: &[u8] = match raw.len() {
        64 => &P256_N,
        96 => &P384_N,
        _ => return Err(BadSignature),
    };
    let (r, s) = raw.split_at(raw.len() / 2);
    // FIPS 186-5 §6.4.2: both are at least 1.
    if [r, s].iter().any(|half| half.iter().all(|&b| b == 0)) {
        return Err(BadSignature);
    }
    // Where it is above the order it is no signature, and its verification says so.
    let other = less(order, s);
    let s = other.as_deref().filter(|other| *other < s).unwrap_or(s);
    let uint = |half| UintRef::new(half).map_err(|_| BadSignature);
    EcdsaSigValue { r: uint(r)?, s: uint(s)? }.to_der().map_err(|_| BadSignature)
}

impl SignatureAlgorithm {
    /// Whether a signature in this algorithm has its one form. Of the other algorithms nobody makes another without the key.
    pub fn is_canonical(self, signature: &[u8]) -> bool {
        let order: &[u8] = match self {
            Self::EcdsaP256Sha256 => &P256_N,
            Self::EcdsaP384Sha384 => &P384_N,
            Self::Ed25519 | Self::RsaPssSha256 | Self::MlDsa65 => return true,
        };
        let Ok(EcdsaSigValue { s, .. }) = EcdsaSigValue::from_der(signature) else { return false };
        let s = s.as_bytes();
        let Some(zeros) = order.len().checked_sub(s.len()) else { return false };
        let s = [&vec![0; zeros], s].concat();
        less(order, &s).is_some_and(|other| s <= other)
    }
}

/// The order less this number of the same length; none where that is below zero.
fn less(order: &[u8], number: &[u8]) -> Option<Vec<u8>> {
    let mut borrow = false;
    let mut left: Vec<u8> = order
        .iter()
        .zip(number)
        .rev()
        .map(|(minuend, subtrahend)| {
            let (once, first) = minuend.overflowing_sub(*subtrahend);
            let (twice, second) = once.overflowing_sub(u8::from(borrow));
            borrow = first || second;
            twice
        })
        .collect();
    left.reverse();
    (!borrow).then_some(left)
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};

    use super::*;

    #[test]
    fn raw_ecdsa_signatures_become_minimal_der() {
        let mut raw = [0; 64];
        (raw[0], raw[31], raw[63]) = (0x80, 1, 0x7f);
        let der = ecdsa_der(&raw).unwrap();
        let r = [b"\x02\x21\x00\x80".as_slice(), &[0; 30], b"\x01"].concat();
        assert_eq!(der, [b"\x30\x26".as_slice(), &r, b"\x02\x01\x7f"].concat());
    }

    #[test]
    fn raw_ecdsa_signatures_of_other_lengths_or_zero_are_refused() {
        for len in [0, 1, 63, 65, 95, 97, 128, 132] {
            assert!(ecdsa_der(&vec![1; len]).is_err(), "{len}");
        }
        assert!(ecdsa_der(&[1; 96]).is_ok());
        assert!(ecdsa_der(&[[1; 32], [0; 32]].concat()).is_err());
        assert!(ecdsa_der(&[[0; 32], [1; 32]].concat()).is_err());
    }

    /// Both forms verify, and one of them is ours.
    #[test]
    fn of_two_forms_of_a_signature_one_is_canonical() {
        for (kind, algorithm, half) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, SignatureAlgorithm::EcdsaP256Sha256, 32),
            (&rcgen::PKCS_ECDSA_P384_SHA384, SignatureAlgorithm::EcdsaP384Sha384, 48),
        ] {
            let key = KeyPair::generate_for(kind).unwrap();
            let spki = key.subject_public_key_info();
            for message in [&b"one"[..], b"two", b"three", b"four", b"five"] {
                let given = key.sign(message).unwrap();
                let EcdsaSigValue { r, s } = EcdsaSigValue::from_der(&given).unwrap();
                let wide = |number: UintRef<'_>| {
                    let bytes = number.as_bytes();
                    [&vec![0; half - bytes.len()], bytes].concat()
                };
                let raw = [wide(r), wide(s)].concat();
                let order: &[u8] = if half == 32 { &P256_N } else { &P384_N };
                let twin = less(order, &wide(s)).unwrap();
                let twin_der = EcdsaSigValue { r, s: UintRef::new(&twin).unwrap() }.to_der().unwrap();
                for form in [&given, &twin_der] {
                    algorithm.verify(&spki, message, form).unwrap();
                }
                assert_ne!(algorithm.is_canonical(&given), algorithm.is_canonical(&twin_der));
                let ours = ecdsa_der(&raw).unwrap();
                assert!(algorithm.is_canonical(&ours));
                assert_eq!(ours, ecdsa_der(&[wide(r), twin].concat()).unwrap(), "of either");
                algorithm.verify(&spki, message, &ours).unwrap();
            }
        }
        let p256 = SignatureAlgorithm::EcdsaP256Sha256;
        assert!(!p256.is_canonical(b"") && !p256.is_canonical(&[0x30, 0]));
        // The order itself, and more.
        for s in [P256_N.to_vec(), [&[1][..], &P256_N].concat()] {
            let one = UintRef::new(&[1]).unwrap();
            let der = EcdsaSigValue { r: one, s: UintRef::new(&s).unwrap() }.to_der().unwrap();
            assert!(!p256.is_canonical(&der));
        }
        assert!(SignatureAlgorithm::Ed25519.is_canonical(b"anything"));
    }
}
