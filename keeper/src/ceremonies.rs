//! Ceremonies as the keeper takes them: what of a proven transcript the ledger records, and what a trust bundle says after it.
//!
//! Does not: open a token; a ceremony is executed by officers, not by the service.

mod approved;
pub mod bundles;
mod fitness;
mod import;

pub use import::{Import, ImportError};
pub(crate) use import::{Imported, InForce, certificate_sha256};
