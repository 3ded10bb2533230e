//! The operations port: two questions, answered yes or no to anyone on this machine, without a detail.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{Method, Request, Response, StatusCode};
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

use crate::{health::Health, listener::accept_all};

/// Connections at a time: a supervisor, an orchestrator, someone with curl.
const CONNECTIONS: usize = 32;

/// Time for one question and its answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of a request, hyper's least.
const MAX_REQUEST_BYTES: usize = 8192;

/// Header lines of a request.
const MAX_HEADERS: usize = 32;

/// Serves it until the front stops.
pub(crate) async fn serve(listener: TcpListener, health: Arc<Health>, stop: watch::Receiver<bool>) {
    accept_all(listener, CONNECTIONS, stop, move |stream| one(stream, Arc::clone(&health))).await;
}

async fn one(stream: TcpStream, health: Arc<Health>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answer(&request, &health);
        async move { Ok::<_, Infallible>(response) }
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

fn answer<B>(request: &Request<B>, health: &Health) -> Response<Full<Bytes>> {
    let (code, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/livez") => (StatusCode::OK, "ok"),
        (&Method::GET, "/readyz") if health.is_ready() => (StatusCode::OK, "ok"),
        (&Method::GET, "/readyz") => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        (_, "/livez" | "/readyz") => (StatusCode::METHOD_NOT_ALLOWED, ""),
        _ => (StatusCode::NOT_FOUND, ""),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = code;
    response
}
