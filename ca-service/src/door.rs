//! The door's framing: prost messages, each behind its length.
//!
//! Does not: know what the messages say.

use std::io;

use prost::{
    Message,
    bytes::{Buf, BytesMut},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
};

/// The longest message taken, in bytes: a page is below a mebibyte, a CRL of a million certificates is below this. A longer one closes
/// the door.
pub(crate) const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// The most bytes of a length (a varint of 64 bits: protobuf's encoding guide, "Base 128 Varints").
const MAX_LENGTH_BYTES: usize = 10;

/// The most messages in one write.
const BATCH: usize = 256;

/// Bytes asked from the stream at a time.
const READ_BYTES: usize = 64 * 1024;

/// Writes what comes, many messages per write; ends when the sender is gone.
///
/// # Errors
/// The stream's.
pub(crate) async fn write_all<M: Message>(
    mut stream: impl AsyncWrite + Unpin,
    mut messages: mpsc::Receiver<M>,
) -> io::Result<()> {
    let mut batch = Vec::with_capacity(BATCH);
    let mut bytes = BytesMut::new();
    while messages.recv_many(&mut batch, BATCH).await > 0 {
        for message in batch.drain(..) {
            message.encode_length_delimited(&mut bytes).map_err(io::Error::other)?;
        }
        stream.write_all(&bytes).await?;
        bytes.clear();
    }
    Ok(())
}

/// Hands each message that comes to `take`; returns when the other end closes.
///
/// # Errors
/// The stream's; `InvalidData` for a message that is too long or cannot be decoded.
pub(crate) async fn read_all<M: Message + Default>(
    mut stream: impl AsyncRead + Unpin,
    mut take: impl FnMut(M),
) -> io::Result<()> {
    let mut bytes = BytesMut::new();
    loop {
        while let Some(message) = next(&mut bytes)? {
            take(message);
        }
        bytes.reserve(READ_BYTES);
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
}

/// The next whole message, if it is there.
fn next<M: Message + Default>(bytes: &mut BytesMut) -> io::Result<Option<M>> {
    let mut rest = &bytes[..];
    let length = match prost::decode_length_delimiter(&mut rest) {
        Ok(length) => length,
        Err(_) if bytes.len() < MAX_LENGTH_BYTES => return Ok(None),
        Err(malformed) => return Err(io::Error::new(io::ErrorKind::InvalidData, malformed)),
    };
    if length > MAX_MESSAGE_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is longer than 64 MiB"));
    }
    let prefix = bytes.len() - rest.len();
    if rest.len() < length {
        return Ok(None);
    }
    bytes.advance(prefix);
    let message = bytes.split_to(length);
    M::decode(message).map(Some).map_err(|malformed| io::Error::new(io::ErrorKind::InvalidData, malformed))
}

#[cfg(test)]
mod tests {
    use proto::v1::GetAgentRequest;

    use super::*;

    /// A name of `length` characters, framed.
    fn framed(length: usize) -> Vec<u8> {
        GetAgentRequest { name: "x".repeat(length) }.encode_length_delimited_to_vec()
    }

    async fn lengths_read(bytes: &[u8]) -> (Vec<usize>, io::Result<()>) {
        let mut lengths = Vec::new();
        let end = read_all(bytes, |message: GetAgentRequest| lengths.push(message.name.len())).await;
        (lengths, end)
    }

    #[tokio::test]
    async fn messages_are_found_at_every_cut() {
        let stream = [framed(1), framed(0), framed(300), framed(70_000)].concat();
        let (lengths, end) = lengths_read(&stream).await;
        assert_eq!((lengths, end.is_ok()), (vec![1, 0, 300, 70_000], true));
        for cut in 0..=6 {
            let mut bytes = BytesMut::from(&stream[..cut]);
            let mut found = 0;
            while next::<GetAgentRequest>(&mut bytes).unwrap().is_some() {
                found += 1;
            }
            bytes.extend_from_slice(&stream[cut..]);
            while next::<GetAgentRequest>(&mut bytes).unwrap().is_some() {
                found += 1;
            }
            assert_eq!((found, bytes.len()), (4, 0), "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn one_byte_too_many_closes_the_door() {
        // Field 1 takes a tag and a length of four bytes.
        let (lengths, end) = lengths_read(&framed(MAX_MESSAGE_BYTES - 5)).await;
        assert_eq!((lengths, end.is_ok()), (vec![MAX_MESSAGE_BYTES - 5], true));
        let (lengths, end) = lengths_read(&framed(MAX_MESSAGE_BYTES - 4)).await;
        assert_eq!(lengths, Vec::<usize>::new());
        assert_eq!(end.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn a_length_without_end_and_a_message_of_nonsense_close_the_door() {
        for bad in [&[0xff; 11][..], &[3, 0xff, 0xff, 0xff]] {
            assert_eq!(lengths_read(bad).await.1.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[tokio::test]
    async fn many_messages_take_one_write() {
        let (sender, receiver) = mpsc::channel(BATCH);
        for length in 0..100 {
            sender.try_send(GetAgentRequest { name: "x".repeat(length) }).unwrap();
        }
        drop(sender);
        write_all(OneWrite(None), receiver).await.unwrap();
    }

    /// Fails on a second write, and on one that is not the hundred messages.
    struct OneWrite(Option<Vec<u8>>);

    impl AsyncWrite for OneWrite {
        fn poll_write(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            bytes: &[u8],
        ) -> std::task::Poll<io::Result<usize>> {
            assert!(self.0.replace(bytes.to_vec()).is_none(), "a second write");
            assert_eq!(bytes, (0..100).flat_map(framed).collect::<Vec<u8>>());
            std::task::Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn poll_shutdown(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
    }
}
