//! The door between front and keeper, from either end: what code in the front can do to the keeper, and to those who believe the front.

use std::io::{self, BufReader, IoSlice, IoSliceMut, Read, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, thread};

use prost::Message;
use proto::door::{Answer, Ask, Caller, Front as Itself, Presented, answer, ask, caller};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use sha2::{Digest as _, Sha256};

use crate::cell::Cell;

/// An answer in the keeper's place; none where the keeper is to answer itself, to what this made of the ask.
pub type Lie = Arc<dyn Fn(&mut Ask) -> Option<answer::Answer> + Send + Sync>;

/// What becomes of an answer of the keeper's on its way.
pub type Twist = Arc<dyn Fn(Answer) -> Answer + Send + Sync>;

/// How long the other end of a door may take an ask.
const PATIENCE: Duration = Duration::from_millis(100);

/// A process of the service whose supervisor is the test.
pub struct Role {
    child: Child,
    control: OwnedFd,
    /// What it said of itself when it was ready.
    pub ready: serde_json::Value,
}

/// The front's end of a door, in the hands of code that has taken the front.
pub struct Door {
    reading: BufReader<UnixStream>,
    writing: UnixStream,
    asked: u64,
}

impl Role {
    /// Starts `rootcellar keeper` or `rootcellar front` of this cell as its supervisor does, with this end of a door.
    ///
    /// # Panics
    /// It does not get ready.
    pub fn start(cell: &mut Cell, role: &str, door: &UnixStream) -> Self {
        let (control, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .expect("a pair of sockets");
        let log = fs::OpenOptions::new().create(true).append(true).open(cell.path("serve.log"));
        let config = cell.config_file().display().to_string();
        let mut command = cell.program().command(&["--config", &config, role]);
        // As `serve` does for the token's module.
        command.env("SOFTHSM2_CONF", cell.data_dir().join("token/softhsm2.conf"));
        command.stdin(theirs).stdout(Stdio::null()).stderr(log.expect("a log file"));
        let child = command.spawn().expect("the process starts");
        drop(command);
        send(&control, "\"door\"", Some(door));
        let ready = loop {
            let said = receive(&control).unwrap_or_else(|| {
                panic!("{role} ended\n{}", fs::read_to_string(cell.path("serve.log")).unwrap_or_default())
            });
            if let Some(ready) = said.get("ready") {
                break ready.clone();
            }
        };
        // What it says from now on is read, so that it never waits for that.
        let heard = control.try_clone().expect("a descriptor");
        thread::spawn(move || while receive(&heard).is_some() {});
        Self { child, control, ready }
    }

    /// A keeper of this cell, and the front's end of its door.
    ///
    /// # Panics
    /// It does not get ready.
    pub fn keeper(cell: &mut Cell) -> (Self, Door) {
        let (near, far) = UnixStream::pair().expect("a pair of sockets");
        (Self::start(cell, "keeper", &far), Door::over(near))
    }

    /// Hands a keeper the door of the next front.
    ///
    /// # Panics
    /// The system has no more descriptors.
    pub fn next_front(&self) -> Door {
        let (near, far) = UnixStream::pair().expect("a pair of sockets");
        send(&self.control, "\"door\"", Some(&far));
        Door::over(near)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    ///
    /// # Panics
    /// It cannot be asked.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("it can be waited for").is_none()
    }

    /// Stops it as the supervisor does, and returns its exit code.
    ///
    /// # Panics
    /// It cannot be waited for.
    pub fn stop(mut self) -> i32 {
        self.end()
    }

    /// The same, of one that is to be followed by another.
    ///
    /// # Panics
    /// It cannot be waited for.
    pub fn end(&mut self) -> i32 {
        send(&self.control, "\"stop\"", None);
        self.child.wait().expect("it ends").code().unwrap_or(-1)
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Door {
    /// The socket itself, for who has no manners.
    ///
    /// # Panics
    /// The system has no more descriptors.
    pub fn stream(&self) -> UnixStream {
        self.writing.try_clone().expect("a descriptor")
    }

    /// # Panics
    /// The system has no more descriptors.
    fn over(door: UnixStream) -> Self {
        let reading = BufReader::new(door.try_clone().expect("a descriptor"));
        Self { reading, writing: door, asked: 0 }
    }

    /// A door at the keeper's own socket, of a program on its machine.
    ///
    /// # Panics
    /// No keeper listens there.
    pub fn local(socket: &Path) -> Self {
        Self::over(UnixStream::connect(socket).expect("the keeper listens"))
    }

    /// Sends an ask where the keeper takes it at once; `false` where it reads no more, or has closed the door.
    ///
    /// # Panics
    /// The system refuses a time to wait.
    pub fn try_send(&mut self, caller: Option<caller::Caller>, ask: ask::Ask) -> bool {
        self.writing.set_write_timeout(Some(PATIENCE)).expect("a time to wait");
        let ask = self.next(caller, ask);
        self.writing.write_all(&ask).is_ok()
    }

    /// Sends an ask and returns its id.
    ///
    /// # Panics
    /// The door is closed.
    pub fn send(&mut self, caller: Option<caller::Caller>, ask: ask::Ask) -> u64 {
        let ask = self.next(caller, ask);
        self.writing.write_all(&ask).expect("the keeper reads");
        self.asked
    }

    /// The message of the next ask.
    fn next(&mut self, caller: Option<caller::Caller>, ask: ask::Ask) -> Vec<u8> {
        self.asked += 1;
        let caller = Some(Caller { caller });
        let ask = Ask { id: self.asked, caller, timeout_ms: 10_000, ask: Some(ask) };
        ask.encode_length_delimited_to_vec()
    }

    /// The next answer; none where the door was closed.
    pub fn receive(&mut self) -> Option<Answer> {
        read(&mut self.reading).and_then(|bytes| Answer::decode(&*bytes).ok())
    }

    /// Asks, and waits for the answer.
    ///
    /// # Panics
    /// The door is closed.
    pub fn ask(&mut self, caller: Option<caller::Caller>, ask: ask::Ask) -> answer::Answer {
        let id = self.send(caller, ask);
        loop {
            let answer = self.receive().expect("the keeper answers");
            if answer.id == id {
                return answer.answer.expect("an answer");
            }
        }
    }

    /// Sends bytes that need not be a message.
    ///
    /// # Panics
    /// The door is closed.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.writing.write_all(bytes).expect("the keeper reads");
    }
}

/// A caller with this certificate, as the front says it.
///
/// # Panics
/// It is none.
pub fn presented(certificate: &[u8]) -> Option<caller::Caller> {
    let tbs = certs::summary::tbs_of(certificate).expect("a certificate");
    let serial = certs::TbsFields::parse(tbs).expect("a certificate").serial;
    let certificate_sha256 = Sha256::digest(certificate).to_vec();
    Some(caller::Caller::Presented(Presented { serial, certificate_sha256 }))
}

/// The front itself.
pub fn front() -> Option<caller::Caller> {
    Some(caller::Caller::Front(Itself {}))
}

/// Takes the place of the keeper at its own socket: answers as `lie` says, and passes everything else on. Ends with the test.
///
/// # Panics
/// There is no keeper's socket.
pub fn take_the_place(socket: &Path, lie: Lie) {
    let real = socket.with_extension("real");
    fs::rename(socket, &real).expect("the keeper's socket");
    let listener = UnixListener::bind(socket).expect("its place");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if let Ok(keeper) = UnixStream::connect(&real) {
                relay(client, &keeper, Arc::clone(&lie), Arc::new(|answer| answer));
            }
        }
    });
}

/// Stands between one who asks and the keeper, on threads of its own: answers as `lie` says, passes everything else on, and what comes back
/// as `twist` makes it.
///
/// # Panics
/// The system has no more descriptors.
pub fn relay(client: UnixStream, keeper: &UnixStream, lie: Lie, twist: Twist) {
    let shared = |stream: &UnixStream| stream.try_clone().expect("a descriptor");
    let back = Arc::new(Mutex::new(shared(&client)));
    let (answers, mut asks) = (shared(keeper), shared(keeper));
    let put = |to: &Mutex<UnixStream>, answer: &Answer| {
        let message = answer.encode_length_delimited_to_vec();
        to.lock().unwrap_or_else(PoisonError::into_inner).write_all(&message)
    };
    let to_client = Arc::clone(&back);
    thread::spawn(move || {
        let mut reader = BufReader::new(&answers);
        while let Some(message) = read(&mut reader) {
            let answer = twist(Answer::decode(&*message).expect("an answer"));
            if put(&to_client, &answer).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        let mut reader = BufReader::new(&client);
        while let Some(message) = read(&mut reader) {
            let mut ask = Ask::decode(&*message).expect("an ask");
            let passed = match lie(&mut ask) {
                Some(answer) => put(&back, &Answer { id: ask.id, answer: Some(answer) }),
                None => asks.write_all(&ask.encode_length_delimited_to_vec()),
            };
            if passed.is_err() {
                break;
            }
        }
        let _ = asks.shutdown(std::net::Shutdown::Both);
    });
}

/// One message behind its length; none at the end.
fn read(reader: &mut impl Read) -> Option<Vec<u8>> {
    let mut length = Vec::new();
    loop {
        let mut octet = [0];
        reader.read_exact(&mut octet).ok()?;
        length.push(octet[0]);
        if octet[0] & 0x80 == 0 {
            break;
        }
    }
    let mut message = vec![0; prost::decode_length_delimiter(&*length).ok()?];
    reader.read_exact(&mut message).ok()?;
    Some(message)
}

fn send(control: &OwnedFd, message: &str, door: Option<&UnixStream>) {
    let descriptors: Vec<_> = door.iter().map(|door| door.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    // One that has ended is told nothing.
    let _ = sendmsg(control, &[IoSlice::new(message.as_bytes())], &mut ancillary, SendFlags::NOSIGNAL);
}

fn receive(control: &OwnedFd) -> Option<serde_json::Value> {
    let mut text = [0u8; 1024];
    let mut ancillary = RecvAncillaryBuffer::default();
    let received: io::Result<_> =
        recvmsg(control, &mut [IoSliceMut::new(&mut text)], &mut ancillary, RecvFlags::empty())
            .map_err(Into::into);
    let bytes = received.ok()?.bytes;
    serde_json::from_slice(&text[..bytes]).ok()
}
