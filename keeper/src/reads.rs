//! Requests that only read: answered by threads with connections of their own, never on the signing path.

mod record;
mod view;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cell::TrustDomain;
use certs::Issuer;
use crossbeam_channel::{Sender, TrySendError};
use proto::door::Recognised;
use proto::door::answer::Answer;
use proto::v1;

use crate::asks::Read;
use crate::callers::{self, Asked, Asker, Kind, Who};
use crate::journal::{JournalError, JournalFile, Reader, back_up};
use crate::out::{ReadAsk, Reply};
use crate::page::Tokens;
use crate::refusal::Refusal;
use crate::shared::Shared;
use crate::{Clock, charters};
use view::View;

/// Threads that read for callers.
const READERS: usize = 2;
/// Reads that wait in each queue; one more is answered QUEUE_FULL.
const QUEUE: usize = 1024;

/// What every read needs. Shared by the readers, never changed.
pub(crate) struct Reads {
    pub(crate) cell: TrustDomain,
    pub(crate) origin: String,
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) shared: Shared,
    pub(crate) clock: Clock,
    /// The data directory.
    pub(crate) dir: PathBuf,
    pub(crate) source: JournalFile,
    /// Held for all of a backup: two at once would write the same file.
    pub(crate) backup: Mutex<()>,
    pub(crate) tokens: Tokens,
}

type Answered = Result<Answer, Refusal>;

/// The readers' queues. Callers of the network, the front itself and those on this machine have one each, with threads of its own: an
/// officer does not ask behind the front, and whether the keeper answers is not asked behind the pages of a list.
#[derive(Clone)]
pub(crate) struct Readers {
    pub(crate) callers: Sender<ReadAsk>,
    pub(crate) front: Sender<ReadAsk>,
    pub(crate) local: Sender<ReadAsk>,
}

impl Readers {
    /// Starts the threads. They end when the queues' other ends are gone.
    ///
    /// # Errors
    /// A connection cannot be opened.
    pub(crate) fn start(reads: &Arc<Reads>) -> Result<Self, JournalError> {
        let [(callers, of_callers), (front, of_front), (local, of_local)] =
            [(); 3].map(|()| crossbeam_channel::bounded(QUEUE));
        for queue in std::iter::repeat_n(of_callers, READERS).chain([of_front, of_local]) {
            let (reads, connection) = (Arc::clone(reads), reads.source.open()?);
            thread::spawn(move || {
                let reader = Reader::owning(connection);
                for (asked, reply) in queue {
                    reads.take(&reader, asked, reply);
                }
            });
        }
        Ok(Self { callers, front, local })
    }

    /// Hands on a read that waited for a checkpoint.
    pub(crate) fn read(&self, asked: Asked<Read>, reply: Reply) {
        let queue = match asked.by {
            Asker::Presented(_) => &self.callers,
            Asker::Front => &self.front,
            Asker::Local(_) => &self.local,
        };
        if let Err(TrySendError::Full((_, reply))) = queue.try_send((asked, reply)) {
            reply.send(Err(Refusal::queue_full()));
        }
    }
}

impl Reads {
    /// Serves an ask; one that takes as long as the journal is large has a thread of its own.
    fn take(self: &Arc<Self>, reader: &Reader<'_>, asked: Asked<Read>, reply: Reply) {
        match (&asked.what, &asked.by) {
            // Of others it is refused at once.
            (Read::Backup, Asker::Local(_)) => {
                let reads = Arc::clone(self);
                thread::spawn(move || match reads.source.open() {
                    Ok(connection) => reads.serve(&Reader::owning(connection), &asked, &reply),
                    Err(error) => reply.send_in_turn(Err(error.into())),
                });
            }
            _ => self.serve(reader, &asked, &reply),
        }
    }

    fn serve(&self, reader: &Reader<'_>, asked: &Asked<Read>, reply: &Reply) {
        // Nobody waits for it any more: it would hold up those behind it.
        if !reply.is_late_after(Duration::ZERO, Instant::now()) {
            reply.send_in_turn(self.answer(reader, asked));
        }
    }

    fn answer(&self, reader: &Reader<'_>, asked: &Asked<Read>) -> Answered {
        if self.shared.is_damaged() && !matches!(asked.by, Asker::Local(_)) {
            return Err(Refusal::internal(
                "the journal is damaged: nothing of it is shown to callers of the network",
            ));
        }
        let view = View { reads: self, reader, who: callers::recognise(reader, &asked.by, (self.clock)())? };
        if matches!(view.who.kind(), Kind::Front) && !is_for_the_front(&asked.what) {
            return Err(Refusal::not_allowed(view.who.path()));
        }
        match &asked.what {
            Read::Certificate(get) => view.certificate(get),
            Read::Certificates(list) => view.certificates(list),
            Read::Agent(get) => view.agent(get),
            Read::Agents(list) => view.agents(list),
            Read::TrustBundle => bundle(reader)
                .map(|bundle| Answer::GetTrustBundle(v1::GetTrustBundleResponse { bundle: Some(bundle) })),
            Read::Checkpoint(_) => view.checkpoint(),
            Read::Entries(list) => view.entries(list),
            Read::Inclusion(get) => view.inclusion(get.index),
            Read::Consistency(get) => view.consistency(get.old_size),
            Read::Charter => view.charter(),
            Read::Controller(get) => view.controller(get),
            Read::Controllers(list) => view.controllers(list),
            Read::Crl(get) => view.crl(get),
            Read::Recognise => Ok(Answer::Recognise(Recognised { identity: view.who.path().to_owned() })),
            Read::Backup => self.back_up(&view.who),
        }
    }

    /// Local callers only; the destination is chosen by the service.
    fn back_up(&self, who: &Who) -> Answered {
        // The socket's group may read and deliver; what fills the disk is for the service's own user and root.
        let own = [rustix::process::getuid().as_raw(), 0];
        if !matches!(who.kind(), Kind::Local(uid) if own.contains(uid)) {
            return Err(Refusal::not_allowed(who.path()));
        }
        let Ok(_alone) = self.backup.try_lock() else { return Err(Refusal::queue_full()) };
        demand_room(&self.dir)?;
        let (path, tree_size) = back_up(&self.dir)?;
        Ok(Answer::BackupJournal(v1::BackupJournalResponse { path: path.display().to_string(), tree_size }))
    }
}

/// A copy is as large as the journal at most, and what is recorded meanwhile needs room, too.
fn demand_room(dir: &Path) -> Result<(), Refusal> {
    let length = |name: &str| std::fs::metadata(dir.join(name)).map_or(0, |file| file.len());
    let needed = 2 * (length("journal.sqlite") + length("journal.sqlite-wal"));
    let free = rustix::fs::statvfs(dir).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    if free >= needed {
        return Ok(());
    }
    let message =
        format!("a copy needs {} MiB of free disk, and {} are free: make room", needed >> 20, free >> 20);
    Err(Refusal::new(v1::Reason::DiskLow, message))
}

/// What the front asks in its own name: whom to believe, and the lists that it hands out.
fn is_for_the_front(read: &Read) -> bool {
    matches!(read, Read::TrustBundle | Read::Crl(_))
}

/// The trust bundle in force.
pub(crate) fn bundle(reader: &Reader<'_>) -> Result<v1::TrustBundle, Refusal> {
    let (bundle, note) = charters::bundle(reader)?;
    Ok(v1::TrustBundle { number: bundle.number(), pem: bundle.pem(), note, charters: reader.charters()? })
}
