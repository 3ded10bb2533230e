//! The journal's file: how it is opened, locked and kept short.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::JournalError;

const LOCK_NAME: &str = "journal.lock";
/// Octets of the writer's page cache, in KiB: the inner pages of the indexes of some million certificates.
const CACHE_KIB: i64 = 16 * 1024;

/// Moves frames of the write-ahead log into the database; whether it reached the end. `mode` is PASSIVE or TRUNCATE
/// (sqlite.org/pragma.html#pragma_wal_checkpoint).
///
/// # Errors
/// The disk's.
pub(crate) fn move_wal(connection: &Connection, mode: &str) -> Result<bool, JournalError> {
    let busy: i64 = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(0))?;
    Ok(busy == 0)
}

/// Sets what every writing connection needs.
///
/// # Errors
/// The disk's, or a file system without WAL.
pub(super) fn tune(connection: &Connection) -> Result<(), JournalError> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(JournalError::Corrupt("it cannot be put into WAL mode on this file system".into()));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    // A checkpointer of its own does this, away from the path of a commit.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // Negative: in KiB (sqlite.org/pragma.html#pragma_cache_size).
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    distrust(connection)?;
    // Else a statement that compares with a parameter is planned anew whenever the parameter changes: 4 µs for grants.
    // (sqlite.org/queryplanner-ng.html#the_query_planner_stability_guarantee)
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Sets what every connection needs: the file may have a trigger or a view since its schema was looked at. The one would write for us, the other can
/// stand in a table's place, and be read without end.
///
/// # Errors
/// The database library's.
pub(super) fn distrust(connection: &Connection) -> Result<(), JournalError> {
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    Ok(())
}

/// Keeps two keepers off one journal by a lock on a file of its own: the database's own locks come and go with its connections.
///
/// # Errors
/// The directory is open to others, or another process has it.
pub(super) fn lock(dir: &Path) -> Result<File, JournalError> {
    let mode = fs::metadata(dir).map_err(JournalError::of_file(dir))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(JournalError::TooWide { path: dir.to_owned(), mode });
    }
    let path = dir.join(LOCK_NAME);
    // Somebody may have put a pipe there, which nobody reads: it is not waited for.
    let no_wait = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let opened = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(no_wait)
        .open(&path);
    let file = opened.map_err(JournalError::of_file(path))?;
    file.try_lock().map_err(|_| JournalError::Locked(dir.to_owned()))?;
    Ok(file)
}
