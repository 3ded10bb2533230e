//! The journal's format: an older one is brought up to date after a backup, a newer one is refused.
//!
//! The record (entries, tiles, signatures, the checkpoint) has not changed since format 1; what follows from it is made anew from the
//! entries by the same function that keeps it, so that there is no second way from one state to another.

use std::fs;
use std::path::Path;

use ledger::entry;
use rusqlite::Connection;

use super::{JournalError, backup, projection};

/// The format that this program writes (`PRAGMA user_version`).
pub(super) const FORMAT: i32 = 3;
/// The oldest that it brings up to date.
const OLDEST: i32 = 1;
/// Marks the file as ours (`PRAGMA application_id`): "RtCl".
const APPLICATION: i32 = 0x5274_436c;
/// Entries between two words of how far it is.
const TELL_EVERY: u64 = 100_000;

/// Marks a new file.
pub(super) fn mark(connection: &Connection) -> Result<(), JournalError> {
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    Ok(())
}

/// What a file says of itself.
///
/// # Errors
/// It is another program's, or from a newer version.
pub(super) fn check(connection: &Connection) -> Result<i32, JournalError> {
    let found: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let application: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if application == APPLICATION && (OLDEST..=FORMAT).contains(&found) {
        Ok(found)
    } else {
        Err(JournalError::Format { found })
    }
}

/// Brings a file up to date where it is older. A crash anywhere leaves it as it was, or up to date.
///
/// # Errors
/// The backup or the disk fails, or an entry contradicts those before it.
pub(super) fn bring_up(connection: &Connection, dir: &Path) -> Result<(), JournalError> {
    let found = check(connection)?;
    if found == FORMAT {
        return Ok(());
    }
    let kept = dir.join(format!("journal.format-{found}.sqlite"));
    if kept.exists() {
        // A crash came after the backup was made: it may be of fewer entries by now.
        fs::remove_file(&kept).map_err(|source| JournalError::File { path: kept.clone(), source })?;
    }
    backup::copy(connection, &kept)?;
    tracing::warn!(from = found, to = FORMAT, backup = %kept.display(), "the journal is brought up to date");
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for table in projection::TABLES {
        connection.execute_batch(&format!("DROP TABLE IF EXISTS {table}"))?;
    }
    if found < 2 {
        connection.execute_batch(super::SINCE_2)?;
    }
    connection.execute_batch(include_str!("projection.sql"))?;
    replay(connection)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    connection.execute_batch("COMMIT")?;
    Ok(())
}

/// Applies every entry.
fn replay(connection: &Connection) -> Result<(), JournalError> {
    let mut statement = connection.prepare("SELECT idx, body FROM entry ORDER BY idx")?;
    let mut entries = statement.query([])?;
    while let Some(row) = entries.next()? {
        let (index, body): (u64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let record =
            entry::decode(&body).map_err(|error| JournalError::Corrupt(format!("entry {index}: {error}")))?;
        projection::apply(connection, index, &record)?;
        if index % TELL_EVERY == TELL_EVERY - 1 {
            tracing::info!(entries = index + 1, "bringing the journal up to date");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use ledger::entry::entry::Kind;
    use ledger::entry::{Actor, ActorKind, Entry, Refusals, VERSION};

    use super::*;
    use crate::journal::{Durability, Journal};

    /// The tables of format 1, as version 0.1.0 made them.
    const FORMAT_1: &str = include_str!("format/format-1.sql");

    fn private() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        dir
    }

    /// A journal of format 1 with three entries.
    fn old(dir: &Path) {
        let mut journal = Journal::create(dir, "cell.example", "cell.example/log/1").unwrap();
        journal.begin(Durability::Disk).unwrap();
        for time_unix_ms in 1..=3 {
            let actor = Actor { kind: ActorKind::Service.into(), ..Actor::default() };
            let kind = Some(Kind::Refusals(Refusals { others: 1, ..Refusals::default() }));
            let cell = "cell.example".to_owned();
            let entry =
                Entry { version: VERSION, cell, time_unix_ms, actor: Some(actor), kind, ..Entry::default() };
            journal.append(&entry).unwrap();
        }
        journal.commit().unwrap();
        drop(journal);
        let new = dir.join("journal.sqlite");
        let (old, path) = (dir.join("old.sqlite"), new.display());
        let connection = Connection::open(&old).unwrap();
        connection.execute_batch(FORMAT_1).unwrap();
        connection.execute_batch(&format!("ATTACH '{path}' AS new")).unwrap();
        for table in ["meta", "entry", "tile", "signature", "checkpoint"] {
            connection.execute_batch(&format!("INSERT INTO {table} SELECT * FROM new.{table}")).unwrap();
        }
        connection.pragma_update(None, "application_id", APPLICATION).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        drop(connection);
        for file in ["journal.sqlite-wal", "journal.sqlite-shm"] {
            let _ = fs::remove_file(dir.join(file));
        }
        fs::rename(old, new).unwrap();
    }

    #[test]
    fn an_older_journal_is_brought_up_to_date_after_a_backup() {
        let dir = private();
        old(dir.path());
        let mut journal = Journal::open(dir.path()).unwrap();
        assert_eq!(journal.edge().size(), 3);
        assert!(journal.reader().crl(&[0; 32]).unwrap().is_none(), "the tables of now are there");
        assert!(journal.rebuild(false).unwrap().differing.is_empty());
        drop(journal);
        let kept = Connection::open(dir.path().join("journal.format-1.sqlite")).unwrap();
        assert_eq!(check(&kept).unwrap(), 1, "the backup is what was there");
        Journal::open(dir.path()).unwrap();
    }

    #[test]
    fn a_journal_of_format_2_keeps_what_came_with_it() {
        let dir = private();
        drop(Journal::create(dir.path(), "cell.example", "cell.example/log/1").unwrap());
        let file = Connection::open(dir.path().join("journal.sqlite")).unwrap();
        file.execute_batch("DROP TABLE custody; INSERT INTO settled VALUES (1, 7); PRAGMA user_version = 2")
            .unwrap();
        drop(file);
        let mut journal = Journal::open(dir.path()).unwrap();
        assert!(journal.rebuild(false).unwrap().differing.is_empty());
        drop(journal);
        let file = Connection::open(dir.path().join("journal.sqlite")).unwrap();
        let settled: u64 = file.query_row("SELECT idx FROM settled", [], |row| row.get(0)).unwrap();
        assert_eq!((check(&file).unwrap(), settled), (3, 7));
    }

    #[test]
    fn a_newer_journal_and_another_programs_file_are_refused() {
        let dir = private();
        old(dir.path());
        let file = || Connection::open(dir.path().join("journal.sqlite")).unwrap();
        file().pragma_update(None, "user_version", FORMAT + 1).unwrap();
        let refused = Journal::open(dir.path()).unwrap_err();
        assert!(matches!(refused, JournalError::Format { found } if found == FORMAT + 1), "{refused}");
        file().pragma_update(None, "user_version", FORMAT).unwrap();
        file().pragma_update(None, "application_id", 7).unwrap();
        assert!(matches!(Journal::open(dir.path()), Err(JournalError::Format { .. })));
    }
}
