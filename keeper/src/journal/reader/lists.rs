//! What was revoked, and the lists of it.

use certs::crl::Revoked;

use ledger::entry::revocation::Target;

use super::super::JournalError;
use super::super::revocation::Scope;
use super::super::rows::{CrlRow, RevokedRow, crl_row};
use super::{Read, Reader};

/// A serial number with when it was revoked, in seconds since 1970, and why (RFC 5280 §5.3.1).
type Listed = (Vec<u8>, (i64, i32));

const CRL: &str = "SELECT idx, number, this_update, next_update, revoked, covers FROM crl";

impl Reader<'_> {
    /// The revocation of a certificate, by the index of its entry.
    pub fn revoked(&self, index: u64) -> Read<Option<RevokedRow>> {
        self.one("SELECT at, reason, act FROM revoked WHERE idx = ?1", [index], |row| {
            Ok(RevokedRow { at: row.get(0)?, reason: row.get(1)?, act: row.get(2)? })
        })
    }

    /// Whose the one certificate is that a scope names, by the file: where it is looked for first.
    pub(in super::super) fn subject_of(&self, scope: &Scope) -> Read<Option<String>> {
        Ok(match scope.target() {
            Target::Certificate(one) => self.certificate(one.index)?.map(|row| row.subject),
            Target::Agent(_) | Target::IssuedSince(_) => None,
        })
    }

    /// How many certificates a revocation would end.
    pub(crate) fn revocable(&self, scope: &Scope) -> Read<u64> {
        let count = self.database().within(|connection| Ok(scope.count(connection)?))?;
        let subject = self.subject_of(scope)?;
        match self.in_memory(|lines| lines.count(scope, subject.as_deref())) {
            Some(known) if known != count => Err(JournalError::NotAsRecorded(vec!["revoked"])),
            _ => Ok(count),
        }
    }

    /// What a CRL of this issuer lists: every certificate revoked by an entry below `covers` and not expired at `since_secs`.
    pub fn revoked_certificates(&self, issuer: &[u8], covers: u64, since_secs: i64) -> Read<Vec<Revoked>> {
        // What a new epoch repeats stands on a list whether the journal knows the certificate or not, and once.
        let sql = "SELECT serial, at, reason FROM revoked WHERE issuer = ?1 AND act < ?3 AND not_after >= ?2 \
                   UNION ALL SELECT serial, at, reason FROM repeated WHERE issuer = ?1 AND act < ?3 AND not_after >= ?2 \
                   AND NOT EXISTS (SELECT 1 FROM certificate c JOIN revoked r ON r.idx = c.idx WHERE c.serial = repeated.serial)";
        let rows: Vec<(Vec<u8>, u64, i32)> =
            self.many(sql, (issuer, since_secs, covers), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let listed = |(serial, revoked_at, reason): (Vec<u8>, u64, i32)| {
            let reason = reason
                .try_into()
                .map_err(|_| JournalError::Corrupt(format!("a revocation for reason {reason}")))?;
            Ok(Revoked { serial, revoked_at, reason })
        };
        rows.into_iter().map(listed).collect()
    }

    /// What of it a new epoch repeats, whether the journal knows the certificate or not.
    pub(in super::super) fn repeated(
        &self,
        issuer: &[u8],
        covers: u64,
        since_secs: i64,
    ) -> Read<Vec<Listed>> {
        let sql =
            "SELECT serial, at, reason FROM repeated WHERE issuer = ?1 AND act < ?3 AND not_after >= ?2";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)));
        self.deciding_many(sql, (issuer, since_secs, covers), read)
    }

    /// Certificates revoked and not expired.
    pub fn revoked_live(&self, now_secs: i64) -> Read<u64> {
        let live =
            self.one("SELECT count(*) FROM revoked WHERE not_after >= ?1", [now_secs], |row| row.get(0))?;
        Ok(live.unwrap_or_default())
    }

    /// When the newest list below an entry was made, signed or not, of the issuer that signs now and of each that has lists above: the earliest of
    /// these, in seconds since 1970.
    pub(crate) fn newest_list_secs(&self, below: u64) -> Read<Option<i64>> {
        // Beside max(), SQLite gives the columns of its row: the next list counts from the newest by number, whatever its clock said.
        let sql = "SELECT min(made) FROM (SELECT this_update AS made, max(number) FROM crl WHERE idx < ?1 \
                   AND issuer IN (SELECT spki_sha256 FROM ca WHERE active = 1 UNION SELECT issuer FROM crl WHERE idx >= ?1) \
                   GROUP BY issuer)";
        Ok(self.one(sql, [below], |row| row.get(0))?.flatten())
    }

    /// The newest recorded CRL of an issuer.
    pub fn crl(&self, issuer: &[u8]) -> Read<Option<CrlRow>> {
        self.deciding_one(&format!("{CRL} WHERE issuer = ?1 ORDER BY number DESC LIMIT 1"), [issuer], crl_row)
    }

    /// The newest CRL of an issuer that is signed.
    pub fn signed_crl(&self, issuer: &[u8]) -> Read<Option<CrlRow>> {
        let sql = format!(
            "{CRL} WHERE issuer = ?1 AND EXISTS (SELECT 1 FROM signature WHERE signature.idx = crl.idx) ORDER BY number DESC LIMIT 1"
        );
        self.one(&sql, [issuer], crl_row)
    }

    /// Whether anything was revoked by an entry from `index` on.
    pub fn revoked_since(&self, index: u64) -> Read<bool> {
        if self.in_memory(|lines| lines.revoked_since(index)) == Some(true) {
            return Ok(true);
        }
        let sql =
            "SELECT 1 FROM revoked WHERE act >= ?1 UNION ALL SELECT 1 FROM repeated WHERE act >= ?1 LIMIT 1";
        Ok(self.one(sql, [index], |_| Ok(()))?.is_some())
    }

    /// The exact input of a recorded CRL.
    pub fn crl_input(&self, index: u64) -> Read<Option<Vec<u8>>> {
        self.one("SELECT tbs FROM crl_input WHERE idx = ?1", [index], |row| row.get(0))
    }
}
