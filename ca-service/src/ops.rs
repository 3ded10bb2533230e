//! The operations port: two questions, answered yes or no to anyone on this machine, without a detail, and a page of metrics.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::{net::TcpListener, sync::watch};

use crate::{
    health::Health,
    http1::{self, Answer},
    listener::accept_all,
    room::Room,
    scrape::Scrape,
};

/// Connections at a time: a supervisor, an orchestrator, a scraper, someone with curl. For one more, the oldest is closed.
const CONNECTIONS: usize = 32;

/// The time that each has before it may be closed for another: a page of metrics takes some milliseconds.
const PATIENCE: Duration = Duration::from_millis(50);

/// Time for one question and its answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// OpenMetrics 1.0, "Content Type".
const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Who has the answers.
pub(crate) struct Ops {
    /// Whether it lives and is ready.
    pub(crate) health: Arc<Health>,
    /// What it measures.
    pub(crate) scrape: Scrape,
}

/// Serves it until the front stops.
pub(crate) async fn serve(listener: TcpListener, ops: Arc<Ops>, stop: watch::Receiver<bool>) {
    // All of them come from this machine, mostly.
    let room = Room::new(CONNECTIONS, CONNECTIONS, PATIENCE);
    accept_all(
        listener,
        2 * CONNECTIONS,
        || {},
        stop,
        move |stream| {
            let guest = stream.peer_addr().ok().and_then(|peer| room.enter(peer.ip()));
            let ops = Arc::clone(&ops);
            async move {
                http1::serve_guest(stream, TIMEOUT, guest, |request| ops.answer(request)).await;
            }
        },
    )
    .await;
}

impl Ops {
    async fn answer<B>(&self, request: Request<B>) -> Answer {
        let (code, body) = match (request.method(), request.uri().path()) {
            (&Method::GET, "/livez") => (StatusCode::OK, "ok"),
            (&Method::GET, "/readyz") if self.health.is_ready() => (StatusCode::OK, "ok"),
            (&Method::GET, "/readyz") => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
            (&Method::GET, "/metrics") => return self.metrics().await,
            (_, "/livez" | "/readyz" | "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, ""),
            _ => (StatusCode::NOT_FOUND, ""),
        };
        let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
        *response.status_mut() = code;
        response
    }

    async fn metrics(&self) -> Answer {
        let mut response = Response::new(Full::new(self.scrape.page().await.into()));
        response.headers_mut().insert(CONTENT_TYPE, OPENMETRICS);
        response
    }
}
