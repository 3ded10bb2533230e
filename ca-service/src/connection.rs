//! One connection: HTTP/2 for a caller who is known, until it ends, its time is over, or the front stops.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::{
    HeaderValue, Method, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use proto::{door::Refused, v1::Reason};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Semaphore, watch},
    time::{Instant, sleep, timeout, timeout_at},
};
use tonic::{Code, Status, body::Body, service::Routes};
use tower::ServiceExt;

use crate::{
    Clock, Limits,
    begun::{Begins, Begun},
    call::{Call, Connection, Desk, time_asked, too_late},
    chance,
    gone::Gone,
    log::Line,
    messages::{Held, bounded},
    metrics::{Limit, Metrics},
    rate::Callers,
    readings::Readings,
    recogniser::Recogniser,
    shares::held,
    status::{explained, refused, status},
    steps::Caller,
    sums::Sums,
};

/// How far chance shortens a connection's age.
const AGE_SHARE: f64 = 0.1;

/// Streams that a peer resets before they are taken up; one more ends the connection (rapid reset, CVE-2023-44487).
const RESETS: usize = 20;

/// Streams that end in a protocol error of the peer's; one more ends the connection.
const ERRORS: usize = 64;

/// Octets of a stream's requests that may be under way unread (RFC 9113 §6.9): a tenth of a second at a megabyte a second.
const STREAM_WINDOW: u32 = 128 * 1024;

/// The same of a whole connection, and so what a peer can have the front hold for requests.
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Octets of a stream's answers that may wait to be sent: what a peer that reads nothing can have the front hold for each.
const SEND_BUFFER: usize = 16 * 1024;

/// What is served on every connection.
pub(crate) struct App {
    /// Every service.
    pub(crate) routes: Routes,
    /// Every bound.
    pub(crate) limits: Arc<Limits>,
    /// How often each caller may ask.
    pub(crate) callers: Arc<Callers>,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// Milliseconds since 1970.
    pub(crate) clock: Clock,
    /// Whose lines are written to the log.
    pub(crate) sums: Arc<Sums>,
    /// Certificates that the keeper knows no more.
    pub(crate) gone: Arc<Gone>,
    /// What requests on their way hold.
    pub(crate) held: Held,
    /// Whether callers are known still.
    pub(crate) recogniser: Recogniser,
}

/// Returns once the front stops.
pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    // A front that is gone has stopped.
    let _ = stop.wait_for(|stop| *stop).await;
}

impl App {
    /// Serves what this desk's services answer.
    pub(crate) fn new(desk: Desk, routes: Routes) -> Self {
        let Desk { keeper, clock, limits, callers, gone, metrics, .. } = desk;
        let recogniser = Recogniser { keeper, clock: Arc::clone(&clock), gone: Arc::clone(&gone) };
        let (sums, held) = (Arc::default(), Held::default());
        Self { routes, limits, callers, metrics, clock, sums, gone, held, recogniser }
    }

    /// Serves one connection to its end.
    pub(crate) async fn serve<S>(
        self: Arc<Self>,
        stream: S,
        (caller, peer): (Caller, Option<SocketAddr>),
        stop: watch::Receiver<bool>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (limits, closing) = (Arc::clone(&self.limits), watch::Sender::new(false));
        let _served = self.metrics.connection();
        let (name, (stream, begun)) = (Arc::clone(caller.name()), Begins::new(stream));
        let who = caller.clone();
        let batches = Arc::new(Semaphore::new(limits.batches_per_connection));
        let connection = Connection { caller, peer, closing: closing.subscribe(), batches };
        let (readings, metrics) = (Arc::new(Readings::default()), self.metrics.clone());
        let (of_answers, recogniser) = (Arc::clone(&readings), self.recogniser.clone());
        let service = service_fn(move |request| {
            let (app, connection) = (Arc::clone(&self), connection.clone());
            let readings = Arc::clone(&of_answers);
            async move { Ok::<_, Infallible>(held(app.answer(request, connection).await, &readings)) }
        });
        let streams = if who.is_agent() { limits.streams_per_agent } else { u32::MAX };
        let http2 = http2(&limits, limits.streams_per_connection.min(streams));
        let mut connection = pin!(http2.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = &mut connection => Some(ended),
            () = silent(&begun, limits.handshake_timeout) => Some(Ok(())),
            () = sleep(chance::shortened(limits.connection_age, AGE_SHARE)) => None,
            // Its certificate was revoked, or its holder removed.
            () = who.leaves() => None,
            () = recogniser.keep_looking(&who) => None,
            () = readings.stall(limits.stall) => {
                metrics.closed(Limit::Unread);
                None
            }
            () = stopped(stop) => None,
        };
        let ended = if let Some(ended) = ended {
            ended
        } else {
            // RFC 9113 §6.8: GOAWAY; what is in flight goes on, what is new goes to another connection.
            closing.send_replace(true);
            connection.as_mut().graceful_shutdown();
            timeout(limits.drain, connection).await.unwrap_or(Ok(()))
        };
        if let Err(error) = ended {
            tracing::debug!(caller = &*name, %error, "connection");
        }
    }

    fn admit(&self, caller: &Caller) -> Result<(), Refused> {
        match caller.at((self.clock)()) {
            Ok(_) if self.gone.has(caller) => self.callers.admit_expired(),
            Ok(_) => self.callers.admit(caller),
            Err(expired) => self.callers.admit_expired().and(Err(expired)),
        }
    }

    /// One request: its caller is valid still, its deadline known, its answer logged.
    async fn answer(&self, request: http::Request<Incoming>, connection: Connection) -> http::Response<Body> {
        let _under_way = self.metrics.request();
        let line = Line::begin(&request, &connection);
        let asked = self.admit(&connection.caller).and_then(|()| time_asked(request.headers()));
        let mut response = match (no_grpc(&request), asked) {
            (Some(code), _) => bare(code),
            (None, Err(no)) => status(no).into_http(),
            (None, Ok(asked)) => {
                let now = Instant::now();
                let deadline = now + self.limits.time_for(asked);
                // A deadline too far for the clock is none.
                let end = asked.and_then(|time| now.checked_add(time));
                let mut bounded = bounded(request, &self.held, connection.caller.name());
                bounded.extensions_mut().insert(Call { connection, deadline, end });
                match timeout_at(deadline, self.routes.clone().oneshot(bounded)).await {
                    Ok(Ok(response)) => explain(response),
                    Ok(Err(never)) => match never {},
                    Err(_elapsed) => status(too_late()).into_http(),
                }
            }
        };
        line.end(&mut response, &self.metrics, &self.sums);
        response
    }
}

/// The HTTP status of what is no request of gRPC (gRPC over HTTP/2, "Requests": POST, and a content type that begins so); none of one that is.
fn no_grpc<B>(request: &http::Request<B>) -> Option<StatusCode> {
    if request.method() != Method::POST {
        return Some(StatusCode::METHOD_NOT_ALLOWED);
    }
    let kind = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let is_grpc = kind.and_then(|kind| kind.strip_prefix(b"application/grpc"));
    let is_grpc = is_grpc.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')));
    (!is_grpc).then_some(StatusCode::UNSUPPORTED_MEDIA_TYPE)
}

/// An answer in HTTP alone, logged and counted as any refusal.
fn bare(code: StatusCode) -> http::Response<Body> {
    let mut response = http::Response::new(Body::empty());
    *response.status_mut() = code;
    if code == StatusCode::METHOD_NOT_ALLOWED {
        // RFC 9110 §15.5.6.
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response.extensions_mut().insert(status(refused(Reason::RequestMalformed, "no request of gRPC")));
    response
}

/// Returns when nothing has come until then. Never where something has.
async fn silent(begun: &Begun, time: Duration) {
    sleep(time).await;
    if begun.is_true() {
        std::future::pending::<()>().await;
    }
}

/// A refusal by the library, which knows no reasons, gets one.
fn explain(response: http::Response<Body>) -> http::Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(bare) if bare.code() != Code::Ok && bare.details().is_empty() => explained(bare).into_http(),
        _ => response,
    }
}

fn http2(limits: &Limits, streams: u32) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_header_list_size(limits.header_bytes)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(ERRORS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(limits.keepalive)
        .keep_alive_timeout(limits.keepalive);
    builder
}
