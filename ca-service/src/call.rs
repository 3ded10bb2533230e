//! One request: who asks, how long the answer is worth waiting for, and its way to the keeper and back.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::{Extensions, HeaderMap};
use prost::Message;
use proto::{
    door::{Refused, Signed, answer::Answer, ask::Ask},
    v1::{Reason, RequestSignature},
};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};
use tonic::{Request, Response, Status};

use crate::{
    Clock, Keeper, Limits, Probe,
    gone::Gone,
    looks::Looks,
    metrics::Metrics,
    rate::{Callers, EXPIRED},
    shares::{Shares, UntilRead},
    status::{refused, status},
    steps::Caller,
};

/// What the requests of one connection share.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    /// Step 1's proof.
    pub(crate) caller: Caller,
    /// Where it comes from; none on this machine.
    pub(crate) peer: Option<SocketAddr>,
    /// True when the connection is to end.
    pub(crate) closing: watch::Receiver<bool>,
    /// One permit for each batch that may be open.
    pub(crate) batches: Arc<Semaphore>,
}

/// The circumstances of one request; in its extensions before any service sees it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The connection that it came over.
    pub(crate) connection: Connection,
    /// When the answer is worth nothing.
    pub(crate) deadline: Instant,
    /// When the client gives the whole call up, streams included; none where it does not say.
    pub(crate) end: Option<Instant>,
}

impl Call {
    /// Of this request.
    ///
    /// # Errors
    /// `INTERNAL`, our bug: it came past [`crate::connection::App`].
    pub(crate) fn of(extensions: &Extensions) -> Result<Self, Refused> {
        extensions
            .get()
            .cloned()
            .ok_or_else(|| refused(Reason::Internal, "a request without a caller: please report it"))
    }

    fn time_left(&self) -> Result<Duration, Refused> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(too_late()) } else { Ok(left) }
    }
}

/// The deadline was over before the keeper was asked.
pub(crate) fn too_late() -> Refused {
    refused(
        Reason::DeadlineExceeded,
        "the deadline is over: ask again, with more time and the same request_id",
    )
}

/// The time that `grpc-timeout` gives; none where it is not there.
///
/// # Errors
/// `REQUEST_MALFORMED`: it cannot be read. Who believes to have set a deadline is not to wait for another.
pub(crate) fn time_asked(headers: &HeaderMap) -> Result<Option<Duration>, Refused> {
    let mut asked = headers.get_all("grpc-timeout").iter();
    let Some(value) = asked.next() else { return Ok(None) };
    let time = value.to_str().ok().and_then(grpc_timeout).filter(|_| asked.next().is_none());
    time.map(Some).ok_or_else(|| Refused {
        field: "grpc-timeout".into(),
        ..refused(
            Reason::RequestMalformed,
            "`grpc-timeout` cannot be read: send one, of 1 to 8 digits and a unit (H, M, S, m, u or n)",
        )
    })
}

impl Limits {
    /// The time that a request may take which asks for this.
    pub(crate) fn time_for(&self, asked: Option<Duration>) -> Duration {
        asked.unwrap_or(self.request_timeout).min(self.request_timeout_most)
    }
}

/// gRPC over HTTP/2, "Requests": TimeoutValue is at most eight digits. None for what is not of that form.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = &text[..text.len() - unit.len_utf8()];
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(value * 3600),
        'M' => Duration::from_secs(value * 60),
        'S' => Duration::from_secs(value),
        'm' => Duration::from_millis(value),
        'u' => Duration::from_micros(value),
        'n' => Duration::from_nanos(value),
        _ => return None,
    })
}

/// What every service needs.
#[derive(Clone)]
pub(crate) struct Desk {
    /// The near end of the door.
    pub(crate) keeper: Keeper,
    /// Milliseconds since 1970.
    pub(crate) clock: Clock,
    /// For tests.
    pub(crate) probe: Probe,
    /// Every bound.
    pub(crate) limits: Arc<Limits>,
    /// How often each caller may ask.
    pub(crate) callers: Arc<Callers>,
    /// How much of each caller's may be under way.
    pub(crate) shares: Shares,
    /// Turns of those who take long to look at a key.
    pub(crate) looks: Arc<Looks>,
    /// Certificates that the keeper knows no more.
    pub(crate) gone: Arc<Gone>,
    /// What is counted.
    pub(crate) metrics: Metrics,
}

impl Desk {
    /// Asks the keeper in the caller's name, whose certificate is looked at once more.
    ///
    /// # Errors
    /// The keeper's refusal, or `CALLER_EXPIRED`, `DEADLINE_EXCEEDED` and the door's from here.
    pub(crate) async fn ask(&self, call: &Call, ask: Ask) -> Result<Answer, Refused> {
        let who = &call.connection.caller;
        let caller = who.at((self.clock)())?;
        let _share = self.shares.ask(&self.account(who))?;
        let answer = self.keeper.ask(caller, call.time_left()?, ask).await;
        self.gone.heed(who, &answer);
        answer
    }

    /// To whose account a caller's load goes: its own, or that of all whose certificate counts no more.
    pub(crate) fn account(&self, caller: &Caller) -> Arc<str> {
        if self.gone.has(caller) { EXPIRED.into() } else { Arc::clone(caller.name()) }
    }

    /// A method that goes through unchanged: `wrap` makes the ask, `pick` takes the answer that belongs to it.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(crate) async fn relay<Q, A>(
        &self,
        request: Request<Q>,
        wrap: fn(Q) -> Ask,
        pick: fn(Answer) -> Option<A>,
    ) -> Result<Response<A>, Status> {
        let call = Call::of(request.extensions()).map_err(status)?;
        let answer = self.ask(&call, wrap(request.into_inner())).await.map_err(status)?;
        pick(answer).map(Response::new).ok_or_else(|| status(other_answer()))
    }

    /// The same for a method whose answer is long or costs a long look: few of one caller's are under way, until the last byte of the
    /// answer has left.
    ///
    /// # Errors
    /// As [`Self::ask`], and `QUEUE_FULL` for one more.
    pub(crate) async fn scan<Q, A: Message>(
        &self,
        request: Request<Q>,
        wrap: fn(Q) -> Ask,
        pick: fn(Answer) -> Option<A>,
    ) -> Result<Response<A>, Status> {
        let call = Call::of(request.extensions()).map_err(status)?;
        let account = self.account(&call.connection.caller);
        let mut shares = self.shares.scan(&account).map_err(status)?;
        let mut response = self.relay(request, wrap, pick).await?;
        shares.push(self.shares.long(&account, response.get_ref().encoded_len()).map_err(status)?);
        response.extensions_mut().insert(UntilRead::new(shares));
        Ok(response)
    }
}

/// A change as the caller signed it.
pub(crate) fn signed(method: &str, body: Vec<u8>, signature: Option<RequestSignature>) -> Ask {
    Ask::Signed(Signed { method: method.to_owned(), body, signature })
}

/// Our bug, or front and keeper of different versions.
pub(crate) fn other_answer() -> Refused {
    refused(
        Reason::Internal,
        "the keeper answered another question: front and keeper differ in version; restart the service",
    )
}

/// A function that takes the answer of this kind.
macro_rules! pick {
    ($kind:ident) => {
        |answer| match answer {
            proto::door::answer::Answer::$kind(body) => Some(body),
            _ => None,
        }
    };
}
pub(crate) use pick;

#[cfg(test)]
mod tests {
    use super::*;

    fn time(header: Option<&str>) -> Duration {
        let mut headers = HeaderMap::new();
        header.map(|text| headers.insert("grpc-timeout", text.parse().unwrap()));
        Limits::default().time_for(time_asked(&headers).unwrap())
    }

    #[test]
    fn a_deadline_is_honoured_and_bounded() {
        assert_eq!(time(Some("250m")), Duration::from_millis(250));
        assert_eq!(time(Some("99999999n")), Duration::from_nanos(99_999_999));
        assert_eq!(time(Some("1M")), Duration::from_secs(60));
        assert_eq!(time(Some("99999999H")), Limits::default().request_timeout_most);
    }

    #[test]
    fn without_a_deadline_the_default_holds() {
        assert_eq!(time(None), Limits::default().request_timeout);
    }

    #[test]
    fn a_deadline_that_cannot_be_read_is_none() {
        for values in [
            &[""][..],
            &["S"],
            &["1"],
            &["1s"],
            &["-1S"],
            &["+1S"],
            &["123456789S"],
            &["1S", "1S"],
            &["1\u{e9}"],
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("grpc-timeout", http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            let told = time_asked(&headers).unwrap_err();
            assert_eq!(
                (told.reason(), &*told.field),
                (Reason::RequestMalformed, "grpc-timeout"),
                "{values:?}"
            );
        }
    }
}
