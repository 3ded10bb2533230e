//! Batches: what is appended between a beginning and a commit is durable as one.

use std::fs;
use std::time::Duration;

use super::{BUSY, Journal, JournalError, move_wal};

/// Octets of the write-ahead log above which it is started anew.
const WAL_MAX: u64 = 64 * 1024 * 1024;
/// Commits between two looks at its length.
const WAL_LOOK: u32 = 256;
/// How much a commit waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Until it is on the disk.
    Disk,
    /// Until the kernel has it: it survives `kill -9`, not a loss of power.
    Kernel,
}

/// A batch that is as durable as was asked for. [`Journal::commit`] alone makes one.
#[derive(Debug)]
pub struct Committed {
    /// Entries in the journal with it.
    size: u64,
    durability: Durability,
}

impl Committed {
    /// Whether the entry at this index is on the disk, where a loss of power leaves it.
    pub(crate) fn is_on_disk(&self, index: u64) -> bool {
        index < self.size && self.durability == Durability::Disk
    }
}

impl Journal {
    /// Begins a batch. `durability` is what its commit waits for.
    ///
    /// # Errors
    /// The disk's.
    pub fn begin(&mut self, durability: Durability) -> Result<(), JournalError> {
        if self.synchronous != durability {
            // In WAL mode a NORMAL commit writes its frames and does not sync them (sqlite.org/pragma.html#pragma_synchronous).
            let sql = match durability {
                Durability::Disk => "PRAGMA synchronous = FULL",
                Durability::Kernel => "PRAGMA synchronous = NORMAL",
            };
            self.raw().prepare_cached(sql)?.execute([])?;
            self.synchronous = durability;
        }
        self.database.begin()
    }

    /// Ends the batch. Returns when it is as durable as was asked for.
    ///
    /// # Errors
    /// The disk's. The process must then end.
    pub fn commit(&mut self) -> Result<Committed, JournalError> {
        self.database.commit()?;
        self.commits = self.commits.wrapping_add(1);
        if self.commits.is_multiple_of(WAL_LOOK)
            && fs::metadata(&self.wal).is_ok_and(|wal| wal.len() > WAL_MAX)
        {
            // The checkpointer has moved nearly all of it; under load it never reaches the end, so the log would never start anew.
            // Readers that are busy leave it as it is until the next look: nobody waits for them here.
            self.raw().busy_timeout(Duration::ZERO)?;
            let moved = move_wal(self.raw(), "TRUNCATE");
            self.raw().busy_timeout(BUSY)?;
            moved?;
        }
        Ok(Committed { size: self.edge.size(), durability: self.synchronous })
    }
}
