//! Plain HTTP for those who ask one thing and go: one request a connection, bounded in time and octets.

use std::{convert::Infallible, time::Duration};

use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    sync::Notify,
    time::{sleep, timeout},
};

use crate::room::Guest;

/// Time for a request's first octet: who connects to ask asks at once.
const FIRST_OCTET: Duration = Duration::from_secs(1);

/// Time for a request's head.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// Time for an answer to be read before its reader makes room for others. 10 s: a list of a hundred thousand certificates over a common line.
const READING: Duration = Duration::from_secs(10);

/// Bytes of a request's head, hyper's least.
const HEAD_BYTES: usize = 8192;

/// Header lines of a request.
const HEADERS: usize = 32;

/// What is answered; its body is at hand.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Serves one connection, for so long at most, and no longer than its guest may stay: false where it had to go, or did not come in.
pub(crate) async fn serve_guest<F>(
    stream: TcpStream,
    time: Duration,
    guest: Option<Guest>,
    answer: impl Fn(Request<Incoming>) -> F,
) -> bool
where
    F: Future<Output = Answer>,
{
    let Some(guest) = guest else { return false };
    let asked = Notify::new();
    let answer = |request| {
        guest.heard();
        asked.notify_one();
        answer(request)
    };
    tokio::select! {
        () = serve(stream, time, answer) => true,
        () = read_no_further(&guest, &asked) => false,
        () = guest.sent_away() => false,
    }
}

/// Whoever has asked has some time in which nobody takes its place, and then is one of those who make room. Never returns.
async fn read_no_further(guest: &Guest, asked: &Notify) {
    asked.notified().await;
    sleep(READING).await;
    guest.answered();
    std::future::pending::<()>().await;
}

async fn serve<F>(stream: TcpStream, time: Duration, answer: impl Fn(Request<Incoming>) -> F)
where
    F: Future<Output = Answer>,
{
    let Ok(Ok(())) = timeout(FIRST_OCTET, stream.readable()).await else { return };
    let service = service_fn(|request| {
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever breaks off, or asks in no HTTP, gets no answer.
    let _ = timeout(time, connection).await;
}
