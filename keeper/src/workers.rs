//! The token's workers: one thread and one session each; they sign, verify and report.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use certs::Issuer;
use crossbeam_channel::{Receiver, Sender, select_biased};
use hsm_config::{Fault, TokenError};

use crate::Probe;
use crate::command::Command;
use crate::custody::{Custody, Session};
use crate::metrics::{Metrics, Step};
use crate::steps::crl::{NotSigned, RecordedCrl};
use crate::steps::{self, Recorded};

/// What a worker is given.
#[derive(Debug)]
pub(crate) enum Job {
    /// A recorded certificate: steps 8 and 9.
    Certificate(Recorded),
    /// A recorded CRL: steps 8 and 9.
    Crl(RecordedCrl),
    /// A checkpoint's text.
    Checkpoint {
        /// Entries that it covers.
        size: u64,
        /// What to sign.
        text: String,
    },
}

/// When each worker began what it does, for the one that looks for calls that hang, and how long a signature took of late.
#[derive(Clone)]
pub(crate) struct Pulse(Arc<Beats>);

struct Beats {
    started: Instant,
    /// One for each worker, the sequencer's own, and the attendant.
    busy_since: Vec<AtomicU64>,
    /// Nanoseconds of a signature with its verification, smoothed; 0 before the first.
    signature: AtomicU64,
}

/// How much the newest signature counts in the smoothed time: one part in so many.
const SMOOTHING: u64 = 8;

impl Pulse {
    fn new(threads: usize) -> Self {
        let busy_since = (0..threads).map(|_| AtomicU64::new(u64::MAX)).collect();
        Self(Arc::new(Beats { started: Instant::now(), busy_since, signature: AtomicU64::new(0) }))
    }

    /// The attendant's place.
    pub(crate) fn attendant(&self) -> usize {
        self.0.busy_since.len() - 1
    }

    /// Whoever has this place calls the module now.
    pub(crate) fn begin(&self, worker: usize) {
        let now = u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.0.busy_since[worker].store(now, Ordering::Relaxed);
    }

    /// It has come back.
    pub(crate) fn end(&self, worker: usize) {
        self.0.busy_since[worker].store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether a call has lasted longer than `limit`: its lock cannot be had back, so the process must end.
    pub(crate) fn hangs(&self, limit: Duration) -> bool {
        let now = self.0.started.elapsed();
        self.0.busy_since.iter().any(|since| {
            let since = since.load(Ordering::Relaxed);
            since != u64::MAX && now.saturating_sub(Duration::from_millis(since)) > limit
        })
    }

    /// How long a signature with its verification takes of late; `None` before the first.
    pub(crate) fn signature_time(&self) -> Option<Duration> {
        match self.0.signature.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    /// How long so many certificates take with all workers at it; nothing is known before the first.
    pub(crate) fn time_for(&self, certificates: usize) -> Duration {
        // The sequencer's own hand and the attendant are none.
        let workers = self.0.busy_since.len().saturating_sub(2).max(1);
        let rounds = u32::try_from(certificates.div_ceil(workers)).unwrap_or(u32::MAX);
        self.signature_time().unwrap_or_default().saturating_mul(rounds)
    }

    /// Two workers that say so at once may lose one of the two: it is an estimate.
    fn took(&self, time: Duration) {
        let new = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1);
        let old = self.0.signature.load(Ordering::Relaxed);
        let smoothed = if old == 0 { new } else { old - old / SMOOTHING + new / SMOOTHING };
        self.0.signature.store(smoothed, Ordering::Relaxed);
    }
}

/// The workers' threads, and a hand of the same kind for the sequencer itself.
pub(crate) struct Started {
    pub(crate) pulse: Pulse,
    pub(crate) threads: Vec<JoinHandle<()>>,
    pub(crate) own: Worker,
}

/// What workers are given. Checkpoints and CRLs go before certificates: who waits for what ends or proves something waits behind no flood of these.
#[derive(Clone)]
pub(crate) struct Jobs {
    first: Sender<Job>,
    certificates: Sender<Job>,
}

/// The other end.
#[derive(Clone)]
pub(crate) struct Given {
    first: Receiver<Job>,
    certificates: Receiver<Job>,
}

/// Two queues. They have no bound: what the sequencer has begun is bounded by what it takes in, and a bound here could block both.
pub(crate) fn jobs() -> (Jobs, Given) {
    let (first, of_first) = crossbeam_channel::unbounded();
    let (certificates, of_certificates) = crossbeam_channel::unbounded();
    (Jobs { first, certificates }, Given { first: of_first, certificates: of_certificates })
}

impl Jobs {
    /// Gives one to whoever is free. The workers' end outlives the sequencer's thread.
    pub(crate) fn send(&self, job: Job) {
        let queue = if matches!(job, Job::Certificate(_)) { &self.certificates } else { &self.first };
        let _ = queue.send(job);
    }
}

impl Given {
    /// The next job; none once nobody gives any more.
    fn next(&self) -> Option<Job> {
        select_biased! {
            recv(self.first) -> job => job.ok(),
            recv(self.certificates) -> job => job.ok(),
        }
    }
}

/// Starts the workers. They end when the queues' other end is gone.
///
/// # Errors
/// A session cannot be opened.
pub(crate) fn start(
    custody: &Arc<Custody>,
    issuer: &Arc<Issuer>,
    jobs: &Given,
    done: &Sender<Command>,
    metrics: &Metrics,
    probe: &Probe,
) -> Result<Started, TokenError> {
    let sessions: Vec<Session> =
        (0..=custody.sessions()).map(|_| custody.session()).collect::<Result<_, _>>()?;
    let pulse = Pulse::new(sessions.len() + 1);
    let mut workers = sessions.into_iter().enumerate().map(|(number, session)| Worker {
        number,
        session,
        issuer: Arc::clone(issuer),
        pulse: pulse.clone(),
        metrics: metrics.clone(),
        probe: Arc::clone(probe),
    });
    let own = workers.next().ok_or(TokenError::Malformed("no session"))?;
    let threads = workers.map(|worker| {
        let (jobs, done) = (jobs.clone(), done.clone());
        thread::spawn(move || worker.run(&jobs, &done))
    });
    Ok(Started { threads: threads.collect(), own, pulse })
}

/// One session, and what is done with it. Owned by one thread.
pub(crate) struct Worker {
    number: usize,
    session: Session,
    issuer: Arc<Issuer>,
    pulse: Pulse,
    metrics: Metrics,
    probe: Probe,
}

impl Worker {
    fn run(mut self, jobs: &Given, done: &Sender<Command>) {
        while let Some(job) = jobs.next() {
            let report = self.work(job);
            if done.send(report).is_err() {
                return;
            }
        }
    }

    /// Does a job.
    pub(crate) fn work(&mut self, job: Job) -> Command {
        self.pulse.begin(self.number);
        let report = match job {
            Job::Certificate(recorded) => self.certificate(recorded),
            Job::Crl(recorded) => self.crl(recorded),
            Job::Checkpoint { size, text } => match self.session.sign_as_log(text.as_bytes()) {
                Ok(signature) => Command::CheckpointSigned { size, text, signature },
                Err(error) => Command::TokenLost(error.to_string()),
            },
        };
        self.pulse.end(self.number);
        report
    }

    fn certificate(&mut self, recorded: Recorded) -> Command {
        let began = Instant::now();
        let signed = match steps::sign::sign(&mut self.session, recorded) {
            Ok(signed) => signed,
            // The token will refuse these bytes again: only this certificate is given up.
            Err((recorded, error)) if error.fault() == Fault::Request => {
                return Command::Unsignable { index: recorded.index(), cause: error.to_string() };
            }
            Err((_, error)) => return Command::TokenLost(error.to_string()),
        };
        let signing = began.elapsed();
        (self.probe)("8 sign");
        let verified = steps::verify::verify(&self.issuer, signed);
        let both = began.elapsed();
        self.metrics.step(Step::Sign, signing);
        self.metrics.step(Step::Verify, both.saturating_sub(signing));
        self.pulse.took(both);
        (self.probe)("9 verify");
        match verified {
            Ok(verified) => Command::Verified(verified),
            // Invariant I4. A token that returns another's signature once is not asked again.
            Err((recorded, _)) => Command::TokenLost(format!(
                "the token's signature for entry {} does not verify with the issuer's public key",
                recorded.index()
            )),
        }
    }

    fn crl(&mut self, recorded: RecordedCrl) -> Command {
        match steps::crl::sign(&mut self.session, &self.issuer, recorded) {
            Ok(verified) => Command::CrlSigned(verified),
            Err(NotSigned::Token(error)) if error.fault() == Fault::Request => {
                Command::CrlFailed(error.to_string())
            }
            Err(lost) => Command::TokenLost(lost.to_string()),
        }
    }
}
