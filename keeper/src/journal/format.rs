//! The journal's format, marked in its file. There has been no release: a journal of another format is refused, and none is converted.

use rusqlite::Connection;

use super::{JournalError, projection};

/// The format that this program writes (`PRAGMA user_version`).
pub(super) const FORMAT: i32 = 4;
/// Marks the file as ours (`PRAGMA application_id`): "RtCl".
const APPLICATION: i32 = 0x5274_436c;

/// Marks a new file.
pub(super) fn mark(connection: &Connection) -> Result<(), JournalError> {
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    Ok(())
}

/// Makes the tables of a new file.
///
/// # Errors
/// The disk's.
pub(super) fn fill(connection: &Connection) -> Result<(), JournalError> {
    connection.execute_batch(include_str!("schema.sql"))?;
    connection.execute_batch(projection::SCHEMA)?;
    Ok(())
}

/// Demands that a file is ours, of this format, and has our tables and nothing else: a trigger in it would write for us. `name` is its name on this
/// connection.
///
/// # Errors
/// [`JournalError::Format`], [`JournalError::Schema`].
pub(super) fn check(connection: &Connection, name: &str) -> Result<(), JournalError> {
    let number =
        |of: &str| connection.query_row(&format!("PRAGMA {name}.{of}"), [], |row| row.get::<_, i32>(0));
    let (found, application) = (number("user_version")?, number("application_id")?);
    if application != APPLICATION || found != FORMAT {
        return Err(JournalError::Format { found });
    }
    // A copy is made in the encoding of a new file.
    let encoding: String = connection.query_row("PRAGMA encoding", [], |row| row.get(0))?;
    if encoding != "UTF-8" {
        return Err(JournalError::Schema);
    }
    let wanted = Connection::open_in_memory()?;
    fill(&wanted)?;
    if schema(connection, name)? == schema(&wanted, "main")? { Ok(()) } else { Err(JournalError::Schema) }
}

/// The pages on which its tables and indexes begin, by their names.
pub(super) fn roots(connection: &Connection) -> Result<Vec<i64>, JournalError> {
    let mut statement = connection.prepare("SELECT rootpage FROM sqlite_schema ORDER BY type, name")?;
    let roots = statement.query_map([], |row| row.get(0))?;
    Ok(roots.collect::<Result<_, _>>()?)
}

/// Kind, name, table and text of everything that a database has.
fn schema(connection: &Connection, name: &str) -> Result<Vec<[Option<String>; 4]>, JournalError> {
    let sql = format!("SELECT type, name, tbl_name, sql FROM {name}.sqlite_schema ORDER BY type, name");
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::journal::Journal;

    #[test]
    fn a_journal_of_another_format_and_another_programs_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        drop(Journal::create(dir.path(), "cell.example", "cell.example/log/1").unwrap());
        let file = || Connection::open(dir.path().join("journal.sqlite")).unwrap();
        for format in [FORMAT - 1, FORMAT + 1] {
            file().pragma_update(None, "user_version", format).unwrap();
            let refused = Journal::open(dir.path()).unwrap_err();
            assert!(matches!(refused, JournalError::Format { found } if found == format), "{refused}");
        }
        file().pragma_update(None, "user_version", FORMAT).unwrap();
        Journal::open(dir.path()).unwrap();
        file().pragma_update(None, "application_id", 7).unwrap();
        assert!(matches!(Journal::open(dir.path()), Err(JournalError::Format { .. })));
        file().pragma_update(None, "application_id", APPLICATION).unwrap();
        Journal::open(dir.path()).unwrap();
    }

    #[test]
    fn nothing_in_a_journal_acts_by_itself() {
        for added in [
            "CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM revoked; END",
            "CREATE VIEW v AS SELECT * FROM granted",
            "CREATE TABLE more (one)",
            "CREATE INDEX i ON entry (leaf_hash)",
            "DROP INDEX certificate_controller",
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
            drop(Journal::create(dir.path(), "cell.example", "cell.example/log/1").unwrap());
            Connection::open(dir.path().join("journal.sqlite")).unwrap().execute_batch(added).unwrap();
            assert!(matches!(Journal::open(dir.path()), Err(JournalError::Schema)), "{added}");
        }
    }
}
