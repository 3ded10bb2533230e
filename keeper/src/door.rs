//! The keeper's end of the door: length-delimited messages over a socket pair.
//!
//! Does not: decide. It hands each ask to the sequencer or to the readers; a full queue is answered at once.

mod out;

use std::io::{BufReader, ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError};
use prost::Message;
use proto::door::{Ask, ask};

use out::Out;
pub(crate) use out::{OpenDoors, Reply};

use crate::refusal::Refusal;
use crate::sequencer::Command;

/// Longest ask, in octets: the three notes of an import, 60 KiB each, and a batch of 100 agents are below it. A longer one closes the door.
const ASK_MAX: usize = 1 << 20;
/// Longest encoding of a length (protobuf's varint).
const VARINT_MAX: usize = 10;

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
        let out = Arc::new(Out::new(door));
        self.open.opened(&out);
        let (writing, routes) = (Arc::clone(&out), self.clone());
        thread::spawn(move || writing.write());
        thread::spawn(move || {
            routes.read(&incoming, &out);
            routes.open.closed(&out);
            out.close();
        });
        Ok(())
    }

    fn read(&self, door: &UnixStream, out: &Arc<Out>) {
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

    fn route(&self, ask: Ask, out: &Arc<Out>) {
        let time = (ask.timeout_ms > 0).then(|| Duration::from_millis(ask.timeout_ms.into()));
        let deadline = time.map(|time| Instant::now() + time);
        let reply = Reply { id: ask.id, out: Arc::clone(out), deadline };
        let full = match ask.ask {
            None => return reply.send_in_turn(Err(Refusal::internal("an ask for nothing"))),
            Some(
                ask::Ask::Issue(_)
                | ask::Ask::Renew(_)
                | ask::Ask::Serve(_)
                | ask::Ask::CreateAgent(_)
                | ask::Ask::BatchCreateAgents(_)
                | ask::Ask::UpdateAgent(_)
                | ask::Ask::DeleteAgent(_)
                | ask::Ask::SubmitProposal(_)
                | ask::Ask::ImportCeremony(_)
                | ask::Ask::RevokeCertificate(_)
                // These may need a new checkpoint first.
                | ask::Ask::GetCheckpoint(_)
                | ask::Ask::GetInclusionProof(_)
                | ask::Ask::GetConsistencyProof(_)
                | ask::Ask::GetStatus(_)
                | ask::Ask::GetMetrics(_),
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
            reply.send_in_turn(Err(Refusal::queue_full()));
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
