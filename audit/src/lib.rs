//! Verification, one rule in one place: from bytes alone, whoever handed them in.
//!
//! - `agents`: agents as requests describe them and as entries hold them
//! - `attributes`: what the private key of a CA must report (invariant I1)
//! - `ceremony`: what a ceremony's transcript proves
//! - `chain`: a certificate up to a trust anchor
//! - `changes`: what each caller signed last of an agent
//! - `custody`: a custody manifest's place in the log
//! - `entries`: a whole ledger, from its first entry
//! - `note_keys`: keys of notes as tokens have them
//! - `request`, `request_signature`: requests that change state, and callers' signatures over them
//! - `token_uri`: which token a plan means
//! - `trust`: an entry's and a certificate's place in the log
//!
//! Does not: fetch anything, read a clock or a file, or hold a key.

mod act_rule;
pub mod agents;
mod attributes;
pub mod ceremony;
mod chain;
mod changes;
mod custody;
pub mod entries;
mod note_keys;
mod request;
mod request_signature;
#[cfg(test)]
mod testing;
mod token_uri;
mod trust;

pub use act_rule::act_rule;
pub use attributes::{KeyAttributes, NotInCustody, Provenance, REQUIRED};
pub use chain::{Chain, ChainError};
pub use changes::{Changes, Given};
pub use custody::ProvenCustody;
pub use ledger::note::is_deceptive;
pub use note_keys::{note_key, note_spki};
pub use request::{NotARequest, Request};
pub use request_signature::RequestVerifier;
pub use token_uri::{TokenUri, UriError};
pub use trust::{Proven, ProvenEntry, Trust, Unproven};
