//! CRLs over plain HTTP (RFC 5280 §4.2.1.13, RFC 2585 §4): `GET /crl/{key identifier}.crl`, for relying parties and their caches.
//!
//! A CRL is signed and public, so that neither the way to it nor who asks matters. Nothing else is answered here.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use httpdate::{fmt_http_date, parse_http_date};
use hyper::body::Bytes;
use tokio::{net::TcpListener, sync::watch};

use crate::{
    Clock,
    crls::{Crl, Crls},
    http1::{self, Answer},
    listener::accept_all,
    metrics::{Limit, Metrics},
    room::Room,
};

/// Connections at a time; for one more, the oldest is closed. 256: each ends with its answer.
pub(crate) const CONNECTIONS: usize = 256;

/// The same from one address, or one IPv6 network.
const CONNECTIONS_OF_ONE: usize = 32;

/// The time that each has before it may be closed for another. 1 s: a list of some thousand certificates over a common line.
const PATIENCE: Duration = Duration::from_secs(1);

/// Time for a request and its answer. 60 s: a list of a hundred thousand certificates over a slow line.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The longest that a cache may keep one, in seconds: so much later, at most, those behind it see a revocation. Five minutes are
/// nothing to the day that a list is good for.
const MAX_AGE: i64 = 300;

/// RFC 2585 §4.2.
const PKIX_CRL: HeaderValue = HeaderValue::from_static("application/pkix-crl");

/// What the site needs.
pub(crate) struct Site {
    /// What is handed out.
    pub(crate) crls: Arc<Crls>,
    /// Milliseconds since 1970.
    pub(crate) clock: Clock,
    /// What is counted.
    pub(crate) metrics: Metrics,
}

/// Serves it until the front stops.
pub(crate) async fn serve(listener: TcpListener, site: Arc<Site>, stop: watch::Receiver<bool>) {
    let metrics = site.metrics.clone();
    let full = || metrics.closed(Limit::CrlConnections);
    let room = Room::new(CONNECTIONS, CONNECTIONS_OF_ONE, PATIENCE);
    // Those who make room for others are beyond it for a moment.
    accept_all(listener, 2 * CONNECTIONS, full, stop, move |stream| {
        let guest = stream.peer_addr().ok().and_then(|peer| room.enter(peer.ip()));
        let site = Arc::clone(&site);
        async move {
            let answer = |request| std::future::ready(site.answer(&request));
            if !http1::serve_guest(stream, TIMEOUT, guest, answer).await {
                site.metrics.closed(Limit::CrlConnections);
            }
        }
    })
    .await;
}

impl Site {
    fn answer<B>(&self, request: &Request<B>) -> Answer {
        let answer = self.find(request.uri().path()).map_or_else(plain, |crl| {
            if matches!(*request.method(), Method::GET | Method::HEAD) {
                hand_out(&crl, request.headers(), (self.clock)())
            } else {
                only_reading()
            }
        });
        self.metrics.crl(answer.status());
        answer
    }

    /// # Errors
    /// There is none of that name, or none yet.
    fn find(&self, path: &str) -> Result<Arc<Crl>, StatusCode> {
        let issuer = path.strip_prefix("/crl/").and_then(|name| name.strip_suffix(".crl"));
        let found = issuer.and_then(|issuer| self.crls.of(issuer));
        let missing =
            if self.crls.is_empty() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NOT_FOUND };
        found.ok_or(missing)
    }
}

fn hand_out(crl: &Crl, asked: &HeaderMap, now_ms: i64) -> Answer {
    let known = is_known(crl, asked);
    let body = if known { Bytes::new() } else { crl.der.clone() };
    let mut answer = Response::new(Full::new(body));
    if known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = answer.headers_mut();
    // RFC 9110 §15.4.5: what a 304 says is what the 200 would have said.
    if !known {
        headers.insert(header::CONTENT_TYPE, PKIX_CRL);
    }
    let mut say = |name, value: String| {
        // Dates, digits and hexadecimal digits are always a header's value.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    say(header::ETAG, etag(crl));
    say(header::LAST_MODIFIED, fmt_http_date(time(crl.this_update)));
    say(header::CACHE_CONTROL, format!("public, max-age={}", max_age(crl, now_ms)));
    answer
}

/// RFC 9110 §8.8.3: strong, since the same tag means the same octets.
fn etag(crl: &Crl) -> String {
    format!("\"{}\"", crl.tag)
}

/// Never beyond nextUpdate: a cache that handed it out then would hand out one that nobody may use.
fn max_age(crl: &Crl, now_ms: i64) -> i64 {
    (crl.next_update - now_ms.div_euclid(1000)).clamp(0, MAX_AGE)
}

/// Whether who asks has it: by its tag where one is named, else by its time (RFC 9110 §13.2.2).
fn is_known(crl: &Crl, asked: &HeaderMap) -> bool {
    let tags: Vec<&str> =
        asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).collect();
    if !tags.is_empty() {
        let ours = etag(crl);
        // §13.1.2: compared weakly.
        let mut tags = tags.into_iter().flat_map(|list| list.split(',')).map(str::trim);
        return tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == ours);
    }
    let since =
        asked.get(header::IF_MODIFIED_SINCE).and_then(|value| parse_http_date(value.to_str().ok()?).ok());
    since.is_some_and(|since| time(crl.this_update) <= since)
}

/// Seconds since 1970 as HTTP has them; before 1970 it is 1970.
fn time(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn plain(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// RFC 9110 §15.5.6.
fn only_reading() -> Answer {
    let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED);
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2027-01-15T08:00:00Z.
    const NOW: i64 = 1_800_000_000;

    fn crl() -> Crl {
        Crl { der: "der".into(), tag: "0f".into(), this_update: NOW, next_update: NOW + 86_400 }
    }

    fn status(name: header::HeaderName, value: &str) -> StatusCode {
        let asked = HeaderMap::from_iter([(name, value.parse().unwrap())]);
        hand_out(&crl(), &asked, NOW * 1000).status()
    }

    #[test]
    fn who_has_it_is_told_so() {
        for tag in ["\"0f\"", "*", "\"x\", \"0f\"", "W/\"0f\""] {
            assert_eq!(status(header::IF_NONE_MATCH, tag), 304, "{tag}");
        }
        for tag in ["\"0e\"", "0f", ""] {
            assert_eq!(status(header::IF_NONE_MATCH, tag), 200, "{tag}");
        }
        for time in ["Fri, 15 Jan 2027 08:00:00 GMT", "Sat, 16 Jan 2027 08:00:00 GMT"] {
            assert_eq!(status(header::IF_MODIFIED_SINCE, time), 304, "{time}");
        }
        for time in ["Fri, 15 Jan 2027 07:59:59 GMT", "yesterday"] {
            assert_eq!(status(header::IF_MODIFIED_SINCE, time), 200, "{time}");
        }
    }

    #[test]
    fn a_tag_that_is_another_outweighs_a_time() {
        let asked = HeaderMap::from_iter([
            (header::IF_NONE_MATCH, HeaderValue::from_static("\"old\"")),
            (header::IF_MODIFIED_SINCE, HeaderValue::from_static("Sat, 16 Jan 2027 08:00:00 GMT")),
        ]);
        assert!(!is_known(&crl(), &asked));
    }

    #[test]
    fn no_cache_keeps_it_for_long_or_beyond_its_time() {
        for (at, most) in [(0, 300), (86_400 - 10, 10), (86_400, 0), (90_000, 0)] {
            assert_eq!(max_age(&crl(), (NOW + at) * 1000), most);
        }
    }
}
