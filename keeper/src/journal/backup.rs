//! Copies of the journal: made while it is written, and put in the place of one that is lost.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use hsm_config::durable;
use ledger::Hash;
use rusqlite::{Connection, OpenFlags};

use super::{FILE_NAME, Journal, JournalError, Rebuilt, WAL_NAME, lock};

/// Where copies lie, below the data directory.
const DIR: &str = "backup";

/// Copies what the connection reads to a file that must not be there; it is durable when this returns. Writers are not held up.
///
/// # Errors
/// The disk's.
pub(super) fn copy(connection: &Connection, to: &Path) -> Result<(), JournalError> {
    let failed = |source| JournalError::File { path: to.to_owned(), source };
    let beside = to.with_extension("part");
    durable::remove(&beside).map_err(failed)?;
    let path = beside.to_str().ok_or_else(|| failed(std::io::ErrorKind::InvalidInput.into()))?;
    // sqlite.org/lang_vacuum.html: one read transaction, so that the copy is of one moment.
    connection.execute("VACUUM INTO ?1", [path])?;
    File::open(&beside).and_then(|file| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, to).map_err(failed)?;
    durable::sync_dir(durable::parent(to)).map_err(failed)
}

/// Copies the journal in `dir`, while a keeper may serve from it: where the copy lies and how many entries are in it.
///
/// # Errors
/// The disk's.
pub(crate) fn back_up(dir: &Path) -> Result<(PathBuf, u64), JournalError> {
    let below = dir.join(DIR);
    fs::create_dir_all(&below).map_err(|source| JournalError::File { path: below.clone(), source })?;
    let reader = super::Reader::owning(Journal::reading_connection(dir)?);
    let to = below.join(format!("journal-{}.sqlite", reader.size()?));
    reader.copy(&to)?;
    let copied = Connection::open_with_flags(&to, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let size = super::Reader::borrowing(&copied).size()?;
    Ok((to, size))
}

/// What was put in place.
#[derive(Debug, serde::Serialize)]
pub struct Restored {
    /// Trust domain.
    pub cell: String,
    /// Where the journal lies that was there before, if one was.
    pub replaced: Option<PathBuf>,
    /// What was checked: every entry, the tree, every signature.
    pub checked: Rebuilt,
}

/// Puts a copy in the place of the journal in `dir`, once every entry, the tree and every signature in it are checked. The one that was
/// there before stays beside it.
///
/// # Errors
/// The copy is none, is damaged, or is another cell's; a keeper serves from `dir`; the disk fails. Nothing is changed then.
pub fn restore(from: &Path, dir: &Path) -> Result<Restored, JournalError> {
    let held = lock(dir)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| JournalError::File { path, source }
    };
    let there = dir.join(FILE_NAME);
    let left = from.with_file_name(format!("{}-wal", from.file_name().unwrap_or_default().to_string_lossy()));
    if fs::metadata(&left).is_ok_and(|wal| wal.len() > 0) {
        return Err(JournalError::NotACopy(left));
    }
    let new = tempfile::Builder::new().prefix("restore").tempdir_in(dir).map_err(failed(dir))?;
    fs::copy(from, new.path().join(FILE_NAME)).map_err(failed(from))?;
    fs::set_permissions(new.path().join(FILE_NAME), Permissions::from_mode(0o600)).map_err(failed(from))?;
    let mut journal = Journal::open(new.path())?;
    let before = if there.exists() { known(&there) } else { None };
    if let Some(before) = &before
        && Some(&before.first) != journal.reader().leaf(0)?.as_ref()
    {
        return Err(JournalError::OtherCell { there: before.cell.clone(), copy: journal.cell().to_owned() });
    }
    let checked = journal.rebuild(true)?;
    journal.settle()?;
    let cell = journal.cell().to_owned();
    drop(journal);
    let replaced = there.exists().then(|| free_name(dir));
    if let Some(replaced) = &replaced {
        set_aside(&there, replaced, before.is_some())?;
    }
    let made = new.path().join(FILE_NAME);
    File::open(&made).and_then(|file| file.sync_all()).map_err(failed(&made))?;
    fs::rename(&made, &there).map_err(failed(&made))?;
    durable::sync_dir(dir).map_err(failed(dir))?;
    drop(held);
    Ok(Restored { cell, replaced, checked })
}

/// What a journal that can be read says of itself.
struct Known {
    cell: String,
    /// Leaf hash of entry 0, the charter: no two cells have the same.
    first: Hash,
}

/// `None` where it cannot be read: that may be why a copy is restored.
fn known(path: &Path) -> Option<Known> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    let cell = connection.query_row("SELECT cell FROM meta", [], |row| row.get(0)).ok()?;
    let first = super::Reader::borrowing(&connection).leaf(0).ok()??;
    Some(Known { cell, first })
}

/// A name that no journal set aside before has.
fn free_name(dir: &Path) -> PathBuf {
    let name = |number: u32| dir.join(format!("journal.replaced-{number}.sqlite"));
    (1..u32::MAX).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0))
}

/// Moves the journal away with all that its write-ahead log holds.
fn set_aside(there: &Path, to: &Path, readable: bool) -> Result<(), JournalError> {
    let failed = |source| JournalError::File { path: to.to_owned(), source };
    if readable && !super::move_wal(&Connection::open(there)?, "TRUNCATE")? {
        return Err(JournalError::Locked(there.to_owned()));
    }
    for (suffix, keep) in [("-wal", !readable), ("-shm", false)] {
        let beside = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        if keep && beside(there).exists() {
            fs::rename(beside(there), beside(to)).map_err(failed)?;
        }
    }
    fs::rename(there, to).map_err(failed)?;
    for left in [WAL_NAME, "journal.sqlite-shm"] {
        let _ = fs::remove_file(there.with_file_name(left));
    }
    Ok(())
}
