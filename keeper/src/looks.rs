//! The long look at RSA keys: beside the thread that reads the door and the sequencer's, one key after the other.
//!
//! Does not: share turns out among callers. The front charges a caller for it and lets one look at a time through; whoever has taken the front can fill
//! the queue here, and is told so.

use std::thread;

use crossbeam_channel::{Receiver, Sender, TrySendError};

use crate::asks::Change;
use crate::callers::Asked;
use crate::command::Command;
use crate::out::Reply;
use crate::refusal::Refusal;

/// Keys that wait: half a second's work at 3072 bits.
const WAITING: usize = 64;

/// A change whose key has not been looked at long enough, and whom to answer.
type Unseen = (Asked<Box<Change>>, Reply);

/// Where changes go whose keys take long to look at.
#[derive(Clone)]
pub(crate) struct Looks(Sender<Unseen>);

impl Looks {
    /// Looks, and passes on to these, until the last who may send is gone.
    pub(crate) fn start(sequencer: Sender<Command>) -> Self {
        let (send, unseen) = crossbeam_channel::bounded(WAITING);
        thread::spawn(move || run(&unseen, &sequencer));
        Self(send)
    }

    /// # Errors
    /// Too many wait: whom to tell.
    pub(crate) fn send(&self, change: Asked<Box<Change>>, reply: Reply) -> Result<(), Reply> {
        match self.0.try_send((change, reply)) {
            Err(TrySendError::Full((_, reply))) => Err(reply),
            _ => Ok(()),
        }
    }
}

fn run(unseen: &Receiver<Unseen>, sequencer: &Sender<Command>) {
    for (mut asked, reply) in unseen {
        asked.what.look();
        match sequencer.try_send(Command::Change(asked, reply)) {
            Ok(()) => {}
            Err(TrySendError::Full(command)) => {
                if let Some(reply) = command.into_reply() {
                    reply.send_in_turn(Err(Refusal::queue_full()));
                }
            }
            // The keeper ends.
            Err(TrySendError::Disconnected(_)) => return,
        }
    }
}
