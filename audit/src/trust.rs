//! A certificate's proof, checked offline: that the log holds exactly what was signed.

use certs::ObjectIdentifier;
use certs::summary::{NotACertificate, tbs_of};
use ledger::bundle::{Bundle, BundleError};
use ledger::charter::{Charter, CharterError, Charters};
use ledger::checkpoint::Checkpoint;
use ledger::entry::entry::Kind;
use ledger::entry::{self, Entry, EntryError, Issuance};
use ledger::note::{Note, NoteError};
use ledger::proof::{Proof, ProofError};

use super::chain::{Chain, ChainError};

/// Whom a verifier believes: a charter that it pinned, and a bundle that the charter's officers published.
#[derive(Debug)]
pub struct Trust {
    charters: Charters,
    bundle: Bundle,
}

/// What a proof proved. [`Trust::prove`] alone makes one.
#[derive(Debug)]
pub struct Proven {
    /// The chain, verified.
    pub chain: Chain,
    /// The entry that records the certificate.
    pub entry: Entry,
    /// What of it is about the certificate.
    pub issuance: Issuance,
    /// Index of the entry.
    pub index: u64,
    /// The checkpoint that covers it.
    pub checkpoint: Checkpoint,
}

/// An entry that a log of the bundle was proved to hold. [`Trust::prove_entry`] alone makes one.
#[derive(Debug)]
pub struct ProvenEntry {
    /// The entry.
    pub entry: Entry,
    /// Its index.
    pub index: u64,
    /// The checkpoint that covers it.
    pub checkpoint: Checkpoint,
}

/// Why the evidence proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    /// No note where one must be.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The charter is none.
    #[error("the charter: {0}")]
    Charter(#[from] CharterError),
    /// The bundle is none of the charter's.
    #[error("the bundle: {0}")]
    Bundle(#[from] BundleError),
    /// The chain does not hold.
    #[error("the chain: {0}")]
    Chain(#[from] ChainError),
    /// The proof does not hold, or is none.
    #[error("the proof: {0}")]
    Proof(#[from] ProofError),
    /// It is of a log that the bundle does not name.
    #[error("the proof is of a log that the bundle does not name")]
    OtherLog,
    /// The proof has no entry beside it.
    #[error("the proof has no entry beside it (the line `extra`)")]
    NoEntry,
    /// The entry beside it is none.
    #[error("the entry: {0}")]
    Entry(#[from] EntryError),
    /// The entry records something else.
    #[error("the entry records no certificate")]
    NoIssuance,
    /// The entry records something else.
    #[error("the entry is no custody manifest")]
    NoCustody,
    /// The entry is of another cell.
    #[error("the entry is of another cell")]
    OtherCell,
    /// No certificate.
    #[error(transparent)]
    Certificate(#[from] NotACertificate),
    /// The entry records another certificate.
    #[error("the entry records another certificate: what was signed is not what was recorded")]
    OtherCertificate,
    /// The entry names another issuer.
    #[error("the entry names another issuer than the one that signed")]
    OtherIssuer,
}

impl Trust {
    /// Opens a bundle under the last of these charters. That the first is the right one, the caller knows.
    ///
    /// # Errors
    /// It is not what it must be.
    pub fn open(charters: Charters, bundle: &[u8]) -> Result<Self, Unproven> {
        let bundle = Bundle::open(&Note::parse(bundle)?, charters.in_force())?;
        Ok(Self { charters, bundle })
    }

    /// The same, from the bytes of both files.
    ///
    /// # Errors
    /// Either is not what it must be.
    pub fn read(charters: &[u8], bundle: &[u8]) -> Result<Self, Unproven> {
        Self::open(Charters::parse(charters)?, bundle)
    }

    /// The charters, from the pinned one on.
    pub fn charters(&self) -> &Charters {
        &self.charters
    }

    /// The charter.
    pub fn charter(&self) -> &Charter {
        self.charters.in_force()
    }

    /// The bundle.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// Checks that a log of the bundle holds the entry beside the proof, and that the entry is this cell's.
    ///
    /// # Errors
    /// [`Unproven`].
    pub fn prove_entry(&self, proof: &[u8]) -> Result<ProvenEntry, Unproven> {
        let proof = Proof::parse(proof)?;
        let bytes = proof.extra.as_ref().ok_or(Unproven::NoEntry)?;
        let checkpoint = self.checkpoint(&proof, bytes)?;
        let entry = entry::decode(bytes)?;
        if entry.cell != self.bundle.cell() {
            return Err(Unproven::OtherCell);
        }
        Ok(ProvenEntry { entry, index: proof.index, checkpoint })
    }

    /// Checks that a log of the bundle holds the entry beside the proof, that this entry records exactly the certificate, and that
    /// the certificate leads to an anchor of the bundle. Whether it is still valid is not asked.
    ///
    /// # Errors
    /// [`Unproven`].
    pub fn prove(&self, chain: &[Vec<u8>], proof: &[u8], oid: ObjectIdentifier) -> Result<Proven, Unproven> {
        let verified = Chain::verify(chain, self.bundle.anchors(), oid)?;
        let ProvenEntry { entry, index, checkpoint } = self.prove_entry(proof)?;
        let Some(Kind::Issuance(issuance)) = entry.kind.clone() else {
            return Err(Unproven::NoIssuance);
        };
        if issuance.tbs != tbs_of(&chain[0])? {
            return Err(Unproven::OtherCertificate);
        }
        if issuance.issuer_spki_sha256 != verified.issuer_spki_sha256() {
            return Err(Unproven::OtherIssuer);
        }
        Ok(Proven { chain: verified, entry, issuance, index, checkpoint })
    }

    /// Checks that a log of the bundle holds `entry`, and returns the checkpoint that says so.
    ///
    /// # Errors
    /// [`Unproven::OtherLog`], [`Unproven::Proof`].
    fn checkpoint(&self, proof: &Proof, entry: &[u8]) -> Result<Checkpoint, Unproven> {
        // tlog-checkpoint, "Note text": the first line is the origin.
        let origin = proof.checkpoint.text().lines().next().unwrap_or_default();
        let log = self.bundle.log(origin).ok_or(Unproven::OtherLog)?;
        Ok(proof.verify(entry, &log.keys, &log.origin)?)
    }
}

#[cfg(test)]
mod tests;
