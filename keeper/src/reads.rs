//! Requests that only read: answered by threads with connections of their own, never on the signing path.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cell::TrustDomain;
use certs::Issuer;
use crossbeam_channel::{Sender, TrySendError};
use data_encoding::HEXLOWER;
use ledger::entry::{self, entry::Kind as EntryKind};
use ledger::note::Note;
use ledger::proof::Proof;
use ledger::tree::{consistency_proof, inclusion_proof};
use proto::door::Recognised;
use proto::door::answer::Answer;
use proto::v1;

use crate::answers;
use crate::asks::{Asked, Asker, Read};
use crate::callers::{self, Kind, Who};
use crate::convert;
use crate::door::Reply;
use crate::journal::{CertificateRow, Journal, JournalError, Reader, back_up};
use crate::page::{self, PAGE_OCTETS, Tokens};
use crate::refusal::Refusal;
use crate::shared::Shared;
use crate::steps::release::Release;
use crate::{Clock, charters};

/// Threads that read for callers.
const READERS: usize = 2;
/// Reads that wait in each queue; one more is answered QUEUE_FULL.
const QUEUE: usize = 1024;
/// Rows that one page may look at to find those that the caller may read.
const SCAN_MAX: u64 = 5_000;
/// Entries read at a time.
const ENTRIES_AT_ONCE: u64 = 32;

/// A read, and whom to answer.
pub(crate) type ReadAsk = (Asked<Read>, Reply);

/// What every read needs. Shared by the readers, never changed.
pub(crate) struct Reads {
    pub(crate) cell: TrustDomain,
    pub(crate) origin: String,
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) shared: Shared,
    pub(crate) clock: Clock,
    /// The data directory.
    pub(crate) dir: PathBuf,
    /// Held for all of a backup: two at once would write the same file.
    pub(crate) backup: Mutex<()>,
    pub(crate) tokens: Tokens,
}

type Answered = Result<Answer, Refusal>;
/// Certificates, each with the token of a page that starts with it, and the token of what follows them.
type Rows = (Vec<(u64, CertificateRow)>, Option<u64>);

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
            let (reads, connection) = (Arc::clone(reads), Journal::reading_connection(&reads.dir)?);
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
                thread::spawn(move || match Journal::reading_connection(&reads.dir) {
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

/// One caller's view of the journal.
struct View<'a> {
    reads: &'a Reads,
    reader: &'a Reader<'a>,
    who: Who,
}

impl View<'_> {
    /// Whether the caller may read what concerns this subject: itself, an agent of its own, or anything on this machine.
    fn may_read(&self, subject: &str) -> Result<bool, Refusal> {
        Ok(match self.who.kind() {
            Kind::Local(_) => true,
            Kind::Front => false,
            Kind::Agent(_) => subject == self.who.path(),
            Kind::Controller(_) if subject == self.who.path() => true,
            Kind::Controller(name) => match subject.strip_prefix("/agent/") {
                Some(id) => self.reader.agent(id)?.is_some_and(|agent| agent.record.owner == name.as_str()),
                None => false,
            },
        })
    }

    /// A certificate is its controller's of then: whoever makes an agent again that another had deleted has its name, not its past.
    fn may_read_certificate(&self, row: &CertificateRow) -> Result<bool, Refusal> {
        match self.who.kind() {
            Kind::Controller(name) if row.subject.starts_with("/agent/") => {
                Ok(row.controller.as_deref() == Some(name.as_str()))
            }
            _ => self.may_read(&row.subject),
        }
    }

    fn release(&self) -> Release<'_> {
        Release { cell: self.reads.cell.as_ref(), origin: &self.reads.origin, issuers: &self.reads.issuers }
    }

    fn certificate(&self, get: &v1::GetCertificateRequest) -> Answered {
        let row = self.reader.certificate(convert::certificate_index(&get.name)?)?;
        let row = row.filter(|row| self.may_read_certificate(row).unwrap_or(false));
        let row = row.ok_or_else(|| Refusal::not_found("certificate of that name"))?;
        let certificate = Some(self.release().certificate(self.reader, &row)?);
        Ok(Answer::GetCertificate(v1::GetCertificateResponse { certificate }))
    }

    /// Where a page of this list begins.
    fn page(&self, list: &str, token: &str) -> Result<Option<String>, Refusal> {
        self.reads.tokens.read((list, self.who.path()), token)
    }

    fn next_page(&self, list: &str, at: &str) -> String {
        self.reads.tokens.make((list, self.who.path()), at)
    }

    fn certificates(&self, list: &v1::ListCertificatesRequest) -> Answered {
        let limit = page::limit(list.page_size)?;
        let of = format!("certificates {}", list.filter);
        let before = self.page(&of, &list.page_token)?;
        let before = before.map(|at| at.parse::<u64>().map_err(Refusal::internal)).transpose()?;
        let (rows, next) = match agent_filter(&list.filter)? {
            Some(id) => self.line(&format!("/agent/{id}"), before, limit)?,
            None => self.scan(before.unwrap_or(page::INDEX_MAX), limit)?,
        };
        let certificates = rows.iter().map(|row| self.release().certificate(self.reader, &row.1));
        let (certificates, _) = page::fill(limit, certificates)?;
        // The first that found no room starts the next page.
        let next = rows.get(certificates.len()).map(|(token, _)| *token).or(next);
        Ok(Answer::ListCertificates(v1::ListCertificatesResponse {
            certificates,
            next_page_token: next.map(|next| self.next_page(&of, &next.to_string())).unwrap_or_default(),
        }))
    }

    /// Those of one subject, along the chain from the newest, each with the token of a page that starts with it; and the token of
    /// what follows.
    fn line(&self, subject: &str, from: Option<u64>, limit: u64) -> Result<Rows, Refusal> {
        if !self.may_read(subject)? {
            return Err(Refusal::not_found("agent of that name"));
        }
        let mut at = if from.is_some() { from } else { self.reader.newest(subject)? };
        let mut rows = Vec::new();
        while let Some(row) = at.map(|index| self.reader.certificate(index)).transpose()?.flatten() {
            if row.subject != subject {
                return Err(Refusal::malformed("page_token", "it belongs to another list"));
            }
            if rows.len() as u64 == limit {
                return Ok((rows, Some(row.index)));
            }
            at = row.previous;
            if self.may_read_certificate(&row)? {
                rows.push((row.index, row));
            }
        }
        Ok((rows, None))
    }

    /// Those that the caller may read, as [`Self::line`].
    fn scan(&self, before: u64, limit: u64) -> Result<Rows, Refusal> {
        let looked_at = self.reader.certificates(before, SCAN_MAX)?;
        let last =
            (looked_at.len() as u64 == SCAN_MAX).then(|| looked_at.last().map(|row| row.index)).flatten();
        let mut rows = Vec::new();
        for row in looked_at {
            if rows.len() as u64 == limit {
                return Ok((rows, Some(row.index + 1)));
            }
            if self.may_read_certificate(&row)? {
                rows.push((row.index + 1, row));
            }
        }
        Ok((rows, last))
    }

    /// For every caller: a list is public, and useless where it is not read.
    fn crl(&self, get: &v1::GetCrlRequest) -> Answered {
        let missing = || Refusal::not_found("CRL of that issuer and number");
        let issuer = self.reads.issuers.iter().find(|issuer| {
            get.issuer.is_empty() || get.issuer == HEXLOWER.encode(&issuer.public_key().key_identifier())
        });
        let issuer = issuer.ok_or_else(missing)?;
        let list = self.reads.shared.lists.newest(self.reader, issuer, &self.reads.origin)?;
        let list = list.filter(|list| list.number >= get.min_number).ok_or_else(missing)?;
        Ok(Answer::GetCrl(list))
    }

    fn agent(&self, get: &v1::GetAgentRequest) -> Answered {
        let id = convert::agent_id(&get.name, "name")?;
        let row = self.reader.agent(id.as_str())?;
        let row = row.filter(|_| self.may_read(&format!("/agent/{id}")).unwrap_or(false));
        let row = row.ok_or_else(|| Refusal::not_found("agent of that name"))?;
        let agent = Some(answers::agent(self.reader, &self.reads.cell, &row)?);
        Ok(Answer::GetAgent(v1::GetAgentResponse { agent }))
    }

    fn agents(&self, list: &v1::ListAgentsRequest) -> Answered {
        let limit = page::limit(list.page_size)?;
        let owner = match self.who.kind() {
            Kind::Controller(name) => Some(name.as_str()),
            Kind::Local(_) => None,
            Kind::Agent(_) | Kind::Front => return Err(Refusal::not_allowed(self.who.path())),
        };
        let after = self.page("agents", &list.page_token)?.unwrap_or_default();
        let rows = self.reader.agents(&after, owner, limit + 1)?;
        let agents = rows.iter().map(|row| answers::agent(self.reader, &self.reads.cell, row));
        let (agents, more) = page::fill(limit, agents)?;
        let last = rows[..agents.len()].last().filter(|_| more);
        let last = last.map(|row| self.next_page("agents", &row.record.id));
        Ok(Answer::ListAgents(v1::ListAgentsResponse { agents, next_page_token: last.unwrap_or_default() }))
    }

    fn checkpoint(&self) -> Answered {
        let (_, checkpoint) = self.newest_checkpoint()?;
        Ok(Answer::GetCheckpoint(v1::GetCheckpointResponse { checkpoint }))
    }

    fn newest_checkpoint(&self) -> Result<(u64, String), Refusal> {
        self.reader.checkpoint()?.ok_or_else(|| Refusal::not_found("checkpoint yet"))
    }

    fn entries(&self, list: &v1::ListEntriesRequest) -> Answered {
        let limit = page::limit(list.page_size)?;
        let start = list.start_index.min(page::INDEX_MAX);
        let (mut entries, mut octets, mut next) = (Vec::new(), 0, start);
        // A few at a time: an entry may have 64 KiB, and most of a page may be others'.
        'page: while next < start.saturating_add(SCAN_MAX) {
            let some = self.reader.entries(next, ENTRIES_AT_ONCE)?;
            if some.is_empty() {
                break;
            }
            for (index, body) in some {
                if entries.len() as u64 == limit || octets + body.len() > PAGE_OCTETS {
                    break 'page;
                }
                next = index + 1;
                if self.may_read_entry(index, &body)? {
                    let signature = self.reader.signature(index)?.map(|(signature, _)| signature);
                    let signature = signature.unwrap_or_default();
                    let request = self.reader.signed_request(index)?.unwrap_or_default();
                    octets += body.len() + request.len();
                    entries.push(v1::LedgerEntry { index, entry: body, signature, request });
                }
            }
        }
        let next_index = if next < self.reader.size()? { next } else { 0 };
        Ok(Answer::ListEntries(v1::ListEntriesResponse { entries, next_index }))
    }

    fn may_read_entry(&self, index: u64, body: &[u8]) -> Result<bool, Refusal> {
        if matches!(self.who.kind(), Kind::Local(_)) {
            return Ok(true);
        }
        let record = entry::decode(body).map_err(Refusal::internal)?;
        if record.actor.is_some_and(|actor| actor.identity == self.who.path()) {
            return Ok(true);
        }
        match record.kind {
            Some(EntryKind::Issuance(_)) => match self.reader.certificate(index)? {
                Some(row) => self.may_read_certificate(&row),
                None => Ok(false),
            },
            Some(EntryKind::AgentChange(entry::AgentChange { agent: Some(agent), .. })) => {
                match self.who.kind() {
                    Kind::Controller(name) => Ok(agent.owner == name.as_str()),
                    _ => self.may_read(&format!("/agent/{}", agent.id)),
                }
            }
            // What everybody must be able to check: the officers, the anchors, the issuers.
            Some(
                EntryKind::Charter(_)
                | EntryKind::Bundle(_)
                | EntryKind::CaCertificate(_)
                | EntryKind::Ceremony(_),
            ) => Ok(true),
            _ => Ok(false),
        }
    }

    fn inclusion(&self, index: u64) -> Answered {
        let (size, checkpoint) = self.newest_checkpoint()?;
        let hashes = inclusion_proof(self.reader, size, index).map_err(Refusal::internal)?;
        let checkpoint = Note::parse(checkpoint.as_bytes()).map_err(Refusal::internal)?;
        let proof = Proof { index, hashes, checkpoint, extra: None }.to_string();
        Ok(Answer::GetInclusionProof(v1::GetInclusionProofResponse { proof }))
    }

    fn consistency(&self, old_size: u64) -> Answered {
        let (size, checkpoint) = self.newest_checkpoint()?;
        if old_size == 0 {
            return Err(Refusal::malformed("old_size", "every log is consistent with an empty one"));
        }
        let hashes = consistency_proof(self.reader, old_size, size).map_err(Refusal::internal)?;
        let hashes = hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect();
        Ok(Answer::GetConsistencyProof(v1::GetConsistencyProofResponse { hashes, checkpoint }))
    }

    fn charter(&self) -> Answered {
        let (revision, charter) = self.reader.charter()?.ok_or_else(|| Refusal::not_found("charter"))?;
        let charters = self.reader.charters()?;
        Ok(Answer::GetCharter(v1::GetCharterResponse { charter, revision, charters }))
    }

    fn controller(&self, get: &v1::GetControllerRequest) -> Answered {
        let name = convert::controller_name(&get.name)?;
        let row = self.reader.controller(name.as_str())?;
        let row = row.filter(|_| self.may_read(&format!("/controller/{name}")).unwrap_or(false));
        let row = row.ok_or_else(|| Refusal::not_found("controller of that name"))?;
        let controller = Some(answers::controller(self.reader, &self.reads.cell, &row)?);
        Ok(Answer::GetController(v1::GetControllerResponse { controller }))
    }

    fn controllers(&self, list: &v1::ListControllersRequest) -> Answered {
        let limit = page::limit(list.page_size)?;
        let rows = match self.who.kind() {
            Kind::Controller(name) => self.reader.controller(name.as_str())?.into_iter().collect(),
            Kind::Local(_) => {
                let after = self.page("controllers", &list.page_token)?.unwrap_or_default();
                self.reader.controllers(&after, limit + 1)?
            }
            Kind::Agent(_) | Kind::Front => return Err(Refusal::not_allowed(self.who.path())),
        };
        let controllers = rows.iter().map(|row| answers::controller(self.reader, &self.reads.cell, row));
        let (controllers, more) = page::fill(limit, controllers)?;
        let last = rows[..controllers.len()].last().filter(|_| more);
        let last = last.map(|row| self.next_page("controllers", &row.name));
        Ok(Answer::ListControllers(v1::ListControllersResponse {
            controllers,
            next_page_token: last.unwrap_or_default(),
        }))
    }
}

/// The one condition that lists take (AIP-160): `agent = "agents/ID"`.
fn agent_filter(filter: &str) -> Result<Option<cell::AgentId>, Refusal> {
    if filter.trim().is_empty() {
        return Ok(None);
    }
    let value =
        filter.trim().strip_prefix("agent").map(str::trim_start).and_then(|rest| rest.strip_prefix('='));
    let value = value.ok_or_else(|| Refusal::malformed("filter", "write agent = \"agents/ID\""))?;
    convert::agent_id(value.trim().trim_matches('"'), "filter").map(Some)
}
