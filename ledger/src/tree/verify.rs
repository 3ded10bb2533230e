//! Checks of proofs. Everything here may come from an adversary but the roots, which a signed checkpoint gave.

use tlog_tiles::tlog;

use crate::Hash;

/// Longest proof that is looked at: a tree of 2^64 entries needs no more hashes.
const MAX_PROOF: usize = 65;

/// A tree of a size, by its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// Number of entries.
    pub size: u64,
    /// Root of the tree; [`Hash::EMPTY`] when the size is 0.
    pub root: Hash,
}

/// A proof does not prove what it was given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the proof does not prove it")]
pub struct InvalidProof;

/// Checks that a tree has a leaf at an index, from 0 (RFC 9162 §2.1.3.2).
///
/// # Errors
/// [`InvalidProof`].
pub fn verify_inclusion(leaf: Hash, index: u64, head: &TreeHead, proof: &[Hash]) -> Result<(), InvalidProof> {
    let proof = bounded(proof)?;
    tlog::check_record(&proof, head.size, head.root.into(), index, leaf.into()).map_err(|_| InvalidProof)
}

/// Checks that a tree begins with an older one (RFC 9162 §2.1.4.2). Every tree begins with the empty one.
///
/// # Errors
/// [`InvalidProof`], also when the newer tree is smaller.
pub fn verify_consistency(old: &TreeHead, new: &TreeHead, proof: &[Hash]) -> Result<(), InvalidProof> {
    let proof = bounded(proof)?;
    if old.size == 0 {
        let consistent =
            old.root == Hash::EMPTY && proof.is_empty() && (new.size > 0 || new.root == old.root);
        return consistent.then_some(()).ok_or(InvalidProof);
    }
    tlog::check_tree(&proof, new.size, new.root.into(), old.size, old.root.into()).map_err(|_| InvalidProof)
}

fn bounded(proof: &[Hash]) -> Result<Vec<tlog::Hash>, InvalidProof> {
    if proof.len() > MAX_PROOF {
        return Err(InvalidProof);
    }
    Ok(proof.iter().copied().map(tlog::Hash::from).collect())
}
