//! How much of one caller's may be under way at a time: asks of the keeper, and answers that are long or cost a long look.
//!
//! Does not: count how often a caller asks. That is its rate.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use hyper::body::{Body as HttpBody, Bytes, Frame};
use proto::{door::Refused, v1::Reason};
use tonic::{Status, body::Body};

use crate::{
    Limits,
    places::{Place, Places},
    readings::{Reading, Readings},
    status::refused,
};

/// When to come back where a share is taken.
const RETRY_MS: u32 = 100;

const MEBIBYTE: usize = 1024 * 1024;

/// How agents' accounts begin.
const AGENTS: &str = "/agent/";

/// Octets in which a long answer is given out: a frame (RFC 9113 §4.2).
const PIECE: usize = 16 * 1024;

/// Every caller's shares. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    asks: Arc<Places<Arc<str>>>,
    scans: Arc<Places<Arc<str>>>,
    /// Of these, what agents have together: they are as many as a controller makes.
    agents: Arc<Places<Arc<str>>>,
    /// In mebibytes.
    long: Arc<Places<Arc<str>>>,
    limits: Arc<Limits>,
}

/// One of a caller's places.
type Share = Place<Arc<str>>;

impl Shares {
    /// As the limits say.
    pub(crate) fn new(limits: &Arc<Limits>) -> Self {
        Self {
            // In all they are bounded by what the keeper's door takes.
            asks: Places::new(usize::MAX),
            scans: Places::new(limits.scans),
            agents: Places::new(limits.scans.div_ceil(2)),
            long: Places::new(limits.long_mebibytes),
            limits: Arc::clone(limits),
        }
    }

    /// A place for an ask.
    ///
    /// # Errors
    /// `QUEUE_FULL`.
    pub(crate) fn ask(&self, account: &Arc<str>) -> Result<Share, Refused> {
        self.asks.take(Arc::clone(account), self.limits.in_flight_per_caller).ok_or_else(|| {
            full("as many of your requests are under way as may be: wait for answers, then ask again")
        })
    }

    /// A place for a scan; of an agent's, one of those that agents have.
    ///
    /// # Errors
    /// `QUEUE_FULL`.
    pub(crate) fn scan(&self, account: &Arc<str>) -> Result<Vec<Share>, Refused> {
        let full = || full("as many lists are read as may be: read the answers, then ask again");
        let mut places =
            vec![self.scans.take(Arc::clone(account), self.limits.scans_per_caller).ok_or_else(full)?];
        if account.starts_with(AGENTS) {
            places.push(self.agents.take(AGENTS.into(), usize::MAX).ok_or_else(full)?);
        }
        Ok(places)
    }

    /// Places for the answer of a scan, as many as it has mebibytes.
    ///
    /// # Errors
    /// `QUEUE_FULL`.
    pub(crate) fn long(&self, account: &Arc<str>, bytes: usize) -> Result<Share, Refused> {
        self.long
            .take_wide(Arc::clone(account), self.limits.long_mebibytes_per_caller, bytes.div_ceil(MEBIBYTE))
            .ok_or_else(|| full("long answers are being read, and hold all that they may: ask again"))
    }
}

fn full(message: &str) -> Refused {
    Refused { retry_after_ms: RETRY_MS, ..refused(Reason::QueueFull, message) }
}

/// Places that are held until a response has been read, or its reader has left: in the response's extensions.
#[derive(Clone, Debug)]
pub(crate) struct UntilRead {
    _shares: Arc<[Share]>,
}

impl UntilRead {
    pub(crate) fn new(shares: Vec<Share>) -> Self {
        Self { _shares: shares.into() }
    }
}

/// Moves the places of a response, where it has them, into its body, which is then one of those that are being read.
pub(crate) fn held(mut response: http::Response<Body>, readings: &Arc<Readings>) -> http::Response<Body> {
    match response.extensions_mut().remove::<UntilRead>() {
        Some(shares) => response.map(|body| {
            Body::new(Holding { body, rest: Bytes::new(), reading: readings.begin(), _shares: shares })
        }),
        None => response,
    }
}

/// A body with the places that it takes, given out in pieces: what hyper has been given it keeps, read or not, and asks at once whether the body
/// ends.
struct Holding {
    body: Body,
    /// Of the message that is being given out.
    rest: Bytes,
    reading: Reading,
    _shares: UntilRead,
}

impl HttpBody for Holding {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // What was given before has left, but for two pieces: there is room for more.
        self.reading.goes_on();
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(message) => self.rest = message,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let octets = self.rest.len().min(PIECE);
        // A copy: a part of the message would keep all of it.
        let piece = Bytes::copy_from_slice(&self.rest.split_to(octets));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }
}
