//! The public half of a key as its token describes it, made into a SubjectPublicKeyInfo.

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectHandle};
use cryptoki::session::Session;
use der::asn1::{BitString, ObjectIdentifier, OctetStringRef, UintRef};
use der::{Any, Decode, Encode};
use spki::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use crate::algorithm::KeyAlgorithm;
use crate::error::TokenError;

/// id-ecPublicKey (RFC 5480 §2.1.1).
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// id-Ed25519 (RFC 8410 §3).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// rsaEncryption (RFC 3279 §2.3.1).
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// id-ml-dsa-65 (RFC 9881 §2).
const ML_DSA_65: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18");
/// Octets of an ML-DSA-65 public key (FIPS 204 §4, table 2).
const ML_DSA_65_LEN: usize = 1952;

const MALFORMED: TokenError = TokenError::Malformed("a public key that is not of its own type's form");

/// RSAPublicKey (RFC 8017 §A.1.1).
#[derive(der::Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

/// Reads a public key object. `None` for kinds that we do not use.
pub(crate) fn read(
    session: &Session,
    object: ObjectHandle,
) -> Result<Option<(KeyAlgorithm, Vec<u8>)>, TokenError> {
    let wanted = [
        AttributeType::KeyType,
        AttributeType::EcParams,
        AttributeType::EcPoint,
        AttributeType::Modulus,
        AttributeType::PublicExponent,
    ];
    if let Some(Attribute::KeyType(KeyType::ML_DSA)) =
        session.get_attributes(object, &[AttributeType::KeyType])?.first()
    {
        return ml_dsa(session, object);
    }
    let (mut kind, mut params, mut point, mut modulus, mut exponent) = (None, None, None, None, None);
    for attribute in session.get_attributes(object, &wanted)? {
        match attribute {
            Attribute::KeyType(value) => kind = Some(value),
            Attribute::EcParams(value) => params = Some(value),
            Attribute::EcPoint(value) => point = Some(value),
            Attribute::Modulus(value) => modulus = Some(value),
            Attribute::PublicExponent(value) => exponent = Some(value),
            _ => {}
        }
    }
    match (kind, params, point, modulus, exponent) {
        (Some(KeyType::EC | KeyType::EC_EDWARDS), Some(params), Some(point), _, _) => {
            let Some(algorithm) = KeyAlgorithm::from_ec_params(&params) else { return Ok(None) };
            Ok(Some((algorithm, elliptic(algorithm, &params, &point)?)))
        }
        (Some(KeyType::RSA), _, _, Some(modulus), Some(exponent)) => {
            let bits = u16::try_from(modulus.len() * 8).map_err(|_| MALFORMED)?;
            Ok(Some((KeyAlgorithm::RsaPss(bits), rsa(&modulus, &exponent)?)))
        }
        _ => Ok(None),
    }
}

/// `CKA_EC_POINT` is a DER OCTET STRING around the point (PKCS#11 v3.1 §6.3.3); some tokens return it bare.
fn elliptic(algorithm: KeyAlgorithm, params: &[u8], point: &[u8]) -> Result<Vec<u8>, TokenError> {
    let length = match algorithm {
        KeyAlgorithm::EcdsaP256 => 65,
        KeyAlgorithm::EcdsaP384 => 97,
        _ => 32,
    };
    let point = if point.len() == length {
        point
    } else {
        <&OctetStringRef>::from_der(point).map_err(|_| MALFORMED)?.as_bytes()
    };
    if point.len() != length {
        return Err(MALFORMED);
    }
    let algorithm = match algorithm {
        // RFC 8410 §3: the parameters are absent.
        KeyAlgorithm::Ed25519 => AlgorithmIdentifier { oid: ED25519, parameters: None },
        _ => AlgorithmIdentifier {
            oid: EC_PUBLIC_KEY,
            parameters: Some(Any::from_der(params).map_err(|_| MALFORMED)?),
        },
    };
    encode(algorithm, point)
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Vec<u8>, TokenError> {
    let key = RsaPublicKey {
        modulus: UintRef::new(modulus).map_err(|_| MALFORMED)?,
        exponent: UintRef::new(exponent).map_err(|_| MALFORMED)?,
    };
    // RFC 3279 §2.3.1: the parameters are NULL.
    let algorithm = AlgorithmIdentifier { oid: RSA_ENCRYPTION, parameters: Some(Any::null()) };
    encode(algorithm, &key.to_der().map_err(|_| MALFORMED)?)
}

/// `CKA_PARAMETER_SET` and, as it is, `CKA_VALUE` (PKCS#11 v3.2, CKK_ML_DSA; RFC 9881 §4: the parameters are absent).
fn ml_dsa(session: &Session, object: ObjectHandle) -> Result<Option<(KeyAlgorithm, Vec<u8>)>, TokenError> {
    let (mut set, mut value) = (None, None);
    for attribute in session.get_attributes(object, &[AttributeType::ParameterSet, AttributeType::Value])? {
        match attribute {
            Attribute::ParameterSet(found) => set = Some(found),
            Attribute::Value(found) => value = Some(found),
            _ => {}
        }
    }
    let Some(algorithm) = set.and_then(KeyAlgorithm::from_ml_dsa) else { return Ok(None) };
    let key = value.filter(|key| key.len() == ML_DSA_65_LEN).ok_or(MALFORMED)?;
    Ok(Some((algorithm, encode(AlgorithmIdentifier { oid: ML_DSA_65, parameters: None }, &key)?)))
}

/// The SubjectPublicKeyInfo of an ML-DSA-65 key that nobody has: every string of its length is one (FIPS 204 §7.2, algorithm 22). For
/// composing what such a key will stand in.
///
/// # Errors
/// None of a length that is the right one.
pub fn nobodys_ml_dsa_65() -> Result<Vec<u8>, TokenError> {
    encode(AlgorithmIdentifier { oid: ML_DSA_65, parameters: None }, &[7; ML_DSA_65_LEN])
}

fn encode(algorithm: AlgorithmIdentifier<Any>, key: &[u8]) -> Result<Vec<u8>, TokenError> {
    let subject_public_key = BitString::from_bytes(key).map_err(|_| MALFORMED)?;
    SubjectPublicKeyInfo { algorithm, subject_public_key }.to_der().map_err(|_| MALFORMED)
}
