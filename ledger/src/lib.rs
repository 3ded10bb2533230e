//! Proof: the ledger's Merkle tree, its signed notes, and what an auditor needs to check both offline.
//!
//! Formats are C2SP's (tlog-tiles, tlog-checkpoint, signed-note, tlog-proof), so that others' tools can check us.
//!
//! Does not: read a file, a clock or a source of randomness; keep a private key in a token; know how entries are
//! stored. It builds for `wasm32-unknown-unknown`.

pub mod bundle;
pub mod charter;
pub mod checkpoint;
pub mod custody;
pub mod entry;
mod hash;
pub mod note;
pub mod pin;
pub mod plan;
pub mod proof;
pub mod proposal;
pub mod request;
pub mod text;
pub mod transcript;
pub mod tree;

pub use hash::{Hash, leaf_hash};
