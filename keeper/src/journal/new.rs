//! A new journal: written under another name, which it keeps until its first entries are durable. So there is a cell or there is none.

use std::fs::{self, File};
use std::path::Path;

use rusqlite::Connection;
use sys::durable;

use super::{Database, FILE_NAME, Journal, JournalError, format, lock, move_wal, tune};

/// Its name until then.
const NEW_NAME: &str = "journal.new";

impl Journal {
    /// Makes an empty journal in `dir`, which must be private.
    ///
    /// # Errors
    /// There is one, or the disk fails.
    pub fn create(dir: &Path, cell: &str, origin: &str) -> Result<Self, JournalError> {
        Self::create_with(dir, cell, origin, |_| Ok(()))
    }

    /// Makes a journal in `dir`, which must be private, and has `fill` write its first entries. Only then does it get its name: cut
    /// short, it is begun anew the next time.
    ///
    /// # Errors
    /// There is one, `fill` fails, or the disk does.
    pub fn create_with(
        dir: &Path,
        cell: &str,
        origin: &str,
        fill: impl FnOnce(&mut Self) -> Result<(), JournalError>,
    ) -> Result<Self, JournalError> {
        let mut journal = Self::begin_new(dir, cell, origin)?;
        fill(&mut journal)?;
        journal.publish(dir)
    }

    fn begin_new(dir: &Path, cell: &str, origin: &str) -> Result<Self, JournalError> {
        let lock = lock(dir)?;
        if dir.join(FILE_NAME).exists() {
            return Err(JournalError::Exists(dir.to_owned()));
        }
        for suffix in ["", "-wal", "-shm"] {
            let path = dir.join(format!("{NEW_NAME}{suffix}"));
            durable::remove(&path).map_err(JournalError::of_file(path))?;
        }
        let connection = Connection::open(dir.join(NEW_NAME))?;
        format::mark(&connection)?;
        tune(&connection)?;
        format::fill(&connection)?;
        connection.execute("INSERT INTO meta VALUES (1, ?1, ?2)", (cell, origin))?;
        Self::ready(Database::of(connection), dir, lock)
    }

    /// Gives a new journal its name. All of it is in the one file before, and durable: a write-ahead log goes by its file's name.
    fn publish(self, dir: &Path) -> Result<Self, JournalError> {
        let (new, path) = (dir.join(NEW_NAME), dir.join(FILE_NAME));
        if !move_wal(self.raw(), "TRUNCATE")? {
            return Err(JournalError::Corrupt("its write-ahead log could not be brought to the disk".into()));
        }
        let Self { database, lock, .. } = self;
        database.close()?;
        let named = || {
            File::open(&new)?.sync_all()?;
            fs::rename(&new, &path)?;
            durable::sync_dir(dir)
        };
        named().map_err(JournalError::of_file(&path))?;
        Self::open_locked(dir, lock)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn cut_short_there_is_no_journal_and_the_next_one_begins_anew() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let fails = |_: &mut Journal| Err(JournalError::Corrupt("cut short".into()));
        Journal::create_with(dir.path(), "cell.example", "cell.example/log/1", fails).unwrap_err();
        assert!(matches!(Journal::is_free(dir.path()), Err(JournalError::Missing(_))));
        assert!(dir.path().join(NEW_NAME).exists(), "what was begun lies there");
        drop(Journal::create(dir.path(), "cell.example", "cell.example/log/1").unwrap());
        assert!(!dir.path().join(NEW_NAME).exists());
        Journal::is_free(dir.path()).unwrap();
        assert!(matches!(
            Journal::create(dir.path(), "cell.example", "cell.example/log/1"),
            Err(JournalError::Exists(_))
        ));
    }
}
