//! What grows with the certificates: themselves, their lines, keys and revocations, and what was asked and spent.

use certs::TbsFields;
use ledger::entry::{self, entry::Kind};
use rusqlite::OptionalExtension;

use super::authority::sets_the_clock;
use super::{Applied, State, corrupt};
use crate::journal::JournalError;
use crate::journal::revocation::Scope;
use crate::journal::rows::payer;

impl State<'_> {
    /// The entries of the certificates that were revoked.
    pub(super) fn bulk(&self) -> Result<Vec<u64>, JournalError> {
        let mut revoked = Vec::new();
        match self.kind()? {
            Kind::Issuance(issuance) => self.issuance(issuance)?,
            Kind::Abandonment(abandonment) => self.abandonment(abandonment)?,
            Kind::Revocation(revocation) => revoked = self.revocation(revocation)?,
            Kind::Act(act) => {
                if sets_the_clock(act)? {
                    self.run("DELETE FROM agent_ended", ())?;
                }
                revoked = self.repeated()?;
            }
            _ => {}
        }
        self.request()?;
        Ok(revoked)
    }

    fn issuance(&self, issuance: &entry::Issuance) -> Applied {
        let tbs = TbsFields::parse(&issuance.tbs).map_err(corrupt)?;
        let previous: Option<u64> = self
            .connection
            .prepare_cached("SELECT newest FROM line WHERE subject = ?1")?
            .query_row([&issuance.subject], |row| row.get(0))
            .optional()?;
        let payer = self.payer(&issuance.grant)?;
        self.run(
            "INSERT INTO certificate \
             (idx, serial, subject, issuer, not_before, not_after, previous, controller, recorded_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            (
                self.index,
                &tbs.serial,
                &issuance.subject,
                &issuance.issuer_spki_sha256,
                tbs.not_before,
                tbs.not_after,
                previous,
                payer.as_deref(),
                self.record.time_unix_ms,
            ),
        )?;
        // A renewal keeps the lifetime with which the line began.
        self.run(
            "INSERT INTO line (subject, newest, lifetime_secs) VALUES (?1, ?2, ?3) \
             ON CONFLICT DO UPDATE SET newest = ?2, lifetime_secs = iif(?4, lifetime_secs, ?3)",
            (&issuance.subject, self.index, issuance.lifetime_seconds, issuance.renews.is_some()),
        )?;
        self.run(
            "INSERT OR IGNORE INTO identity_key (spki_sha256, subject) VALUES (?1, ?2)",
            (tbs.spki_sha256(), &issuance.subject),
        )
    }

    fn abandonment(&self, abandonment: &entry::Abandonment) -> Applied {
        let given_up =
            abandonment.certificate.as_ref().ok_or_else(|| corrupt("an abandonment of nothing"))?;
        self.run("UPDATE certificate SET abandoned = 1 WHERE idx = ?1", [given_up.index])
    }

    /// What is revoked follows from the entries before; the entry says how many, so that a difference is seen.
    fn revocation(&self, revocation: &entry::Revocation) -> Result<Vec<u64>, JournalError> {
        let scope = Scope::of(revocation, self.record)?;
        let revoked = scope.revoke(self.connection, self.index, revocation.reason)?;
        if revoked.len() as u64 != revocation.revoked {
            return Err(corrupt(format!(
                "it revokes {} certificates and says {}",
                revoked.len(),
                revocation.revoked
            )));
        }
        scope.remember(self.connection, self.index)?;
        Ok(revoked)
    }

    /// Revocations that a new epoch repeats, of certificates that the journal knows: those that are not revoked and have not ended.
    fn repeated(&self) -> Result<Vec<u64>, JournalError> {
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO revoked (idx, serial, issuer, not_after, at, reason, act) \
             SELECT c.idx, c.serial, c.issuer, c.not_after, r.at, r.reason, r.act FROM repeated r \
             JOIN certificate c ON c.serial = r.serial WHERE r.act = ?1 AND c.not_after >= r.at \
             AND NOT EXISTS (SELECT 1 FROM revoked WHERE revoked.idx = c.idx) RETURNING idx",
        )?;
        let revoked = statement.query_map([self.index], |row| row.get(0))?;
        Ok(revoked.collect::<Result<_, _>>()?)
    }

    /// Whose budget the entry draws on, where it draws on a grant: the controller that caused it, or that owns the agent that did.
    fn payer(&self, grant: &str) -> Result<Option<String>, JournalError> {
        let owner = |agent: &str| {
            let mut owner = self.connection.prepare_cached("SELECT owner FROM agent WHERE id = ?1")?;
            Ok(Some(owner.query_row([agent], |row| row.get(0))?))
        };
        payer(self.record, grant, owner)
    }

    /// Remembers what a request_id led to: of several entries the last.
    fn request(&self) -> Applied {
        let Some(actor) = self.record.actor.as_ref().filter(|_| !self.record.request_id.is_empty()) else {
            return Ok(());
        };
        self.run(
            "INSERT OR REPLACE INTO request (caller, request_id, fields_sha256, idx) VALUES (?1, ?2, ?3, ?4)",
            (&actor.identity, &self.record.request_id, &self.record.fields_sha256, self.index),
        )
    }
}
