//! An officer's Ed25519 key under a passphrase, as other tools read it too: PKCS#8 (RFC 5958, RFC 8410 §7) in PEM (RFC 7468 §11).

use pkcs8::der::asn1::{ObjectIdentifier, OctetStringRef};
use pkcs8::der::pem::LineEnding;
use pkcs8::der::{Decode as _, Encode as _, SecretDocument};
use pkcs8::spki::AlgorithmIdentifier;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use super::key::KeyFileError;

/// id-Ed25519 (RFC 8410 §3).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// RFC 7468 §11.
const LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// The key as PEM.
///
/// # Errors
/// [`KeyFileError::Sealing`].
pub(super) fn encrypt(seed: &[u8; 32], passphrase: &str) -> Result<Zeroizing<String>, KeyFileError> {
    let failed = |error: pkcs8::der::Error| KeyFileError::Sealing(error.to_string());
    // RFC 8410 §7: CurvePrivateKey is an OCTET STRING within the OCTET STRING.
    let curve_key = OctetStringRef::new(seed).and_then(|seed| seed.to_der()).map(Zeroizing::new);
    let curve_key = curve_key.map_err(failed)?;
    let info = PrivateKeyInfoRef::new(
        AlgorithmIdentifier { oid: ED25519, parameters: None },
        OctetStringRef::new(&curve_key).map_err(failed)?,
    );
    let sealed = info.encrypt(passphrase).map_err(|error| KeyFileError::Sealing(error.to_string()))?;
    sealed.to_pem(LABEL, LineEnding::LF).map_err(failed)
}

/// The seed in such a PEM.
///
/// # Errors
/// Another passphrase, or not such a key.
pub(super) fn decrypt(pem: &str, passphrase: &str) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    let malformed = |_| KeyFileError::Malformed;
    let (label, document) = SecretDocument::from_pem(pem).map_err(malformed)?;
    if label != LABEL {
        return Err(KeyFileError::Malformed);
    }
    let sealed = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes()).map_err(malformed)?;
    // What comes out under another passphrase is no key: the cipher itself does not tell.
    let opened = sealed.decrypt(passphrase).map_err(|_| KeyFileError::Passphrase)?;
    let info = PrivateKeyInfoRef::from_der(opened.as_bytes()).map_err(|_| KeyFileError::Passphrase)?;
    if info.algorithm.oid != ED25519 {
        return Err(KeyFileError::Malformed);
    }
    let curve_key = <&OctetStringRef>::from_der(info.private_key.as_bytes()).map_err(malformed)?;
    let mut seed = Zeroizing::new([0; 32]);
    if curve_key.as_bytes().len() != seed.len() {
        return Err(KeyFileError::Malformed);
    }
    seed.copy_from_slice(curve_key.as_bytes());
    Ok(seed)
}
