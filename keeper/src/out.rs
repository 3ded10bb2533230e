//! The way out of a door: answers are written by whoever has them where the socket takes them at once, by a thread of its own where not.
//!
//! A hand-over between threads costs more than a short write, and a caller who is alone waits for each.

use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prost::Message as _;
use proto::door::{Answer, answer};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::asks::{Change, Read, What};
use crate::callers::Asked;
use crate::refusal::Refusal;
use crate::waiting::Weight;

/// A read, and whom to answer.
pub(crate) type ReadAsk = (Asked<Read>, Reply);

/// Longest answer, in octets: a page is below a mebibyte, and a CRL of a million certificates is below this.
const ANSWER_MAX: usize = 64 << 20;
/// Octets that wait for one door before it counts as dead: a front that reads at all takes them in a moment.
const HELD_MAX: usize = 2 * ANSWER_MAX;
/// Octets that wait before those who only read wait too, or before a door that nobody waits for counts as dead.
const HELD_FULL: usize = 4 << 20;

/// How long a front may leave [`HELD_FULL`] unread.
const UNREAD_MAX: Duration = Duration::from_secs(30);

/// One door's way out. Shared by all who answer through it.
pub(crate) struct Out {
    socket: UnixStream,
    /// Whether those who read for it wait until it has taken what they read before.
    waited_for: bool,
    held: Mutex<Held>,
    /// There is something to write that the socket did not take at once, or the door is dead.
    work: Condvar,
    /// There is room again, or the door is dead.
    room: Condvar,
    /// Whoever is at the other end has asked for a certificate of its own.
    served: AtomicBool,
}

#[derive(Default)]
struct Held {
    octets: Vec<u8>,
    /// The thread writes what it took before: nothing may overtake it.
    writing: bool,
    dead: bool,
}

impl Out {
    pub(crate) fn new(socket: UnixStream, waited_for: bool) -> Self {
        Self {
            socket,
            waited_for,
            held: Mutex::default(),
            work: Condvar::new(),
            room: Condvar::new(),
            served: AtomicBool::new(false),
        }
    }

    /// Marks the first ask for a certificate of its own that comes through this door.
    pub(crate) fn first(&self, mut what: What) -> What {
        if let What::Change(change) = &mut what
            && let Change::Serve(_, is_first) = &mut **change
        {
            *is_first = !self.served.swap(true, Ordering::Relaxed);
        }
        what
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an answer to what is to be written.
    fn push(&self, answer: Answer) {
        let mut held = self.lock();
        if held.dead {
            return;
        }
        let is_unread = !self.waited_for && held.octets.len() > HELD_FULL;
        // Encoding into a Vec cannot run out of room.
        let _ = sendable(answer).encode_length_delimited(&mut held.octets);
        if is_unread || held.octets.len() > HELD_MAX {
            tracing::error!("the other end of a door does not read its answers: it is closed");
            self.end(held);
        }
    }

    /// Writes what the socket takes now; the thread writes the rest.
    fn flush(&self) {
        let mut held = self.lock();
        if held.dead || held.writing || held.octets.is_empty() {
            return;
        }
        match send(&self.socket, &held.octets, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(written) => {
                held.octets.drain(..written);
                self.room.notify_all();
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => return self.end(held),
        }
        if !held.octets.is_empty() {
            self.work.notify_one();
        }
    }

    /// Waits until less than [`HELD_FULL`] is held, where this is waited for: not without end, since others are read for by the same thread.
    fn wait_for_room(&self) {
        if !self.waited_for {
            return;
        }
        let full = |held: &mut Held| held.octets.len() > HELD_FULL && !held.dead;
        let waited = self.room.wait_timeout_while(self.lock(), UNREAD_MAX, full);
        let (held, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            tracing::error!("the front does not read its answers: its door is closed");
            self.end(held);
        }
    }

    /// Writes what nobody could write at once, until the door is closed.
    pub(crate) fn write(&self) {
        let mut taken = Vec::new();
        loop {
            let idle = |held: &mut Held| held.octets.is_empty() && !held.dead;
            let mut held = self.work.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
            if held.dead {
                return;
            }
            std::mem::swap(&mut held.octets, &mut taken);
            held.writing = true;
            drop(held);
            let written = (&self.socket).write_all(&taken);
            taken.clear();
            let mut held = self.lock();
            held.writing = false;
            if written.is_err() {
                return self.end(held);
            }
            self.room.notify_all();
        }
    }

    /// Whether its door is closed.
    pub(crate) fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Nothing more goes out.
    pub(crate) fn close(&self) {
        self.end(self.lock());
    }

    fn end(&self, mut held: MutexGuard<'_, Held>) {
        held.dead = true;
        held.octets = Vec::new();
        drop(held);
        let _ = self.socket.shutdown(Shutdown::Both);
        self.work.notify_all();
        self.room.notify_all();
    }
}

/// Where an answer goes.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) id: u64,
    pub(crate) out: Arc<Out>,
    /// When the answer is worth nothing any more; `None` for an answer that is always.
    pub(crate) deadline: Option<Instant>,
    /// Until it is answered.
    pub(crate) _weight: Option<Arc<Weight>>,
}

impl Reply {
    /// Whether an answer after `wait` would come too late.
    pub(crate) fn is_late_after(&self, wait: Duration, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| now + wait >= deadline)
    }

    /// Whether a front asked that is none any more. What a program on this machine asked is carried out, whether it waits or not.
    pub(crate) fn is_of_no_front(&self) -> bool {
        self.out.waited_for && self.out.is_dead()
    }

    /// Answers, without waiting. It is on its way after [`OpenDoors::flush`].
    pub(crate) fn send(&self, outcome: Result<answer::Answer, Refusal>) {
        let answer = outcome.unwrap_or_else(|refusal| answer::Answer::Refused(refusal.into()));
        self.out.push(Answer { id: self.id, answer: Some(answer) });
    }

    /// Answers once there is room: for those whom nobody waits for but their asker.
    pub(crate) fn send_in_turn(&self, outcome: Result<answer::Answer, Refusal>) {
        self.out.wait_for_room();
        self.send(outcome);
        self.out.flush();
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({})", self.id)
    }
}

/// The doors that are open.
#[derive(Clone, Default)]
pub(crate) struct OpenDoors(Arc<Mutex<Vec<Arc<Out>>>>);

impl OpenDoors {
    /// One is open; a front's closes that of the front before.
    pub(crate) fn opened(&self, out: &Arc<Out>, is_front: bool) {
        let mut open = self.lock();
        let before: Vec<Arc<Out>> = open.iter().filter(|out| is_front && out.waited_for).cloned().collect();
        open.push(Arc::clone(out));
        drop(open);
        for front in before {
            front.close();
        }
    }

    pub(crate) fn closed(&self, out: &Arc<Out>) {
        self.lock().retain(|open| !Arc::ptr_eq(open, out));
    }

    /// Tells every front, unasked.
    pub(crate) fn tell(&self, what: &answer::Answer) {
        for out in self.lock().iter() {
            out.push(Answer { id: 0, answer: Some(what.clone()) });
        }
    }

    /// Sends off what was answered.
    pub(crate) fn flush(&self) {
        self.lock().iter().for_each(|out| out.flush());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Out>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    use std::io::Read as _;
    use std::thread;

    use proto::v1::GetCharterResponse;

    use super::*;

    fn answer(id: u64, length: usize) -> Answer {
        let charter = GetCharterResponse { charter: "x".repeat(length), ..GetCharterResponse::default() };
        Answer { id, answer: Some(answer::Answer::GetCharter(charter)) }
    }

    #[test]
    fn an_answer_that_is_too_long_is_a_refusal_and_not_the_doors_end() {
        assert_eq!(sendable(answer(7, 10)), answer(7, 10));
        let refused = sendable(answer(7, ANSWER_MAX));
        assert_eq!(refused.id, 7);
        assert!(matches!(refused.answer, Some(answer::Answer::Refused(_))));
    }

    #[test]
    fn answers_come_whole_and_in_order_however_full_the_socket_is() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let out = Arc::new(Out::new(near, true));
        let mut wanted = Vec::new();
        let writer = thread::spawn({
            let out = Arc::clone(&out);
            move || out.write()
        });
        // Far more than a socket holds, before anyone reads.
        for id in 0..300 {
            let answer = answer(id, 10_000);
            answer.encode_length_delimited(&mut wanted).unwrap();
            out.push(answer);
            out.flush();
        }
        let mut got = vec![0; wanted.len()];
        far.read_exact(&mut got).unwrap();
        assert!(got == wanted);
        out.close();
        writer.join().unwrap();
    }

    #[test]
    fn a_front_that_does_not_read_loses_its_door_and_holds_up_nobody() {
        let (near, _far) = UnixStream::pair().unwrap();
        let out = Out::new(near, true);
        for id in 0..3 {
            out.push(answer(id, ANSWER_MAX - 64));
            out.flush();
        }
        assert!(out.lock().dead && out.lock().octets.is_empty());
        out.wait_for_room();
    }

    #[test]
    fn a_new_front_closes_the_door_of_the_one_before_and_nobody_elses() {
        let doors = OpenDoors::default();
        let open = |is_front| {
            let (near, far) = UnixStream::pair().unwrap();
            let out = Arc::new(Out::new(near, is_front));
            doors.opened(&out, is_front);
            (out, far)
        };
        let ((front, mut kept), (local, _far)) = (open(true), open(false));
        assert!(!front.lock().dead);
        let (next, _other) = open(true);
        assert!(front.lock().dead && !local.lock().dead && !next.lock().dead);
        assert_eq!(kept.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn one_on_this_machine_that_does_not_read_is_not_waited_for() {
        let (near, _far) = UnixStream::pair().unwrap();
        let out = Arc::new(Out::new(near, false));
        let reply = |id| Reply { id, out: Arc::clone(&out), deadline: None, _weight: None };
        let page = || {
            Ok(answer::Answer::GetCharter(GetCharterResponse {
                charter: "x".repeat(1 << 20),
                ..Default::default()
            }))
        };
        // Were it waited for, this test would not end.
        (0..10).for_each(|id| reply(id).send_in_turn(page()));
        assert!(out.lock().dead, "its door is closed");
    }
}
