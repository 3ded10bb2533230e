//! What is issued: requests checked, certificates composed, linted and shown.
//!
//! A certificate's way through this crate, with the steps of the issuance cycle:
//! - `csr`: a request becomes a `VerifiedCsr` (2)
//! - `compose`: policy and a public key become a `Tbs`, encoded once (5)
//! - `lint`: another decoder reads those bytes and becomes their `Linted` proof (6)
//! - `issuer`: the signature over them is verified (9); `compose::join` makes the certificate (10)
//! - `crl`: what was revoked becomes a CRL, by the same steps
//! - `key`, `algorithm`, `low_s`: public keys and signature algorithms; `attributes`: roles and tags; `summary`: for people
//!
//! Does not: hold a private key, sign, read a clock, draw chance, do I/O.

pub mod algorithm;
pub mod attributes;
pub mod compose;
pub mod crl;
pub mod csr;
mod fields;
mod issuer;
mod judge;
mod key;
pub mod lint;
mod low_s;
mod profile;
mod raw;
pub mod summary;

pub use algorithm::{BadSignature, SignatureAlgorithm};
pub use attributes::{ATTRIBUTES_OID, Attributes};
pub use const_oid::ObjectIdentifier;
pub use fields::{NotATbs, TbsFields};
pub use issuer::{Issuer, IssuerError};
pub use key::{Blocklist, BlocklistError, KeyError, KeyKind, PublicKey};
pub use low_s::ecdsa_der;
pub use profile::Profile;
pub use summary::CertificateSummary;
