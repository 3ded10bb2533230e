//! The socket between the supervisor and a child: one packet a message, with a descriptor beside it where one is handed over.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};

/// Octets of the longest message.
const MESSAGE_MAX: usize = 1024;

/// What supervisor and child tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    /// To a child: the descriptor is its end of a new door. The one before it is dead.
    Door,
    /// To a child: finish what has begun and end.
    Stop,
    /// From the keeper: it still turns.
    Alive,
    /// From a child: it does its work. The front says where it listens, and the keeper is told so.
    Ready(Option<super::Bound>),
}

/// A message and the descriptor that came with it; none at the other end's end.
type Received = Option<(Message, Option<OwnedFd>)>;

/// One end of the socket.
#[derive(Debug)]
pub(crate) struct Control(OwnedFd);

impl Control {
    /// Both ends. They close in programs that are started without being given one.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(ours), theirs))
    }

    /// The end that the supervisor gave this process as its standard input.
    ///
    /// # Errors
    /// Standard input is closed.
    pub(crate) fn of_this_process() -> io::Result<Self> {
        Ok(Self(io::stdin().as_fd().try_clone_to_owned()?))
    }

    /// Another handle of the same end.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Sends a message, and a descriptor beside it.
    ///
    /// # Errors
    /// The other end is gone.
    pub(crate) fn send(&self, message: &Message, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        self.send_with(message, descriptor, SendFlags::NOSIGNAL)
    }

    /// The same, and waits for nobody: a child that reads nothing holds up itself.
    ///
    /// # Errors
    /// The other end is gone, or has not read for long.
    pub(crate) fn offer(&self, message: &Message, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        self.send_with(message, descriptor, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    }

    fn send_with(
        &self,
        message: &Message,
        descriptor: Option<BorrowedFd<'_>>,
        flags: SendFlags,
    ) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        let descriptors: Vec<BorrowedFd<'_>> = descriptor.into_iter().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        // NOSIGNAL: a child that has ended is an error here and not the end of the supervisor.
        sendmsg(&self.0, &[IoSlice::new(&text)], &mut ancillary, flags)?;
        Ok(())
    }

    /// Waits for a message.
    ///
    /// # Errors
    /// The socket's, or a message that is none of ours.
    pub(crate) fn receive(&self) -> io::Result<Received> {
        let mut text = [0u8; MESSAGE_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received =
            recvmsg(&self.0, &mut [IoSliceMut::new(&mut text)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        if received.bytes == 0 {
            return Ok(None);
        }
        let descriptor = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        Ok(Some((serde_json::from_slice(&text[..received.bytes])?, descriptor)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_descriptor_crosses_with_its_message() {
        let (ours, theirs) = Control::pair().unwrap();
        let theirs = Control(theirs);
        let (mut near, far) = UnixStream::pair().unwrap();
        ours.send(&Message::Door, Some(far.as_fd())).unwrap();
        ours.send(&Message::Stop, None).unwrap();
        drop((ours, far));
        let (message, descriptor) = theirs.receive().unwrap().unwrap();
        assert_eq!(message, Message::Door);
        UnixStream::from(descriptor.unwrap()).write_all(b"x").unwrap();
        let mut octet = [0u8; 1];
        near.read_exact(&mut octet).unwrap();
        assert_eq!(theirs.receive().unwrap().unwrap().0, Message::Stop);
        assert!(theirs.receive().unwrap().is_none());
    }
}
