//! The right edge of the tree, in memory.

use super::{MAX_SIZE, TILE_HEIGHT, TILE_LEVELS, TILE_WIDTH, TileStore, TreeError, TreeHead, store};
use crate::Hash;

/// A tile that has become full and changes no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// Level of the tile: 0 holds leaf hashes.
    pub level: u8,
    /// Index in its level, from 0.
    pub index: u64,
    /// Its 256 hashes, 8,192 bytes.
    pub bytes: Vec<u8>,
    /// Root of its 256 hashes: a hash of the tile above. A store may keep it, to answer [`TileStore::tile_root`].
    pub root: Hash,
}

/// The right edge of a growing tree: enough to append and to tell the root, without reading a store.
///
/// Cloning copies at most 8 KiB for each level in use (three levels at sixteen million entries), so that an owner may
/// append to a clone and keep it only once the entries are durable.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    /// Entries so far, at most [`MAX_SIZE`].
    size: u64,
    /// Roots of the perfect subtrees, largest first: one for each bit that is set in `size`.
    peaks: Vec<Hash>,
    /// Hashes of the tile that is not yet full, at each level; at most 255 of them.
    partial: [Vec<u8>; TILE_LEVELS as usize + 1],
}

impl Edge {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the edge of the tree of the first `size` entries of a store.
    ///
    /// # Errors
    /// [`TreeError::OutOfRange`] above [`MAX_SIZE`]; otherwise what the store says, or that it holds something else
    /// than tiles. Whether it holds the *right* tiles, only a comparison of the root with a checkpoint tells.
    pub fn load<S: TileStore>(store: &S, size: u64) -> Result<Self, TreeError<S::Error>> {
        let reader = store::Reader::new(store, size)?;
        let mut edge = Self { size, ..Self::new() };
        for level in (0..TILE_LEVELS).rev() {
            let (index, width) = rightmost(size, level);
            let hashes = reader.hashes(level, index, 0, width)?;
            edge.push_peaks(&hashes);
            edge.partial[usize::from(level)] = hashes.iter().flat_map(|hash| *hash.as_bytes()).collect();
        }
        Ok(edge)
    }

    /// Entries so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Root of the tree; [`Hash::EMPTY`] while it is empty.
    pub fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev().copied();
        let smallest = peaks.next().unwrap_or(Hash::EMPTY);
        peaks.fold(smallest, |right, left| left.join(right))
    }

    /// Size and root together.
    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.size, root: self.root() }
    }

    /// Appends one leaf and returns the tiles that this made full: none, or one for each level from 0 up to some level.
    /// Costs two hashes and one copy of 32 bytes on average.
    pub fn append(&mut self, leaf: Hash) -> Vec<Tile> {
        debug_assert!(self.size < MAX_SIZE, "the tree is full");
        let mut full = Vec::new();
        let mut node = leaf;
        self.extend(0, node);
        // Each trailing one of the size is a peak that the new leaf completes into a larger one.
        for level in 1..=self.size.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            node = left.join(node);
            if level % TILE_HEIGHT == 0 {
                full.push(self.complete(level / TILE_HEIGHT, node));
            }
        }
        self.peaks.push(node);
        self.size += 1;
        full
    }

    /// Takes the tile below tile level `above`, which is full, and puts its root there.
    fn complete(&mut self, above: u32, root: Hash) -> Tile {
        let level = u8::try_from(above - 1).unwrap_or(TILE_LEVELS);
        let bytes = std::mem::take(&mut self.partial[usize::from(level)]);
        self.extend(usize::from(level) + 1, root);
        Tile { level, index: self.size >> (TILE_HEIGHT * above), bytes, root }
    }

    fn extend(&mut self, level: usize, hash: Hash) {
        let tile = &mut self.partial[level];
        if tile.is_empty() {
            tile.reserve_exact(usize::from(TILE_WIDTH) * Hash::LEN);
        }
        tile.extend_from_slice(hash.as_bytes());
    }

    /// Adds the peaks that the hashes of a partial tile make: one for each bit of their number, largest first.
    fn push_peaks(&mut self, mut hashes: &[Hash]) {
        for bit in (0..TILE_HEIGHT).rev() {
            if hashes.len() & (1 << bit) != 0 {
                let (run, rest) = hashes.split_at(1 << bit);
                self.peaks.push(store::perfect_root(run));
                hashes = rest;
            }
        }
    }
}

/// Index and width of the tile at the right end of a level; the width is 0 when the last tile is full.
fn rightmost(size: u64, level: u8) -> (u64, u16) {
    let count = size >> (TILE_HEIGHT * u32::from(level));
    let width = u16::try_from(count % u64::from(TILE_WIDTH)).unwrap_or(0);
    (count / u64::from(TILE_WIDTH), width)
}
