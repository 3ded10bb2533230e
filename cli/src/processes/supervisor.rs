//! The supervisor: starts keeper and front side by side, hands each one end of a door, and starts again what ends.
//!
//! Does not: load a module, open the journal, listen on a network, see a PIN.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::copied::{self, Copied};
use super::orphans::{self, Orphans};
use super::{Control, Message};
use crate::error::{Exit, Failure};

/// Pauses between two starts of a child: the first, doubling up to the last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A child that lived as long starts at the first pause again.
const SETTLED: Duration = Duration::from_secs(60);
/// How long the keeper may say nothing: longer than a call into the module may take, and than a disk that is slow.
const SILENCE: Duration = Duration::from_secs(20);
/// How often what children left behind is looked for before the supervisor ends.
const ENDS: u32 = 10;
/// How long a child may take to finish what it has begun.
const DRAIN: Duration = Duration::from_secs(20);

/// Where the front listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    /// mTLS and gRPC.
    pub(crate) mtls: SocketAddr,
    /// Operations, loopback only.
    pub(crate) ops: SocketAddr,
    /// CRLs over plain HTTP, where they are handed out.
    pub(crate) crl: Option<SocketAddr>,
}

/// Which child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Keeper,
    Front,
}

/// One of the two children, running or waiting to be started again.
struct Process<Make> {
    role: Role,
    make: Make,
    running: Option<(Child, Control)>,
    /// Its process id, which is its group's.
    pid: Option<u32>,
    /// What it says.
    log: Option<Copied>,
    started: Instant,
    pause: Duration,
    /// When to start it again.
    due: Option<Instant>,
    /// It has done its work before: what ends it now may pass.
    was_ready: bool,
    /// When it said something last, where it is one that goes on saying something.
    heard: Option<Instant>,
}

/// What happened to a child.
enum Event {
    /// It ended.
    Ended(io::Result<ExitStatus>),
    /// It says nothing any more.
    Silent,
    /// It has rested long enough.
    Rested,
}

impl Event {
    fn is_no_start(&self) -> bool {
        !matches!(self, Self::Rested)
    }
}

/// What a child says.
enum Word {
    /// It does its work, and where the front listens.
    Ready(Option<Bound>),
    /// It still turns.
    Alive,
}

/// Where children's words go.
type Told = mpsc::Sender<(Role, Word)>;

/// Words that wait: of each start one that it is ready, and the keeper's that it is alive.
const WORDS: usize = 16;

/// Supervises until a signal ends it. `make` gives the command of each child; `ready` is told where the front listens, each time.
///
/// # Errors
/// A child cannot be started, fails before it was ever ready, or the keeper ends for a PIN (invariant I7).
pub(crate) async fn supervise(
    keeper: impl FnMut() -> Result<std::process::Command, Failure>,
    front: impl FnMut() -> Result<std::process::Command, Failure>,
    mut ready: impl FnMut(Bound) + Send + 'static,
) -> Result<(), Failure> {
    orphans::adopt().map_err(own)?;
    let (told, mut tells) = mpsc::channel(WORDS);
    // Whoever reads where the front listens may read no further: that holds up nobody.
    let (telling, listening) = std::sync::mpsc::channel();
    std::thread::spawn(move || listening.into_iter().for_each(&mut ready));
    let mut keeper = Process::new(Role::Keeper, keeper);
    let mut front = Process::new(Role::Front, front);
    let watch = async {
        let mut signals =
            [signal(SignalKind::terminate()).map_err(own)?, signal(SignalKind::interrupt()).map_err(own)?];
        keeper.start(&told)?;
        front.start(&told)?;
        hand_doors(&keeper, &front).map_err(own)?;
        let mut listens = None;
        loop {
            let [terminate, interrupt] = &mut signals;
            let started = tokio::select! {
                () = stopped(terminate, interrupt) => return Ok(()),
                Some((role, word)) = tells.recv() => {
                    match role {
                        Role::Keeper => keeper.heard(&word),
                        Role::Front => front.heard(&word),
                    }
                    if let Word::Ready(bound) = word {
                        // A thread that panicked tells nobody.
                        let _ = bound.map(|bound| telling.send(bound));
                        listens = bound.or(listens);
                        tell_keeper(&keeper, listens);
                    }
                    false
                }
                event = keeper.event() => {
                    let is_clear = event.is_no_start() || end_orphans(&[front.pid]);
                    if is_clear { keeper.turn(event, &told)? } else { keeper.waits() }
                }
                event = front.event() => {
                    let is_clear = event.is_no_start() || end_orphans(&[keeper.pid]);
                    if is_clear { front.turn(event, &told)? } else { front.waits() }
                }
            };
            // Of a child that rests nothing is to be left.
            if keeper.pid.is_none() || front.pid.is_none() {
                end_orphans(&[keeper.pid, front.pid]);
            }
            if started && let Err(error) = hand_doors(&keeper, &front) {
                tracing::error!(cause = %error, "no door could be made: the front is started again");
                front.end_it();
            }
        }
    };
    let outcome = watch.await;
    tracing::info!("stopping: no new requests, what has begun is finished");
    // The front first: what it still waits for, the keeper answers.
    front.stop().await;
    keeper.stop().await;
    let ended = (0..ENDS).any(|_| end_orphans(&[]));
    if !ended {
        tracing::error!(
            "processes that a child left behind go on: end them (`ss -ltnp` names those with the service's ports)"
        );
    }
    outcome
}

/// The supervisor's own calls: the system has no more descriptors or processes.
fn own(error: io::Error) -> Failure {
    Failure::new("SUPERVISOR", error)
}

async fn stopped(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Gives both children the ends of a new door. One that has just ended gets the next.
fn hand_doors<A, B>(keeper: &Process<A>, front: &Process<B>) -> io::Result<()> {
    let (one, other) = UnixStream::pair()?;
    for (control, end) in [(keeper.control(), one), (front.control(), other)] {
        if let Some(control) = control
            && let Err(error) = control.offer(&Message::Door, Some(end.as_fd()))
        {
            tracing::debug!(cause = error.to_string(), "a child is gone before its door came");
        }
    }
    Ok(())
}

/// Ends what is left of a child's group.
fn end_group(pid: Option<u32>) {
    let group = pid.and_then(|pid| Pid::from_raw(pid.cast_signed()));
    // Most leave nothing behind.
    let _ = group.map(|group| kill_process_group(group, rustix::process::Signal::KILL));
}

/// Ends what children that are gone have left behind: whether nothing is left of it.
fn end_orphans(running: &[Option<u32>]) -> bool {
    let running: Vec<u32> = running.iter().copied().flatten().collect();
    let Orphans { ended, are_left, out_of_reach } = orphans::end_all_but(&running);
    if ended > 0 || are_left || out_of_reach > 0 {
        tracing::warn!(ended, are_left, out_of_reach, "processes that a child had started and left behind");
    }
    !are_left
}

/// Tells the keeper where the front listens.
fn tell_keeper<Make>(keeper: &Process<Make>, listens: Option<Bound>) {
    // One that is gone is told once it is there again.
    if let (Some(control), Some(_)) = (keeper.control(), listens) {
        let _ = control.offer(&Message::Ready(listens), None);
    }
}

impl<Make: FnMut() -> Result<std::process::Command, Failure>> Process<Make> {
    fn new(role: Role, make: Make) -> Self {
        let (started, pause) = (Instant::now(), PAUSE.0);
        Self {
            role,
            make,
            running: None,
            pid: None,
            log: None,
            started,
            pause,
            due: None,
            was_ready: false,
            heard: None,
        }
    }

    /// It said something.
    fn heard(&mut self, word: &Word) {
        match word {
            Word::Ready(_) => self.was_ready = true,
            Word::Alive => self.heard = Some(Instant::now()),
        }
    }

    /// Ends it as `kill -9` does; its end is then seen as any other.
    fn end_it(&mut self) {
        self.heard = None;
        if let Some((child, _)) = &mut self.running {
            // One that has ended meanwhile is no failure.
            let _ = child.start_kill();
        }
    }

    fn start(&mut self, told: &Told) -> Result<(), Failure> {
        let (control, theirs) = Control::pair().map_err(own)?;
        let mut command = Command::from((self.make)()?);
        // A group of its own: a terminal's interrupt reaches the supervisor alone, which stops its children in order.
        command.stdin(theirs).process_group(0).kill_on_drop(true);
        copied::pipe(&mut command);
        let mut child = command.spawn().map_err(own)?;
        self.log = copied::copy(&mut child).map_err(own)?;
        tracing::info!(role = ?self.role, pid = child.id(), "started");
        let (listening, told, role) = (control.try_clone().map_err(own)?, told.clone(), self.role);
        std::thread::spawn(move || {
            let messages =
                std::iter::from_fn(|| listening.receive().ok().flatten().map(|(message, _)| message));
            for word in words(role, messages) {
                if told.blocking_send((role, word)).is_err() {
                    return;
                }
            }
        });
        self.pid = child.id();
        self.running = Some((child, control));
        self.started = Instant::now();
        (self.due, self.heard) = (None, None);
        Ok(())
    }

    /// When it ends or falls silent while it runs, or is to start again while it rests.
    async fn event(&mut self) -> Event {
        match (&mut self.running, self.due) {
            (Some((child, _)), _) => match self.heard {
                None => Event::Ended(child.wait().await),
                Some(heard) => tokio::time::timeout_at(heard + SILENCE, child.wait())
                    .await
                    .map_or(Event::Silent, Event::Ended),
            },
            (None, Some(due)) => {
                tokio::time::sleep_until(due).await;
                Event::Rested
            }
            (None, None) => std::future::pending().await,
        }
    }

    /// Lets it rest or starts it; true when it was started.
    fn turn(&mut self, event: Event, told: &Told) -> Result<bool, Failure> {
        match event {
            Event::Ended(status) => self.rest(status).map(|()| false),
            Event::Silent => {
                tracing::error!(role = ?self.role, silence = ?SILENCE, "it says nothing any more: it is ended");
                self.end_it();
                Ok(false)
            }
            Event::Rested => match self.start(told) {
                // The system has no more processes or descriptors for a moment, as after a flood of them.
                Err(failure) if self.was_ready => {
                    tracing::error!(role = ?self.role, cause = %failure, pause = ?self.pause, "it could not be started: trying again");
                    self.rested();
                    Ok(false)
                }
                started => started.map(|()| true),
            },
        }
    }

    /// Lets it rest before its next start, or gives up.
    fn rest(&mut self, status: io::Result<ExitStatus>) -> Result<(), Failure> {
        self.running = None;
        let exit = Exit::of_child(status.as_ref().ok().and_then(ExitStatus::code));
        if ends_the_service(self.role, exit, self.was_ready) {
            return Err(Failure::reported_by_child(exit));
        }
        if self.started.elapsed() >= SETTLED {
            self.pause = PAUSE.0;
        }
        tracing::warn!(role = ?self.role, ?status, pause = ?self.pause, "ended: it is started again");
        self.rested();
        // What it left behind in its group may hold its port.
        end_group(self.pid.take());
        Ok(())
    }

    /// It is not started while what it left behind may have its port.
    fn waits(&mut self) -> bool {
        self.rested();
        false
    }

    /// It is started again after a pause, the next time after a longer one.
    fn rested(&mut self) {
        self.due = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSE.1);
    }

    /// Has it finish, and ends it where it does not. What it said is said when this returns.
    async fn stop(&mut self) {
        if let Some((child, control)) = self.running.take() {
            self.end(child, &control).await;
        }
        if let Some(log) = self.log.take() {
            log.finish().await;
        }
    }

    async fn end(&self, mut child: Child, control: &Control) {
        let _ = control.offer(&Message::Stop, None);
        match tokio::time::timeout(DRAIN, child.wait()).await {
            Ok(Ok(status)) if status.success() => {}
            Ok(status) => tracing::error!(role = ?self.role, ?status, "did not end well"),
            Err(_) => {
                tracing::error!(role = ?self.role, "did not finish in time: ended");
                let _ = child.kill().await;
            }
        }
    }
}

/// What a child's messages say, up to one that it never sends. That it is ready counts once, and of the keeper alone that it is alive: code in the
/// front may say anything, as often as it likes.
fn words(role: Role, messages: impl Iterator<Item = Message>) -> impl Iterator<Item = Word> {
    let mut was_ready = false;
    let said = messages.take_while(|message| matches!(message, Message::Ready(_) | Message::Alive));
    said.filter_map(move |message| match message {
        Message::Ready(bound) => (!std::mem::replace(&mut was_ready, true)).then_some(Word::Ready(bound)),
        Message::Alive if role == Role::Keeper => Some(Word::Alive),
        _ => None,
    })
}

/// Whether a child that ended is not started again. What never was ready has said what is wrong; after that the keeper alone says that a
/// person must act: code in the front must not end the service for good.
fn ends_the_service(role: Role, exit: Exit, was_ready: bool) -> bool {
    !was_ready || (role == Role::Keeper && (exit == Exit::Pin || exit == Exit::Configuration))
}

impl<Make> Process<Make> {
    fn control(&self) -> Option<&Control> {
        self.running.as_ref().map(|(_, control)| control)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_words_says_one_thing() {
        let said = |role| {
            let flood =
                (0..1000).map(|number| if number % 2 == 0 { Message::Ready(None) } else { Message::Alive });
            let (ready, alive): (Vec<_>, Vec<_>) = words(role, flood.chain([Message::Stop, Message::Alive]))
                .partition(|word| matches!(word, Word::Ready(_)));
            (ready.len(), alive.len())
        };
        assert_eq!((said(Role::Front), said(Role::Keeper)), ((1, 0), (1, 500)));
    }

    #[test]
    fn the_keeper_alone_says_that_a_person_must_act() {
        for exit in [Exit::Pin, Exit::Configuration] {
            assert!(ends_the_service(Role::Keeper, exit, true));
            assert!(
                !ends_the_service(Role::Front, exit, true),
                "it was ready, and may be in other hands by now"
            );
            assert!(ends_the_service(Role::Front, exit, false), "it never was ready: it says why");
        }
        assert!(
            !ends_the_service(Role::Keeper, Exit::Failed, true)
                && !ends_the_service(Role::Front, Exit::Failed, true)
        );
    }
}
