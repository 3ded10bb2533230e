//! Who verifies signatures: AWS-LC where there is C (feature `native`), RustCrypto where there is none, as in WebAssembly (feature `portable`).
//! Both are built for tests, which hold each against the other.

#[cfg(feature = "native")]
mod native;
#[cfg(all(feature = "portable", any(test, not(feature = "native"))))]
mod portable;
#[cfg(test)]
#[cfg(all(feature = "native", feature = "portable"))]
mod tests;

use crate::algorithm::{BadSignature, Scheme};
use crate::key::KeyKind;

#[cfg(feature = "native")]
pub(crate) use native::Native as Chosen;
#[cfg(not(feature = "native"))]
pub(crate) use portable::Portable as Chosen;

#[cfg(not(any(feature = "native", feature = "portable")))]
compile_error!("signatures are verified by one of two features: `native` or `portable`");

/// Verifies.
pub(crate) trait Judge {
    /// A signature in a scheme that fits the kind of key. `key` is what stands in the BIT STRING of a SubjectPublicKeyInfo: an uncompressed point
    /// (ECDSA), 32 bytes (Ed25519), an RSAPublicKey (RSA), 1,952 bytes (ML-DSA-65). ECDSA signatures are DER (RFC 3279 §2.2.3).
    ///
    /// # Errors
    /// [`BadSignature`], also where the key is none.
    fn verify(
        scheme: Scheme,
        kind: KeyKind,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), BadSignature>;

    /// Whether this is an uncompressed point of the kind's curve, and not the one at infinity. Of P-256 and P-384.
    fn takes(kind: KeyKind, point: &[u8]) -> bool;
}
