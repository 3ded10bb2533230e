//! The keeper's end of a door: length-delimited messages over a socket.
//!
//! Does not: decide. It verifies the signature of a signed request, and hands each ask to the sequencer or to the readers; a full queue is
//! answered at once.

use std::io::{BufReader, ErrorKind};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError};
use prost::Message;
use proto::door::{Ask, Caller, Front, caller};

use crate::asks::{self, What};
use crate::callers::{Asked, Asker};
use crate::command::Command;
use crate::journal::{JournalError, JournalFile, Reader};
use crate::looks::Looks;
use crate::out::{OpenDoors, Out, ReadAsk, Reply};
use crate::refusal::Refusal;
use crate::signed::Verifier;
use crate::waiting::{Waiting, Weight};

/// Longest ask, in bytes: the three notes of an import, 60 KiB each, and a batch of 100 agents are below it. A longer one closes the door.
const ASK_MAX: usize = 1 << 20;
/// Longest encoding of a length (protobuf's varint).
const VARINT_MAX: usize = 10;

/// Where asks go. Officers and programs on this machine have a lane that is taken first, the front itself one that is next, callers of
/// the network the last: no caller can fill another's, and whoever has taken the front cannot fill the officers'.
#[derive(Clone)]
pub(crate) struct Routes {
    pub(crate) local: Lane,
    pub(crate) front: Lane,
    pub(crate) callers: Lane,
    /// Where callers' changes go before that, whose keys take long to look at.
    pub(crate) looks: Looks,
    pub(crate) open: OpenDoors,
    /// Octets of the front's asks that wait.
    pub(crate) waiting: Waiting,
    pub(crate) source: JournalFile,
    pub(crate) origin: String,
}

/// The queues of one kind of asker.
#[derive(Clone)]
pub(crate) struct Lane {
    pub(crate) sequencer: Sender<Command>,
    pub(crate) readers: Sender<ReadAsk>,
}

/// Who is at the other end of a door.
#[derive(Debug)]
pub(crate) enum OtherEnd {
    /// The front, which names the caller of each ask.
    Front,
    /// A process on this machine, whatever it says.
    Local {
        /// Its uid.
        uid: u32,
        /// Held for as long as the door is open.
        _place: Arc<()>,
    },
}

impl Routes {
    /// Serves one door until its other end closes.
    ///
    /// # Errors
    /// The socket cannot be shared between two threads, or the journal cannot be opened for reading.
    pub(crate) fn serve(&self, door: UnixStream, end: OtherEnd) -> Result<(), JournalError> {
        let incoming = door.try_clone().map_err(JournalError::of_file("the door"))?;
        let connection = match end {
            OtherEnd::Front => Some(self.source.open()?),
            OtherEnd::Local { .. } => None,
        };
        let is_front = matches!(end, OtherEnd::Front);
        // A thread that reads for everybody on this machine waits for none of them.
        let out = Arc::new(Out::new(door, is_front));
        // There is one front. Whoever kept the door of the one before is none.
        self.open.opened(&out, is_front);
        let (writing, routes) = (Arc::clone(&out), self.clone());
        thread::spawn(move || writing.write());
        thread::spawn(move || {
            let verifier = connection.map(|journal| Verifier::new(Reader::owning(journal), &routes.origin));
            routes.read(&incoming, &end, verifier, &out);
            routes.open.closed(&out);
            out.close();
        });
        Ok(())
    }

    fn read(&self, door: &UnixStream, end: &OtherEnd, mut verifier: Option<Verifier>, out: &Arc<Out>) {
        let mut reader = BufReader::with_capacity(64 * 1024, door);
        loop {
            match read_message(&mut reader) {
                // What it said before its door was closed is not carried out behind it.
                Ok(Some(_)) if out.is_dead() => return,
                Ok(Some((ask, octets))) => self.route(ask, octets, end, verifier.as_mut(), out),
                Ok(None) => return,
                Err(error) => {
                    tracing::error!(
                        cause = error.to_string(),
                        "the other end of a door sent what is no message: closing it"
                    );
                    let _ = door.shutdown(std::net::Shutdown::Both);
                    return;
                }
            }
        }
    }

    fn route(
        &self,
        ask: Ask,
        octets: usize,
        end: &OtherEnd,
        verifier: Option<&mut Verifier>,
        out: &Arc<Out>,
    ) {
        let time = (ask.timeout_ms > 0).then(|| Duration::from_millis(ask.timeout_ms.into()));
        let deadline = time.map(|time| Instant::now() + time);
        let weighed = self.weigh(octets, end);
        let weight = weighed.as_ref().ok().cloned().flatten();
        let reply = Reply { id: ask.id, out: Arc::clone(out), deadline, _weight: weight };
        if let Err(refusal) = weighed {
            return reply.send_in_turn(Err(refusal));
        }
        let asked = asker(ask.caller, end)
            .and_then(|by| asks::sort(ask.ask, &by, verifier).map(|what| Asked { by, what }));
        let unsent = match asked {
            Ok(Asked { by, what: What::Change(what) }) if what.takes_long() => {
                self.looks.send(Asked { by, what }, reply).err()
            }
            Ok(Asked { by, what }) => self.lane(&by).send(by, out.first(what), reply).err(),
            Err(refusal) => return reply.send_in_turn(Err(refusal)),
        };
        if let Some(reply) = unsent {
            reply.send_in_turn(Err(Refusal::queue_full()));
        }
    }

    /// What an ask of the front takes until it is answered. Doors on this machine are few, each of one process that waits for its answers.
    ///
    /// # Errors
    /// Too much waits already.
    fn weigh(&self, octets: usize, end: &OtherEnd) -> Result<Option<Arc<Weight>>, Refusal> {
        if matches!(end, OtherEnd::Local { .. }) {
            return Ok(None);
        }
        self.waiting.take(octets).map(|weight| Some(Arc::new(weight))).ok_or_else(Refusal::queue_full)
    }

    fn lane(&self, by: &Asker) -> &Lane {
        match by {
            Asker::Local(_) => &self.local,
            Asker::Front => &self.front,
            Asker::Presented(_) => &self.callers,
        }
    }
}

impl Lane {
    /// # Errors
    /// The queue is full: whom to tell.
    fn send(&self, by: Asker, what: What, reply: Reply) -> Result<(), Reply> {
        let command = match what {
            What::Change(change) => Command::Change(Asked { by, what: change }, reply),
            What::Own(own) => Command::Own(Asked { by, what: own }, reply),
            // It may need a new checkpoint first.
            What::Read(read) if read.covers(0).is_some() => Command::Cover(Asked { by, what: read }, reply),
            What::Read(read) => {
                return match self.readers.try_send((Asked { by, what: read }, reply)) {
                    Err(TrySendError::Full((_, reply))) => Err(reply),
                    _ => Ok(()),
                };
            }
        };
        match self.sequencer.try_send(command) {
            Err(TrySendError::Full(command)) => command.into_reply().map_or(Ok(()), Err),
            _ => Ok(()),
        }
    }
}

/// Who asks. What the other end says of a caller counts only where the front is there.
fn asker(said: Option<Caller>, end: &OtherEnd) -> Result<Asker, Refusal> {
    match (end, said.and_then(|caller| caller.caller)) {
        (OtherEnd::Local { uid, .. }, _) => Ok(Asker::Local(*uid)),
        (OtherEnd::Front, Some(caller::Caller::Presented(presented))) => Ok(Asker::Presented(presented)),
        (OtherEnd::Front, Some(caller::Caller::Front(Front {}))) => Ok(Asker::Front),
        (OtherEnd::Front, None) => Err(Refusal::internal("an ask of no caller")),
    }
}

/// Reads one message, and how long it was; `None` at a clean end.
fn read_message(reader: &mut impl std::io::Read) -> std::io::Result<Option<(Ask, usize)>> {
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
    Ok(Some((Ask::decode(&*message)?, length)))
}
