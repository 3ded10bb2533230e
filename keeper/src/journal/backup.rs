//! Copies of the journal, made while it is written: the record up to the newest checkpoint, and that checkpoint. What follows from the entries
//! is made anew where a copy is restored.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use sys::durable;

use super::file::distrust;
use super::{FILE_NAME, JournalError, format};

/// Where copies lie, below the data directory.
const DIR: &str = "backup";
/// Copies that stay there.
const KEPT: usize = 3;
/// What is copied of each table of the record: entries below the checkpoint's size, and what lies beside them. Tiles follow from them.
const COPIED: &str = "\
INSERT INTO meta SELECT * FROM journal.meta;
INSERT INTO checkpoint SELECT * FROM journal.checkpoint;
INSERT INTO entry SELECT * FROM journal.entry WHERE idx < (SELECT size FROM checkpoint) ORDER BY idx;
INSERT INTO signature SELECT * FROM journal.signature WHERE idx < (SELECT size FROM checkpoint) ORDER BY idx;
INSERT INTO signed_request SELECT * FROM journal.signed_request WHERE idx < (SELECT size FROM checkpoint) ORDER BY idx;
INSERT INTO crl_input SELECT * FROM journal.crl_input WHERE idx < (SELECT size FROM checkpoint) ORDER BY idx;";

/// Copies the journal in `dir`, while a keeper may serve from it: where the copy lies and how many entries are in it.
///
/// # Errors
/// The disk's, or no checkpoint covers anything yet.
pub(crate) fn back_up(dir: &Path) -> Result<(PathBuf, u64), JournalError> {
    let below = dir.join(DIR);
    fs::create_dir_all(&below).map_err(JournalError::of_file(&below))?;
    let part = below.join("journal.part");
    durable::remove(&part).map_err(JournalError::of_file(&part))?;
    let size = copy(&dir.join(FILE_NAME), &part)?;
    let to = below.join(format!("journal-{size}.sqlite"));
    File::open(&part).and_then(|file| file.sync_all()).map_err(JournalError::of_file(&part))?;
    fs::rename(&part, &to).map_err(JournalError::of_file(&to))?;
    durable::sync_dir(&below).map_err(JournalError::of_file(&below))?;
    let_go(&below, &to).map_err(JournalError::of_file(&below))?;
    Ok((to, size))
}

/// Removes all but the newest copies: whoever wants to keep one moves it to another machine. The one that was just made stays, whatever others are
/// called.
fn let_go(below: &Path, made: &Path) -> std::io::Result<()> {
    let entries_of = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix("journal-")?.strip_suffix(".sqlite")?.parse::<u64>().ok()
    };
    let mut copies: Vec<(u64, PathBuf)> = fs::read_dir(below)?
        .filter_map(Result::ok)
        .filter_map(|found| Some((entries_of(&found.path())?, found.path())))
        .filter(|(_, path)| path != made && path.is_file())
        .collect();
    copies.sort_unstable();
    copies.iter().rev().skip(KEPT - 1).try_for_each(|(_, path)| durable::remove(path).map(drop))
}

/// Copies what the newest checkpoint covers, as of one moment, to a file that is not there: how many entries those are. Writers are not held
/// up.
fn copy(from: &Path, to: &Path) -> Result<u64, JournalError> {
    let path = from.to_str().ok_or_else(|| std::io::ErrorKind::InvalidInput.into());
    let path = path.map_err(JournalError::of_file(from))?;
    let copied = Connection::open(to)?;
    distrust(&copied)?;
    format::mark(&copied)?;
    format::fill(&copied)?;
    copied.execute("ATTACH ?1 AS journal", [path])?;
    copied.execute_batch("BEGIN")?;
    format::check(&copied, "journal")?;
    copied.execute_batch(&format!("{COPIED} COMMIT; DETACH journal;"))?;
    let size = copied.query_row("SELECT size FROM checkpoint", [], |row| row.get(0));
    let size = size.map_err(|_| JournalError::Corrupt("no checkpoint covers anything of it yet".into()))?;
    copied.close().map_err(|(_, error)| error)?;
    Ok(size)
}
