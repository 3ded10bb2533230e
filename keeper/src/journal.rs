//! The journal: the one durable thing. Entries in order, their tree, the signatures beside them, and what follows from them.
//!
//! One writer, the sequencer's thread; readers have connections of their own ([`Reader`]). A failed commit ends the process: after
//! a failed fsync the kernel may hold the pages as clean, so trying again would prove nothing (invariant I6).

mod backup;
mod batch;
mod database;
mod error;
mod file;
mod follow;
mod format;
mod known;
mod lines;
mod memory;
mod new;
mod projection;
mod reader;
mod rebuild;
mod record;
mod restore;
mod revocation;
mod rows;
mod spending;
#[cfg(test)]
pub(crate) mod testing;
mod verify;

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use certs::ObjectIdentifier;
use ledger::tree::{Edge, TreeHead};
use ledger::{Hash, entry, leaf_hash};
use rusqlite::{Connection, OpenFlags};

pub(crate) use backup::back_up;
pub(crate) use batch::Committed;
pub use batch::Durability;
pub(crate) use database::{Database, JournalFile};
pub use error::{DatabaseError, JournalError};
pub(crate) use file::move_wal;
use file::{lock, tune};
use memory::Memory;
use reader::Own;
pub(crate) use reader::{Presented, Reader};
pub use rebuild::Rebuilt;
pub use restore::{RestoreError, Restored, Terms as RestoreTerms, restore};
pub(crate) use revocation::Scope;
pub(crate) use rows::{AgentRow, CertificateRow, ControllerRow, CrlRow, Granted, RevokedRow};
use verify::Sound;
pub(crate) use verify::{Pass, ended_long_ago};

/// How long another connection's lock is waited for: the checkpointer's is short.
const BUSY: Duration = Duration::from_secs(5);
const FILE_NAME: &str = "journal.sqlite";
const WAL_NAME: &str = "journal.sqlite-wal";
/// Statements that stay prepared on a connection.
const STATEMENTS: usize = 64;

/// The writer's end of the journal.
pub struct Journal {
    database: Database,
    /// Ahead of what is durable within a batch, and only there: a batch that does not commit ends the process.
    edge: Edge,
    cell: String,
    origin: String,
    synchronous: Durability,
    /// The write-ahead log, whose length is bounded.
    wal: PathBuf,
    commits: u32,
    memory: Memory,
    /// What decides, as the entries say: read from them when the journal was verified, and kept with each one appended since. What another
    /// program writes into the file's tables decides nothing.
    decides: Option<Connection>,
    /// Time of the latest entry that was verified or appended since this was taken, in milliseconds since 1970.
    latest_ms: Option<i64>,
    /// What was pending when it was verified.
    pending: Vec<u64>,
    /// How long that took.
    verified_in: Duration,
    /// The tree as far as it was asked for, for checkpoints that leave the newest entries out; and the leaves after it. What the file says of
    /// either goes into no checkpoint.
    behind: (Edge, VecDeque<Hash>),
    lock: File,
}

/// Where an entry was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its index.
    pub index: u64,
    /// Its leaf hash.
    pub leaf: Hash,
}

impl Journal {
    /// Opens the journal in `dir`. Frames that a crash left in the write-ahead log are first brought to the disk: that they can be read
    /// does not make them durable (DESIGN §4).
    ///
    /// # Errors
    /// There is none, it is another's, it is in use, or the disk fails.
    pub fn open(dir: &Path) -> Result<Self, JournalError> {
        if !dir.join(FILE_NAME).exists() {
            return Err(JournalError::Missing(dir.to_owned()));
        }
        Self::open_locked(dir, lock(dir)?)
    }

    fn open_locked(dir: &Path, lock: File) -> Result<Self, JournalError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Database::of(Connection::open_with_flags(dir.join(FILE_NAME), flags)?);
        // Before anything else reads the schema.
        database.within(|_| Ok(()))?;
        let connection = database.raw();
        tune(connection)?;
        if !move_wal(connection, "TRUNCATE")? {
            // Somebody reads it, and has for as long as it was waited for.
            return Err(JournalError::Locked(dir.to_owned()));
        }
        Self::ready(database, dir, lock)
    }

    fn ready(database: Database, dir: &Path, lock: File) -> Result<Self, JournalError> {
        database.raw().set_prepared_statement_cache_capacity(STATEMENTS);
        let reader = Reader::borrowing(&database);
        let (cell, origin) = reader.meta()?;
        let size = reader.size()?;
        let edge = Edge::load(&reader, size).map_err(|error| JournalError::Corrupt(error.to_string()))?;
        Ok(Self {
            database,
            behind: (edge.clone(), VecDeque::new()),
            edge,
            cell,
            origin,
            synchronous: Durability::Disk,
            wal: dir.join(WAL_NAME),
            commits: 0,
            memory: Memory::default(),
            decides: None,
            latest_ms: None,
            pending: Vec::new(),
            verified_in: Duration::ZERO,
            lock,
        })
    }

    /// Whether there is a journal in `dir` that a keeper could open: for those who start one.
    ///
    /// # Errors
    /// There is none, it is in use, or `dir` is open to others.
    pub fn is_free(dir: &Path) -> Result<(), JournalError> {
        if !dir.join(FILE_NAME).exists() {
            return Err(JournalError::Missing(dir.to_owned()));
        }
        lock(dir).map(drop)
    }

    /// Trust domain that the journal belongs to.
    pub fn cell(&self) -> &str {
        &self.cell
    }

    /// Origin of its log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The directory that it lies in.
    pub fn dir(&self) -> &Path {
        self.wal.parent().unwrap_or(Path::new("."))
    }

    /// Time of the newest entry, in milliseconds since 1970; 0 where there is none.
    ///
    /// # Errors
    /// The disk's, or the entry is damaged.
    pub(crate) fn newest_ms(&self) -> Result<i64, JournalError> {
        Ok(self.reader().time_before(self.edge.size())?.unwrap_or(0))
    }

    /// Time of the latest entry since this was asked last, in milliseconds since 1970: of all entries since officers confirmed the clock, the first
    /// time after the journal was verified.
    pub(crate) fn take_latest_ms(&mut self) -> Option<i64> {
        self.latest_ms.take()
    }

    /// The certificates that had neither a signature nor an abandonment when the journal was verified, the first time this is asked: what the file
    /// says since is not.
    pub(crate) fn take_pending(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.pending)
    }

    /// The tree with everything appended.
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// The tree of the first `size` entries, at least as many as this was asked for before.
    pub(crate) fn head_at(&mut self, size: u64) -> TreeHead {
        let (edge, leaves) = &mut self.behind;
        while edge.size() < size
            && let Some(leaf) = leaves.pop_front()
        {
            edge.append(leaf);
        }
        edge.head()
    }

    /// Reads through the writer's own connection, seeing what the open batch appended.
    pub fn reader(&self) -> Reader<'_> {
        Reader::of_the_writer(
            &self.database,
            Own { memory: &self.memory, decides: self.decides.as_ref(), edge: &self.edge },
        )
    }

    fn raw(&self) -> &Connection {
        self.database.raw()
    }

    /// What opens more connections to it.
    pub(crate) fn source(&self) -> JournalFile {
        self.database.source(self.dir().join(FILE_NAME))
    }

    /// How long it took to verify.
    pub(crate) fn verified_in(&self) -> Duration {
        self.verified_in
    }

    /// Whether somebody changed its tables since it was opened.
    pub(crate) fn is_strange(&self) -> bool {
        self.database.is_strange()
    }

    /// Where the journal of a directory is.
    pub(crate) fn path(dir: &Path) -> PathBuf {
        dir.join(FILE_NAME)
    }

    /// A connection, which only reads, to the journal in a directory, whoever has it open.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn reading_connection(dir: &Path) -> Result<Database, JournalError> {
        JournalFile::alone(dir.join(FILE_NAME)).open()
    }

    /// A connection that only moves the write-ahead log.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn checkpointing_connection(dir: &Path) -> Result<Connection, JournalError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Connection::open_with_flags(dir.join(FILE_NAME), flags)?)
    }

    /// Appends an entry to the open batch, and what follows from it.
    ///
    /// # Errors
    /// The entry cannot be encoded (our own fault), contradicts the state, or the disk fails. The process must then end.
    pub fn append(&mut self, record: &entry::Entry) -> Result<Appended, JournalError> {
        let body = entry::encode(record).map_err(|error| JournalError::Corrupt(error.to_string()))?;
        let appended = Appended { index: self.edge.size(), leaf: leaf_hash(&body) };
        self.raw()
            .prepare_cached("INSERT INTO entry (idx, leaf_hash, body) VALUES (?1, ?2, ?3)")?
            .execute((appended.index, appended.leaf.as_bytes(), body))?;
        for tile in self.edge.append(appended.leaf) {
            self.raw()
                .prepare_cached("INSERT INTO tile (level, idx, hashes, root) VALUES (?1, ?2, ?3, ?4)")?
                .execute((tile.level, tile.index, &tile.bytes, tile.root.as_bytes()))?;
        }
        let revoked = projection::apply(self.raw(), appended.index, record)?;
        if let Some(decides) = &self.decides {
            projection::apply_authority(decides, appended.index, record)?;
            let owner = |agent: &str| Ok(self.reader().agent(agent)?.map(|row| row.record.owner));
            self.memory.spending.borrow_mut().follow(appended.index, record, owner)?;
            self.memory.know(appended.index, record)?;
            self.behind.1.push_back(appended.leaf);
            self.follow(appended.index, record, &revoked)?;
            self.follow_changes(record)?;
        }
        self.memory.forget(record.kind.as_ref());
        self.latest_ms = self.latest_ms.max(Some(record.time_unix_ms));
        Ok(appended)
    }

    /// Brings everything into the one file: a copy of it, made while nobody writes, is whole.
    ///
    /// Where a reader is in the midst of reading, the write-ahead log keeps what it has: nothing is lost by it.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn settle(&self) -> Result<(), JournalError> {
        move_wal(self.raw(), "TRUNCATE").map(drop)
    }

    /// Holds the whole journal against its entries, and these against signatures.
    ///
    /// # Errors
    /// [`JournalError::NotAsRecorded`], [`JournalError::Unproven`] or [`JournalError::Corrupt`]: nothing of it is to be used then.
    pub(crate) fn verify(&mut self, attributes_oid: ObjectIdentifier) -> Result<TreeHead, JournalError> {
        let (reader, began) = (Reader::borrowing(&self.database), Instant::now());
        // As of one moment: another program may write while this reads. What is remembered is made of the entries, and never read again: who writes
        // octets into the file changes what this moment's tables are.
        let sound = reader
            .within(|reader| Pass::begin(reader, attributes_oid, None)?.remembering().finish(reader))?;
        let Sound { head, decides, latest_ms, changes, pending, spending, known, lines, checkpoint } = sound;
        *self.memory.lines.borrow_mut() = Some(lines);
        *self.memory.known.borrow_mut() = Some(known);
        *self.memory.checkpoint.borrow_mut() = checkpoint;
        self.verified_in = began.elapsed();
        self.memory.forget_presented();
        if head != self.edge.head() {
            return Err(JournalError::Corrupt("its tiles are not those of its entries".into()));
        }
        *self.memory.changes.borrow_mut() = changes;
        *self.memory.spending.borrow_mut() = spending;
        if self.decides.is_none() {
            self.behind = (self.edge.clone(), VecDeque::new());
        }
        (self.decides, self.latest_ms, self.pending) = (Some(decides), Some(latest_ms), pending);
        Ok(head)
    }

    /// The same while it is served, once officers have set the clock right: what had ended by a clock that was ahead, and was forgotten, lives again.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub(crate) fn verify_again(&mut self, attributes_oid: ObjectIdentifier) -> Result<(), JournalError> {
        // What is the keeper's own is not read from the file.
        let checkpoint = self.memory.checkpoint.borrow().clone();
        self.verify(attributes_oid)?;
        *self.memory.checkpoint.borrow_mut() = checkpoint;
        drop(self.take_pending());
        Ok(())
    }

    /// Makes the projections anew from the entries and compares them with those there, row by row. With `replace`, puts the new ones in
    /// their place.
    ///
    /// # Errors
    /// An entry does not decode, the tree's root differs, or the disk fails.
    pub fn rebuild(&mut self, replace: bool) -> Result<Rebuilt, JournalError> {
        rebuild::rebuild(self.raw(), &self.edge, replace)
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("origin", &self.origin)
            .field("size", &self.edge.size())
            .finish_non_exhaustive()
    }
}
