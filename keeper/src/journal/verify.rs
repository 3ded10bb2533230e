//! Holds the journal against its entries, and these against signatures: what stands in a file is not believed because it stands there.
//!
//! A pass reads every entry in order. Each must be the leaf that the tree has; those that the log's key covers by a checkpoint are what a
//! keeper recorded, and of them only what officers sign is verified again; those above count only with signatures of their own. The tables
//! that officers' and controllers' entries fill are made anew and compared, the others are held against the entries as these go by.
//!
//! Does not: verify the signatures of certificates below the checkpoint (`rootcellar ledger verify` does), or mend.

mod bulk;
mod signed;

use audit::Changes;
use audit::entries::{Audit, Item, KEPT_SECS, OutOfOrder, Report, Taken};
use certs::ObjectIdentifier;
use ledger::entry::entry::Kind;
use ledger::entry::{ActorKind, Entry};
use ledger::tree::{TILE_WIDTH, TileStore as _, TreeHead};
use ledger::{Hash, entry};
use rusqlite::Connection;

use super::known::Known;
use super::lines::Lines;
use super::rebuild::rows;
use super::spending::Spending;
use super::{DatabaseError, JournalError, Reader, format, projection};
use bulk::{Beside, Bulk};

/// Entries that are read at a time: a tile's worth.
const PAGE: u64 = TILE_WIDTH as u64;

/// What a clock may be wrong by, in seconds.
const ENDED_SLACK_SECS: i64 = 3600;

/// A pass over the journal.
pub(crate) struct Pass {
    audit: Audit,
    /// The tables of `projection::AUTHORITY`, made anew.
    fresh: Connection,
    bulk: Bulk,
    cell: String,
    origin: String,
    /// Time of the newest entry that a checkpoint covers, in milliseconds since 1970.
    covered_ms: i64,
    /// Certificates that had ended by this second are of no interest to what no checkpoint covers.
    ended_secs: i64,
    /// Whether a keeper has recorded something in this epoch.
    served: bool,
    /// Entries of certificates that ended long ago, with a request beside them still, and the last second of each since 1970.
    ended: Vec<(u64, i64)>,
}

/// A journal that is as its entries say. Only [`Pass::finish`] makes one.
#[derive(Debug)]
pub(crate) struct Sound {
    /// The tree of its entries.
    pub(crate) head: TreeHead,
    /// The tables of `projection::AUTHORITY` as the entries say, in memory.
    pub(crate) decides: Connection,
    /// Time of its latest entry since officers confirmed the clock, in milliseconds since 1970.
    pub(crate) latest_ms: i64,
    /// What callers changed in its last minutes.
    pub(crate) changes: Changes,
    /// The certificates that had neither a signature nor an abandonment.
    pub(crate) pending: Vec<u64>,
    /// What was spent of the budgets.
    pub(crate) spending: Spending,
    /// Keys that were certified, and requests that were carried out.
    pub(super) known: Known,
    /// What the writer remembers of certificates; nothing where another read.
    pub(super) lines: Lines,
    /// The newest checkpoint, which was verified: size and note.
    pub(crate) checkpoint: Option<(u64, String)>,
}

impl Pass {
    /// Begins. `charter_sha256` is that of the cell's first charter, where something outside of the journal keeps it.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn begin(
        reader: &Reader<'_>,
        attributes_oid: ObjectIdentifier,
        charter_sha256: Option<[u8; 32]>,
    ) -> Result<Self, JournalError> {
        let (cell, origin) = reader.meta()?;
        let name = origin.parse().map_err(|_| corrupt("its origin is none"))?;
        let mut audit = Audit::new(name, attributes_oid, None);
        if let Some(sha256) = charter_sha256 {
            audit.pin_first(sha256);
        }
        let fresh = Connection::open_in_memory()?;
        fresh.set_prepared_statement_cache_capacity(64);
        fresh.execute_batch(projection::SCHEMA)?;
        fresh.execute_batch("BEGIN")?;
        let ended_secs = ended_secs(reader)?;
        let mut bulk = Bulk::default();
        bulk.ended_ms = ended_secs.saturating_mul(1000);
        Ok(Self {
            audit,
            fresh,
            bulk,
            cell,
            origin,
            covered_ms: i64::MIN,
            ended_secs,
            served: false,
            ended: Vec::new(),
        })
    }

    /// For the writer: what it is to remember is made of the entries that are read.
    pub(crate) fn remembering(mut self) -> Self {
        self.bulk.remembered = Some(Lines::default());
        self
    }

    /// Entries read so far.
    pub(crate) fn size(&self) -> u64 {
        self.audit.size()
    }

    /// The entries that it came by since it was asked last whose request needs to be kept no more by the log's time: that of a certificate which
    /// ended long ago, with its last second since 1970. What created or changed an agent stays.
    pub(crate) fn take_ended(&mut self) -> Vec<(u64, i64)> {
        std::mem::take(&mut self.ended)
    }

    /// Reads the entries that follow and that the newest checkpoint covers, a page of them: how many those were.
    ///
    /// # Errors
    /// The journal is not what it must be, or cannot be read.
    pub(crate) fn advance(&mut self, reader: &Reader<'_>) -> Result<u64, JournalError> {
        // Where an epoch has no checkpoint yet: those that officers said it begins with.
        let covered = match reader.checkpoint()? {
            Some((size, _)) => size,
            None => reader.epoch_index()?.unwrap_or(0),
        };
        self.audit.known_below(covered, self.ended_secs);
        // What the auditor goes by: an entry above may never be covered, or say anything.
        self.covered_ms = reader.time_before(covered.min(reader.size()?))?.unwrap_or(i64::MIN);
        self.page(reader, covered)
    }

    /// Reads a page of the entries that follow, below `end`: how many those were.
    fn page(&mut self, reader: &Reader<'_>, end: u64) -> Result<u64, JournalError> {
        let start = self.audit.size();
        let entries = reader.leaves(start, end.saturating_sub(start).min(PAGE))?;
        let count = entries.len() as u64;
        let mut beside = Beside::read(reader, start, start + count)?;
        for (index, leaf, body) in entries {
            self.entry(reader, index, &body, leaf, &mut beside)?;
        }
        beside.demand_empty()?;
        Ok(count)
    }

    fn entry(
        &mut self,
        reader: &Reader<'_>,
        index: u64,
        body: &[u8],
        stored: Hash,
        beside: &mut Beside,
    ) -> Result<(), JournalError> {
        let signature = beside.signature(index);
        let request = beside.request(index);
        let item = Item {
            index,
            entry: body,
            signature: signature.as_ref().map_or(&[], |(signature, _)| signature),
            request: request.as_deref(),
        };
        let Taken { leaf, tiles, entry } = self
            .audit
            .read(&item)
            .map_err(|OutOfOrder { wanted, .. }| corrupt(format!("entry {wanted} is not there")))?;
        if leaf != stored {
            return Err(corrupt(format!("entry {index} is not the one in the tree")));
        }
        for tile in tiles {
            if reader.full_tile(tile.level, tile.index)? != tile.bytes
                || reader.tile_root(tile.level, tile.index)? != Some(tile.root)
            {
                return Err(corrupt(format!(
                    "tile {}/{} is not that of its entries",
                    tile.level, tile.index
                )));
            }
        }
        let entry = entry.ok_or_else(|| corrupt(format!("entry {index} does not decode")))?;
        match &entry.kind {
            Some(Kind::Act(_)) if reader.epoch_index()? == Some(index) => self.served = false,
            Some(Kind::Custody(_)) => self.served |= is_of_the_service(&entry),
            _ => {}
        }
        projection::apply_authority(&self.fresh, index, &entry)?;
        self.beside(index, &entry, signature.as_ref(), request.as_deref())?;
        if let (Some((_, sha256)), Some(_)) = (&signature, &self.bulk.remembered) {
            self.bulk.known.signed(index, sha256);
        }
        let end = self.bulk.entry(reader, &self.audit, index, &entry, signature.is_some(), beside)?;
        // The auditor excuses what is missing only where a signature says that there was one; and the keeper nothing that no checkpoint covers.
        let is_complete = signature.is_some() && request.is_some() && self.audit.is_known(index);
        if let Some(end) = end.filter(|end| is_complete && ended_long_ago(*end, self.covered_ms)) {
            self.ended.push((index, end));
        }
        Ok(())
    }

    /// Reads what is left, and compares the tables. The reader must see one moment: a transaction.
    ///
    /// # Errors
    /// The journal is not what it must be, or cannot be read.
    pub(crate) fn finish(mut self, reader: &Reader<'_>) -> Result<Sound, JournalError> {
        while self.advance(reader)? > 0 {}
        let checkpoint = self.demand_checkpoint(reader)?;
        self.complete(reader)?;
        while self.page(reader, u64::MAX)? > 0 {}
        let head = self.audit.head();
        // Every keeper has one made before it records anything of its own.
        if self.served && checkpoint.is_none() {
            return Err(corrupt("its newest checkpoint was removed"));
        }
        format::check(reader.raw(), "main")?;
        // What a lookup finds is what stands there, and a scan comes to an end: the order of rows, and every index.
        let sound: String = reader.raw().query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if sound != "ok" {
            return Err(corrupt(format!("the database is not sound: {sound}")));
        }
        // Nothing lies beside entries that are not there.
        reader.demand_beside_entries(head.size)?;
        if reader.meta()? != (self.cell.clone(), self.origin.clone()) {
            return Err(corrupt("its name changed while it was read"));
        }
        if !self.audit.is_of_cell(&self.cell) {
            return Err(corrupt(format!(
                "it calls itself the journal of {}, and its charter does not",
                self.cell
            )));
        }
        let tiles: u64 = reader.raw().query_row("SELECT count(*) FROM tile", [], |row| row.get(0))?;
        if tiles != full_tiles(head.size) {
            return Err(corrupt("it has tiles that are not full yet"));
        }
        self.demand_lists(reader)?;
        let mut differing: Vec<&'static str> = self.bulk.differing(reader)?;
        let spending = std::mem::take(&mut self.bulk.spending);
        let known = std::mem::take(&mut self.bulk.known);
        let mut lines = self.bulk.remembered.take().unwrap_or_default();
        for table in projection::AUTHORITY {
            let made = rows(&self.fresh, table)?;
            match rows(reader.raw(), table) {
                Ok(there) if there == made => {}
                Err(error) if !error.is_damage() => return Err(error),
                _ => differing.push(table),
            }
        }
        if !differing.is_empty() {
            return Err(JournalError::NotAsRecorded(differing));
        }
        let pending = self.bulk.pending(reader, self.audit.known())?;
        let latest_ms = self.audit.latest_ms();
        lines.forget(latest_ms);
        let changes = self.audit.take_changes();
        let Report { mut findings, .. } = self.audit.conclude();
        if findings.is_empty() {
            self.fresh.execute_batch("COMMIT")?;
            let decides = self.fresh;
            return Ok(Sound {
                head,
                decides,
                latest_ms,
                changes,
                pending,
                spending,
                known,
                lines,
                checkpoint,
            });
        }
        let first = findings.swap_remove(0);
        Err(JournalError::Unproven { index: first.index, flaw: Box::new(first.flaw) })
    }

    /// Takes over the signatures that were stored since their entries were read: who has such a certificate may have asked with it already.
    fn complete(&mut self, reader: &Reader<'_>) -> Result<(), JournalError> {
        for index in self.bulk.unsigned() {
            let Some((signature, sha256)) = reader.signature(index)? else { continue };
            let body = reader.entry(index)?.unwrap_or_default();
            if let Some(Kind::Issuance(issuance)) = entry::decode(&body).map_err(corrupt)?.kind {
                self.demand_hash(index, &issuance.tbs, &issuance.issuer_spki_sha256, &signature, &sha256)?;
                self.audit.complete(index, sha256);
            }
        }
        Ok(())
    }
}

/// Whether the request behind a certificate that ended with this second since 1970 need not be kept any more.
pub(crate) fn ended_long_ago(not_after: i64, now_ms: i64) -> bool {
    not_after < now_ms.div_euclid(1000) - KEPT_SECS
}

/// The second before which a certificate must have ended to be of no interest to any entry that no checkpoint covers: not presented by its
/// caller, not ended by it, not on its list. Every entry of the future is one of those.
fn ended_secs(reader: &Reader<'_>) -> Result<i64, JournalError> {
    let size = reader.size()?;
    let covered = reader.checkpoint()?.map_or(0, |(covered, _)| covered.min(size));
    // The next list has what ended since the newest one was made.
    let mut earliest = reader.newest_list_secs(covered)?.unwrap_or(i64::MAX);
    let mut at = covered.min(size.saturating_sub(1));
    while at < size {
        let page = reader.leaves(at, PAGE)?;
        for (index, _, body) in &page {
            let time_unix_ms =
                entry::decode(body).map_err(|error| corrupt(format!("entry {index}: {error}")))?.time_unix_ms;
            earliest = earliest.min(time_unix_ms.div_euclid(1000));
        }
        let Some((last, ..)) = page.last() else { break };
        at = last + 1;
    }
    Ok(if earliest == i64::MAX { i64::MIN } else { earliest.saturating_sub(ENDED_SLACK_SECS) })
}

/// A table whose rows hold what no keeper writes is not as the entries say.
fn of_table<T>(table: &'static str, read: Result<T, JournalError>) -> Result<T, JournalError> {
    read.map_err(|error| match error {
        // A value of another type or range: the file itself is sound.
        JournalError::Database(DatabaseError(error)) if error.sqlite_error_code().is_none() => {
            JournalError::NotAsRecorded(vec![table])
        }
        error => error,
    })
}

fn is_of_the_service(entry: &Entry) -> bool {
    entry.actor.as_ref().is_some_and(|actor| actor.kind() == ActorKind::Service)
}

/// Full tiles of a tree of so many entries, on all levels (c2sp.org/tlog-tiles).
fn full_tiles(size: u64) -> u64 {
    let levels = std::iter::successors(Some(size / PAGE), |tiles| Some(tiles / PAGE));
    levels.take_while(|tiles| *tiles > 0).sum()
}

fn corrupt(what: impl ToString) -> JournalError {
    JournalError::Corrupt(what.to_string())
}
