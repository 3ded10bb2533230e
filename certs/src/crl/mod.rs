//! Lists of revoked certificates (RFC 5280 §5), by the same steps as certificates.
//!
//! - `compose`: what was revoked becomes a `TbsCrl`, encoded once
//! - `lint`: another decoder reads those bytes and becomes their `LintedCrl` proof
//! - `compose::join` makes the CRL, [`crate::Issuer::verify_crl`] verifies its signature; `CrlSummary` is for people
//!
//! A CRL is complete for its issuer: no deltas, no partitions, no indirect entries.

mod compose;
mod lint;
mod revoked;
mod rules;
mod summary;

pub use cell::RevocationReason as Reason;
pub use compose::{Crl, CrlError, TbsCrl, compose};
pub use lint::{CrlRule, LintedCrl, check, findings, rules};
pub use revoked::Revoked;
pub use summary::{CrlSummary, NotACrl};
