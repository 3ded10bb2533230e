//! The sequencer's part in a CRL: steps 7 and 10.

use std::time::Instant;

use audit::entries::is_of_its_time;
use ledger::entry::entry::Kind;

use super::{Outbox, Sequencer};
use crate::command::Ended;
use crate::journal::{CrlRow, JournalError};
use crate::steps::crl::{ComposedCrl, VerifiedCrl};

impl Sequencer {
    /// Step 7 of a CRL: its entry, and beside it the exact input that the entry has the hash of.
    pub(super) fn record_crl(&mut self, composed: ComposedCrl, outbox: &mut Outbox) -> Result<(), Ended> {
        if self.damaged.is_some() || self.time.now_ms().is_err() {
            self.crls.ended(false, Instant::now());
            return Ok(());
        }
        if !composed.is_as_revoked(&self.journal)? {
            return Err(JournalError::NotAsRecorded(vec!["revoked"]).into());
        }
        let entry = self.own_entry(Kind::Crl(composed.entry().clone()));
        // It took long, or the clock was set since: the next one is of now.
        if !is_of_its_time(composed.entry(), entry.time_unix_ms) {
            self.crls.ended(false, Instant::now());
            return Ok(());
        }
        let appended = self.journal.append(&entry)?;
        self.journal.store_crl_input(appended.index, composed.tbs())?;
        self.journal.let_unsigned_crls_go(appended.index)?;
        self.crls.recorded(CrlRow::of(appended.index, composed.entry()));
        outbox.crl = Some((appended, composed));
        Ok(())
    }

    /// Step 10 of a CRL.
    pub(super) fn store_crl(&mut self, verified: &VerifiedCrl, outbox: &mut Outbox) -> Result<(), Ended> {
        self.journal.store_signature(verified.index, &verified.signature, &verified.sha256)?;
        self.journal.let_crls_go(&self.issuer.spki_sha256(), verified.index)?;
        self.crls.ended(true, Instant::now());
        outbox.crl_signed = self.crls.newest().map(|row| row.number);
        Ok(())
    }
}
