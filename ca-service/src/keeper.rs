//! The near end of the keeper's door: asks go out with an id, answers come back in any order.
//!
//! A door lives as long as its keeper. When it dies, everyone who waits is told at once; the next one comes from outside.
//!
//! Does not: try anything again, decide anything.

#[cfg(test)]
mod tests;
mod waiting;

use std::{
    io,
    os::unix::net::UnixStream as StdUnixStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use proto::{
    door::{Answer, Ask, Caller, Front, Refused, answer, ask, caller},
    v1::{GetTrustBundleRequest, Reason, TrustBundle},
};
use tokio::{
    net::UnixStream,
    sync::{Semaphore, mpsc, watch},
    time::{sleep, timeout},
};

use waiting::{CloseAtEnd, Waiting};

use crate::{bundle::Bundle, chance, door, status::refused};

/// When to come back while the keeper is started anew: it takes about as long.
const RESTART_MS: u32 = 500;

/// When to come back when too much waits.
const QUEUE_MS: u32 = 100;

/// Asks of the front's own that wait at a time.
const RESERVED: usize = 128;

/// Time for the front's own reads, and the pause after one that failed.
const OWN_READ: Duration = Duration::from_secs(2);

/// The near end of the door. Clones share it.
#[derive(Clone, Debug)]
pub struct Keeper(Arc<Near>);

#[derive(Debug)]
struct Near {
    /// None while there is no keeper. Written by [`Keeper::attend`] alone.
    door: ArcSwapOption<Door>,
    /// The newest bundle that could be used. Written by [`Keeper::take_bundle`] alone.
    bundle: watch::Sender<Option<Arc<Bundle>>>,
    /// The number of the newest CRL that the keeper told of. Written by [`Keeper::take`] alone.
    crl: watch::Sender<u64>,
    /// Whether there is a door, for those who wait for a change.
    present: watch::Sender<bool>,
    /// From 1: 0 is the keeper's own.
    next_id: AtomicU64,
    /// Held by whoever waits for an answer, from its ask to the answer's arrival.
    in_flight: Arc<Semaphore>,
    /// For the front itself: no caller can take its places.
    reserved: Arc<Semaphore>,
    capacity: usize,
}

#[derive(Debug)]
struct Door {
    asks: mpsc::Sender<Ask>,
    waiting: Arc<Waiting>,
}

impl Keeper {
    /// A near end without a door; at most `in_flight` asks wait at a time.
    pub fn new(in_flight: usize) -> Self {
        Self(Arc::new(Near {
            door: ArcSwapOption::empty(),
            bundle: watch::Sender::new(None),
            crl: watch::Sender::new(0),
            present: watch::Sender::new(false),
            next_id: AtomicU64::new(1),
            in_flight: Arc::new(Semaphore::new(in_flight)),
            reserved: Arc::new(Semaphore::new(RESERVED)),
            capacity: in_flight,
        }))
    }

    /// Asks, and waits for the answer. Dropping the future leaves nothing behind here; the keeper may finish all the same.
    ///
    /// # Errors
    /// The keeper's refusal, or `KEEPER_UNAVAILABLE`, `QUEUE_FULL` or `DEADLINE_EXCEEDED` from here.
    pub async fn ask(
        &self,
        caller: Caller,
        time: Duration,
        ask: ask::Ask,
    ) -> Result<answer::Answer, Refused> {
        let places = match caller.caller {
            Some(caller::Caller::Front(_)) => &self.0.reserved,
            Some(caller::Caller::Presented(_)) | None => &self.0.in_flight,
        };
        let permit = Arc::clone(places).try_acquire_owned().map_err(|_| queue_full())?;
        let door = self.0.door.load_full().ok_or_else(unavailable)?;
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let (_place, answered) = door.waiting.begin(id, permit).ok_or_else(unavailable)?;
        let timeout_ms = u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1);
        let message = Ask { id, caller: Some(caller), timeout_ms, ask: Some(ask) };
        door.asks.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => queue_full(),
            mpsc::error::TrySendError::Closed(_) => unavailable(),
        })?;
        drop(door);
        match timeout(time, answered).await {
            Ok(Ok(answer::Answer::Refused(no))) => Err(no),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_dead)) => Err(unavailable()),
            Err(_elapsed) => Err(too_late()),
        }
    }

    /// As [`Self::ask`], in the front's own name.
    pub(crate) async fn ask_as_front(
        &self,
        time: Duration,
        ask: ask::Ask,
    ) -> Result<answer::Answer, Refused> {
        self.ask(Caller { caller: Some(caller::Caller::Front(Front {})) }, time, ask).await
    }

    /// Whether the keeper answers now.
    pub(crate) async fn answers(&self) -> bool {
        self.ask_as_front(OWN_READ, ask::Ask::GetTrustBundle(GetTrustBundleRequest {})).await.is_ok()
    }

    /// The newest bundle, and each that follows.
    pub(crate) fn bundles(&self) -> watch::Receiver<Option<Arc<Bundle>>> {
        self.0.bundle.subscribe()
    }

    /// The number of the newest CRL that the keeper told of, and each that follows.
    pub(crate) fn crls(&self) -> watch::Receiver<u64> {
        self.0.crl.subscribe()
    }

    /// How many asks wait for their answer.
    pub(crate) fn in_flight(&self) -> usize {
        self.0.capacity.saturating_sub(self.0.in_flight.available_permits())
    }

    /// Whether there is a door, and each change of it.
    pub(crate) fn presence(&self) -> watch::Receiver<bool> {
        self.0.present.subscribe()
    }

    /// Uses each door that comes; a new one means that the one before is dead. Returns when a door has closed and none came within
    /// `wait`: the keeper may live behind a door that only this side knows to be dead.
    pub async fn attend(self, mut doors: mpsc::Receiver<StdUnixStream>, wait: Duration) {
        let mut next = doors.recv().await;
        while let Some(stream) = next {
            next = tokio::select! {
                ended = self.serve(stream) => {
                    self.close();
                    tracing::warn!(reason = %why(&ended), "the keeper's door is closed: waiting for the next");
                    match timeout(wait, doors.recv()).await {
                        Ok(next) => next,
                        Err(_) => return,
                    }
                }
                Some(newer) = doors.recv() => Some(newer),
            };
            self.close();
        }
        // Nobody will bring another: what is asked is refused.
        std::future::pending::<()>().await;
    }

    /// Uses one door until it closes: where there is no other.
    pub(crate) async fn serve_one(&self, stream: StdUnixStream) {
        let ended = self.serve(stream).await;
        self.close();
        tracing::debug!(reason = %why(&ended), "the keeper's socket is closed");
    }

    /// One door's life.
    async fn serve(&self, stream: StdUnixStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        let (reading, writing) = UnixStream::from_std(stream)?.into_split();
        let (asks, outgoing) = mpsc::channel(self.0.capacity + RESERVED);
        let waiting = Waiting::new();
        // Also when this future is dropped: nobody waits at a dead door.
        let _closed_at_end = CloseAtEnd::new(&waiting);
        self.0.door.store(Some(Arc::new(Door { asks, waiting: Arc::clone(&waiting) })));
        self.0.present.send_replace(true);
        tokio::select! {
            ended = door::read_all(reading, |answer| self.take(&waiting, answer)) => ended,
            ended = door::write_all(writing, outgoing) => ended,
            never = self.refresh_bundle() => never,
        }
    }

    fn close(&self) {
        self.0.door.store(None);
        self.0.present.send_replace(false);
    }

    fn take(&self, waiting: &Waiting, answer: Answer) {
        match answer.answer {
            Some(answer::Answer::BundleChanged(bundle)) if answer.id == 0 => self.take_bundle(bundle),
            Some(answer::Answer::CrlChanged(new)) if answer.id == 0 => {
                self.0.crl.send_replace(new.number);
            }
            // Without an entry its asker is gone; without an answer the two ends differ in age, and the asker is told so.
            Some(body) => waiting.end(answer.id, body),
            None => waiting.end(answer.id, answer::Answer::Refused(refused(Reason::Internal, NO_ANSWER))),
        }
    }

    /// A bundle may have changed while there was no door.
    async fn refresh_bundle(&self) -> io::Result<()> {
        loop {
            let read = self.ask_as_front(OWN_READ, ask::Ask::GetTrustBundle(GetTrustBundleRequest {})).await;
            match read {
                Ok(answer::Answer::GetTrustBundle(read)) => {
                    self.take_bundle(read.bundle.unwrap_or_default());
                    return std::future::pending().await;
                }
                Ok(_) => tracing::error!("the keeper answered another question than that for the bundle"),
                Err(no) => {
                    tracing::warn!(reason = %no.message, "the keeper does not give the trust bundle yet");
                }
            }
            sleep(chance::shortened(OWN_READ, 0.5)).await;
        }
    }

    fn take_bundle(&self, wire: TrustBundle) {
        let number = wire.number;
        match Bundle::try_from(wire) {
            Ok(bundle) => {
                let taken = self.0.bundle.send_if_modified(|current| {
                    let newer = current.as_ref().is_none_or(|current| bundle.follows(current));
                    if newer {
                        *current = Some(Arc::new(bundle));
                    }
                    newer
                });
                tracing::info!(number, taken, "trust bundle");
            }
            Err(error) => {
                tracing::error!(number, %error, "a trust bundle cannot be used: the one before stays");
            }
        }
    }
}

const NO_ANSWER: &str =
    "the keeper's answer is empty: front and keeper are of different versions; restart the service";

fn why(ended: &io::Result<()>) -> String {
    ended.as_ref().err().map_or_else(|| "the keeper closed it".to_owned(), ToString::to_string)
}

fn unavailable() -> Refused {
    let message = "the keeper is being started again: try again";
    Refused { retry_after_ms: RESTART_MS, ..refused(Reason::KeeperUnavailable, message) }
}

fn queue_full() -> Refused {
    Refused {
        retry_after_ms: QUEUE_MS,
        ..refused(Reason::QueueFull, "too much is waiting for the keeper: try again")
    }
}

fn too_late() -> Refused {
    refused(
        Reason::DeadlineExceeded,
        "the keeper did not answer within the deadline; what was asked may still be done: ask again with the same request_id",
    )
}
