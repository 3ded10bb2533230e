//! Looks for damage before someone needs what is damaged: reads the whole log again and again, a tile's worth at a time, makes the tree of it
//! anew, and holds that against the tree that is kept.
//!
//! Does not: mend, or read the tables that follow from the entries (`rootcellar ledger rebuild` does).

use std::path::Path;
use std::thread;
use std::time::Duration;

use crossbeam_channel::Sender;
use ledger::leaf_hash;
use ledger::tree::{Edge, TILE_WIDTH, TileStore as _};

use crate::journal::{Journal, JournalError, Reader};
use crate::sequencer::Command;

/// Time between two looks: a thousand entries a second, a hundredth of a core; a million entries in a quarter of an hour.
const EVERY: Duration = Duration::from_millis(250);

/// Starts the thread. It ends with the sequencer, or when it has found damage.
///
/// # Errors
/// A connection cannot be opened.
pub(crate) fn start(dir: &Path, done: Sender<Command>) -> Result<(), JournalError> {
    let connection = Journal::reading_connection(dir)?;
    thread::spawn(move || {
        let reader = Reader::owning(connection);
        let mut tree = Edge::new();
        for _ in crossbeam_channel::tick(EVERY) {
            match look(&reader, &mut tree) {
                Ok(()) => {}
                Err(damage) if is_damage(&damage) => {
                    let _ = done.send(Command::Damaged(damage.to_string()));
                    return;
                }
                Err(error) => {
                    tracing::warn!(cause = error.to_string(), "the log could not be read: trying again");
                }
            }
        }
    });
    Ok(())
}

/// Whether the log is damaged, and not only out of reach for now.
fn is_damage(error: &JournalError) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    match error {
        JournalError::Corrupt(_) => true,
        JournalError::Sqlite(error) => {
            matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
        }
        _ => false,
    }
}

/// Reads the next entries; after the last it begins anew.
///
/// # Errors
/// An entry is not the one in the tree, a tile is not that of its entries, or they cannot be read.
fn look(reader: &Reader<'_>, tree: &mut Edge) -> Result<(), JournalError> {
    let corrupt = |what: String| Err(JournalError::Corrupt(what));
    let start = tree.size();
    let (entries, leaves) =
        (reader.entries(start, u64::from(TILE_WIDTH))?, reader.leaf_hashes(start, TILE_WIDTH)?);
    if entries.is_empty() {
        *tree = Edge::new();
        return Ok(());
    }
    for ((index, body), leaf) in entries.into_iter().zip(leaves) {
        if index != tree.size() || leaf_hash(&body) != leaf {
            return corrupt(format!("entry {} is not the one in the tree", tree.size()));
        }
        for tile in tree.append(leaf) {
            if reader.full_tile(tile.level, tile.index)? != tile.bytes
                || reader.tile_root(tile.level, tile.index)? != Some(tile.root)
            {
                return corrupt(format!("tile {}/{} is not that of its entries", tile.level, tile.index));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// Three hundred entries with their tile, in tables of their own.
    fn log() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("journal/schema.sql")).unwrap();
        let mut tree = Edge::new();
        for index in 0..300_u64 {
            let body = index.to_be_bytes();
            let leaf = leaf_hash(&body);
            connection
                .execute("INSERT INTO entry VALUES (?1, ?2, ?3)", (index, leaf.as_bytes(), body))
                .unwrap();
            for tile in tree.append(leaf) {
                let row = (tile.level, tile.index, &tile.bytes, tile.root.as_bytes());
                connection.execute("INSERT INTO tile VALUES (?1, ?2, ?3, ?4)", row).unwrap();
            }
        }
        connection
    }

    fn pass(connection: Connection) -> Result<(), JournalError> {
        let (reader, mut tree) = (Reader::owning(connection), Edge::new());
        (0..4).try_for_each(|_| look(&reader, &mut tree))
    }

    #[test]
    fn a_sound_log_is_read_again_and_again() {
        pass(log()).unwrap();
    }

    #[test]
    fn damage_anywhere_is_found() {
        for damage in [
            "UPDATE entry SET body = x'00' WHERE idx = 299",
            "UPDATE entry SET body = x'0000000000000005', leaf_hash = zeroblob(32) WHERE idx = 7",
            "DELETE FROM entry WHERE idx = 100",
            "UPDATE tile SET hashes = zeroblob(8192)",
            "UPDATE tile SET root = zeroblob(32)",
            "DELETE FROM tile",
        ] {
            let connection = log();
            connection.execute_batch(damage).unwrap();
            assert!(pass(connection).is_err(), "{damage}");
        }
    }
}
