//! How much of one caller's may be under way at a time: asks of the keeper, and answers that are long or cost a long look.
//!
//! Does not: count how often a caller asks. That is its rate.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use proto::{door::Refused, v1::Reason};
use tonic::{Status, body::Body};

use crate::{
    Limits,
    places::{Place, Places},
    status::refused,
};

/// When to come back where a share is taken.
const RETRY_MS: u32 = 100;

/// Every caller's shares. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    asks: Arc<Places<Arc<str>>>,
    scans: Arc<Places<Arc<str>>>,
}

/// One of a caller's places.
type Share = Place<Arc<str>>;

impl Shares {
    /// As the limits say.
    pub(crate) fn new(limits: &Limits) -> Self {
        // In all they are bounded by what the keeper's door takes; a scan holds at most one long answer.
        Self {
            asks: Places::new(usize::MAX, limits.in_flight_per_caller),
            scans: Places::new(limits.scans, limits.scans_per_caller),
        }
    }

    /// A place for an ask.
    ///
    /// # Errors
    /// `QUEUE_FULL`.
    pub(crate) fn ask(&self, account: &Arc<str>) -> Result<Share, Refused> {
        self.asks.take(Arc::clone(account)).ok_or_else(|| {
            full("as many of your requests are under way as may be: wait for answers, then ask again")
        })
    }

    /// A place for a scan.
    ///
    /// # Errors
    /// `QUEUE_FULL`.
    pub(crate) fn scan(&self, account: &Arc<str>) -> Result<Share, Refused> {
        self.scans
            .take(Arc::clone(account))
            .ok_or_else(|| full("as many lists are read as may be: read the answers, then ask again"))
    }
}

fn full(message: &str) -> Refused {
    Refused { retry_after_ms: RETRY_MS, ..refused(Reason::QueueFull, message) }
}

/// A place that is held until a response has been read, or its reader has left: in the response's extensions.
#[derive(Clone, Debug)]
pub(crate) struct UntilRead {
    _share: Arc<Share>,
}

impl UntilRead {
    pub(crate) fn new(share: Share) -> Self {
        Self { _share: Arc::new(share) }
    }
}

/// Moves the place of a response, where it has one, into its body.
pub(crate) fn held(mut response: http::Response<Body>) -> http::Response<Body> {
    match response.extensions_mut().remove::<UntilRead>() {
        Some(share) => response.map(|body| Body::new(Holding { body, _share: share })),
        None => response,
    }
}

/// A body with the place that it takes.
struct Holding {
    body: Body,
    _share: UntilRead,
}

impl HttpBody for Holding {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
