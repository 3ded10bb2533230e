//! Both judges agree on ten thousand cases: signatures of every scheme and kind of key, and those with a byte changed in key,
//! message or signature, cut short, made longer, of another scheme, and of the numbers at the edges.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature as aws;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, PqdsaKeyPair, RsaEncoding};
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use super::native::Native;
use super::portable::Portable;
use super::{BadSignature, Judge as _, KeyKind, Scheme};

const RSA: KeyKind = KeyKind::Rsa { bits: 2048 };
/// The orders of P-256 and P-384 (SP 800-186 §3.2.1).
const ORDERS: [(KeyKind, &str); 2] = [
    (KeyKind::P256, "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
    (
        KeyKind::P384,
        "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
    ),
];

/// Numbers that are the same each time.
struct Numbers(u64);

impl Numbers {
    fn index(&mut self, end: usize) -> usize {
        self.0 += 1;
        let digest = Sha256::digest(self.0.to_be_bytes());
        (usize::from(digest[0]) << 16 | usize::from(digest[1]) << 8 | usize::from(digest[2])) % end.max(1)
    }
}

type Sign = dyn Fn(&[u8]) -> Vec<u8>;

/// A key that signs in one scheme.
struct Signer {
    scheme: Scheme,
    kind: KeyKind,
    key: Vec<u8>,
    sign: Box<Sign>,
}

fn ecdsa(scheme: Scheme, kind: KeyKind, algorithm: &'static aws::EcdsaSigningAlgorithm) -> Signer {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    let key = pair.public_key().as_ref().to_vec();
    let sign = move |message: &[u8]| pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec();
    Signer { scheme, kind, key, sign: Box::new(sign) }
}

/// AWS-LC signs no digest of another length than the curve's.
fn by_p256(scheme: Scheme, digest: fn(&[u8]) -> Vec<u8>) -> Signer {
    let pair = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let key = pair.verifying_key().to_sec1_point(false).as_bytes().to_vec();
    let sign = move |message: &[u8]| {
        let signature: p256::ecdsa::Signature = pair.sign_prehash(&digest(message)).unwrap();
        signature.to_der().as_bytes().to_vec()
    };
    Signer { scheme, kind: KeyKind::P256, key, sign: Box::new(sign) }
}

fn by_p384(scheme: Scheme, digest: fn(&[u8]) -> Vec<u8>) -> Signer {
    let pair = p384::ecdsa::SigningKey::from_slice(&[7; 48]).unwrap();
    let key = pair.verifying_key().to_sec1_point(false).as_bytes().to_vec();
    let sign = move |message: &[u8]| {
        let signature: p384::ecdsa::Signature = pair.sign_prehash(&digest(message)).unwrap();
        signature.to_der().as_bytes().to_vec()
    };
    Signer { scheme, kind: KeyKind::P384, key, sign: Box::new(sign) }
}

fn rsa(scheme: Scheme, encoding: &'static dyn RsaEncoding) -> Signer {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let key = pair.public_key().as_ref().to_vec();
    let sign = move |message: &[u8]| {
        let mut signature = vec![0; 256];
        pair.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    };
    Signer { scheme, kind: RSA, key, sign: Box::new(sign) }
}

fn signers() -> Vec<Signer> {
    let ed25519 = Ed25519KeyPair::generate().unwrap();
    let ml_dsa = PqdsaKeyPair::generate(&aws::ML_DSA_65_SIGNING).unwrap();
    vec![
        ecdsa(Scheme::EcdsaSha256, KeyKind::P256, &aws::ECDSA_P256_SHA256_ASN1_SIGNING),
        by_p256(Scheme::EcdsaSha384, |message| Sha384::digest(message).to_vec()),
        by_p256(Scheme::EcdsaSha512, |message| Sha512::digest(message).to_vec()),
        by_p384(Scheme::EcdsaSha256, |message| Sha256::digest(message).to_vec()),
        ecdsa(Scheme::EcdsaSha384, KeyKind::P384, &aws::ECDSA_P384_SHA384_ASN1_SIGNING),
        by_p384(Scheme::EcdsaSha512, |message| Sha512::digest(message).to_vec()),
        rsa(Scheme::Pkcs1Sha256, &aws::RSA_PKCS1_SHA256),
        rsa(Scheme::Pkcs1Sha384, &aws::RSA_PKCS1_SHA384),
        rsa(Scheme::Pkcs1Sha512, &aws::RSA_PKCS1_SHA512),
        rsa(Scheme::PssSha256, &aws::RSA_PSS_SHA256),
        rsa(Scheme::PssSha384, &aws::RSA_PSS_SHA384),
        rsa(Scheme::PssSha512, &aws::RSA_PSS_SHA512),
        Signer {
            scheme: Scheme::Ed25519,
            kind: KeyKind::Ed25519,
            key: ed25519.public_key().as_ref().to_vec(),
            sign: Box::new(move |message| ed25519.sign(message).as_ref().to_vec()),
        },
        Signer {
            scheme: Scheme::MlDsa65,
            kind: KeyKind::MlDsa65,
            key: ml_dsa.public_key().as_ref().to_vec(),
            sign: Box::new(move |message| {
                let mut signature = vec![0; 3309];
                ml_dsa.sign(message, &mut signature).unwrap();
                signature
            }),
        },
    ]
}

/// What both say of it.
fn agreed(scheme: Scheme, kind: KeyKind, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let said = [Native::verify, Portable::verify].map(|verify| verify(scheme, kind, key, message, signature));
    let hex = |octets: &[u8]| data_encoding::HEXLOWER.encode(octets);
    let case = || format!("{scheme:?} {kind:?} key {} of {} by {}", hex(key), hex(message), hex(signature));
    assert_eq!(said[0], said[1], "{}", case());
    said[0] == Ok::<_, BadSignature>(())
}

/// A key, a message and a signature with one thing changed.
fn change(numbers: &mut Numbers, [key, message, signature]: &mut [Vec<u8>; 3]) {
    let flip = |numbers: &mut Numbers, octets: &mut Vec<u8>| {
        let at = numbers.index(octets.len());
        if let Some(octet) = octets.get_mut(at) {
            *octet ^= 1 << numbers.index(8);
        }
    };
    match numbers.index(9) {
        0 => flip(numbers, key),
        1 => flip(numbers, message),
        2..=4 => flip(numbers, signature),
        5 => signature.truncate(numbers.index(signature.len())),
        6 => signature.push(0),
        7 => signature.insert(0, 0),
        _ => {
            let at = numbers.index(signature.len());
            signature[at..].fill(if numbers.index(2) == 0 { 0 } else { 0xff });
        }
    }
}

#[test]
fn both_agree_on_ten_thousand_cases_of_all_kinds() {
    let (signers, mut numbers) = (signers(), Numbers(0));
    let (mut good, mut bad) = (0, 0);
    for round in 0..715_u32 {
        for signer in &signers {
            let message = round.to_be_bytes().repeat(numbers.index(40));
            let signature = (signer.sign)(&message);
            let mut case = [signer.key.clone(), message, signature];
            let mut scheme = signer.scheme;
            match round % 8 {
                0 => {}
                1 => {
                    let fitting: Vec<Scheme> =
                        signers.iter().map(|one| one.scheme).filter(|one| one.fits(signer.kind)).collect();
                    scheme = fitting[numbers.index(fitting.len())];
                }
                _ => change(&mut numbers, &mut case),
            }
            let [key, message, signature] = &case;
            if agreed(scheme, signer.kind, key, message, signature) { good += 1 } else { bad += 1 }
        }
    }
    assert_eq!(good + bad, 10_010);
    assert!(good >= 1260 && bad >= 7000, "{good} verify, {bad} do not");
}

/// ECDSA's r and s of 0, 1, the order less one, the order, and more than it.
#[test]
fn both_agree_on_the_numbers_at_the_edges() {
    for (kind, order) in ORDERS {
        let order = num_bigint::BigUint::parse_bytes(order.as_bytes(), 16).unwrap();
        let one = num_bigint::BigUint::from(1_u8);
        let edges = [&order - &order, one.clone(), &order - &one, order.clone(), &order + &one, &order << 8];
        let signer = match kind {
            KeyKind::P256 => ecdsa(Scheme::EcdsaSha256, kind, &aws::ECDSA_P256_SHA256_ASN1_SIGNING),
            _ => ecdsa(Scheme::EcdsaSha384, kind, &aws::ECDSA_P384_SHA384_ASN1_SIGNING),
        };
        let integer = |number: &num_bigint::BigUint| {
            let mut octets = number.to_bytes_be();
            if octets[0] & 0x80 != 0 {
                octets.insert(0, 0);
            }
            crate::raw::element(2, &[&octets])
        };
        for r in &edges {
            for s in &edges {
                let signature = crate::raw::element(0x30, &[&integer(r), &integer(s)]);
                assert!(!agreed(signer.scheme, kind, &signer.key, b"message", &signature));
            }
        }
    }
}

#[test]
fn both_take_the_same_points() {
    let mut numbers = Numbers(1 << 32);
    for signer in signers() {
        if !matches!(signer.kind, KeyKind::P256 | KeyKind::P384) {
            continue;
        }
        for round in 0..200 {
            let mut key = signer.key.clone();
            if round > 0 {
                let at = numbers.index(key.len());
                key[at] ^= 1 << numbers.index(8);
            }
            let taken = [Native::takes, Portable::takes].map(|takes| takes(signer.kind, &key));
            assert_eq!(taken[0], taken[1], "{:?} {}", signer.kind, data_encoding::HEXLOWER.encode(&key));
            assert!(round > 0 || taken[0]);
        }
    }
}
