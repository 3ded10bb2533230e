//! The token's workers: one thread and one session each; they sign, verify and report. And the thread that draws random numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use certs::Issuer;
use crossbeam_channel::{Receiver, Sender};
use hsm_config::{Fault, TokenError};
use zeroize::Zeroizing;

use crate::custody::{Custody, Session};
use crate::entropy::{BLOCK, Block};
use crate::sequencer::Command;
use crate::steps::crl::{NotSigned, RecordedCrl};
use crate::steps::{self, Recorded};

/// How often the keys' attributes are read back while running.
const RECHECK_EVERY: Duration = Duration::from_secs(60);

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

/// When each worker, and last the thread that draws random numbers, began what it does: for the one that looks for calls that hang.
#[derive(Clone)]
pub(crate) struct Pulse {
    started: Instant,
    busy_since: Arc<Vec<AtomicU64>>,
}

impl Pulse {
    fn new(threads: usize) -> Self {
        let busy_since = Arc::new((0..threads).map(|_| AtomicU64::new(u64::MAX)).collect());
        Self { started: Instant::now(), busy_since }
    }

    fn begin(&self, worker: usize) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.busy_since[worker].store(now, Ordering::Relaxed);
    }

    fn end(&self, worker: usize) {
        self.busy_since[worker].store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether a call has lasted longer than `limit`: its lock cannot be had back, so the process must end.
    pub(crate) fn hangs(&self, limit: Duration) -> bool {
        let now = self.started.elapsed();
        self.busy_since.iter().any(|since| {
            let since = since.load(Ordering::Relaxed);
            since != u64::MAX && now.saturating_sub(Duration::from_millis(since)) > limit
        })
    }
}

/// Starts the workers. They end when the queue's other end is gone.
///
/// # Errors
/// A session cannot be opened.
pub(crate) fn start(
    custody: &Arc<Custody>,
    issuer: &Arc<Issuer>,
    jobs: &Receiver<Job>,
    done: &Sender<Command>,
) -> Result<(Pulse, Vec<JoinHandle<()>>), TokenError> {
    let sessions: Vec<Session> =
        (0..custody.sessions()).map(|_| custody.session()).collect::<Result<_, _>>()?;
    let pulse = Pulse::new(sessions.len() + 1);
    let threads = sessions.into_iter().enumerate().map(|(number, session)| {
        let worker =
            Worker { number, session, issuer: Arc::clone(issuer), pulse: pulse.clone(), done: done.clone() };
        let jobs = jobs.clone();
        thread::spawn(move || worker.run(&jobs))
    });
    let threads = threads.collect();
    Ok((pulse, threads))
}

struct Worker {
    number: usize,
    session: Session,
    issuer: Arc<Issuer>,
    pulse: Pulse,
    done: Sender<Command>,
}

impl Worker {
    fn run(mut self, jobs: &Receiver<Job>) {
        for job in jobs {
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
            if self.done.send(report).is_err() {
                return;
            }
        }
    }

    fn certificate(&mut self, recorded: Recorded) -> Command {
        let signed = match steps::sign::sign(&mut self.session, recorded) {
            Ok(signed) => signed,
            // The token will refuse these bytes again: only this certificate is given up.
            Err((recorded, error)) if error.fault() == Fault::Request => {
                return Command::Unsignable { index: recorded.index(), cause: error.to_string() };
            }
            Err((_, error)) => return Command::TokenLost(error.to_string()),
        };
        match steps::verify::verify(&self.issuer, signed) {
            Ok(verified) => Command::Verified(verified),
            // Invariant I4. A token that returns another's signature once is not asked again.
            Err((recorded, _)) => Command::TokenLost(format!(
                "the token's signature for entry {} does not verify with the issuer's public key",
                recorded.index()
            )),
        }
    }
}

impl Worker {
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

/// Starts the thread that draws random numbers from the token and, every minute, reads the keys' attributes back.
///
/// # Errors
/// A session cannot be opened.
pub(crate) fn start_entropy(
    custody: &Arc<Custody>,
    blocks: Sender<Block>,
    pulse: Pulse,
    done: Sender<Command>,
) -> Result<JoinHandle<()>, TokenError> {
    let (custody, session) = (Arc::clone(custody), custody.bare_session()?);
    let place = pulse.busy_since.len() - 1;
    Ok(thread::spawn(move || {
        let mut checked = Instant::now();
        let mut block = None;
        loop {
            pulse.begin(place);
            let filled = block.take().map_or_else(
                || {
                    let mut fresh: Block = Zeroizing::new(vec![0u8; BLOCK]);
                    session.random(&mut fresh).map(|()| fresh)
                },
                Ok,
            );
            let outcome = filled.and_then(|filled| {
                if checked.elapsed() >= RECHECK_EVERY {
                    custody.check(&session)?;
                    checked = Instant::now();
                }
                Ok(filled)
            });
            pulse.end(place);
            match outcome {
                Ok(filled) => match blocks.send_timeout(filled, RECHECK_EVERY) {
                    Ok(()) => {}
                    Err(crossbeam_channel::SendTimeoutError::Timeout(kept)) => block = Some(kept),
                    Err(crossbeam_channel::SendTimeoutError::Disconnected(_)) => return,
                },
                Err(error) => {
                    // Whoever reads this ends the process; if no one does, it has ended.
                    let _ = done.send(Command::TokenLost(error.to_string()));
                    return;
                }
            }
        }
    }))
}
