//! The sequencer: one thread that decides, appends and commits, many requests at a time.
//!
//! It owns the journal's writing end, so every decision sees every decision before it. A batch is what waited while the one before was
//! being made durable: under load that is many requests for one fsync, alone it is one without delay.

//!
//! - `ask`: one ask, planned, refused or recorded; `certificate`, `crl`: what becomes of what was recorded
//! - `custody`: manifests; `outbox`: what leaves after the commit; `own`, `measure`: what it says itself, what it tells of itself

mod ask;
mod certificate;
mod crl;
mod custody;
mod measure;
mod outbox;
mod own;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use certs::Issuer;
use crossbeam_channel::{Receiver, select};
use ledger::entry::Entry;
use ledger::entry::entry::Kind;
use proto::v1;

use crate::Probe;
use crate::checkpoints::Checkpoints;
use crate::command::{Command, Damage, Ended};
use crate::crls::Crls;
use crate::disk::Disk;
use crate::entropy::Entropy;
use crate::journal::{Durability, Journal, JournalError, ended_long_ago};
use crate::manifest::Manifests;
use crate::metrics::{Metrics, Step};
use crate::out::{OpenDoors, Reply};
use crate::reads::Readers;
use crate::refused::Refused;
use crate::remembered::Remembered;
use crate::requests::Settings;
use crate::rollback::Newest;
use crate::scrub::Heartbeat;
use crate::shared::Shared;
use crate::status::Standing;
use crate::steps::Recorded;
use crate::stopping::{self, TakeError};
use crate::time::Time;
use crate::workers::{Job, Jobs, Pulse, Worker};

use outbox::Outbox;

pub(crate) use own::{abandonment, own_entry};

/// Most commands in one batch.
const BATCH: usize = 128;
/// Most certificates that wait for the token; beyond it asks stay in their queue.
const PENDING_MAX: usize = 4096;
/// How often time alone is looked at.
const TICK: Duration = Duration::from_millis(200);
/// How long the commands of one batch are carried out before it is committed and others are taken: what an officer waits for behind callers
/// that cost much.
const SLICE: Duration = Duration::from_millis(20);
/// How often it is looked for what officers laid beside the journal.
const LOOK: Duration = Duration::from_secs(1);
/// A token that takes longer for a signature is always left to the workers.
const QUICK: Duration = Duration::from_micros(500);

pub(crate) struct Sequencer {
    pub(crate) journal: Journal,
    pub(crate) settings: Settings,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) entropy: Entropy,
    /// It was said that a source of it failed.
    pub(crate) entropy_told: bool,
    /// What other threads are told.
    pub(crate) shared: Shared,
    pub(crate) time: Time,
    pub(crate) remembered: Remembered,
    pub(crate) probe: Probe,
    /// When each controller last revoked everything since a time, in milliseconds since 1970.
    pub(crate) swept: BTreeMap<String, i64>,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) crls: Crls,
    /// Taken, and not carried out within the slice of their batch.
    pub(crate) held: Vec<Command>,
    /// For the thread that keeps it in the token.
    pub(crate) newest: Newest,
    pub(crate) manifests: Manifests,
    pub(crate) refused: Refused,
    pub(crate) standing: Standing,
    pub(crate) metrics: Metrics,
    pub(crate) pulse: Pulse,
    /// When it was last looked for what lies beside the journal.
    pub(crate) looked: Instant,
    pub(crate) disk: Disk,
    /// Of the thread that compares the file with its entries.
    pub(crate) scrub: Heartbeat,
    /// Counts its turns, for whoever looks whether it turns at all.
    pub(crate) turns: Arc<AtomicU64>,
    /// A session of its own, for a certificate that is alone.
    pub(crate) own: Worker,
    /// Of officers and programs on this machine: taken first.
    pub(crate) local: Receiver<Command>,
    /// Of the front itself: taken before callers' asks.
    pub(crate) front: Receiver<Command>,
    pub(crate) asks: Receiver<Command>,
    pub(crate) done: Receiver<Command>,
    pub(crate) jobs: Jobs,
    pub(crate) readers: Readers,
    /// Who waits for the certificate of an entry. An entry is here from its commit until its signature is stored.
    pub(crate) pending: HashMap<u64, Pending>,
    /// Where the requests begin whose certificates were given up, each with the entry that says so, in that one's order: until a checkpoint covers
    /// it.
    pub(crate) given_up: Vec<(u64, u64)>,
    pub(crate) doors: OpenDoors,
    /// Why nothing more is recorded.
    pub(crate) damaged: Option<Damage>,
    /// Another issuer takes over: nothing more is begun, and this process ends.
    pub(crate) switching: bool,
    pub(crate) stopping: bool,
}

/// A certificate that is recorded and not signed.
#[derive(Debug)]
pub(crate) struct Pending {
    /// The first entry of the request that it came from: no checkpoint comes between them.
    first: u64,
    waiters: Vec<Waiter>,
}

/// Who waits for a certificate, and in which form.
#[derive(Debug)]
pub(crate) struct Waiter {
    reply: Reply,
    /// Where the answer is to a proposal: the receipt of the act.
    act: Option<v1::Receipt>,
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
        self.tend_disk();
        self.tend_file()?;
        self.tend_stops()?;
        self.tend_checkpoint();
        self.tend_entropy();
        if let (false, None, Ok(now_ms)) = (self.stopping, &self.damaged, self.time.now_ms()) {
            self.manifests.tend(now_ms);
            if self.entropy.failed().is_none() {
                self.crls.tend(now_ms, self.journal.edge().size(), Instant::now());
            }
        }
        // Where another issuer takes over, what waits is for the next keeper: who asks without end would keep it from coming.
        let nobody_waits = self.switching || self.is_idle();
        let finished = self.pending.is_empty() && nobody_waits && self.done.is_empty();
        // A log that stops in order leaves no entry without a checkpoint over it.
        let covered = self.damaged.is_some() || self.checkpoints.covers(self.journal.edge().size());
        Ok(!(self.stopping && finished && covered))
    }

    /// Carries a batch out and makes it durable. Gives back a certificate that the sequencer is to sign itself.
    fn batch(&mut self, batch: Vec<Command>) -> Result<Option<Recorded>, Ended> {
        // Of its own accord the service records nothing while the clock is wrong or the journal damaged.
        let now_ms = self.time.now_ms().ok().filter(|_| self.damaged.is_none());
        let refusals = now_ms.and_then(|now_ms| self.refused.due(now_ms));
        let records = refusals.is_some() || batch.iter().any(Command::records);
        // Step 10: a certificate leaves once its signature is durable, so that one without a signature was given to nobody.
        let stores = batch.iter().any(|command| matches!(command, Command::Verified(_)));
        if batch.is_empty() && !records {
            return Ok(None);
        }
        self.journal.begin(if records || stores { Durability::Disk } else { Durability::Kernel })?;
        let (mut outbox, began) = (Outbox::default(), Instant::now());
        let mut commands = batch.into_iter();
        for command in commands.by_ref() {
            self.handle(command, &mut outbox)?;
            if began.elapsed() >= SLICE {
                break;
            }
        }
        self.held.extend(commands);
        if let Some(refusals) = refusals {
            let entry = self.own_entry(Kind::Refusals(refusals));
            self.journal.append(&entry)?;
        }
        if let Some(latest_ms) = self.journal.take_latest_ms() {
            self.time.recorded(latest_ms);
        }
        let probe = |step, done| {
            if done {
                (self.probe)(step);
            }
        };
        probe("7 record, before the commit", records);
        probe("10 store, before the commit", stores);
        let began = Instant::now();
        let committed = self.journal.commit()?;
        probe("7 record", records);
        probe("10 store", stores);
        if outbox.clock {
            self.shared.clock_is_set();
            self.journal.verify_again(self.settings.attributes_oid)?;
        }
        self.metrics.step(if records { Step::Record } else { Step::Store }, began.elapsed());
        Ok(self.deliver(&committed, outbox))
    }

    /// Waits for a first command and takes what else is there. What the token has done goes first: it frees places. Then those whom no
    /// caller may hold up.
    fn wait(&mut self) -> Vec<Command> {
        let mut batch = Vec::with_capacity(BATCH);
        let full = self.pending.len() >= PENDING_MAX;
        let nobody = crossbeam_channel::never();
        let asks = if full { &nobody } else { &self.asks };
        if self.held.is_empty() {
            let first = select! {
                recv(self.done) -> command => command.ok(),
                recv(self.local) -> command => command.ok(),
                recv(self.front) -> command => command.ok(),
                recv(asks) -> command => command.ok(),
                default(TICK) => None,
            };
            batch.extend(first);
        }
        batch.extend(self.done.try_iter().take(BATCH));
        // A lane bounds only what waits in it: what was taken from it before, and is held, leaves less room.
        let held = self.held.len();
        batch.extend(self.local.try_iter().take((2 * BATCH).saturating_sub(held)));
        batch.extend(self.front.try_iter().take(BATCH.saturating_sub(held)));
        batch.append(&mut self.held);
        let room = BATCH.saturating_sub(batch.len()).min(PENDING_MAX.saturating_sub(self.pending.len()));
        batch.extend(asks.try_iter().take(room));
        batch
    }

    fn handle(&mut self, command: Command, outbox: &mut Outbox) -> Result<(), Ended> {
        match command {
            Command::Change(asked, reply) => self.change(&asked.by, *asked.what, reply, outbox)?,
            Command::Own(asked, reply) => self.answer(&asked, reply, outbox),
            Command::Cover(asked, reply) => self.cover(asked, reply),
            Command::Verified(verified) => self.store(verified, outbox)?,
            Command::Unsignable { index, cause } => self.give_up(index, &cause, outbox)?,
            // The next start is to judge what is above the one before.
            Command::CheckpointSigned { .. } if self.damaged.is_some() => {}
            Command::CheckpointSigned { size, text, signature } => {
                let note = self.checkpoints.signed(size, &text, &signature).map_err(Ended::Token)?;
                self.journal.store_checkpoint(size, &note)?;
                self.given_up.retain(|(_, by)| *by >= size);
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
            Command::Ended(certificates) => {
                // By the clock, too: an entry of a time to come is nothing to go by. A clock that is wrong is not, either.
                let Ok(now_ms) = self.time.now_ms() else { return Ok(()) };
                let ended = certificates.into_iter().filter(|(_, end)| ended_long_ago(*end, now_ms));
                self.journal.let_requests_go(&ended.map(|(index, _)| index).collect::<Vec<_>>())?;
            }
            Command::Damaged(damage) => {
                tracing::error!(
                    alarm = "journal-damaged",
                    cause = damage.cause,
                    "nothing more is recorded: {}",
                    damage.remedy()
                );
                self.metrics.alarm("journal_damaged");
                self.shared.journal_is_damaged();
                self.damaged = Some(damage);
            }
            Command::Observed(observed) => self.record_manifest(*observed)?,
            Command::Unhealthy(failed) => self.entropy.fail(failed),
            Command::TokenLost(cause) => return Err(Ended::Token(cause)),
            Command::Stop => self.stopping = true,
        }
        Ok(())
    }

    /// Whether nobody waits to be taken.
    fn is_idle(&self) -> bool {
        self.held.is_empty() && self.local.is_empty() && self.front.is_empty() && self.asks.is_empty()
    }

    fn own_entry(&mut self, kind: Kind) -> Entry {
        let now_ms = self.time.best_ms();
        own_entry(self.settings.cell.as_ref(), now_ms, kind)
    }

    /// Takes in what officers laid beside the journal while this keeper was on its way: they were told that it holds.
    fn tend_stops(&mut self) -> Result<(), Ended> {
        if self.damaged.is_some() || self.looked.elapsed() < LOOK {
            return Ok(());
        }
        self.looked = Instant::now();
        let now_ms = self.time.earliest_ms();
        if let (Ok(_), Some(trusted_ms)) = (self.time.now_ms(), self.time.trusted_ms()) {
            self.remembered.keep(trusted_ms);
        }
        match stopping::take(&mut self.journal, now_ms) {
            Ok(()) => Ok(()),
            Err(TakeError::Journal(error)) => Err(error.into()),
            Err(TakeError::NotTaken(not_taken)) => {
                tracing::error!(
                    alarm = "stop-not-taken",
                    cause = not_taken.to_string(),
                    "no start will serve"
                );
                Ok(())
            }
        }
    }

    /// What another thread cannot say: that the tables are another's, or that it hangs in them.
    fn tend_file(&mut self) -> Result<(), Ended> {
        if self.damaged.is_some() {
            return Ok(());
        }
        let damage = if self.journal.is_strange() {
            JournalError::Schema
        } else if let Some(silent) = self.scrub.is_silent(self.journal.verified_in()) {
            self.scrub.interrupt();
            JournalError::Corrupt(format!("it could not be read to its end for {} s", silent.as_secs()))
        } else {
            return Ok(());
        };
        self.handle(Command::Damaged(damage.into()), &mut Outbox::default())
    }

    /// Says that the disk is nearly full, when it has come to be.
    fn tend_disk(&mut self) {
        if self.disk.look(Instant::now()) {
            self.metrics.alarm("disk_low");
            tracing::error!(alarm = "disk-low", cause = %self.disk.room(), "what takes away goes on");
        }
    }

    /// Says once that a source failed: the token's is told by who draws from it, the system's shows in a draw.
    fn tend_entropy(&mut self) {
        if let Some(failed) = self.entropy.failed().filter(|_| !self.entropy_told) {
            self.entropy_told = true;
            self.metrics.alarm("entropy_failed");
            tracing::error!(alarm = "entropy-failed", cause = %failed, "nothing is issued, and no CRL is made");
        }
    }

    /// How many entries a checkpoint may cover: every certificate among them has its signature, or an entry among them gives it up. So one
    /// without a signature below a checkpoint was robbed of it, however quiet the log is.
    fn settled(&self) -> u64 {
        let firsts = self.pending.values().map(|pending| pending.first);
        let all = firsts.min().unwrap_or(self.journal.edge().size());
        // The last first: what one that is left out leaves out, those before it may need.
        let without = |size: u64, (first, by): &(u64, u64)| if *by >= size { size.min(*first) } else { size };
        self.given_up.iter().rev().fold(all, without)
    }

    fn tend_checkpoint(&mut self) {
        let (now, size) = (Instant::now(), self.settled());
        // What is damaged gets no signature of the log's key: the next start is to see it, too.
        if self.damaged.is_some() || !self.checkpoints.is_due(size, now, self.stopping) {
            return;
        }
        let text = self.checkpoints.begin(self.journal.head_at(size), now);
        self.jobs.send(Job::Checkpoint { size, text });
    }
}
