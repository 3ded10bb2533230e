//! A connection to the journal's file, which is read only while its tables are ours.
//!
//! Whoever can write the file can replace a table while it is open, by one whose columns are computed and never finish. SQLite makes a
//! prepared statement anew then, for whatever table has the name. So each transaction begins with a look at the number of the schema, which
//! every change of it changes, and where that is another one, at the schema itself. What SQLite knows of the file is then what was looked at:
//! it reads the schema again only where that number is another than before (sqlite.org/pragma.html#pragma_schema_version).

use std::cell::Cell;

use rusqlite::Connection;

use super::{JournalError, format};

/// A connection that looks before it reads.
#[derive(Debug)]
pub(crate) struct Database {
    connection: Connection,
    /// Number of the schema that was looked at last; none where it was not ours: then SQLite may know another under any number.
    ours: Cell<Option<i32>>,
}

impl Database {
    /// Nothing was looked at yet.
    pub(crate) fn of(connection: Connection) -> Self {
        Self { connection, ours: Cell::new(None) }
    }

    /// For statements within a transaction, and for those that read no table.
    pub(crate) fn raw(&self) -> &Connection {
        &self.connection
    }

    /// Reads as of one moment, in the transaction that is open or in one of its own.
    ///
    /// # Errors
    /// What reading meets with; [`JournalError::Schema`] where the tables are not ours; or the disk's.
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
        let found: i32 = self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        if self.ours.get() == Some(found) {
            return Ok(());
        }
        self.ours.set(None);
        format::check(&self.connection, "main")?;
        self.ours.set(Some(found));
        Ok(())
    }

    fn step(&self, sql: &str) -> Result<(), JournalError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}
