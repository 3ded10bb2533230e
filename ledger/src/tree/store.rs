//! Roots, proofs and tiles read from a store that keeps only full tiles and leaf hashes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tlog_tiles::tlog::{self, HashReader};

use super::{MAX_SIZE, TILE_HEIGHT, TILE_LEVELS, TILE_WIDTH};
use crate::Hash;

/// What a store must answer. Partial tiles above level 0 are derived from the tiles below, so none is ever stored.
pub trait TileStore {
    /// The store's own error.
    type Error;

    /// The 8,192 bytes of a full tile. Asked only for tiles that are full at the size in question.
    ///
    /// # Errors
    /// The store's own, also when there is no such tile.
    fn full_tile(&self, level: u8, index: u64) -> Result<Vec<u8>, Self::Error>;

    /// The leaf hashes of the entries `start .. start + count`, at most 255.
    ///
    /// # Errors
    /// The store's own, also when there are fewer.
    fn leaf_hashes(&self, start: u64, count: u16) -> Result<Vec<Hash>, Self::Error>;

    /// Root of a full tile, where the store keeps it beside the tile; `None` has it computed from the tile, which costs
    /// 255 hashes. A proof may need up to 255 of them.
    ///
    /// # Errors
    /// The store's own.
    fn tile_root(&self, _level: u8, _index: u64) -> Result<Option<Hash>, Self::Error> {
        Ok(None)
    }
}

/// Why nothing could be read from the tree. `E` is the store's own error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError<E> {
    /// The store failed.
    #[error("the store of the tree failed")]
    Store(#[source] E),
    /// The store gave something else than the hashes it was asked for.
    #[error("tile {index} of level {level} does not have the hashes it must have")]
    Corrupt {
        /// Level of the tile.
        level: u8,
        /// Index of the tile.
        index: u64,
    },
    /// The caller asked for what a tree of this size does not have.
    #[error("not in a tree of {size} entries")]
    OutOfRange {
        /// Size of the tree, in entries.
        size: u64,
    },
}

/// Root of the tree of the first `size` entries.
///
/// # Errors
/// [`TreeError`].
pub fn root_at<S: TileStore>(store: &S, size: u64) -> Result<Hash, TreeError<S::Error>> {
    let reader = Reader::new(store, size)?;
    let root = reader.settle(tlog::tree_hash(size, &reader))?;
    Ok(root.into())
}

/// Proof that the tree of the first `size` entries has entry `index`: from the leaf's sibling up (RFC 9162 §2.1.3.1).
///
/// # Errors
/// [`TreeError`]; [`TreeError::OutOfRange`] unless `index < size`.
pub fn inclusion_proof<S: TileStore>(
    store: &S,
    size: u64,
    index: u64,
) -> Result<Vec<Hash>, TreeError<S::Error>> {
    let reader = Reader::new(store, size)?;
    let proof = reader.settle(tlog::prove_record(size, index, &reader))?;
    Ok(proof.into_iter().map(Hash::from).collect())
}

/// Proof that the tree of the first `new` entries begins with the tree of the first `old` (RFC 9162 §2.1.4.1). Empty when
/// `old` is 0 or equal to `new`.
///
/// # Errors
/// [`TreeError`]; [`TreeError::OutOfRange`] unless `old <= new`.
pub fn consistency_proof<S: TileStore>(
    store: &S,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, TreeError<S::Error>> {
    let reader = Reader::new(store, new)?;
    if old == 0 {
        return Ok(Vec::new());
    }
    let proof = reader.settle(tlog::prove_tree(new, old, &reader))?;
    Ok(proof.into_iter().map(Hash::from).collect())
}

/// Bytes of a tile as it is served, full or partial: `width` hashes of 32 bytes (c2sp.org/tlog-tiles, "Merkle Tree").
/// `size` is that of a published checkpoint: beyond it nothing is given.
///
/// # Errors
/// [`TreeError`]; [`TreeError::OutOfRange`] for a width of 0 or above 256, or a tile beyond `size`.
pub fn tile<S: TileStore>(
    store: &S,
    size: u64,
    level: u8,
    index: u64,
    width: u16,
) -> Result<Vec<u8>, TreeError<S::Error>> {
    let reader = Reader::new(store, size)?;
    if width == 0 || level >= TILE_LEVELS || width > reader.width(level, index) {
        return Err(TreeError::OutOfRange { size });
    }
    let hashes = reader.hashes(level, index, 0, width)?;
    Ok(hashes.iter().flat_map(|hash| *hash.as_bytes()).collect())
}

/// Root over a power of two of hashes.
pub(super) fn perfect_root(hashes: &[Hash]) -> Hash {
    match hashes {
        [one] => *one,
        [] => Hash::EMPTY,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            perfect_root(left).join(perfect_root(right))
        }
    }
}

/// Hashes of full tiles, by level and index.
type Tiles = BTreeMap<(u8, u64), Rc<[Hash]>>;

/// A store seen as the tree of its first `size` entries.
pub(super) struct Reader<'a, S: TileStore> {
    store: &'a S,
    size: u64,
    /// Full tiles read so far: the hashes of one proof often stand in the same tile.
    tiles: RefCell<Tiles>,
    /// What went wrong, since [`HashReader`] cannot carry it.
    failure: RefCell<Option<TreeError<S::Error>>>,
}

impl<'a, S: TileStore> Reader<'a, S> {
    pub(super) fn new(store: &'a S, size: u64) -> Result<Self, TreeError<S::Error>> {
        if size > MAX_SIZE {
            return Err(TreeError::OutOfRange { size });
        }
        Ok(Self { store, size, tiles: RefCell::default(), failure: RefCell::default() })
    }

    /// The hashes `from .. from + count` of a tile. They must lie within the size.
    pub(super) fn hashes(
        &self,
        level: u8,
        index: u64,
        from: u16,
        count: u16,
    ) -> Result<Vec<Hash>, TreeError<S::Error>> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let first = index * u64::from(TILE_WIDTH) + u64::from(from);
        if self.width(level, index) == TILE_WIDTH {
            let tile = self.full_tile(level, index)?;
            Ok(tile[usize::from(from)..usize::from(from + count)].to_vec())
        } else if level == 0 {
            let hashes = self.store.leaf_hashes(first, count).map_err(TreeError::Store)?;
            let complete = hashes.len() == usize::from(count);
            complete.then_some(hashes).ok_or(TreeError::Corrupt { level, index })
        } else {
            (first..first + u64::from(count)).map(|below| self.tile_root(level - 1, below)).collect()
        }
    }

    /// How many hashes a tile has at this size: 0 when it does not exist yet.
    fn width(&self, level: u8, index: u64) -> u16 {
        let count = self.size >> (TILE_HEIGHT * u32::from(level));
        let before = index.saturating_mul(u64::from(TILE_WIDTH));
        let width = count.saturating_sub(before).min(u64::from(TILE_WIDTH));
        u16::try_from(width).unwrap_or(TILE_WIDTH)
    }

    fn full_tile(&self, level: u8, index: u64) -> Result<Rc<[Hash]>, TreeError<S::Error>> {
        if let Some(tile) = self.tiles.borrow().get(&(level, index)) {
            return Ok(Rc::clone(tile));
        }
        let tile: Rc<[Hash]> = self.read_tile(level, index)?.into();
        self.tiles.borrow_mut().insert((level, index), Rc::clone(&tile));
        Ok(tile)
    }

    fn read_tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, TreeError<S::Error>> {
        let bytes = self.store.full_tile(level, index).map_err(TreeError::Store)?;
        let hashes = Hash::split(&bytes).filter(|hashes| hashes.len() == usize::from(TILE_WIDTH));
        hashes.ok_or(TreeError::Corrupt { level, index })
    }

    fn tile_root(&self, level: u8, index: u64) -> Result<Hash, TreeError<S::Error>> {
        match self.store.tile_root(level, index).map_err(TreeError::Store)? {
            Some(root) => Ok(root),
            None => Ok(perfect_root(&self.read_tile(level, index)?)),
        }
    }

    /// Hash of node `n` of a level of the tree: the root of a run of hashes of one tile.
    fn node(&self, level: u8, n: u64) -> Result<Hash, TreeError<S::Error>> {
        let (tile_level, height) = (u32::from(level) / TILE_HEIGHT, u32::from(level) % TILE_HEIGHT);
        let first = n << height;
        let (index, from) = (first / u64::from(TILE_WIDTH), first % u64::from(TILE_WIDTH));
        let out_of_range = |_| TreeError::OutOfRange { size: self.size };
        let from = u16::try_from(from).map_err(out_of_range)?;
        let tile_level = u8::try_from(tile_level).map_err(out_of_range)?;
        Ok(perfect_root(&self.hashes(tile_level, index, from, 1 << height)?))
    }

    /// Puts back the error that stopped a computation.
    fn settle<T>(&self, result: Result<T, tlog::Error>) -> Result<T, TreeError<S::Error>> {
        result.map_err(|_| self.failure.take().unwrap_or(TreeError::OutOfRange { size: self.size }))
    }
}

impl<S: TileStore> HashReader for Reader<'_, S> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        let read = |&index: &u64| {
            let (level, n) = tlog::split_stored_hash_index(index);
            self.node(level, n).map(tlog::Hash::from)
        };
        indexes.iter().map(read).collect::<Result<_, _>>().map_err(|failure| {
            self.failure.replace(Some(failure));
            tlog::Error::IndexesNotInTree
        })
    }
}
