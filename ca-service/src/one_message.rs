//! The request of a method that takes one message: what comes behind it is refused. The library would read all of it, and drop it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming};
use proto::v1::Reason;
use tonic::{Status, body::Body};

use crate::status::{refused, status};

/// Octets before a message: whether it is compressed, and its length (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX: usize = 5;

/// Methods that take many.
const OF_MANY: [&str; 3] = [
    "/rootcellar.v1.IssuanceService/BatchIssueCertificates",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// The request's body, of one message where its method takes one.
pub(crate) fn bounded(request: http::Request<Incoming>) -> http::Request<Body> {
    let is_of_many = OF_MANY.contains(&request.uri().path());
    request.map(|body| if is_of_many { Body::new(body) } else { Body::new(OneMessage::of(body)) })
}

/// A body that ends with its first message.
struct OneMessage<B> {
    body: B,
    message: Message,
}

/// How far the message has come.
#[derive(Debug, Default)]
struct Message {
    prefix: Vec<u8>,
    /// Octets that are still to come; none before the prefix is whole.
    left: Option<usize>,
}

impl<B> OneMessage<B> {
    fn of(body: B) -> Self {
        Self { body, message: Message::default() }
    }
}

impl Message {
    /// These octets come next: whether they belong to it.
    fn takes(&mut self, mut octets: &[u8]) -> bool {
        while let (None, Some((&next, rest))) = (self.left, octets.split_first()) {
            self.prefix.push(next);
            octets = rest;
            if let [_, length @ ..] = &self.prefix[..]
                && let Ok(length) = <[u8; PREFIX - 1]>::try_from(length)
            {
                self.left = Some(usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX));
            }
        }
        let left = self.left.unwrap_or_default().checked_sub(octets.len());
        if self.left.is_some() {
            self.left = Some(left.unwrap_or_default());
        }
        left.is_some()
    }
}

impl<B: HttpBody<Data = Bytes, Error: Into<tonic::codegen::StdError>> + Unpin> HttpBody for OneMessage<B> {
    type Data = Bytes;
    type Error = tonic::codegen::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(match polled {
            Some(Ok(frame)) if frame.data_ref().is_some_and(|data| !self.message.takes(data)) => {
                Some(Err(too_many().into()))
            }
            other => other.map(|frame| frame.map_err(Into::into)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

fn too_many() -> Status {
    status(refused(Reason::RequestMalformed, "this method takes one message: send nothing behind it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_message_is_taken_however_it_is_cut_and_nothing_behind_it() {
        let message = [&[0, 0, 0, 1, 4][..], &[7; 260]].concat();
        for size in [1, 3, 5, 6, 264, 265] {
            let mut one = Message::default();
            assert!(message.chunks(size).all(|part| one.takes(part)), "{size}");
            assert!(one.takes(&[]) && !one.takes(&[0]), "{size}");
        }
        assert!(!Message::default().takes(&[&message[..], &[0]].concat()));
        let mut empty = Message::default();
        assert!(empty.takes(&[0; 5]) && !empty.takes(&[0; 5]), "two of no octets");
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
