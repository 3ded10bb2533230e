//! One ask: planned, refused or recorded (steps 3 to 7), answered, or let go to the readers.

use std::time::{Duration, Instant};

use ledger::entry::Entry;
use ledger::entry::entry::Kind;
use proto::door::{self, answer};
use proto::v1::Reason;

use super::certificate::proposal_answer;
use super::{Outbox, Pending, Sequencer, Waiter};
use crate::answers;
use crate::asks::{Change, Own, Read};
use crate::callers::{Asked, Asker};
use crate::command::Ended;
use crate::journal::JournalError;
use crate::metrics::Step;
use crate::out::Reply;
use crate::refusal::Refusal;
use crate::refused::{Shown, Was, Whose};
use crate::requests::{self, Desk, Plan, Then};
use crate::steps::{Recordable, release};

impl Sequencer {
    /// What the sequencer knows itself.
    pub(super) fn answer(&mut self, asked: &Asked<Own>, reply: Reply, outbox: &mut Outbox) {
        let answer = match (asked.what, &asked.by) {
            (Own::Status, Asker::Local(_)) => {
                self.status().map(answer::Answer::GetStatus).map_err(Refusal::from)
            }
            (Own::Metrics, Asker::Local(_) | Asker::Front) => {
                let text = self.measured().map(|text| answer::Answer::GetMetrics(door::Metrics { text }));
                text.map_err(Refusal::from)
            }
            // Reasons name tokens and paths: who is not on this machine learns only ready or not.
            (Own::Status | Own::Metrics, _) => Err(Refusal::not_allowed("a caller over the network")),
        };
        outbox.replies.push((reply, answer));
    }

    /// Steps 3 to 7.
    pub(super) fn change(
        &mut self,
        by: &Asker,
        change: Change,
        reply: Reply,
        outbox: &mut Outbox,
    ) -> Result<(), Ended> {
        // The front that asked was replaced since: it may have been in other hands.
        if reply.is_of_no_front() {
            return Ok(());
        }
        let began = Instant::now();
        let signs = matches!(&change, Change::Signed(Ok(signed)) if signed.request().is_for_a_certificate());
        // Those before it. One that is first is taken: how long the token takes now, only a signature tells.
        let wait = if signs { self.pulse.time_for(self.pending.len()) } else { Duration::ZERO };
        let late = reply.is_late_after(wait, Instant::now());
        let (now_ms, clock) = match self.time.now_ms() {
            Ok(now_ms) => (now_ms, Ok(())),
            Err(wrong) => (self.time.untrusted_ms(), Err(wrong)),
        };
        let mut desk = Desk {
            reader: self.journal.reader(),
            settings: &self.settings,
            issuer: &self.issuer,
            entropy: &mut self.entropy,
            probe: &self.probe,
            swept: &mut self.swept,
            room: self.disk.room(),
            now_ms,
            clock,
            next: self.journal.edge().size(),
        };
        let planned = if self.switching {
            Err((switching(), String::new()))
        } else if let Some(damage) = &self.damaged {
            let message =
                format!("the journal is damaged, and nothing more is recorded: {}", damage.remedy());
            Err((Refusal::new(Reason::Internal, message), String::new()))
        } else if late {
            Err((too_late(), String::new()))
        } else {
            requests::plan(&mut desk, by, &change)
        };
        if signs {
            self.metrics.step(Step::Plan, began.elapsed());
        }
        match planned {
            Err((refusal, mut caller)) => {
                self.metrics.refusal(refusal.reason());
                let request = match &change {
                    Change::Signed(Ok(signed)) => {
                        // It was good once: that it is shown again is no word of its caller's.
                        if !caller.is_empty() && signed.was_carried_out(&self.journal.reader(), &caller)? {
                            caller.clear();
                        }
                        Some(Shown { sha256: signed.sha256(), signed_ms: signed.signature().time_unix_ms })
                    }
                    _ => None,
                };
                let answerable = self.answerable(&caller)?;
                let whose = Whose { caller, answerable };
                let was = self.refused.count(&whose, request, refusal.reason(), now_ms);
                if let Some(clash) = refusal.clash().filter(|_| was == Was::New) {
                    self.refused.clash(&whose.answerable, clash, now_ms);
                }
                outbox.replies.push((reply, Err(refusal)));
            }
            Ok(Plan::Answer(answer)) => outbox.replies.push((reply, Ok(*answer))),
            Ok(Plan::Await(index)) => self.attach(index, reply, outbox)?,
            Ok(Plan::Record { entries, certificate, then }) => {
                let body = match &change {
                    Change::Signed(Ok(signed)) => Some(signed.body()),
                    _ => None,
                };
                self.record((entries, certificate), &then, body, reply, outbox)?;
            }
        }
        Ok(())
    }

    /// Who answers for what a caller does: for an agent the controller that owns it.
    fn answerable(&self, caller: &str) -> Result<String, JournalError> {
        let Some(agent) = caller.strip_prefix("/agent/") else { return Ok(caller.to_owned()) };
        let owner = self.journal.reader().agent(agent)?.map(|row| row.record.owner);
        Ok(owner.map_or_else(|| caller.to_owned(), |owner| format!("/controller/{owner}")))
    }

    /// Step 7. From here on nothing refuses.
    fn record(
        &mut self,
        (entries, certificate): (Vec<Entry>, Option<Recordable>),
        then: &Then,
        body: Option<&[u8]>,
        reply: Reply,
        outbox: &mut Outbox,
    ) -> Result<(), Ended> {
        let mut first = None;
        let of_certificate = certificate.as_ref().map(Recordable::entry);
        let mut last = None;
        for (i, entry) in entries.iter().chain(of_certificate).enumerate() {
            let appended = self.journal.append(entry)?;
            last = Some(appended);
            if let (None, Some(body)) = (first, body) {
                self.journal.store_request(appended.index, body)?;
            }
            first = first.or(Some(appended));
            if let Then::Imported { signed, .. } = then
                && let Some(Some((signature, sha256))) = signed.get(i)
            {
                self.journal.store_signature(appended.index, signature, sha256)?;
            }
            if let Some(Kind::Revocation(revocation)) = &entry.kind
                && revocation.revoked > 0
            {
                self.crls.want();
            }
        }
        outbox.thawed |= matches!(then, Then::Proposal { thaws: true, .. });
        if let Then::Proposal { clock: true, .. } = then {
            self.time.confirm();
            outbox.clock = true;
            self.shared.clock_is_set();
            self.time.trusted_ms().into_iter().for_each(|trusted_ms| self.remembered.keep(trusted_ms));
            // What was recorded by a clock that was ahead is no floor any more.
            let _ = self.journal.take_latest_ms();
        }
        if let Then::Imported { switches, bundle, .. } = then {
            outbox.bundle |= bundle;
            if *switches {
                // What has begun is finished under the issuer that it was begun with; nothing more is begun.
                tracing::info!("another issuer signs from now on: the keeper starts anew");
                (self.switching, self.stopping) = (true, true);
            }
        }
        let receipt = || first.map(|first| release::receipt(&self.settings.origin, first.index, first.leaf));
        let answer = match (last.zip(certificate), then) {
            (Some((appended, certificate)), then) => {
                let act = if let Then::Proposal { .. } = then { receipt() } else { None };
                let first = first.map_or(appended.index, |first| first.index);
                self.pending.insert(appended.index, Pending { first, waiters: vec![Waiter { reply, act }] });
                outbox.issued.push((appended, certificate));
                return Ok(());
            }
            (None, Then::Proposal { revoked, .. }) => Ok(proposal_answer(receipt(), None, *revoked)),
            (None, Then::Imported { switches, .. }) => {
                Ok(answer::Answer::ImportCeremony(proto::v1::ImportCeremonyResponse {
                    receipt: receipt(),
                    switches: *switches,
                }))
            }
            (None, Then::Revoked(revoked)) => Ok(requests::revoked(*revoked, receipt())),
            (None, then) => answers::after(&self.journal.reader(), &self.settings.cell, then, receipt()),
        };
        outbox.replies.push((reply, answer));
        Ok(())
    }

    /// Lets a read go to the readers once a checkpoint covers enough entries.
    pub(super) fn cover(&mut self, asked: Asked<Read>, reply: Reply) {
        let have = self.journal.edge().size();
        let size = asked.what.covers(have).unwrap_or_default();
        if size > have {
            reply.send(Err(Refusal::new(Reason::NotFound, format!("the log has {have} entries"))));
        } else if self.checkpoints.covers(size) {
            self.readers.read(asked, reply);
        } else {
            self.checkpoints.wait(size, (asked, reply));
        }
    }
}

fn switching() -> Refusal {
    let message = "another issuer takes over, and the keeper starts anew: try again";
    Refusal::new(Reason::KeeperUnavailable, message).retry(500)
}

fn too_late() -> Refusal {
    Refusal::new(
        Reason::DeadlineExceeded,
        "the deadline is over, or would be before the certificate is signed: nothing was recorded; ask again with more time",
    )
}
