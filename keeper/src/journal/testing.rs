//! What tests read from.

use rusqlite::Connection;

use super::{Database, format};

/// An empty journal's tables.
pub(crate) fn in_memory() -> Database {
    let connection = Connection::open_in_memory().unwrap();
    format::mark(&connection).unwrap();
    format::fill(&connection).unwrap();
    Database::of(connection)
}
