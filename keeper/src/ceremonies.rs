//! Ceremonies as the keeper takes them: what of a proven transcript the ledger records, and what a trust bundle says after it.
//!
//! Does not: open a token; a ceremony is executed by officers, not by the service.

mod approved;
pub mod bundles;
mod fitness;
mod import;
mod in_force;

pub use import::Import;
pub(crate) use import::{Imported, certificate_sha256};
pub use in_force::ImportError;
pub(crate) use in_force::InForce;
