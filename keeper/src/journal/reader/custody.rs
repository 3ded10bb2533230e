//! Custody manifests.

use ledger::entry::{self, Custody, entry::Kind};

use super::super::JournalError;
use super::{Read, Reader};

impl Reader<'_> {
    /// The manifest of the founding, which alone has the root's key.
    pub fn founding_custody(&self) -> Read<Option<Custody>> {
        let index: Option<u64> =
            self.deciding_one("SELECT idx FROM custody ORDER BY idx LIMIT 1", [], |row| row.get(0))?;
        index.map(|index| self.custody(index)).transpose()
    }

    /// The newest manifest, with the index of its entry.
    pub fn newest_custody(&self) -> Read<Option<(u64, Custody)>> {
        self.newest_custody_index()?.map(|index| Ok((index, self.custody(index)?))).transpose()
    }

    /// The newest manifest below an entry, with the index of its own.
    pub(crate) fn newest_custody_below(&self, end: u64) -> Read<Option<(u64, Custody)>> {
        let sql = "SELECT idx FROM custody WHERE idx < ?1 ORDER BY idx DESC LIMIT 1";
        let index: Option<u64> = self.deciding_one(sql, [end], |row| row.get(0))?;
        index.map(|index| Ok((index, self.custody(index)?))).transpose()
    }

    /// The entry of the newest manifest.
    pub fn newest_custody_index(&self) -> Read<Option<u64>> {
        self.deciding_one("SELECT idx FROM custody ORDER BY idx DESC LIMIT 1", [], |row| row.get(0))
    }

    fn custody(&self, index: u64) -> Read<Custody> {
        let corrupt = |what: &str| JournalError::Corrupt(format!("entry {index}: {what}"));
        let body = self.entry(index)?.ok_or_else(|| corrupt("not there"))?;
        match entry::decode(&body).map_err(|error| corrupt(&error.to_string()))?.kind {
            Some(Kind::Custody(custody)) => Ok(custody),
            _ => Err(corrupt("no custody manifest")),
        }
    }
}
