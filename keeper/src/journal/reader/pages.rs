//! Whole tables and pages of them, for holding the journal against its entries.

use ledger::Hash;
use rusqlite::{Connection, Row};

use super::super::JournalError;
use super::super::rows::{CertificateRow, RevokedWhole, certificate_row, revoked_row};
use super::{CERTIFICATE, Read, Reader};

/// A row of `lines`: subject, newest, lifetime in seconds.
type LineRow = (String, u64, u32);
/// A row of `signature`: entry, signature, SHA-256 of what it completes.
type SignatureRow = (u64, Vec<u8>, [u8; 32]);

const REVOKED: &str = "SELECT idx, serial, issuer, not_after, at, reason, act FROM revoked";

impl Reader<'_> {
    /// The connection, for tables of every shape, within a transaction.
    pub(in super::super) fn raw(&self) -> &Connection {
        self.database().raw()
    }

    /// Reads as of one moment.
    ///
    /// # Errors
    /// What reading meets with, or the disk's.
    pub(crate) fn within<T>(&self, read: impl FnOnce(&Self) -> Read<T>) -> Read<T> {
        self.database().within(|_| read(self))
    }

    /// Trust domain, and origin of the log.
    pub(crate) fn meta(&self) -> Read<(String, String)> {
        let row = self.one("SELECT cell, origin FROM meta", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        row.ok_or_else(|| JournalError::Corrupt("it has no name".into()))
    }

    /// Leaf hashes and bodies of the entries from `start`, at most `limit`.
    pub(crate) fn leaves(&self, start: u64, limit: u64) -> Read<Vec<(u64, Hash, Vec<u8>)>> {
        let sql = "SELECT idx, leaf_hash, body FROM entry WHERE idx >= ?1 ORDER BY idx LIMIT ?2";
        self.many(sql, (start, limit), |row| {
            Ok((row.get(0)?, Hash::from_bytes(row.get::<_, [u8; 32]>(1)?), row.get(2)?))
        })
    }

    /// Certificates of the entries from `start` up to, not including, `end`.
    pub(crate) fn certificates_between(&self, start: u64, end: u64) -> Read<Vec<CertificateRow>> {
        let sql = format!("{CERTIFICATE} WHERE idx >= ?1 AND idx < ?2 ORDER BY idx");
        self.many(&sql, (start, end), certificate_row)
    }

    /// Signatures beside those, with the SHA-256 of what each completes.
    pub(crate) fn signatures_between(&self, start: u64, end: u64) -> Read<Vec<SignatureRow>> {
        let sql = "SELECT idx, signature, certificate_sha256 FROM signature WHERE idx >= ?1 AND idx < ?2 ORDER BY idx";
        self.many(sql, (start, end), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
    }

    /// Bodies of requests beside those.
    pub(crate) fn signed_requests_between(&self, start: u64, end: u64) -> Read<Vec<(u64, Vec<u8>)>> {
        let sql = "SELECT idx, body FROM signed_request WHERE idx >= ?1 AND idx < ?2 ORDER BY idx";
        self.many(sql, (start, end), |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// That no row lies beside an entry that is not there: before the first, or beyond the last, wherever a number may stand.
    ///
    /// # Errors
    /// [`JournalError::NotAsRecorded`] of what follows from entries, [`JournalError::Corrupt`] of what they are.
    pub(crate) fn demand_beside_entries(&self, size: u64) -> Read<()> {
        for table in ["entry", "signature", "signed_request", "crl_input", "certificate", "revoked"] {
            let sql = format!(
                "SELECT 1 FROM {table} WHERE typeof(idx) <> 'integer' OR idx < 0 OR idx >= ?1 LIMIT 1"
            );
            if self.one(&sql, [size], |_| Ok(()))?.is_none() {
                continue;
            }
            return Err(match table {
                "certificate" => JournalError::NotAsRecorded(vec!["certificate"]),
                "revoked" => JournalError::NotAsRecorded(vec!["revoked"]),
                _ => JournalError::Corrupt(format!("{table} has a row of no entry")),
            });
        }
        Ok(())
    }

    /// The exact inputs of all CRLs that are kept, by the index of the entry.
    pub(crate) fn crl_inputs(&self) -> Read<Vec<(u64, Vec<u8>)>> {
        self.many("SELECT idx, tbs FROM crl_input ORDER BY idx", [], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// The newest signed CRL of an issuer whose input is not there.
    pub(crate) fn signed_crl_without_input(&self) -> Read<Option<u64>> {
        let sql = "WITH signed AS (SELECT crl.idx, issuer, number FROM crl JOIN signature ON signature.idx = crl.idx) \
                   SELECT idx FROM signed WHERE number = (SELECT max(number) FROM signed AS other WHERE other.issuer = signed.issuer) \
                   AND NOT EXISTS (SELECT 1 FROM crl_input WHERE crl_input.idx = signed.idx) LIMIT 1";
        self.one(sql, [], |row| row.get(0))
    }

    pub(crate) fn lines(&self) -> Read<Vec<LineRow>> {
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        self.many("SELECT subject, newest, lifetime_secs FROM line", [], read)
    }

    /// How many public keys were certified.
    pub(crate) fn key_count(&self) -> Read<u64> {
        Ok(self.one("SELECT count(*) FROM identity_key", [], |row| row.get(0))?.unwrap_or(0))
    }

    /// By caller and idempotency key, the entry that each request led to last.
    pub(crate) fn requests(&self, mut each: impl FnMut(&str, &str, u64)) -> Read<()> {
        self.each("SELECT caller, request_id, idx FROM request", |row| {
            each(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?, row.get(2)?);
            Ok(())
        })
    }

    /// By agent's path and controller, the entry that ended all before it.
    pub(crate) fn agents_ended(&self) -> Read<Vec<((String, String), u64)>> {
        let read = |row: &Row<'_>| Ok(((row.get(0)?, row.get(1)?), row.get(2)?));
        self.many("SELECT subject, controller, idx FROM agent_ended", [], read)
    }

    /// Certificates that the journal knows and whose revocation a new epoch repeated, each as it must stand among the revoked.
    pub(crate) fn repeated_of_certificates(&self) -> Read<Vec<u64>> {
        let sql = "SELECT c.idx FROM repeated r JOIN certificate c ON c.serial = r.serial \
                   WHERE c.idx < r.act AND c.not_after >= r.at AND NOT EXISTS \
                   (SELECT 1 FROM revoked WHERE revoked.idx = c.idx AND revoked.act <> r.act AND revoked.act < r.act)";
        self.many(sql, [], |row| row.get(0))
    }

    /// Reads all rows, one at a time.
    fn each(&self, sql: &str, mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<()>) -> Read<()> {
        self.database().within(|connection| {
            let mut statement = connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                read(row)?;
            }
            Ok(())
        })
    }

    /// The revocations by one entry.
    pub(in super::super) fn revoked_by(&self, act: u64) -> Read<Vec<RevokedWhole>> {
        self.many(&format!("{REVOKED} WHERE act = ?1"), [act], revoked_row)
    }

    pub(crate) fn all_revoked(&self) -> Read<Vec<RevokedWhole>> {
        self.many(REVOKED, [], revoked_row)
    }
}
