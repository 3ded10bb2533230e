//! What can be wrong with a request.

use const_oid::ObjectIdentifier;

use super::{MAX_CSR_BYTES, RequestedName};
use crate::{key::KeyError, raw::RawError};

/// The caller's fault: a request that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrError {
    /// Longer than [`MAX_CSR_BYTES`].
    #[error("the request is longer than {MAX_CSR_BYTES} bytes")]
    TooLarge,
    /// Neither DER nor PEM of a certificate request.
    #[error("the request is malformed: it is neither strict DER nor PEM of a PKCS#10 request")]
    Malformed,
    /// A request with something behind it.
    #[error("there are bytes after the request")]
    TrailingBytes,
    /// A kind of key that is not taken.
    #[error("the key is none of P-256, P-384, Ed25519 and RSA")]
    UnsupportedKey,
    /// A key too weak or too costly.
    #[error("the key is weak: {0}")]
    WeakKey(&'static str),
    /// A signature algorithm that is not taken, or not with this kind of key.
    #[error("the signature algorithm is not taken, or does not fit the key")]
    UnsupportedSignatureAlgorithm,
    /// The proof of possession fails.
    #[error("the request's signature does not verify: its sender does not hold the key")]
    BadSignature,
    /// A name that will not be issued.
    #[error("the request asks for {0}, which is not granted")]
    NameNotGranted(RequestedName),
    /// An extension that no profile has.
    #[error("the request asks for the extension {0}, which is never issued")]
    ExtensionNotAllowed(ObjectIdentifier),
    /// An extension that asks for more than the profile has.
    #[error("the request asks for more than is issued in {0}")]
    ExtensionTooWide(&'static str),
}

impl CsrError {
    /// The field of the caller's message that is wrong.
    pub fn field(&self) -> &'static str {
        "csr"
    }
}

impl From<RawError> for CsrError {
    fn from(error: RawError) -> Self {
        match error {
            RawError::Malformed => Self::Malformed,
            RawError::TrailingBytes => Self::TrailingBytes,
        }
    }
}

impl From<KeyError> for CsrError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Malformed => Self::Malformed,
            KeyError::Unsupported => Self::UnsupportedKey,
            KeyError::Weak(why) => Self::WeakKey(why),
        }
    }
}
