//! Certificates composed from policy: TBS bytes, encoded once (step 5 of the issuance cycle).
//!
//! Nothing is copied from a request but the public key. Does not: decide who may have what; sign.

mod ca;
mod encode;
mod leaf;
mod serial;
mod tbs;
mod validity;

pub(crate) use encode::{authority_key_identifier, extension};
pub(crate) use validity::time;

pub use ca::{Ca, cross, farewell, issuer, request, root};
pub use leaf::{Leaf, LeafProfile, leaf};
pub use serial::{Serial, SerialError};
pub use tbs::{Tbs, join};
pub use validity::{ISSUER_LIFETIME_SECS, ROOT_LIFETIME_SECS, Validity, ValidityError};

/// Our bug, or a value beyond what DER can hold: nothing was composed.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The encoder refused a value.
    #[error("the certificate cannot be encoded: {0}")]
    Encoding(#[from] der::Error),
    /// The builder refused the certificate.
    #[error("the certificate cannot be built: {0}")]
    Builder(#[from] x509_cert::builder::Error),
}
