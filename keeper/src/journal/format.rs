//! The journal's format, marked in its file. There has been no release: a journal of another format is refused, and none is converted.

use rusqlite::Connection;

use super::JournalError;

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

/// Demands that a file is ours, and of this format.
///
/// # Errors
/// [`JournalError::Format`].
pub(super) fn check(connection: &Connection) -> Result<(), JournalError> {
    let found: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let application: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if application == APPLICATION && found == FORMAT { Ok(()) } else { Err(JournalError::Format { found }) }
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
    }
}
