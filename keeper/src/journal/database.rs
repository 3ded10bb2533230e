//! A connection to the journal's file, which is read only while its tables are ours.
//!
//! Whoever can write the file can replace a table while it is open, by one whose columns are computed and never finish, or have another's place in the
//! file. SQLite makes a prepared statement anew then, for whatever table has the name, and goes on with what it read as long as the number of the
//! schema stays the same, also where the schema is ours again (sqlite.org/pragma.html#pragma_schema_version). Nobody changes a schema rightly while a
//! keeper runs. So each transaction begins with a look at that number: once it was another than at the start, on whichever connection, nothing
//! is read any more.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rusqlite::{Connection, OpenFlags};

use super::{JournalError, STATEMENTS, file, format};

/// A connection that looks before it reads.
#[derive(Debug)]
pub(crate) struct Database {
    connection: Connection,
    common: Arc<Common>,
    /// Whether SQLite knows the schema on this connection as it was looked at.
    is_looked_at: Cell<bool>,
}

/// Opens more connections to a journal that one has open.
#[derive(Clone, Debug)]
pub(crate) struct JournalFile {
    path: PathBuf,
    common: Arc<Common>,
}

/// What all connections to one journal have in common.
#[derive(Debug, Default)]
struct Common {
    /// The schema as the first of them found it: it was ours.
    schema: OnceLock<Schema>,
    /// Another was found since.
    is_strange: AtomicBool,
}

/// The number of a schema, and the pages on which its tables begin.
#[derive(Debug, PartialEq)]
struct Schema {
    number: i32,
    roots: Vec<i64>,
}

impl Database {
    /// The first connection to a journal. Nothing was looked at yet.
    pub(crate) fn of(connection: Connection) -> Self {
        Self { connection, common: Arc::default(), is_looked_at: Cell::new(false) }
    }

    /// What opens more connections to the file at this path, which is this journal's.
    pub(super) fn source(&self, path: PathBuf) -> JournalFile {
        JournalFile { path, common: Arc::clone(&self.common) }
    }

    /// Whether somebody changed the schema since the journal was opened.
    pub(super) fn is_strange(&self) -> bool {
        self.common.is_strange.load(Ordering::Relaxed)
    }

    /// For statements within a transaction, and for those that read no table.
    pub(crate) fn raw(&self) -> &Connection {
        &self.connection
    }

    /// Reads as of one moment, in the transaction that is open or in one of its own.
    ///
    /// # Errors
    /// What reading meets with; [`JournalError::Schema`] where the tables are not ours, or were not; or the disk's.
    pub(crate) fn within<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, JournalError>,
    ) -> Result<T, JournalError> {
        if !self.connection.is_autocommit() {
            return read(&self.connection);
        }
        self.step("BEGIN")?;
        let found = self.look().and_then(|()| read(&self.connection));
        // Some failures have ended it.
        if !self.connection.is_autocommit() {
            self.step("COMMIT")?;
        }
        found
    }

    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// As [`Self::within`].
    pub(super) fn begin(&self) -> Result<(), JournalError> {
        self.step("BEGIN IMMEDIATE")?;
        self.look()
    }

    /// Ends it: what was written is durable.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn commit(&self) -> Result<(), JournalError> {
        self.step("COMMIT")
    }

    /// Ends the connection.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn close(self) -> Result<(), JournalError> {
        self.connection.close().map_err(|(_, error)| error.into())
    }

    fn look(&self) -> Result<(), JournalError> {
        let sql = "PRAGMA schema_version";
        let number: i32 = self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        let Common { schema, is_strange } = &*self.common;
        let is_another = schema.get().is_some_and(|known| known.number != number);
        if is_another || self.is_strange() {
            is_strange.store(true, Ordering::Relaxed);
            return Err(JournalError::Schema);
        }
        if self.is_looked_at.get() {
            return Ok(());
        }
        // What SQLite reads of the schema for this look it goes on with: it is of the same moment.
        match self.found(number) {
            Ok(found) => {
                schema.get_or_init(|| found);
                self.is_looked_at.set(true);
                Ok(())
            }
            Err(error) => {
                // A file that was never ours did not change.
                is_strange.store(error.is_damage() && schema.get().is_some(), Ordering::Relaxed);
                Err(error)
            }
        }
    }

    /// The schema, which is ours, and the one that the first connection found.
    fn found(&self, number: i32) -> Result<Schema, JournalError> {
        format::check(&self.connection, "main")?;
        let found = Schema { number, roots: format::roots(&self.connection)? };
        if self.common.schema.get().is_none_or(|known| *known == found) {
            Ok(found)
        } else {
            Err(JournalError::Schema)
        }
    }

    fn step(&self, sql: &str) -> Result<(), JournalError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

impl JournalFile {
    /// Another connection, which only reads.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn open(&self) -> Result<Database, JournalError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        file::distrust(&connection)?;
        Ok(Database { connection, common: Arc::clone(&self.common), is_looked_at: Cell::new(false) })
    }

    /// For a journal that nobody has open here.
    pub(super) fn alone(path: PathBuf) -> Self {
        Self { path, common: Arc::default() }
    }
}
