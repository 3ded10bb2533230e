//! The keeper's memory follows each entry that it appends, and what the file's tables make of one is held against it.

use certs::crl::Revoked;
use ledger::entry::entry::Kind;
use ledger::entry::revocation::Target;
use ledger::entry::{self, Revocation};

use super::revocation::Scope;
use super::{Journal, JournalError, projection};

impl Journal {
    /// Has the memory follow an entry, and holds against it what the file's tables made of it.
    ///
    /// # Errors
    /// [`JournalError::NotAsRecorded`]: somebody wrote to them, and no replay of the entries would end the same certificates.
    pub(super) fn follow(
        &self,
        index: u64,
        record: &entry::Entry,
        revoked: &[u64],
    ) -> Result<(), JournalError> {
        if let Some(Kind::Revocation(revocation)) = &record.kind {
            return self.follow_revocation(
                index,
                &Scope::of(revocation, record)?,
                revocation.reason,
                revoked,
            );
        }
        let reader = self.reader();
        // What is read from here on must not ask the memory.
        let mut lines = self.memory.lines.borrow_mut();
        let Some(lines) = lines.as_mut() else { return Ok(()) };
        match &record.kind {
            Some(Kind::Issuance(issuance)) => {
                let row = reader.recorded(index, record, issuance)?;
                let before = lines.lifetime(&row.subject).filter(|_| issuance.renews.is_some());
                let lifetime_secs = before.unwrap_or(issuance.lifetime_seconds);
                lines.record(&row, lifetime_secs, record.time_unix_ms);
            }
            Some(Kind::Abandonment(abandonment)) => {
                let given_up = abandonment.certificate.as_ref().map_or(u64::MAX, |to| to.index);
                let subject = reader.certificate(given_up)?.map(|row| row.subject);
                lines.abandon(subject.as_deref(), given_up);
            }
            Some(Kind::Act(_)) if !revoked.is_empty() => {
                lines.repeat(&reader.revoked_by(index)?)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Remembers what a caller or officers changed, and when that was signed.
    pub(super) fn follow_changes(&self, record: &entry::Entry) -> Result<(), JournalError> {
        let mut subject = None;
        match &record.kind {
            Some(Kind::Revocation(Revocation { target: Some(Target::Certificate(to)), .. })) => {
                subject = self.reader().proved(to.index)?.map(|row| row.subject);
            }
            Some(Kind::Act(act)) if projection::sets_the_clock(act)? => {
                self.memory.changes.borrow_mut().clock_confirmed(record.time_unix_ms);
            }
            _ => {}
        }
        self.memory.changes.borrow_mut().follow(record, |_| subject);
        Ok(())
    }

    fn follow_revocation(
        &self,
        index: u64,
        scope: &Scope,
        reason: i32,
        revoked: &[u64],
    ) -> Result<(), JournalError> {
        let reader = self.reader();
        let subject = reader.subject_of(scope)?;
        let mut lines = self.memory.lines.borrow_mut();
        let Some(lines) = lines.as_mut() else { return Ok(()) };
        lines.revoke(scope, (index, reason, revoked), subject.as_deref())
    }

    /// Whether a list has what it must have, by the keeper's own memory, and nothing else: each certificate with when it was revoked, and why.
    ///
    /// # Errors
    /// The memory's.
    pub(crate) fn is_as_revoked(
        &self,
        crl: &entry::Crl,
        expired_since: i64,
        listed: &[Revoked],
    ) -> Result<bool, JournalError> {
        let issuer = &crl.issuer_spki_sha256;
        let repeated = self.reader().repeated(issuer, crl.covers, expired_since)?;
        let mut lines = self.memory.lines.borrow_mut();
        let Some(lines) = lines.as_mut() else { return Ok(true) };
        let wanted = lines.listed(issuer, (crl.covers, expired_since), &repeated);
        let as_wanted = |one: &Revoked| {
            let (at, reason) = (i64::try_from(one.revoked_at), i32::from(one.reason.code()));
            wanted.get(one.serial.as_slice()).is_some_and(|wanted| at == Ok(wanted.0) && reason == wanted.1)
        };
        // None stands there twice: the list was held against the rules of RFC 5280.
        Ok(listed.len() == wanted.len() && listed.iter().all(as_wanted))
    }
}
