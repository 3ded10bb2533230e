//! The Merkle tree (RFC 9162 §2.1) as tiles (c2sp.org/tlog-tiles): grow it, prove from it, check proofs.
//!
//! Does not: store anything. [`Edge`] is the right edge in memory, [`TileStore`] what a store must answer.

mod edge;
mod store;
mod verify;

pub use edge::{Edge, Tile};
pub use store::{TileStore, TreeError, consistency_proof, inclusion_proof, root_at, tile};
pub use verify::{InvalidProof, TreeHead, verify_consistency, verify_inclusion};

/// Hashes in a full tile (c2sp.org/tlog-tiles, "Merkle Tree").
pub const TILE_WIDTH: u16 = 256;

/// Levels of the tree that one level of tiles covers: log2 of [`TILE_WIDTH`].
const TILE_HEIGHT: u32 = 8;

/// Levels of tiles that a tree of at most [`MAX_SIZE`] entries has.
const TILE_LEVELS: u8 = 7;

/// Largest tree that is read or grown, in entries: 2^56 − 1, so that its tiles have seven levels and no index
/// overflows. At a million entries a second it lasts two thousand years.
pub const MAX_SIZE: u64 = (1 << 56) - 1;
