//! Proofs that an entry is in the log (c2sp.org/tlog-proof), checked offline.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::note::{KeyName, Note, NoteError, VerifierKey};
use crate::tree::{InvalidProof, verify_inclusion};
use crate::{Hash, leaf_hash};

/// The first line (tlog-proof, "Format").
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Longest proof in bytes: 64 hashes, a checkpoint of 60 KiB, and what may stand beside them.
pub const MAX_LEN: usize = 64 * 1024;

/// Most hashes in a proof: the height of a tree of 2^64 entries.
const MAX_HASHES: usize = 64;

/// A proof that a log has an entry: its index, the way to the root, and a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Proof {
    /// Index of the entry, from 0.
    pub index: u64,
    /// Hashes from the leaf's sibling up.
    pub hashes: Vec<Hash>,
    /// The checkpoint, as the log signed it.
    pub checkpoint: Note,
    /// Data beside the proof, which nothing vouches for. Ours have none.
    pub extra: Option<Vec<u8>>,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Not in the form of tlog-proof, or not in its one form.
    #[error("not a proof of the form {HEADER}")]
    Malformed,
    /// Its checkpoint is not the log's.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Its hashes do not lead from the entry to the root.
    #[error(transparent)]
    Invalid(#[from] InvalidProof),
}

impl Proof {
    /// Reads a proof. Nothing is checked but its form.
    ///
    /// # Errors
    /// [`ProofError::Malformed`]; [`ProofError::Checkpoint`] when what follows is no note.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_LEN);
        let (head, checkpoint) =
            text.and_then(|text| text.split_once("\n\n")).ok_or(ProofError::Malformed)?;
        let checkpoint = Note::parse(checkpoint.as_bytes())?;
        let proof = Self::parse_head(head, checkpoint).ok_or(ProofError::Malformed)?;
        if proof.to_string().as_bytes() == bytes { Ok(proof) } else { Err(ProofError::Malformed) }
    }

    fn parse_head(head: &str, checkpoint: Note) -> Option<Self> {
        let mut lines = head.lines().peekable();
        lines.next_if_eq(&HEADER)?;
        let extra = lines.next_if(|line| line.starts_with("extra "));
        let extra = match extra.and_then(|line| line.strip_prefix("extra ")) {
            Some(extra) => Some(BASE64_STANDARD.decode(extra).ok()?),
            None => None,
        };
        let index = lines.next()?.strip_prefix("index ")?.parse().ok()?;
        let hashes: Vec<Hash> = lines.map(Hash::from_base64).collect::<Option<_>>()?;
        (hashes.len() <= MAX_HASHES).then_some(Self { index, hashes, checkpoint, extra })
    }

    /// Checks that the log has these exact bytes as an entry, and returns the checkpoint that says so.
    ///
    /// # Errors
    /// [`ProofError::Checkpoint`] or [`ProofError::Invalid`].
    pub fn verify(
        &self,
        entry: &[u8],
        log_keys: &[VerifierKey],
        origin: &KeyName,
    ) -> Result<Checkpoint, ProofError> {
        let checkpoint = Checkpoint::verify_note(&self.checkpoint, log_keys, origin)?;
        verify_inclusion(leaf_hash(entry), self.index, &checkpoint.head(), &self.hashes)?;
        Ok(checkpoint)
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64_STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", hash.to_base64()))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl From<NoteError> for ProofError {
    fn from(error: NoteError) -> Self {
        Self::Checkpoint(error.into())
    }
}
