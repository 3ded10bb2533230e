//! What the sequencer tells of itself.

use std::time::Instant;

use proto::v1::{GetStatusResponse, Obstacle};

use super::Sequencer;
use crate::journal::JournalError;
use crate::metrics::Moment;

impl Sequencer {
    /// How the keeper stands.
    pub(super) fn status(&mut self) -> Result<GetStatusResponse, JournalError> {
        let answer = self.standing.answer(&self.journal, &self.checkpoints, &self.crls, self.pending.len());
        let mut status = match (answer, &self.damaged) {
            // What is damaged may be what is asked for.
            (Err(error), Some(_)) if error.is_damage() => GetStatusResponse {
                cell: self.journal.cell().to_owned(),
                origin: self.journal.origin().to_owned(),
                ..GetStatusResponse::default()
            },
            (answer, _) => answer?,
        };
        if let Err(wrong) = self.time.now_ms() {
            hinder(&mut status, Obstacle::ClockWrong, wrong.to_string());
        }
        if let Some(damage) = &self.damaged {
            let why = format!("the journal is damaged, {}: {}", damage.remedy(), damage.cause);
            let what = if damage.of_tables { Obstacle::TablesDiffer } else { Obstacle::JournalDamaged };
            hinder(&mut status, what, why);
        }
        if self.disk.room().is_low() {
            hinder(&mut status, Obstacle::DiskLow, self.disk.room().to_string());
        }
        if let Some(failed) = self.entropy.failed() {
            hinder(&mut status, Obstacle::EntropyFailed, failed.to_string());
        }
        Ok(status)
    }

    /// What the keeper measures, as text.
    pub(super) fn measured(&mut self) -> Result<String, JournalError> {
        let clock_wrong = self.time.now_ms().is_err();
        let reader = self.journal.reader();
        let (now_ms, freeze) = (self.time.untrusted_ms(), reader.freeze()?);
        let now_secs = now_ms.div_euclid(1000);
        let (issuer_secs, root_secs) = self.standing.secs_left(now_secs);
        Ok(self.metrics.text(&Moment {
            queue: self.local.len() + self.front.len() + self.asks.len(),
            pending: self.pending.len(),
            entries: (self.journal.edge().size(), self.checkpoints.size()),
            checkpoint_age: self.checkpoints.behind_for(self.journal.edge(), Instant::now()),
            issuer_secs,
            root_secs,
            dir: self.journal.dir(),
            disk_free: self.disk.room().free(),
            crl: self.crls.newest().map(|row| (row.number, row.next_update - now_secs)),
            revoked: reader.revoked_live(now_secs)?,
            clock_wrong,
            stopped: (freeze.frozen, freeze.stopped_until_ms > now_ms),
        }))
    }
}

fn hinder(status: &mut GetStatusResponse, what: Obstacle, why: String) {
    status.ready = false;
    status.obstacles.push(what.into());
    status.reasons.push(why);
}
