//! Charters, trust bundles and CA certificates.

use ledger::charter::Charter;

use super::super::memory::Memory;
use super::super::rows::{CaRow, ca_row};
use super::{Read, Reader};

impl Reader<'_> {
    /// The charter in force: revision and note.
    pub fn charter(&self) -> Read<Option<(u64, String)>> {
        let sql = "SELECT revision, note FROM charter ORDER BY revision DESC LIMIT 1";
        self.deciding_one(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Every charter's note, the first one first.
    pub fn charters(&self) -> Read<Vec<String>> {
        self.deciding_many("SELECT note FROM charter ORDER BY revision", [], |row| row.get(0))
    }

    /// The charter in force, where the writer has verified it since it last changed.
    pub(crate) fn remembered_charter(&self) -> Option<Charter> {
        self.memory().and_then(Memory::charter)
    }

    /// Remembers it, for the writer.
    pub(crate) fn remember_charter(&self, charter: &Charter) {
        if let Some(memory) = self.memory() {
            memory.keep_charter(charter);
        }
    }

    /// The trust bundle in force: number and note.
    pub fn bundle(&self) -> Read<Option<(u64, String)>> {
        let sql = "SELECT number, note FROM bundle ORDER BY number DESC LIMIT 1";
        self.deciding_one(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// The notes of every trust bundle, the first one first.
    pub fn bundles(&self) -> Read<Vec<String>> {
        self.deciding_many("SELECT note FROM bundle ORDER BY number", [], |row| row.get(0))
    }

    /// Every CA certificate.
    pub fn cas(&self) -> Read<Vec<CaRow>> {
        self.deciding_many("SELECT idx, spki_sha256, signer FROM ca ORDER BY idx", [], ca_row)
    }

    /// The issuer that signs.
    pub fn active_issuer(&self) -> Read<Option<CaRow>> {
        self.deciding_one("SELECT idx, spki_sha256, signer FROM ca WHERE active = 1", [], ca_row)
    }
}
