//! A batch of issuances: many items over one stream, each answered by itself and in any order.
//!
//! It has no task and no buffer of its own. Whoever sends the answers draws them, and an item is read only while few are
//! unanswered: a client that does not read its answers is read no further, and one that leaves takes all of it along.
//!
//! Does not: compare the ids of items. Two with one id are two items, and each is answered.

use std::{sync::Arc, time::Duration};

use futures_util::{
    FutureExt, Stream, StreamExt,
    future::BoxFuture,
    stream::{FuturesUnordered, unfold},
};
use proto::{
    door::Refused,
    v1::{
        BatchIssueCertificatesRequest as Item, BatchIssueCertificatesResponse as Answer, Reason,
        batch_issue_certificates_response::Result as Outcome,
    },
};
use tokio::{
    sync::OwnedSemaphorePermit,
    task::yield_now,
    time::{Instant, sleep_until},
};
use tonic::{Status, Streaming};

use crate::{
    call::{Call, Desk, too_late},
    connection::stopped,
    metrics::{Held, OK},
    status::{explained, item_error, reason_code, refused, status},
};

/// Items of a stream that were read and not answered. 128: at 5,000 a second and 15 ms each, 75 are under way.
const IN_FLIGHT: usize = 128;

/// Items read before others have their turn: each costs some 60 µs here, most of it step 2.
const AT_A_TURN: usize = 16;

/// When to come back while too many batches are open.
const BATCH_MS: u32 = 1000;

/// The answers to a stream of items.
///
/// # Errors
/// `QUEUE_FULL`: as many batches are open on this connection as may be.
pub(super) fn answers(
    desk: Desk,
    call: Call,
    items: Streaming<Item>,
) -> Result<impl Stream<Item = Result<Answer, Status>> + Send + use<>, Refused> {
    let place = call.connection.batches.clone().try_acquire_owned().map_err(|_| too_many())?;
    let over = over(call.clone()).boxed();
    let answers = FuturesUnordered::new();
    let (caller, metrics) = (Arc::clone(call.connection.caller.name()), desk.metrics.clone());
    let tally = Tally { caller, certificates: 0, errors: 0, _open: metrics.batch() };
    let batch =
        Batch { desk, call, items: Some(items), answers, over, end: None, read: 0, tally, _place: place };
    Ok(unfold(batch, |mut batch| async move { batch.next().await.map(|answer| (answer, batch)) }))
}

struct Batch {
    desk: Desk,
    call: Call,
    /// None once no more is read.
    items: Option<Streaming<Item>>,
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// Why no more is to be read, once it is so.
    over: BoxFuture<'static, Refused>,
    /// What the stream ends with after the last answer; none for a good end.
    end: Option<Status>,
    /// Items read so far.
    read: usize,
    tally: Tally,
    _place: OwnedSemaphorePermit,
}

impl Batch {
    /// The next answer; none at the end. What was read is answered, whatever ends the stream.
    async fn next(&mut self) -> Option<Result<Answer, Status>> {
        loop {
            let reading = self.items.is_some();
            tokio::select! {
                biased;
                Some(answer) = self.answers.next() => {
                    self.tally.count(&answer);
                    return Some(Ok(answer));
                }
                why = &mut self.over, if reading => self.stop_reading(Some(status(why))),
                item = read(&mut self.items), if reading && self.answers.len() < IN_FLIGHT => match item {
                    Ok(Some(item)) => self.begin(item).await,
                    Ok(None) => self.stop_reading(None),
                    // It cannot be said which item was meant.
                    Err(broken) => self.stop_reading(Some(explained(broken))),
                },
                else => return self.end.take().map(Err),
            }
        }
    }

    fn stop_reading(&mut self, end: Option<Status>) {
        self.items = None;
        self.end = end;
    }

    async fn begin(&mut self, item: Item) {
        let (desk, call) = (self.desk.clone(), self.call.clone());
        self.answers.push(one(desk, call, item).boxed());
        self.read += 1;
        if self.read.is_multiple_of(AT_A_TURN) {
            yield_now().await;
        }
    }
}

async fn read(items: &mut Option<Streaming<Item>>) -> Result<Option<Item>, Status> {
    match items {
        Some(items) => items.message().await,
        None => Ok(None),
    }
}

/// When the connection is to end, or the client's own deadline for the whole is over.
async fn over(call: Call) -> Refused {
    let late = async {
        match call.end {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = stopped(call.connection.closing) => refused(Reason::KeeperUnavailable, MOVE_ON),
        () = late => too_late(),
    }
}

const MOVE_ON: &str =
    "this connection's time is over: connect and send again what has no answer, with the same request_id";

/// One item, from its request to its answer.
async fn one(desk: Desk, call: Call, item: Item) -> Answer {
    let (id, metrics) = (item.item, desk.metrics.clone());
    let outcome = match certificate(desk, call, item).await {
        Ok(certificate) => {
            metrics.item(OK);
            Outcome::Certificate(certificate)
        }
        Err(refused) => {
            metrics.item(reason_code(&refused));
            Outcome::Error(item_error(refused))
        }
    };
    Answer { item: id, result: Some(outcome) }
}

async fn certificate(desk: Desk, call: Call, item: Item) -> Result<proto::v1::Certificate, Refused> {
    let deadline = deadline(&desk, &call, item.timeout)?;
    // Whoever asks too fast waits here, and is read no further while as many items wait as may.
    desk.callers.admit_by(deadline, &call.connection.caller).await?;
    let request = item.request.ok_or_else(|| malformed("request", "`request` is missing"))?;
    desk.issue(&Call { deadline, ..call }, request).await
}

/// From now, within the limits of any request, and never beyond the stream's.
fn deadline(desk: &Desk, call: &Call, timeout: Option<prost_types::Duration>) -> Result<Instant, Refused> {
    let timeout = timeout.map(Duration::try_from).transpose();
    let timeout = timeout.map_err(|_| malformed("timeout", "`timeout` is a time from now, not before it"))?;
    let deadline = Instant::now() + desk.limits.time_for(timeout);
    Ok(call.end.map_or(deadline, |end| end.min(deadline)))
}

fn malformed(field: &str, message: &str) -> Refused {
    Refused { field: field.into(), ..refused(Reason::RequestMalformed, message) }
}

fn too_many() -> Refused {
    let message =
        "as many batches are open on this connection as may be: end one, or open another connection";
    Refused { retry_after_ms: BATCH_MS, ..refused(Reason::QueueFull, message) }
}

/// What came of a batch; logged when it is over.
struct Tally {
    caller: Arc<str>,
    certificates: u64,
    errors: u64,
    _open: Held,
}

impl Tally {
    fn count(&mut self, answer: &Answer) {
        match answer.result {
            Some(Outcome::Certificate(_)) => self.certificates += 1,
            _ => self.errors += 1,
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let Self { caller, certificates, errors, _open } = self;
        tracing::info!(caller = &**caller, certificates, errors, "batch");
    }
}
