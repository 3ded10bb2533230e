//! Entries of the ledger: encode, and decode strictly.
//!
//! Does not: judge what an entry says. An entry is the bytes that were recorded; they are encoded once.

use prost::Message as _;

pub use wire::*;

/// Messages generated from `proto/rootcellar/ledger/v1/entry.proto`.
#[allow(missing_docs, clippy::pedantic, reason = "generated code")]
mod wire {
    include!("gen/rootcellar.ledger.v1.rs");
}

/// Longest entry in bytes, inclusive: an entry bundle gives its length in two bytes (c2sp.org/tlog-tiles,
/// "Log entries").
pub const MAX_LEN: usize = 65_535;

/// The only version of the format.
pub const VERSION: u32 = 1;

impl Entry {
    /// What an actor caused in a cell at this time, in milliseconds since 1970, by no request of a caller's.
    pub fn new(cell: &str, time_unix_ms: i64, actor: Actor, kind: entry::Kind) -> Self {
        Self {
            version: VERSION,
            cell: cell.to_owned(),
            time_unix_ms,
            actor: Some(actor),
            kind: Some(kind),
            ..Self::default()
        }
    }
}

/// An entry that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Our bug, or a log that is not ours: more bytes than an entry may have.
    #[error("the entry has {len} bytes, more than {MAX_LEN}")]
    TooLong {
        /// Length in bytes.
        len: usize,
    },
    /// A log written by a later version.
    #[error("the entry has version {0}, and only {VERSION} is known")]
    Version(u32),
    /// A log written by a later version, or our bug: nothing happened.
    #[error("the entry says nothing, or something that is not known")]
    NoKind,
    /// The bytes are no such message.
    #[error("the entry does not decode: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// The message would be encoded in another way: unknown or disordered fields, or numbers longer than needed.
    #[error("the entry is not encoded as we encode it")]
    NotCanonical,
}

/// Encodes an entry. The bytes are the leaf from here on; they are never encoded again.
///
/// # Errors
/// [`EntryError::TooLong`], [`EntryError::Version`], [`EntryError::NoKind`].
pub fn encode(entry: &Entry) -> Result<Vec<u8>, EntryError> {
    check(entry)?;
    let len = entry.encoded_len();
    if len > MAX_LEN {
        return Err(EntryError::TooLong { len });
    }
    Ok(entry.encode_to_vec())
}

/// Decodes an entry, and refuses bytes that [`encode`] would not have made from it.
///
/// # Errors
/// Each kind of [`EntryError`].
pub fn decode(bytes: &[u8]) -> Result<Entry, EntryError> {
    if bytes.len() > MAX_LEN {
        return Err(EntryError::TooLong { len: bytes.len() });
    }
    let entry = Entry::decode(bytes)?;
    check(&entry)?;
    // A decoder of protobuf skips what it does not know: only the bytes tell that nothing was skipped.
    if entry.encode_to_vec() == bytes { Ok(entry) } else { Err(EntryError::NotCanonical) }
}

fn check(entry: &Entry) -> Result<(), EntryError> {
    if entry.version != VERSION {
        return Err(EntryError::Version(entry.version));
    }
    if entry.kind.is_none() {
        return Err(EntryError::NoKind);
    }
    Ok(())
}
