//! The operations port: two questions, answered yes or no to anyone on this machine, without a detail, and a page of metrics.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

use crate::{health::Health, listener::accept_all, scrape::Scrape};

/// Connections at a time: a supervisor, an orchestrator, someone with curl.
const CONNECTIONS: usize = 32;

/// Time for one question and its answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a request, hyper's least.
const MAX_REQUEST_BYTES: usize = 8192;

/// Header lines of a request.
const MAX_HEADERS: usize = 32;

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
    accept_all(listener, CONNECTIONS, || {}, stop, move |stream| one(stream, Arc::clone(&ops))).await;
}

async fn one(stream: TcpStream, ops: Arc<Ops>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let ops = Arc::clone(&ops);
        async move { Ok::<_, Infallible>(ops.answer(&request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(TIMEOUT)
        .keep_alive(false)
        .max_buf_size(MAX_REQUEST_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever breaks off, or asks in no HTTP, gets no answer.
    let _ = timeout(TIMEOUT, connection).await;
}

impl Ops {
    async fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
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

    async fn metrics(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.scrape.page().await.into()));
        response.headers_mut().insert(CONTENT_TYPE, OPENMETRICS);
        response
    }
}
