//! The keeper's end of the door: length-delimited messages over a socket pair, in and out each on a thread of its own.
//!
//! Does not: decide. It hands each ask to the sequencer or to the readers; a full queue is answered at once.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, TrySendError};
use prost::Message;
use proto::door::{Answer, Ask, answer, ask};

use crate::refusal::Refusal;
use crate::sequencer::Command;

/// Longest ask, in octets: a proposal of 48 KiB and a batch of 100 agents are below it. A longer one closes the door.
const ASK_MAX: usize = 1 << 20;
/// Longest answer, in octets: a page is below a mebibyte, and a CRL of a million certificates is below this.
const ANSWER_MAX: usize = 64 << 20;
/// Answers that wait for one door before it counts as dead.
const ANSWERS_MAX: usize = 16_384;
/// Octets written at once.
const WRITE_MAX: usize = 256 * 1024;
/// Longest encoding of a length (protobuf's varint).
const VARINT_MAX: usize = 10;

/// Where an answer goes. Dropped without an answer, it tells the front that there is none to come.
#[derive(Clone)]
pub(crate) struct Reply {
    id: u64,
    out: Sender<Answer>,
}

impl Reply {
    pub(crate) fn send(&self, outcome: Result<answer::Answer, Refusal>) {
        let answer = outcome.unwrap_or_else(|refusal| answer::Answer::Refused(refusal.into()));
        // A door that is full or gone reads no more; its front has ended or will be told by the loss of the door.
        let _ = self.out.try_send(Answer { id: self.id, answer: Some(answer) });
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({})", self.id)
    }
}

/// The doors that are open, for what is told to all of them unasked.
#[derive(Clone, Default)]
pub(crate) struct OpenDoors(Arc<Mutex<Vec<Sender<Answer>>>>);

impl OpenDoors {
    fn opened(&self, out: &Sender<Answer>) {
        self.lock().push(out.clone());
    }

    fn closed(&self, out: &Sender<Answer>) {
        self.lock().retain(|open| !open.same_channel(out));
    }

    /// Tells every front. One that takes nothing more is told by the loss of its door.
    pub(crate) fn tell(&self, what: &answer::Answer) {
        for out in self.lock().iter() {
            let _ = out.try_send(Answer { id: 0, answer: Some(what.clone()) });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Sender<Answer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where asks go.
#[derive(Clone)]
pub(crate) struct Routes {
    pub(crate) sequencer: Sender<Command>,
    pub(crate) readers: Sender<(Ask, Reply)>,
    pub(crate) open: OpenDoors,
}

impl Routes {
    /// Serves one door until its other end closes.
    ///
    /// # Errors
    /// The socket cannot be shared between two threads.
    pub(crate) fn serve(&self, door: UnixStream) -> std::io::Result<()> {
        let incoming = door.try_clone()?;
        let (out, answers) = crossbeam_channel::bounded(ANSWERS_MAX);
        self.open.opened(&out);
        thread::spawn(move || write(&door, &answers));
        let routes = self.clone();
        thread::spawn(move || {
            routes.read(&incoming, &out);
            // The thread that writes ends with the last who could answer.
            routes.open.closed(&out);
        });
        Ok(())
    }

    fn read(&self, door: &UnixStream, out: &Sender<Answer>) {
        let mut reader = BufReader::with_capacity(64 * 1024, door);
        loop {
            match read_message(&mut reader) {
                Ok(Some(ask)) => self.route(ask, out),
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(
                        cause = error.to_string(),
                        "the front's end of the door sent what is no message: closing it"
                    );
                    let _ = door.shutdown(std::net::Shutdown::Both);
                    return;
                }
            }
        }
    }

    fn route(&self, ask: Ask, out: &Sender<Answer>) {
        let reply = Reply { id: ask.id, out: out.clone() };
        let full = match ask.ask {
            None => return reply.send(Err(Refusal::internal("an ask for nothing"))),
            Some(
                ask::Ask::Issue(_)
                | ask::Ask::Renew(_)
                | ask::Ask::Serve(_)
                | ask::Ask::CreateAgent(_)
                | ask::Ask::BatchCreateAgents(_)
                | ask::Ask::UpdateAgent(_)
                | ask::Ask::DeleteAgent(_)
                | ask::Ask::SubmitProposal(_)
                | ask::Ask::RevokeCertificate(_)
                // These may need a new checkpoint first.
                | ask::Ask::GetCheckpoint(_)
                | ask::Ask::GetInclusionProof(_)
                | ask::Ask::GetConsistencyProof(_)
                | ask::Ask::GetStatus(_),
            ) => match self.sequencer.try_send(Command::Ask(Box::new(ask), reply)) {
                Err(TrySendError::Full(Command::Ask(_, reply))) => Some(reply),
                _ => None,
            },
            Some(_) => match self.readers.try_send((ask, reply)) {
                Err(TrySendError::Full((_, reply))) => Some(reply),
                _ => None,
            },
        };
        if let Some(reply) = full {
            reply.send(Err(Refusal::queue_full()));
        }
    }
}

/// Reads one message; `None` at a clean end.
fn read_message(reader: &mut impl Read) -> std::io::Result<Option<Ask>> {
    let mut length = Vec::with_capacity(VARINT_MAX);
    loop {
        let mut octet = [0u8; 1];
        match reader.read_exact(&mut octet) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::UnexpectedEof && length.is_empty() => return Ok(None),
            Err(error) => return Err(error),
        }
        length.push(octet[0]);
        if octet[0] & 0x80 == 0 {
            break;
        }
        if length.len() == VARINT_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
    }
    let length = prost::decode_length_delimiter(&*length)?;
    if length > ASK_MAX {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut message = vec![0u8; length];
    reader.read_exact(&mut message)?;
    Ok(Some(Ask::decode(&*message)?))
}

/// Writes answers, many at once. Ends when no one can answer any more or the other end is gone.
fn write(mut door: &UnixStream, answers: &Receiver<Answer>) {
    let mut buffer = Vec::with_capacity(WRITE_MAX);
    while let Ok(first) = answers.recv() {
        buffer.clear();
        let mut next = Some(first);
        while let Some(answer) = next {
            // Encoding into a Vec cannot run out of room.
            let _ = sendable(answer).encode_length_delimited(&mut buffer);
            next = if buffer.len() < WRITE_MAX { answers.try_recv().ok() } else { None };
        }
        if door.write_all(&buffer).is_err() {
            return;
        }
    }
}

/// An answer that the other end would close the door for becomes a refusal: only its asker loses by it.
fn sendable(answer: Answer) -> Answer {
    if answer.encoded_len() <= ANSWER_MAX {
        return answer;
    }
    let refusal = Refusal::internal("an answer is longer than a message may be");
    Answer { id: answer.id, answer: Some(answer::Answer::Refused(refusal.into())) }
}

#[cfg(test)]
mod tests {
    use proto::v1::GetCharterResponse;

    use super::*;

    #[test]
    fn an_answer_that_is_too_long_is_a_refusal_and_not_the_doors_end() {
        let answer = |length: usize| {
            let charter = GetCharterResponse { charter: "x".repeat(length), revision: 0 };
            Answer { id: 7, answer: Some(answer::Answer::GetCharter(charter)) }
        };
        assert_eq!(sendable(answer(10)), answer(10));
        let refused = sendable(answer(ANSWER_MAX));
        assert_eq!(refused.id, 7);
        assert!(matches!(refused.answer, Some(answer::Answer::Refused(_))));
    }
}
