//! The messages of a request, before anything reads them: how many its method takes, how long each may be, how long the first may be on its way, and how
//! much of one caller's may be held meanwhile. The library would read all of it, and drop what is too much.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming};
use proto::{door::Refused, v1::Reason};
use tokio::time::{Sleep, sleep};
use tonic::{Status, body::Body};

use crate::{
    places::{Place, Places},
    status::{refused, status},
};

/// Octets before a message: whether it is compressed, and its length (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX: usize = 5;
/// Octets of a message: a CSR of 16 KiB, an agent and a signature are below it.
const OCTETS: usize = 32 * 1024;
/// How long the message of a method that takes one may be on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(10);
/// Octets of one caller's that may be on their way or read, and of all callers', in KiB.
const HELD_KIB: (usize, usize) = (8 * 1024, 256 * 1024);
/// When to come back where that is taken.
const RETRY_MS: u32 = 100;

/// Methods that take many.
const OF_MANY: [&str; 3] =
    ["/rootcellar.v1.IssuanceService/BatchIssueCertificates", REFLECTION[0], REFLECTION[1]];
/// What reflection tells is a hundred times as long as what it is asked.
const REFLECTION: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
/// Questions in one stream of reflection: a client asks for the services, and then for each file.
const QUESTIONS: usize = 32;
/// Methods whose messages are as long as any may be.
const LONG: [&str; 3] = [
    "/rootcellar.v1.AgentService/BatchCreateAgents",
    "/rootcellar.v1.AdminService/SubmitProposal",
    "/rootcellar.v1.AdminService/ImportCeremony",
];

/// What callers' requests hold.
#[derive(Clone, Debug)]
pub(crate) struct Held(Arc<Places<Arc<str>>>);

impl Default for Held {
    fn default() -> Self {
        Self(Places::new(HELD_KIB.1))
    }
}

/// The request's body, of as many messages as its method takes, of this length, and counted as this caller's.
pub(crate) fn bounded(
    request: http::Request<Incoming>,
    held: &Held,
    caller: &Arc<str>,
) -> http::Request<Body> {
    let (messages, octets) = most(request.uri().path());
    let account = (held.clone(), Arc::clone(caller));
    request.map(|body| Body::new(Bounded::of(body, Messages::new(messages, octets), account)))
}

/// How many messages a method takes, and of how many octets.
fn most(method: &str) -> (usize, usize) {
    match method {
        reflection if REFLECTION.contains(&reflection) => (QUESTIONS, OCTETS),
        many if OF_MANY.contains(&many) => (usize::MAX, OCTETS),
        long if LONG.contains(&long) => (1, usize::MAX),
        _ => (1, OCTETS),
    }
}

/// A body that ends with its last message.
struct Bounded<B> {
    body: B,
    messages: Messages,
    account: (Held, Arc<str>),
    /// What its message takes, from when its length is known.
    place: Option<Place<Arc<str>>>,
    /// Whether its only message is waited for, and until when once it was not there at first.
    is_due: bool,
    due: Option<Pin<Box<Sleep>>>,
}

/// How far the messages have come.
#[derive(Debug)]
struct Messages {
    /// That may still begin.
    left: usize,
    /// Octets of each, at most.
    octets: usize,
    prefix: Vec<u8>,
    /// Octets of the one that has begun which are still to come.
    to_come: usize,
}

/// Why octets are not taken.
#[derive(Debug, PartialEq, Eq)]
enum Excess {
    Messages,
    Octets,
}

impl Messages {
    fn new(left: usize, octets: usize) -> Self {
        Self { left, octets, prefix: Vec::with_capacity(PREFIX), to_come: 0 }
    }

    /// These octets come next.
    ///
    /// # Errors
    /// They are too many.
    fn take(&mut self, mut octets: &[u8]) -> Result<(), Excess> {
        while let Some((&next, rest)) = octets.split_first() {
            if self.is_whole() {
                self.prefix.clear();
            }
            if self.prefix.len() == PREFIX {
                let taken = self.to_come.min(octets.len());
                (self.to_come, octets) = (self.to_come - taken, &octets[taken..]);
                continue;
            }
            if self.prefix.is_empty() {
                self.left = self.left.checked_sub(1).ok_or(Excess::Messages)?;
            }
            self.prefix.push(next);
            octets = rest;
            if let [_, length @ ..] = &self.prefix[..]
                && let Ok(length) = <[u8; PREFIX - 1]>::try_from(length)
            {
                self.to_come = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                if self.to_come > self.octets {
                    return Err(Excess::Octets);
                }
            }
        }
        Ok(())
    }

    /// Whether the last that began is there.
    fn is_whole(&self) -> bool {
        self.prefix.len() == PREFIX && self.to_come == 0
    }

    /// Whether its length is known, and it is not there yet.
    fn is_awaited(&self) -> bool {
        self.prefix.len() == PREFIX && self.to_come > 0
    }
}

impl<B> Bounded<B> {
    fn of(body: B, messages: Messages, account: (Held, Arc<str>)) -> Self {
        let is_due = messages.left == 1;
        Self { body, messages, account, place: None, is_due, due: None }
    }

    /// # Errors
    /// Too many octets, or messages; or more than one caller, or all, may have the front hold.
    fn takes(&mut self, octets: &[u8]) -> Result<(), Refused> {
        self.messages.take(octets).map_err(|excess| match excess {
            Excess::Messages => refused(
                Reason::RequestMalformed,
                "more messages than this method takes: send nothing behind the last",
            ),
            Excess::Octets => refused(
                Reason::MessageTooLong,
                "a message longer than any good one of this method: send less at once",
            ),
        })?;
        if self.place.is_none() && self.messages.is_awaited() {
            let (Held(places), caller) = &self.account;
            let kib = self.messages.to_come.div_ceil(1024);
            let place = places.take_wide(Arc::clone(caller), HELD_KIB.0, kib);
            self.place = Some(place.ok_or_else(|| Refused {
                retry_after_ms: RETRY_MS,
                ..refused(
                    Reason::QueueFull,
                    "as much of your requests is on its way as may be: send one after the other",
                )
            })?);
        }
        if self.messages.is_whole() {
            (self.is_due, self.due) = (false, None);
        }
        Ok(())
    }
}

impl<B: HttpBody<Data = Bytes, Error: Into<tonic::codegen::StdError>> + Unpin> HttpBody for Bounded<B> {
    type Data = Bytes;
    type Error = tonic::codegen::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let taken = frame.data_ref().map_or(Ok(()), |data| self.takes(data));
                Poll::Ready(Some(taken.map(|()| frame).map_err(|refused| status(refused).into())))
            }
            Poll::Ready(other) => Poll::Ready(other.map(|frame| frame.map_err(Into::into))),
            Poll::Pending if self.is_due => {
                let due = self.due.get_or_insert_with(|| Box::pin(sleep(ON_ITS_WAY)));
                due.as_mut().poll(context).map(|()| Some(Err(too_slow().into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

fn too_slow() -> Status {
    status(refused(Reason::DeadlineExceeded, "the request was not there within 10 s: send it whole"))
}

#[cfg(test)]
mod tests {
    use futures_util::{Stream, StreamExt, stream};
    use http_body_util::StreamBody;

    use super::*;

    #[test]
    fn one_message_is_taken_however_it_is_cut_and_nothing_behind_it() {
        let message = [&[0, 0, 0, 1, 4][..], &[7; 260]].concat();
        let one = || Messages::new(1, 260);
        for size in [1, 3, 5, 6, 264, 265] {
            let mut one = one();
            message.chunks(size).for_each(|part| one.take(part).unwrap());
            assert_eq!((one.take(&[]), one.take(&[0])), (Ok(()), Err(Excess::Messages)), "{size}");
        }
        assert_eq!(one().take(&[&message[..], &[0]].concat()), Err(Excess::Messages));
        let mut empty = one();
        assert_eq!((empty.take(&[0; 5]), empty.take(&[0; 5])), (Ok(()), Err(Excess::Messages)));
    }

    #[test]
    fn messages_have_a_length_and_a_number() {
        let message = [&[0, 0, 0, 1, 4][..], &[7; 260]].concat();
        assert_eq!(Messages::new(1, 259).take(&message[..5]), Err(Excess::Octets), "before any of it comes");
        let mut three = Messages::new(3, 260);
        assert_eq!(three.take(&message.repeat(3)), Ok(()));
        assert_eq!(three.take(&message), Err(Excess::Messages));
        assert_eq!(most("/rootcellar.v1.IssuanceService/IssueCertificate"), (1, OCTETS));
        assert_eq!(most(REFLECTION[0]), (QUESTIONS, OCTETS));
    }

    /// A body that says how long its message is, and sends no more.
    fn begun(
        held: &Held,
        caller: &str,
        octets: u32,
    ) -> Bounded<StreamBody<impl Stream<Item = Result<Frame<Bytes>, Status>>>> {
        let prefix = [&[0][..], &octets.to_be_bytes()].concat();
        let frames = stream::iter([Ok(Frame::data(prefix.into()))]).chain(stream::pending());
        Bounded::of(StreamBody::new(frames), Messages::new(1, usize::MAX), (held.clone(), caller.into()))
    }

    async fn next(
        body: &mut (impl HttpBody<Data = Bytes, Error = tonic::codegen::StdError> + Unpin),
    ) -> Result<(), Reason> {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        let told = frame.expect("it goes on").map(drop).map_err(|error| {
            let status = error.downcast::<Status>().expect("a refusal");
            crate::status::reason_of(&status).to_owned()
        });
        told.map_err(|reason| Reason::from_str_name(&format!("REASON_{reason}")).unwrap())
    }

    #[tokio::test]
    async fn what_one_caller_has_held_is_bounded_and_given_back() {
        let held = Held::default();
        let mebibyte = 1 << 20;
        let mut eight: Vec<_> = (0..8).map(|_| begun(&held, "one", mebibyte)).collect();
        for body in &mut eight {
            assert_eq!(next(body).await, Ok(()));
        }
        assert_eq!(next(&mut begun(&held, "one", 1)).await, Err(Reason::QueueFull));
        assert_eq!(next(&mut begun(&held, "other", mebibyte)).await, Ok(()));
        drop(eight);
        assert_eq!(next(&mut begun(&held, "one", mebibyte)).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_does_not_come_is_not_waited_for() {
        let held = Held::default();
        let mut body = begun(&held, "one", 10);
        assert_eq!(next(&mut body).await, Ok(()));
        assert_eq!(next(&mut body).await, Err(Reason::DeadlineExceeded));
    }

    #[test]
    fn the_methods_that_take_many_are_those_of_the_contract() {
        let set = <prost_types::FileDescriptorSet as prost::Message>::decode(proto::DESCRIPTORS);
        let mut of_many = Vec::new();
        for file in set.unwrap().file {
            for service in &file.service {
                for method in service.method.iter().filter(|method| method.client_streaming()) {
                    of_many.push(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                }
            }
        }
        assert!(
            !of_many.is_empty() && of_many.iter().all(|method| OF_MANY.contains(&&**method)),
            "{of_many:?}"
        );
    }
}
