//! The tree against an implementation of RFC 9162 §2.1.1 that is too simple to be wrong, and against published roots.
#![allow(clippy::cast_possible_truncation, clippy::unwrap_used, reason = "a test")]

use std::cell::Cell;
use std::collections::BTreeMap;

use rootcellar_ledger::tree::{
    Edge, MAX_SIZE, TileStore, TreeError, TreeHead, consistency_proof, inclusion_proof, root_at, tile,
    verify_consistency, verify_inclusion,
};
use rootcellar_ledger::{Hash, leaf_hash};
use sha2::{Digest as _, Sha256};

/// Tests of certificate-transparency: leaves, and the root after each.
const PUBLISHED: [(&[u8], &str); 8] = [
    (b"", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    (b"\x00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
    (b"\x10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
    (b"\x20\x21", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
    (b"\x30\x31", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
    (b"\x40\x41\x42\x43", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
    (b"\x50\x51\x52\x53\x54\x55\x56\x57", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
    (b"\x60abcdefghijklmno", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
];

/// A store as the keeper's: full tiles and leaf hashes, nothing else.
#[derive(Default)]
struct Memory {
    edge: Edge,
    leaves: Vec<Hash>,
    tiles: BTreeMap<(u8, u64), Vec<u8>>,
    roots: BTreeMap<(u8, u64), Hash>,
    keeps_roots: bool,
    reads: Cell<usize>,
}

#[derive(Debug)]
struct Missing;

impl Memory {
    fn with(size: u64) -> Self {
        let mut memory = Self::default();
        (0..size).for_each(|i| memory.append(leaf_hash(&i.to_be_bytes())));
        memory
    }

    fn append(&mut self, leaf: Hash) {
        self.leaves.push(leaf);
        for tile in self.edge.append(leaf) {
            assert_eq!(tile.bytes.len(), 8192);
            assert!(self.tiles.insert((tile.level, tile.index), tile.bytes).is_none(), "a tile is full once");
            self.roots.insert((tile.level, tile.index), tile.root);
        }
    }

    fn head(&self, size: u64) -> TreeHead {
        TreeHead { size, root: naive_root(&self.leaves[..size as usize]) }
    }
}

impl TileStore for Memory {
    type Error = Missing;

    fn full_tile(&self, level: u8, index: u64) -> Result<Vec<u8>, Missing> {
        self.reads.set(self.reads.get() + 1);
        self.tiles.get(&(level, index)).cloned().ok_or(Missing)
    }

    fn leaf_hashes(&self, start: u64, count: u16) -> Result<Vec<Hash>, Missing> {
        let start = start as usize;
        self.leaves.get(start..start + usize::from(count)).map(<[_]>::to_vec).ok_or(Missing)
    }

    fn tile_root(&self, level: u8, index: u64) -> Result<Option<Hash>, Missing> {
        Ok(self.roots.get(&(level, index)).copied().filter(|_| self.keeps_roots))
    }
}

/// RFC 9162 §2.1.1, word for word.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::from_bytes(Sha256::digest(b"").into()),
        [leaf] => *leaf,
        _ => {
            let k = leaves.len().next_power_of_two() / 2;
            let (left, right) = (naive_root(&leaves[..k]), naive_root(&leaves[k..]));
            let hasher = Sha256::new().chain_update([1]).chain_update(left.as_bytes());
            Hash::from_bytes(hasher.chain_update(right.as_bytes()).finalize().into())
        }
    }
}

#[test]
fn roots_are_the_published_ones() {
    let mut edge = Edge::new();
    assert_eq!(edge.root().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (leaf, root) in PUBLISHED {
        assert!(edge.append(leaf_hash(leaf)).is_empty());
        assert_eq!(edge.root().to_string(), root);
    }
}

#[test]
fn a_leaf_is_hashed_after_a_zero_byte() {
    let expected = Sha256::new().chain_update([0]).chain_update(b"entry").finalize();
    assert_eq!(leaf_hash(b"entry").as_bytes().as_slice(), expected.as_slice());
}

#[test]
fn every_size_agrees_with_the_naive_tree() {
    let mut memory = Memory::default();
    for size in 0..600 {
        let expected = naive_root(&memory.leaves);
        assert_eq!(memory.edge.root(), expected, "size {size}");
        assert_eq!(root_at(&memory, size).unwrap(), expected, "size {size}, from the store");
        memory.append(leaf_hash(&size.to_be_bytes()));
    }
    for size in 0..=600 {
        assert_eq!(
            root_at(&memory, size).unwrap(),
            memory.head(size).root,
            "size {size}, from a larger store"
        );
    }
}

#[test]
fn a_loaded_edge_goes_on_as_the_old_one() {
    let memory = Memory::with(600);
    for size in [0, 1, 2, 255, 256, 257, 511, 512, 513, 599, 600] {
        let mut loaded = Edge::load(&memory, size).unwrap();
        assert_eq!(loaded.head(), memory.head(size));
        for leaf in &memory.leaves[size as usize..] {
            for tile in loaded.append(*leaf) {
                assert_eq!(Some(&tile.bytes), memory.tiles.get(&(tile.level, tile.index)));
            }
        }
        assert_eq!(loaded.head(), memory.head(600));
    }
}

#[test]
fn inclusion_proofs_verify_and_nothing_else_does() {
    let memory = Memory::with(600);
    for (size, index) in [(1, 0), (2, 1), (7, 6), (256, 0), (257, 256), (600, 0), (600, 255), (600, 599)] {
        let (head, leaf) = (memory.head(size), memory.leaves[index as usize]);
        let proof = inclusion_proof(&memory, size, index).unwrap();
        assert_eq!(verify_inclusion(leaf, index, &head, &proof), Ok(()));
        assert!(verify_inclusion(leaf_hash(b"another"), index, &head, &proof).is_err());
        assert!(verify_inclusion(leaf, index ^ 1, &head, &proof).is_err());
        assert!(verify_inclusion(leaf, size, &head, &proof).is_err());
        assert!(verify_inclusion(leaf, index, &TreeHead { root: leaf, ..memory.head(600) }, &proof).is_err());
        assert!(verify_inclusion(leaf, index, &head, &[proof.clone(), vec![leaf]].concat()).is_err());
        for i in 0..proof.len() {
            let mut changed = proof.clone();
            changed[i] = leaf_hash(b"changed");
            assert!(verify_inclusion(leaf, index, &head, &changed).is_err());
        }
    }
}

#[test]
fn consistency_proofs_verify_and_nothing_else_does() {
    let memory = Memory::with(600);
    for (old, new) in [(1, 2), (3, 7), (255, 256), (256, 600), (257, 600), (599, 600), (600, 600), (0, 600)] {
        let proof = consistency_proof(&memory, old, new).unwrap();
        let (old, new) = (memory.head(old), memory.head(new));
        assert_eq!(verify_consistency(&old, &new, &proof), Ok(()));
        let fork = TreeHead { root: leaf_hash(b"fork"), ..old };
        assert!(verify_consistency(&fork, &new, &proof).is_err());
        if old.size > 0 {
            assert!(verify_consistency(&old, &TreeHead { root: leaf_hash(b"fork"), ..new }, &proof).is_err());
        }
        if old.size != new.size {
            assert!(verify_consistency(&new, &old, &proof).is_err(), "a log does not shrink");
        }
    }
    let empty = TreeHead { size: 0, root: Hash::EMPTY };
    assert!(verify_consistency(&empty, &memory.head(1), &[Hash::EMPTY]).is_err());
    assert!(verify_consistency(&empty, &TreeHead { size: 0, root: leaf_hash(b"fork") }, &[]).is_err());
}

/// Above 65,536 entries there is a full tile of level 1 and a partial one of level 2, derived from tiles below.
#[test]
fn a_tree_of_three_levels_agrees_with_the_naive_one() {
    const SIZE: u64 = 66_307;
    let mut memory = Memory::with(SIZE);
    assert_eq!(memory.tiles.keys().filter(|(level, _)| *level == 1).count(), 1);
    for keeps_roots in [false, true] {
        memory.keeps_roots = keeps_roots;
        for size in [SIZE, 65_536, 65_535, 40_000] {
            assert_eq!(root_at(&memory, size).unwrap(), memory.head(size).root);
            assert_eq!(Edge::load(&memory, size).unwrap().head(), memory.head(size));
        }
        for index in [0, 40_000, 65_536, SIZE - 1] {
            let proof = inclusion_proof(&memory, SIZE, index).unwrap();
            verify_inclusion(memory.leaves[index as usize], index, &memory.head(SIZE), &proof).unwrap();
        }
        let proof = consistency_proof(&memory, 40_000, SIZE).unwrap();
        verify_consistency(&memory.head(40_000), &memory.head(SIZE), &proof).unwrap();
    }
    memory.reads.set(0);
    inclusion_proof(&memory, SIZE, SIZE - 1).unwrap();
    assert!(memory.reads.get() <= 3, "a store that keeps roots is asked for few tiles");
}

#[test]
fn tiles_are_served_whole_in_part_and_not_beyond_the_size() {
    let memory = Memory::with(66_307);
    let bytes = |hashes: &[Hash]| hashes.iter().flat_map(|hash| *hash.as_bytes()).collect::<Vec<_>>();
    assert_eq!(tile(&memory, 66_307, 0, 1, 256).unwrap(), bytes(&memory.leaves[256..512]));
    assert_eq!(tile(&memory, 300, 0, 1, 44).unwrap(), bytes(&memory.leaves[256..300]));
    assert_eq!(tile(&memory, 300, 1, 0, 1).unwrap(), bytes(&[naive_root(&memory.leaves[..256])]));
    assert_eq!(tile(&memory, 66_307, 2, 0, 1).unwrap(), bytes(&[naive_root(&memory.leaves[..65_536])]));
    for (level, index, width) in
        [(0, 1, 45), (0, 2, 1), (1, 0, 2), (0, 0, 0), (0, 0, 257), (7, 0, 1), (255, 0, 1)]
    {
        let refused = tile(&memory, 300, level, index, width);
        assert!(matches!(refused, Err(TreeError::OutOfRange { size: 300 })), "{level}/{index}.p/{width}");
    }
    assert!(tile(&memory, 300, 0, u64::MAX, 1).is_err());
}

#[test]
fn a_store_that_lies_or_fails_is_an_error() {
    let mut memory = Memory::with(600);
    assert!(matches!(inclusion_proof(&memory, 601, 0), Err(TreeError::Store(Missing))));
    assert!(matches!(inclusion_proof(&memory, 600, 600), Err(TreeError::OutOfRange { .. })));
    assert!(matches!(consistency_proof(&memory, 600, 599), Err(TreeError::OutOfRange { .. })));
    assert!(matches!(root_at(&memory, MAX_SIZE + 1), Err(TreeError::OutOfRange { .. })));
    memory.tiles.get_mut(&(0, 1)).unwrap().pop();
    assert!(matches!(root_at(&memory, 600), Err(TreeError::Corrupt { level: 0, index: 1 })));
}
