//! Reads the journal: the record and its projections, typed.

mod authority;
mod custody;
mod lists;
mod pages;
mod proofs;
mod trust;

use std::cell::Ref;

use audit::Given;
use ledger::checkpoint::Checkpoint;
use ledger::tree::{Edge, TileStore, inclusion_proof, verify_inclusion};
use ledger::{Hash, leaf_hash};
use rusqlite::{Connection, OptionalExtension, Row};

use super::JournalError;
use super::database::Database;
use super::known::Known;
use super::lines::Lines;
use super::memory::Memory;
use super::rows::{CertificateRow, certificate_row};
use super::spending::Spending;

/// A view of the journal through one connection.
pub struct Reader<'a> {
    database: Held<'a>,
    /// The writer's.
    own: Option<Own<'a>>,
}

/// What the writer has in its own memory, where nobody else writes.
#[derive(Clone, Copy)]
pub(super) struct Own<'a> {
    pub(super) memory: &'a Memory,
    /// The tables of `projection::AUTHORITY` as the entries say; none where the journal was not verified.
    pub(super) decides: Option<&'a Connection>,
    pub(super) edge: &'a Edge,
}

/// What became of a certificate that a caller presented.
pub enum Presented {
    /// None of that serial number, or another certificate.
    Unknown,
    /// It was revoked.
    Revoked,
    /// It stands; whether its time is over, only a clock tells.
    Valid(CertificateRow),
}

enum Held<'a> {
    Borrowed(&'a Database),
    Owned(Box<Database>),
}

type Read<T> = Result<T, JournalError>;

const CERTIFICATE: &str = "SELECT idx, serial, subject, issuer, not_before, not_after, previous, abandoned, controller, recorded_ms FROM certificate";

fn one<T>(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Read<Option<T>> {
    Ok(connection.prepare_cached(sql)?.query_row(values, read).optional()?)
}

fn many<T>(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Read<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(values, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl<'a> Reader<'a> {
    /// A view through a connection of its own.
    pub(crate) fn owning(database: Database) -> Reader<'static> {
        Reader { database: Held::Owned(Box::new(database)), own: None }
    }

    pub(crate) fn borrowing(database: &'a Database) -> Self {
        Self { database: Held::Borrowed(database), own: None }
    }

    /// The writer's, with what it has in memory.
    pub(super) fn of_the_writer(database: &'a Database, own: Own<'a>) -> Self {
        Self { database: Held::Borrowed(database), own: Some(own) }
    }

    /// What the writer remembers.
    fn memory(&self) -> Option<&'a Memory> {
        self.own.map(|own| own.memory)
    }

    fn database(&self) -> &Database {
        match &self.database {
            Held::Borrowed(database) => database,
            Held::Owned(database) => database,
        }
    }

    fn one<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Read<Option<T>> {
        self.database().within(|connection| one(connection, sql, values, read))
    }

    fn many<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Read<Vec<T>> {
        self.database().within(|connection| many(connection, sql, values, read))
    }

    /// Reads what decides: from the writer's memory, which no other process writes to; for others from the file.
    fn deciding<T>(&self, read: impl FnOnce(&Connection) -> Read<T>) -> Read<T> {
        match self.own.and_then(|own| own.decides) {
            Some(decides) => read(decides),
            None => self.database().within(read),
        }
    }

    /// One row of what decides.
    fn deciding_one<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Read<Option<T>> {
        self.deciding(|connection| one(connection, sql, values, read))
    }

    /// Many rows of what decides.
    fn deciding_many<T>(
        &self,
        sql: &str,
        values: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Read<Vec<T>> {
        self.deciding(|connection| many(connection, sql, values, read))
    }

    /// Number of entries.
    ///
    /// # Errors
    /// The disk's, as for every function here.
    pub fn size(&self) -> Read<u64> {
        let last = self.one("SELECT max(idx) FROM entry", [], |row| row.get::<_, Option<u64>>(0))?;
        Ok(last.flatten().map_or(0, |last| last + 1))
    }

    /// Time of the entry before `end`, in milliseconds since 1970; none where nothing is.
    pub(crate) fn time_before(&self, end: u64) -> Read<Option<i64>> {
        let Some(index) = end.checked_sub(1) else { return Ok(None) };
        let body = self.entry(index)?.unwrap_or_default();
        let entry = ledger::entry::decode(&body).map_err(|error| JournalError::Corrupt(error.to_string()))?;
        Ok(Some(entry.time_unix_ms))
    }

    /// Exact bytes of an entry: those of its leaf in the tree, so that a damaged record is neither signed again nor handed out. The writer's own are
    /// in the tree that it has in memory, once the journal was verified.
    pub fn entry(&self, index: u64) -> Read<Option<Vec<u8>>> {
        let body = self.entry_there(index)?;
        if let (Some(body), Some(own)) = (&body, self.own.filter(|own| own.decides.is_some())) {
            self.demand_in_tree(index, body, own.edge)?;
        }
        Ok(body)
    }

    fn demand_in_tree(&self, index: u64, body: &[u8], edge: &Edge) -> Read<()> {
        let corrupt = |what: &dyn std::fmt::Display| {
            JournalError::Corrupt(format!("entry {index} is not the one that was verified: {what}"))
        };
        let head = edge.head();
        let proof = inclusion_proof(self, head.size, index).map_err(|error| corrupt(&error))?;
        verify_inclusion(leaf_hash(body), index, &head, &proof).map_err(|error| corrupt(&error))
    }

    fn entry_there(&self, index: u64) -> Read<Option<Vec<u8>>> {
        let sql = "SELECT body, leaf_hash FROM entry WHERE idx = ?1";
        let found =
            self.one(sql, [index], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, [u8; 32]>(1)?)))?;
        match found {
            Some((body, leaf)) if leaf_hash(&body) != Hash::from_bytes(leaf) => {
                Err(JournalError::Corrupt(format!("entry {index} is not the one in the tree")))
            }
            found => Ok(found.map(|(body, _)| body)),
        }
    }

    /// Entries from `start`, at most `limit`.
    pub fn entries(&self, start: u64, limit: u64) -> Read<Vec<(u64, Vec<u8>)>> {
        let sql = "SELECT idx, body FROM entry WHERE idx >= ?1 ORDER BY idx LIMIT ?2";
        self.many(sql, (start, limit), |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Leaf hash of an entry.
    pub fn leaf(&self, index: u64) -> Read<Option<Hash>> {
        let leaf =
            self.one("SELECT leaf_hash FROM entry WHERE idx = ?1", [index], |row| row.get::<_, [u8; 32]>(0))?;
        Ok(leaf.map(Hash::from_bytes))
    }

    /// Signature of a certificate and the SHA-256 of the whole.
    pub fn signature(&self, index: u64) -> Read<Option<(Vec<u8>, [u8; 32])>> {
        let sql = "SELECT signature, certificate_sha256 FROM signature WHERE idx = ?1";
        self.one(sql, [index], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// The body of the signed request that led to an entry, where it lies beside this one.
    pub fn signed_request(&self, index: u64) -> Read<Option<Vec<u8>>> {
        self.one("SELECT body FROM signed_request WHERE idx = ?1", [index], |row| row.get(0))
    }

    /// The newest checkpoint: size and note.
    pub fn checkpoint(&self) -> Read<Option<(u64, String)>> {
        if let Some(own) = self.own.filter(|own| own.decides.is_some()) {
            return Ok(own.memory.checkpoint.borrow().clone());
        }
        let found: Option<(u64, String)> =
            self.one("SELECT size, note FROM checkpoint", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        // The number stands there for statements; the note alone is signed.
        match found {
            Some((size, note)) if Checkpoint::claimed(note.as_bytes()).is_some_and(|it| it.size != size) => {
                Err(JournalError::NotAsRecorded(vec!["checkpoint"]))
            }
            found => Ok(found),
        }
    }

    /// A certificate by the index of its entry.
    pub fn certificate(&self, index: u64) -> Read<Option<CertificateRow>> {
        self.one(&format!("{CERTIFICATE} WHERE idx = ?1"), [index], certificate_row)
    }

    /// A certificate by its serial number.
    pub fn certificate_by_serial(&self, serial: &[u8]) -> Read<Option<CertificateRow>> {
        self.one(&format!("{CERTIFICATE} WHERE serial = ?1"), [serial], certificate_row)
    }

    /// Certificates below `before`, newest first, at most `limit`.
    pub fn certificates(&self, before: u64, limit: u64) -> Read<Vec<CertificateRow>> {
        let sql = format!("{CERTIFICATE} WHERE idx < ?1 ORDER BY idx DESC LIMIT ?2");
        self.many(&sql, (before, limit), certificate_row)
    }

    /// Index of the newest certificate of a subject.
    pub fn newest(&self, subject: &str) -> Read<Option<u64>> {
        self.one("SELECT newest FROM line WHERE subject = ?1", [subject], |row| row.get(0))
    }

    /// Lifetime that was authorised when a subject's line began, in seconds.
    pub fn line_lifetime(&self, subject: &str) -> Read<Option<u32>> {
        if let Some(lifetime) = self.in_memory(|lines| lines.lifetime(subject)) {
            return Ok(lifetime);
        }
        self.one("SELECT lifetime_secs FROM line WHERE subject = ?1", [subject], |row| row.get(0))
    }

    /// The newest certificate of a subject that anybody can hold: one that was given up was handed to nobody.
    pub fn newest_held(&self, subject: &str) -> Read<Option<u64>> {
        if let Some(newest) = self.in_memory(|lines| lines.newest_held(subject)) {
            return Ok(newest);
        }
        let mut at = self.newest(subject)?;
        while let Some(row) = at.map(|index| self.certificate(index)).transpose()?.flatten() {
            if !row.abandoned {
                return Ok(Some(row.index));
            }
            at = row.previous;
        }
        Ok(None)
    }

    /// What the writer remembers of certificates; none where it is not the writer's, or the journal was not verified.
    fn in_memory<T>(&self, of: impl FnOnce(&Lines) -> T) -> Option<T> {
        self.memory()?.lines.borrow().as_ref().map(of)
    }

    /// The same of keys and requests.
    fn known<T>(&self, of: impl FnOnce(&Known) -> T) -> Option<T> {
        self.memory()?.known.borrow().as_ref().map(of)
    }

    /// When the change was signed that came before what a caller signed earlier, see [`audit::Changes::since`].
    pub(crate) fn changed_since(
        &self,
        pair: (&str, &str),
        given: Given,
        signed_ms: i64,
        now_ms: i64,
    ) -> Option<i64> {
        self.memory()?.changes.borrow().since(pair, given, signed_ms, now_ms)
    }

    /// When an agent signed a renewal that was carried out before one that it signed earlier, see [`audit::Changes::renewed_since`].
    pub(crate) fn renewed_since(&self, agent: &str, signed_ms: i64, now_ms: i64) -> Option<i64> {
        self.memory()?.changes.borrow().renewed_since(agent, signed_ms, now_ms)
    }

    /// The writer alone knows it.
    fn spending(&self) -> Read<Ref<'_, Spending>> {
        let own = self.own.filter(|own| own.decides.is_some());
        let own = own.ok_or_else(|| JournalError::Corrupt("what was spent is not in it".into()))?;
        Ok(own.memory.spending.borrow())
    }

    /// Entries that a controller caused under a grant in this hour (hours since 1970).
    pub(crate) fn spent(&self, controller: &str, grant: &str, hour: i64) -> Read<u32> {
        Ok(self.spending()?.spent(controller, grant, hour))
    }

    /// Certificates that the service was given in this hour, and that were not given up.
    pub(crate) fn own_given(&self, hour: i64) -> Read<usize> {
        Ok(self.spending()?.own(hour))
    }

    /// Whose a public key is: SPIFFE path.
    pub fn key_subject(&self, spki_sha256: &[u8; 32]) -> Read<Option<String>> {
        let sql = "SELECT subject FROM identity_key WHERE spki_sha256 = ?1";
        let subject: Option<String> = self.one(sql, [spki_sha256], |row| row.get(0))?;
        match self.known(|known| known.is_holder(spki_sha256, subject.as_deref())) {
            Some(false) => Err(JournalError::NotAsRecorded(vec!["identity_key"])),
            _ => Ok(subject),
        }
    }

    /// What a request_id led to: hash of the request and index of the entry.
    pub fn request(&self, caller: &str, request_id: &str) -> Read<Option<(Vec<u8>, u64)>> {
        let sql = "SELECT fields_sha256, idx FROM request WHERE caller = ?1 AND request_id = ?2";
        let found: Option<(Vec<u8>, u64)> =
            self.one(sql, (caller, request_id), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let Some(known) = self.known(|known| known.request(caller, request_id)) else { return Ok(found) };
        let differs = || JournalError::NotAsRecorded(vec!["request"]);
        if known != found.as_ref().map(|(_, index)| *index) {
            return Err(differs());
        }
        let Some((fields, index)) = found else { return Ok(None) };
        let body = self.entry(index)?.ok_or_else(differs)?;
        let entry = ledger::entry::decode(&body).map_err(|_| differs())?;
        if entry.fields_sha256 == fields { Ok(Some((fields, index))) } else { Err(differs()) }
    }
}

impl TileStore for Reader<'_> {
    type Error = JournalError;

    fn full_tile(&self, level: u8, index: u64) -> Read<Vec<u8>> {
        let sql = "SELECT hashes FROM tile WHERE level = ?1 AND idx = ?2";
        let tile = self.one(sql, (level, index), |row| row.get(0))?;
        tile.ok_or_else(|| JournalError::Corrupt(format!("tile {level}/{index} is missing")))
    }

    fn leaf_hashes(&self, start: u64, count: u16) -> Read<Vec<Hash>> {
        let sql = "SELECT leaf_hash FROM entry WHERE idx >= ?1 ORDER BY idx LIMIT ?2";
        self.many(sql, (start, count), |row| row.get::<_, [u8; 32]>(0).map(Hash::from_bytes))
    }

    fn tile_root(&self, level: u8, index: u64) -> Read<Option<Hash>> {
        let sql = "SELECT root FROM tile WHERE level = ?1 AND idx = ?2";
        self.one(sql, (level, index), |row| row.get::<_, [u8; 32]>(0).map(Hash::from_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::testing;

    #[test]
    fn what_is_lost_of_an_epoch_is_what_officers_last_knew_of_it() {
        let database = testing::in_memory();
        let (connection, reader) = (database.raw(), Reader::borrowing(&database));
        assert_eq!(reader.lost(1).unwrap(), None);
        let open = |number: u32, lost: u64| {
            let sql = "INSERT INTO epoch (number, idx, origin, lost_size) VALUES (?1, ?1, ?1, ?2)";
            connection.execute(sql, (number, lost)).unwrap();
        };
        open(2, 20);
        assert_eq!((reader.lost(1).unwrap(), reader.lost(2).unwrap()), (Some(20), None));
        // A longer checkpoint of the first turned up after the second was opened.
        open(3, 45);
        assert_eq!((reader.lost(1).unwrap(), reader.lost(2).unwrap()), (Some(u64::MAX), Some(45)));
    }

    #[test]
    fn a_certificate_that_was_given_up_does_not_end_its_line() {
        let database = testing::in_memory();
        let connection = database.raw();
        let add = |index: u64, previous: Option<u64>, abandoned: bool| {
            connection
                .execute(
                    "INSERT INTO certificate VALUES (?1, ?2, '/agent/a', x'00', 0, 1, ?3, ?4, 'build', 0)",
                    (index, index.to_be_bytes(), previous, abandoned),
                )
                .unwrap();
            connection.execute("INSERT OR REPLACE INTO line VALUES ('/agent/a', ?1, 60)", [index]).unwrap();
            Reader::borrowing(&database).newest_held("/agent/a").unwrap()
        };
        assert_eq!(add(1, None, true), None);
        assert_eq!(add(2, Some(1), false), Some(2));
        assert_eq!(add(5, Some(2), true), Some(2));
        assert_eq!(add(7, Some(5), true), Some(2));
        assert_eq!(add(9, Some(7), false), Some(9));
    }
}
