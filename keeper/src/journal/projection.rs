//! What follows from an entry. The same function serves the normal path and the rebuild, so that the state is a function of the entries.
//!
//! - `authority`: what officers and controllers set; few rows, and every one decides what may be signed
//! - `bulk`: what grows with the certificates
//!
//! Does not: decide. An entry that is here was decided on; one that contradicts the state is our own fault, and ends the process.

mod authority;
mod bulk;

pub(super) use authority::sets_the_clock;
use ledger::entry::{Entry, entry::Kind};
use rusqlite::Connection;

use super::JournalError;

/// Names of the tables that `authority` fills.
pub(super) const AUTHORITY: [&str; 12] = [
    "charter",
    "bundle",
    "ca",
    "agent",
    "controller",
    "granted",
    "proposal",
    "freeze",
    "crl",
    "epoch",
    "repeated",
    "custody",
];
/// Names of those that `bulk` fills.
pub(super) const BULK: [&str; 6] =
    ["certificate", "line", "identity_key", "request", "revoked", "agent_ended"];
/// The tables, empty.
pub(super) const SCHEMA: &str = include_str!("projection.sql");

type Applied = Result<(), JournalError>;

/// Brings the projections from the state before entry `index` to the state after it: the entries of the certificates that this one revoked.
///
/// # Errors
/// The entry contradicts the state, or the disk fails.
pub(super) fn apply(connection: &Connection, index: u64, record: &Entry) -> Result<Vec<u64>, JournalError> {
    let state = State { connection, index, record };
    state.authority()?;
    state.bulk()
}

/// The same for the tables of [`AUTHORITY`] alone.
///
/// # Errors
/// As [`apply`].
pub(super) fn apply_authority(connection: &Connection, index: u64, record: &Entry) -> Applied {
    State { connection, index, record }.authority()
}

struct State<'a> {
    connection: &'a Connection,
    index: u64,
    record: &'a Entry,
}

impl State<'_> {
    fn run(&self, sql: &str, values: impl rusqlite::Params) -> Applied {
        self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    fn kind(&self) -> Result<&Kind, JournalError> {
        self.record.kind.as_ref().ok_or_else(|| corrupt("an entry without a kind"))
    }
}

fn corrupt(what: impl ToString) -> JournalError {
    JournalError::Corrupt(what.to_string())
}
