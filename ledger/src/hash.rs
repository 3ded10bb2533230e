//! SHA-256 hashes of the tree.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tlog_tiles::tlog;

/// A SHA-256 hash of a leaf, of a node, or of a whole tree. Shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; Self::LEN]);

impl Hash {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Root of the empty tree: the hash of no bytes (RFC 9162 §2.1.1).
    pub const EMPTY: Self = Self(tlog::EMPTY_HASH.0);

    /// Takes 32 bytes that are a hash already.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Hash of the interior node above two others (RFC 9162 §2.1.1).
    pub(crate) fn join(self, right: Self) -> Self {
        tlog::node_hash(self.into(), right.into()).into()
    }

    /// Splits the bytes of a tile. `None` when they are no whole number of hashes.
    pub(crate) fn split(bytes: &[u8]) -> Option<Vec<Self>> {
        let (hashes, rest) = bytes.as_chunks::<{ Self::LEN }>();
        rest.is_empty().then(|| hashes.iter().copied().map(Self).collect())
    }

    /// The form of tlog-checkpoint and tlog-proof: RFC 4648 §4.
    pub(crate) fn to_base64(self) -> String {
        BASE64_STANDARD.encode(self.0)
    }

    pub(crate) fn from_base64(text: &str) -> Option<Self> {
        BASE64_STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

/// Hash of a leaf: of the exact bytes of an entry, after one zero byte (RFC 9162 §2.1.1).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    tlog::record_hash(entry).into()
}

impl TryFrom<&[u8]> for Hash {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

impl From<tlog::Hash> for Hash {
    fn from(hash: tlog::Hash) -> Self {
        Self(hash.0)
    }
}

impl From<Hash> for tlog::Hash {
    fn from(hash: Hash) -> Self {
        Self(hash.0)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}
