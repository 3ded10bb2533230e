//! One line for each request, and the id that finds it.
//!
//! Does not: write a CSR, a key, a note, or anything else of a body.

use std::{net::SocketAddr, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::{
    call::Connection,
    chance,
    metrics::{Metrics, OK},
    status::reason_of,
    sums::Sums,
};

/// The header of the id, in request and response.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id taken from a caller, in bytes.
const MAX_ID_BYTES: usize = 64;

/// The most bytes of a path that are logged: longer than any of our methods.
const MAX_METHOD_BYTES: usize = 128;

/// What is known when a request comes.
pub(crate) struct Line {
    id: HeaderValue,
    method: String,
    caller: Arc<str>,
    peer: Option<SocketAddr>,
    began: Instant,
}

impl Line {
    /// Of a request that has just come.
    pub(crate) fn begin<B>(request: &http::Request<B>, connection: &Connection) -> Self {
        let method = request.uri().path().chars().take(MAX_METHOD_BYTES).collect();
        Self {
            id: request_id(request.headers()),
            method,
            caller: Arc::clone(connection.caller.name()),
            peer: connection.peer,
            began: Instant::now(),
        }
    }

    /// Writes the line or sums it, counts it, and names the id in the response. A stream's line is written when it begins.
    pub(crate) fn end<B>(self, response: &mut http::Response<B>, metrics: &Metrics, sums: &Sums) {
        let status = response.extensions().get::<Status>();
        let code = status.map_or(Code::Ok, Status::code);
        let reason = status.map(reason_of).unwrap_or_default();
        let took = self.began.elapsed();
        metrics.answered(&self.method, if code == Code::Ok { OK } else { reason }, took);
        let ms = took.as_secs_f64() * 1000.0;
        let id = self.id.to_str().unwrap_or_default();
        if sums.takes(&self.caller, code != Code::Ok) {
            let peer = self.peer.map(tracing::field::display);
            tracing::info!(
                id,
                method = self.method,
                caller = &*self.caller,
                peer,
                ?code,
                reason,
                ms,
                "request"
            );
        }
        response.headers_mut().insert(REQUEST_ID, self.id);
    }
}

/// The caller's id where it is 1 to 64 visible ASCII characters, else a fresh one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let readable = |id: &&HeaderValue| {
        (1..=MAX_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(REQUEST_ID).filter(readable).cloned().unwrap_or_else(fresh)
}

fn fresh() -> HeaderValue {
    // Hexadecimal digits are always a header's value.
    HeaderValue::from_str(&chance::request_id()).unwrap_or(HeaderValue::from_static("none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(value: &[u8]) -> HeaderValue {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
        request_id(&headers)
    }

    #[test]
    fn a_readable_id_is_kept() {
        for id in ["x", "0f9d-7/A~", &"y".repeat(MAX_ID_BYTES)] {
            assert_eq!(id_for(id.as_bytes()), id);
        }
    }

    #[test]
    fn any_other_is_replaced() {
        let long = [b'z'; MAX_ID_BYTES + 1];
        for id in [&b""[..], b"a b", b"\xc3\xa9", &long] {
            let fresh = id_for(id);
            assert!(fresh != id && fresh.len() == 16, "{fresh:?}");
        }
        assert_ne!(fresh(), fresh());
    }
}
