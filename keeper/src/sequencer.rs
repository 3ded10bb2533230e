//! The sequencer: one thread that decides, appends and commits, many requests at a time.
//!
//! It owns the journal's writing end, so every decision sees every decision before it. A batch is what waited while the one before was
//! being made durable: under load that is many requests for one fsync, alone it is one without delay.

mod command;
mod crl;
mod measure;
mod own;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use certs::Issuer;
use crossbeam_channel::{Receiver, Sender, select};
use ledger::entry::entry::Kind;
use ledger::entry::{Entry, Issuance};
use proto::door::{self, Ask, CrlChanged, answer, ask};
use proto::v1::{self, Reason};

use crate::Probe;
use crate::answers;
use crate::checkpoints::Checkpoints;
use crate::crls::Crls;
use crate::door::{OpenDoors, Reply};
use crate::entropy::Entropy;
use crate::journal::{Appended, CertificateRow, Durability, Journal, JournalError};
use crate::metrics::{Metrics, Step};
use crate::refusal::Refusal;
use crate::refused::Refused;
use crate::requests::{self, Desk, Plan, Settings, Then};
use crate::rollback::Newest;
use crate::status::Standing;
use crate::steps::crl::{ComposedCrl, RecordedCrl};
use crate::steps::release::{self, Release};
use crate::steps::{Recorded, Verified};
use crate::time::Time;
use crate::workers::{Job, Pulse, Worker};

pub(crate) use command::Command;
pub use command::Ended;
pub(crate) use own::{abandonment, own_entry};

/// Most commands in one batch.
const BATCH: usize = 128;
/// Most certificates that wait for the token; beyond it asks stay in their queue.
const PENDING_MAX: usize = 4096;
/// How often time alone is looked at.
const TICK: Duration = Duration::from_millis(200);
/// A token that takes longer for a signature is always left to the workers.
const QUICK: Duration = Duration::from_micros(500);

pub(crate) struct Sequencer {
    pub(crate) journal: Journal,
    pub(crate) settings: Settings,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) entropy: Entropy,
    pub(crate) time: Time,
    pub(crate) probe: Probe,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) crls: Crls,
    /// For the thread that keeps it in the token.
    pub(crate) newest: Newest,
    pub(crate) refused: Refused,
    pub(crate) standing: Standing,
    pub(crate) metrics: Metrics,
    pub(crate) pulse: Pulse,
    /// Counts its turns, for whoever looks whether it turns at all.
    pub(crate) turns: Arc<AtomicU64>,
    /// A session of its own, for a certificate that is alone.
    pub(crate) own: Worker,
    pub(crate) asks: Receiver<Command>,
    pub(crate) done: Receiver<Command>,
    pub(crate) jobs: Sender<Job>,
    pub(crate) readers: Sender<(Ask, Reply)>,
    /// Who waits for the certificate of an entry. An entry is here from its commit until its signature is stored.
    pub(crate) pending: HashMap<u64, Vec<Waiter>>,
    pub(crate) doors: OpenDoors,
    /// Why nothing more is recorded.
    pub(crate) damaged: Option<String>,
    pub(crate) stopping: bool,
}

/// Who waits for a certificate, and in which form.
#[derive(Debug)]
pub(crate) struct Waiter {
    reply: Reply,
    /// Where the answer is to a proposal: the receipt of the act.
    act: Option<v1::Receipt>,
}

/// What leaves once the batch is durable, and not before.
#[derive(Default)]
struct Outbox {
    replies: Vec<(Reply, Result<answer::Answer, Refusal>)>,
    /// Appended, and to be signed after the commit.
    issued: Vec<(Appended, Issuance)>,
    /// Likewise.
    crl: Option<(Appended, ComposedCrl)>,
    /// Reads that waited for a checkpoint: before the commit the readers would not see it.
    reads: Vec<(Ask, Reply)>,
    /// Signed: whoever watches is told its number.
    crl_signed: Option<u64>,
}

impl Sequencer {
    /// Runs until it is stopped or must end.
    pub(crate) fn run(mut self) -> Ended {
        loop {
            match self.turn() {
                Ok(true) => {}
                Ok(false) => {
                    if let Err(error) = self.journal.settle() {
                        tracing::warn!(
                            cause = error.to_string(),
                            "the write-ahead log stays beside the journal"
                        );
                    }
                    return Ended::Stopped;
                }
                Err(ended) => return ended,
            }
        }
    }

    /// One batch. `false` when everything that had begun is finished after a stop.
    fn turn(&mut self) -> Result<bool, Ended> {
        let batch = self.wait();
        self.turns.fetch_add(1, Ordering::Relaxed);
        let alone = self.batch(batch)?;
        if let Some(recorded) = alone {
            let report = self.own.work(Job::Certificate(recorded));
            self.batch(vec![report])?;
        }
        self.tend_checkpoint();
        if let (false, None, Ok(now_ms)) = (self.stopping, &self.damaged, self.time.now_ms()) {
            self.crls.tend(now_ms, self.journal.edge().size(), Instant::now());
        }
        let finished = self.pending.is_empty() && self.asks.is_empty() && self.done.is_empty();
        // A log that stops in order leaves no entry without a checkpoint over it.
        Ok(!(self.stopping && finished && self.checkpoints.covers(self.journal.edge().size())))
    }

    /// Carries a batch out and makes it durable. Gives back a certificate that the sequencer is to sign itself.
    fn batch(&mut self, batch: Vec<Command>) -> Result<Option<Recorded>, Ended> {
        // Of its own accord the service records nothing while the clock is wrong or the journal damaged.
        let now_ms = self.time.now_ms().ok().filter(|_| self.damaged.is_none());
        let refusals = now_ms.and_then(|now_ms| self.refused.due(now_ms));
        let entries = refusals.is_some()
            || batch.iter().any(|command| {
                matches!(command, Command::Ask(..) | Command::Unsignable { .. } | Command::CrlComposed(_))
            });
        if batch.is_empty() && !entries {
            return Ok(None);
        }
        let size = self.journal.edge().size();
        self.journal.begin(if entries { Durability::Disk } else { Durability::Kernel })?;
        let mut outbox = Outbox::default();
        for command in batch {
            self.handle(command, &mut outbox)?;
        }
        if let Some(refusals) = refusals {
            self.journal.append(&self.own_entry(Kind::Refusals(refusals)))?;
        }
        (self.probe)(if entries { "7 record, before the commit" } else { "10 store, before the commit" });
        if self.journal.edge().size() > size {
            self.time.recorded();
        }
        let began = Instant::now();
        self.journal.commit()?;
        (self.probe)(if entries { "7 record" } else { "10 store" });
        self.metrics.step(if entries { Step::Record } else { Step::Store }, began.elapsed());
        Ok(self.deliver(outbox))
    }

    /// Waits for a first command and takes what else is there. What the token has done goes first: it frees places.
    fn wait(&mut self) -> Vec<Command> {
        let mut batch = Vec::with_capacity(BATCH);
        let first = if self.pending.len() >= PENDING_MAX {
            self.done.recv_timeout(TICK).ok()
        } else {
            select! {
                recv(self.done) -> command => command.ok(),
                recv(self.asks) -> command => command.ok(),
                default(TICK) => None,
            }
        };
        batch.extend(first);
        batch.extend(self.done.try_iter().take(BATCH));
        let room = BATCH.saturating_sub(batch.len()).min(PENDING_MAX.saturating_sub(self.pending.len()));
        batch.extend(self.asks.try_iter().take(room));
        batch
    }

    fn handle(&mut self, command: Command, outbox: &mut Outbox) -> Result<(), Ended> {
        match command {
            Command::Ask(ask, reply) => self.ask(*ask, reply, outbox)?,
            Command::Verified(verified) => self.store(verified, outbox)?,
            Command::Unsignable { index, cause } => self.give_up(index, &cause, outbox)?,
            Command::CheckpointSigned { size, text, signature } => {
                let note = self.checkpoints.signed(size, &text, &signature).map_err(Ended::Token)?;
                self.journal.store_checkpoint(size, &note)?;
                self.newest.is(&note);
                outbox.reads.extend(self.checkpoints.covered());
            }
            Command::CrlComposed(composed) => self.record_crl(*composed, outbox)?,
            Command::CrlSigned(verified) => self.store_crl(&verified, outbox)?,
            Command::CrlFailed(cause) => {
                self.metrics.alarm("no_crl");
                tracing::error!(alarm = "no-crl", cause, "no CRL could be made: trying again");
                self.crls.ended(false, Instant::now());
            }
            Command::Damaged(cause) => {
                tracing::error!(
                    alarm = "journal-damaged",
                    cause,
                    "nothing more is recorded: restore a backup"
                );
                self.metrics.alarm("journal_damaged");
                self.damaged = Some(cause);
            }
            Command::TokenLost(cause) => return Err(Ended::Token(cause)),
            Command::Stop => self.stopping = true,
        }
        Ok(())
    }

    fn ask(&mut self, ask: Ask, reply: Reply, outbox: &mut Outbox) -> Result<(), Ended> {
        match covers(&ask) {
            Some(size) => self.cover(size, ask, reply),
            None if matches!(ask.ask, Some(ask::Ask::GetMetrics(_))) => {
                let text = self.measured().map(|text| answer::Answer::GetMetrics(door::Metrics { text }));
                outbox.replies.push((reply, text.map_err(Refusal::from)));
            }
            None if matches!(ask.ask, Some(ask::Ask::GetStatus(_))) => {
                let status = self.status();
                outbox.replies.push((reply, status.map(answer::Answer::GetStatus).map_err(Refusal::from)));
            }
            None => self.change(&ask, reply, outbox)?,
        }
        Ok(())
    }

    /// Steps 3 to 7.
    fn change(&mut self, ask: &Ask, reply: Reply, outbox: &mut Outbox) -> Result<(), Ended> {
        let began = Instant::now();
        let signs = matches!(ask.ask, Some(ask::Ask::Issue(_) | ask::Ask::Renew(_)));
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
            now_ms,
            clock,
            next: self.journal.edge().size(),
        };
        let planned = if self.damaged.is_some() {
            let message = "the journal is damaged: nothing more is recorded until a backup is restored";
            Err((Refusal::new(Reason::Internal, message), String::new()))
        } else if late {
            Err((too_late(), String::new()))
        } else {
            requests::plan(&mut desk, ask)
        };
        if signs {
            self.metrics.step(Step::Plan, began.elapsed());
        }
        match planned {
            Err((refusal, caller)) => {
                self.metrics.refusal(refusal.reason());
                self.refused.count(caller, refusal.reason(), now_ms);
                outbox.replies.push((reply, Err(refusal)));
            }
            Ok(Plan::Answer(answer)) => outbox.replies.push((reply, Ok(*answer))),
            Ok(Plan::Await(index)) => self.attach(index, reply, outbox)?,
            Ok(Plan::Record { entries, then }) => self.record(entries, &then, reply, outbox)?,
        }
        Ok(())
    }

    /// Step 7. From here on nothing refuses.
    fn record(
        &mut self,
        entries: Vec<Entry>,
        then: &Then,
        reply: Reply,
        outbox: &mut Outbox,
    ) -> Result<(), Ended> {
        let mut first = None;
        let mut certificate = None;
        for entry in entries {
            let appended = self.journal.append(&entry)?;
            first = first.or(Some(appended));
            match entry.kind {
                Some(Kind::Issuance(issuance)) => certificate = Some((appended, issuance)),
                Some(Kind::Revocation(_)) => self.crls.want(),
                _ => {}
            }
        }
        if let Then::Proposal { clock: true, .. } = then {
            self.time.confirm();
        }
        let receipt = || first.map(|first| release::receipt(&self.settings.origin, first.index, first.leaf));
        let answer = match (certificate, then) {
            (Some((appended, issuance)), then) => {
                let act = if let Then::Proposal { .. } = then { receipt() } else { None };
                self.pending.entry(appended.index).or_default().push(Waiter { reply, act });
                outbox.issued.push((appended, issuance));
                return Ok(());
            }
            (None, Then::Proposal { revoked, .. }) => Ok(proposal_answer(receipt(), None, *revoked)),
            (None, Then::Revoked(revoked)) => Ok(requests::revoked(*revoked, receipt())),
            (None, then) => answers::after(&self.journal.reader(), &self.settings.cell, then),
        };
        outbox.replies.push((reply, answer));
        Ok(())
    }

    /// A request that led to a certificate before: it is there, or it waits with the others.
    fn attach(&mut self, index: u64, reply: Reply, outbox: &mut Outbox) -> Result<(), Ended> {
        if let Some(waiters) = self.pending.get_mut(&index) {
            waiters.push(Waiter { reply, act: None });
            return Ok(());
        }
        let certificate = self.certificate(index)?;
        outbox.replies.push((reply, Ok(answer::Answer::Certificate(certificate))));
        Ok(())
    }

    fn certificate(&self, index: u64) -> Result<v1::Certificate, JournalError> {
        let (reader, row) = (self.journal.reader(), self.row(index)?);
        self.release().certificate(&reader, &row)
    }

    fn row(&self, index: u64) -> Result<CertificateRow, JournalError> {
        let row = self.journal.reader().certificate(index)?;
        row.ok_or_else(|| JournalError::Corrupt(format!("entry {index} is no certificate")))
    }

    fn release(&self) -> Release<'_> {
        Release { cell: self.settings.cell.as_ref(), origin: &self.settings.origin, issuers: &self.issuers }
    }

    /// Step 10.
    fn store(&mut self, verified: Verified, outbox: &mut Outbox) -> Result<(), Ended> {
        self.journal.store_signature(verified.index, &verified.signature, &verified.sha256)?;
        self.metrics.issued();
        let waiters = self.pending.remove(&verified.index).unwrap_or_default();
        if waiters.is_empty() {
            return Ok(());
        }
        let certificate = self.release().fresh(&self.row(verified.index)?, verified)?;
        for Waiter { reply, act } in waiters {
            let answer = match act {
                Some(receipt) => proposal_answer(Some(receipt), Some(certificate.clone()), 0),
                None => answer::Answer::Certificate(certificate.clone()),
            };
            outbox.replies.push((reply, Ok(answer)));
        }
        Ok(())
    }

    /// A certificate that cannot be signed counts as issued; the ledger says that nobody was given it.
    fn give_up(&mut self, index: u64, cause: &str, outbox: &mut Outbox) -> Result<(), Ended> {
        tracing::error!(entry = index, cause, "the token refuses to sign these bytes: given up");
        let entry = self.own_entry(abandonment(&self.settings.origin, index, "REFUSED_BY_TOKEN"));
        self.journal.append(&entry)?;
        for waiter in self.pending.remove(&index).unwrap_or_default() {
            let refusal = Refusal::new(
                Reason::TokenUnavailable,
                "the token refused to sign this certificate: try again",
            );
            outbox.replies.push((waiter.reply, Err(refusal.retry(1000))));
        }
        Ok(())
    }

    fn own_entry(&self, kind: Kind) -> Entry {
        own_entry(&self.settings, self.time.untrusted_ms(), kind)
    }

    /// After the commit: what is durable is signed, and answers leave.
    fn deliver(&mut self, outbox: Outbox) -> Option<Recorded> {
        let alone = outbox.issued.len() == 1 && self.is_alone();
        let mut issued =
            outbox.issued.into_iter().map(|(appended, issuance)| Recorded::after_commit(appended, issuance));
        let own = if alone { issued.next() } else { None };
        for recorded in issued {
            // The workers' end outlives this thread's.
            let _ = self.jobs.send(Job::Certificate(recorded));
        }
        if let Some((appended, composed)) = outbox.crl {
            let _ = self.jobs.send(Job::Crl(RecordedCrl::after_commit(appended, composed)));
        }
        for (ask, reply) in outbox.reads {
            self.read(ask, reply);
        }
        for (reply, outcome) in outbox.replies {
            reply.send(outcome);
        }
        if let Some(number) = outbox.crl_signed {
            self.doors.tell(&answer::Answer::CrlChanged(CrlChanged { number }));
        }
        self.doors.flush();
        (self.probe)("10 release");
        own
    }

    /// Whether a certificate is the only thing to do: then the hand-over to a worker and back would take longer than a quick token.
    fn is_alone(&self) -> bool {
        self.pending.len() == 1
            && self.asks.is_empty()
            && self.pulse.signature_time().is_some_and(|time| time <= QUICK)
    }

    /// Lets an ask go to the readers once a checkpoint covers `size` entries.
    fn cover(&mut self, size: u64, ask: Ask, reply: Reply) {
        if size > self.journal.edge().size() {
            reply.send(Err(Refusal::new(
                Reason::NotFound,
                format!("the log has {} entries", self.journal.edge().size()),
            )));
        } else if self.checkpoints.covers(size) {
            self.read(ask, reply);
        } else {
            self.checkpoints.wait(size, ask, reply);
        }
    }

    fn read(&self, ask: Ask, reply: Reply) {
        if let Err(crossbeam_channel::TrySendError::Full((_, reply))) = self.readers.try_send((ask, reply)) {
            reply.send(Err(Refusal::queue_full()));
        }
    }

    fn tend_checkpoint(&mut self) {
        if let Some(text) = self.checkpoints.due(self.journal.edge(), Instant::now(), self.stopping) {
            let _ = self.jobs.send(Job::Checkpoint { size: self.journal.edge().size(), text });
        }
    }
}

/// How many entries a checkpoint must cover before the ask can be answered; `None` for an ask that needs none.
fn covers(ask: &Ask) -> Option<u64> {
    match ask.ask.as_ref()? {
        // A log that has entries has a checkpoint: the smallest covers one.
        ask::Ask::GetCheckpoint(get) => Some(get.min_size.max(1)),
        ask::Ask::GetInclusionProof(get) => Some(get.index.saturating_add(1)),
        ask::Ask::GetConsistencyProof(get) => Some(get.old_size.max(1)),
        _ => None,
    }
}

fn too_late() -> Refusal {
    Refusal::new(
        Reason::DeadlineExceeded,
        "the deadline is over, or would be before the certificate is signed: nothing was recorded; ask again with more time",
    )
}

fn proposal_answer(
    receipt: Option<v1::Receipt>,
    certificate: Option<v1::Certificate>,
    revoked: u64,
) -> answer::Answer {
    answer::Answer::SubmitProposal(v1::SubmitProposalResponse { receipt, certificate, revoked })
}
