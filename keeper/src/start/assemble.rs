//! The threads of a keeper and what lies between them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use certs::{Issuer, ObjectIdentifier};
use crossbeam_channel::{Receiver, Sender};

use super::{Config, Keeper, Surroundings};
use crate::attendant::Attendant;
use crate::checkpoints::Checkpoints;
use crate::command::{Command, Ended};
use crate::crls::{self, Crls};
use crate::custody::Custody;
use crate::disk::Disk;
use crate::door::{Lane, Routes};
use crate::journal::{Journal, JournalError, JournalFile, move_wal};
use crate::looks::Looks;
use crate::manifest::{self, LoadedModule, Manifests, Observer};
use crate::metrics::Metrics;
use crate::out::OpenDoors;
use crate::out::ReadAsk;
use crate::page::Tokens;
use crate::reads::{Readers, Reads};
use crate::refused::Refused;
use crate::remembered::Remembered;
use crate::requests::Settings;
use crate::rollback::Newest;
use crate::sequencer::Sequencer;
use crate::shared::Shared;
use crate::start_error::StartError;
use crate::status::{Listens, Standing};
use crate::time::Time;
use crate::trust::Trust;
use crate::waiting::Waiting;
use crate::workers::{self};
use crate::{Clock, Random, entropy, local, scrub};

/// Requests of callers that wait for the sequencer; one more is answered QUEUE_FULL.
const QUEUE: usize = 8192;
/// The same of officers, programs on this machine and the front itself.
const SHORT_QUEUE: usize = 256;
/// How often the write-ahead log is moved into the database.
const WAL_EVERY: Duration = Duration::from_secs(1);

/// What a start has read and checked, before anything runs.
pub(super) struct Checked {
    pub(super) journal: Journal,
    pub(super) trust: Trust,
    pub(super) custody: Arc<Custody>,
    pub(super) module: LoadedModule,
    pub(super) settings: Settings,
    pub(super) metrics: Metrics,
    pub(super) checkpoints: Checkpoints,
    pub(super) time: Time,
    pub(super) remembered: Remembered,
}

impl Checked {
    /// Starts the threads.
    pub(super) fn assemble(self, config: Config, surroundings: Surroundings) -> Result<Keeper, StartError> {
        let Surroundings { clock, boot: _, random, probe } = surroundings;
        let Self { journal, trust, custody, module, settings, metrics, checkpoints, time, remembered } = self;
        let queues = Queues::new();
        let issuer = Arc::new(trust.issuer);
        let workers::Started { pulse, threads: mut in_module, own } =
            workers::start(&custody, &issuer, &queues.jobs.1, &queues.done.0, &metrics, &probe)?;
        let (newest, turns) = (Newest::of(journal.cell()), Arc::new(AtomicU64::new(0)));
        let (shared, source) = (Shared::default(), journal.source());
        let issuers = trust.issuers.iter().map(Issuer::spki_sha256);
        shared.lists.begin(&journal.reader(), issuers, issuer.spki_sha256())?;
        let reads = Arc::new(reads(
            &config,
            (&settings.origin, &source),
            (&trust.issuers, &shared),
            &clock,
            &random,
        )?);
        let (blocks, entropy) = entropy::store(random, metrics.clone());
        let (observe, orders) = crossbeam_channel::bounded(1);
        let attendant = Attendant {
            observer: Observer {
                cell: settings.cell.to_string(),
                custody: Arc::clone(&custody),
                module,
                roots: manifest::roots(&journal.reader())?,
                issuer_validity: issuer.validity(),
                clock: Arc::clone(&clock),
            },
            orders,
            blocks,
            pulse: pulse.clone(),
            done: queues.done.0.clone(),
            metrics: metrics.clone(),
            newest: newest.clone(),
        };
        in_module.push(attendant.start()?);
        let readers = Readers::start(&reads)?;
        let scrub =
            start_beside((&source, &config.data_dir), settings.attributes_oid, &queues, shared.clone())?;
        let (orders, ordered) = crossbeam_channel::bounded(1);
        crls::start(&source, &issuer, ordered, queues.done.0.clone())?;
        let crls = Crls::new(&journal.reader(), &issuer, orders)?;
        let doors = OpenDoors::default();
        let standing = Standing {
            custody,
            issuer_validity: issuer.validity(),
            root_not_after: trust.root_not_after,
            started_ms: (clock)(),
            clock: Arc::clone(&clock),
            listens: Listens::default(),
        };
        let listens = standing.listens.clone();
        let routes = routes(&queues, &readers, &doors, (&source, &settings.origin));
        let sequencer = Sequencer {
            checkpoints,
            crls,
            newest,
            manifests: Manifests::new(observe),
            doors,
            pending: HashMap::new(),
            given_up: Vec::new(),
            journal,
            settings,
            issuer,
            issuers: trust.issuers,
            entropy,
            entropy_told: false,
            shared,
            time,
            remembered,
            probe,
            swept: BTreeMap::new(),
            refused: Refused::default(),
            standing,
            metrics,
            pulse: pulse.clone(),
            looked: Instant::now(),
            scrub,
            disk: Disk::new(&config.data_dir, config.keep_free),
            turns: Arc::clone(&turns),
            own,
            held: Vec::new(),
            local: queues.local.1,
            front: queues.front.1,
            asks: queues.asks.1,
            done: queues.done.1,
            jobs: queues.jobs.0,
            readers,
            damaged: None,
            switching: false,
            stopping: false,
        };
        let done = queues.done.0;
        let ended = start_sequencer(sequencer);
        let socket = local::serve(&config.socket, routes.clone())?;
        Ok(Keeper { routes, socket, listens, done, in_module, pulse, turns, ended })
    }
}

type Queue<T> = (Sender<T>, Receiver<T>);

struct Queues {
    /// Of those whom no caller may hold up.
    local: Queue<Command>,
    front: Queue<Command>,
    asks: Queue<Command>,
    done: Queue<Command>,
    jobs: (workers::Jobs, workers::Given),
}

impl Queues {
    /// Only the ends that callers fill are bounded: what the sequencer has begun is bounded by what it takes in, and a bound between it
    /// and the workers could block both.
    fn new() -> Self {
        Self {
            local: crossbeam_channel::bounded(SHORT_QUEUE),
            front: crossbeam_channel::bounded(SHORT_QUEUE),
            asks: crossbeam_channel::bounded(QUEUE),
            done: crossbeam_channel::unbounded(),
            jobs: workers::jobs(),
        }
    }
}

/// Who may ask, and whom.
fn routes(
    queues: &Queues,
    readers: &Readers,
    doors: &OpenDoors,
    (source, origin): (&JournalFile, &str),
) -> Routes {
    let lane = |queue: &Queue<Command>, readers: &Sender<ReadAsk>| Lane {
        sequencer: queue.0.clone(),
        readers: readers.clone(),
    };
    Routes {
        looks: Looks::start(queues.asks.0.clone()),
        callers: lane(&queues.asks, &readers.callers),
        front: lane(&queues.front, &readers.front),
        local: lane(&queues.local, &readers.local),
        open: doors.clone(),
        waiting: Waiting::default(),
        source: source.clone(),
        origin: origin.to_owned(),
    }
}

/// What the readers' threads share.
fn reads(
    config: &Config,
    (origin, source): (&str, &JournalFile),
    (issuers, shared): (&[Issuer], &Shared),
    clock: &Clock,
    random: &Random,
) -> Result<Reads, JournalError> {
    Ok(Reads {
        cell: config.cell.clone(),
        origin: origin.to_owned(),
        issuers: issuers.to_vec(),
        shared: shared.clone(),
        clock: Arc::clone(clock),
        dir: config.data_dir.clone(),
        source: source.clone(),
        backup: Mutex::new(()),
        tokens: Tokens::new(random).map_err(JournalError::of_file("the system's random octets"))?,
    })
}

/// The thread that decides, and where it says how it ended. It has the only sender: one that panics is seen as one that is gone.
fn start_sequencer(sequencer: Sequencer) -> Receiver<Ended> {
    let (end, ended) = crossbeam_channel::bounded(1);
    thread::spawn(move || {
        // The receiver outlives the thread.
        let _ = end.send(sequencer.run());
    });
    ended
}

/// The threads that neither answer, decide nor sign.
fn start_beside(
    (source, dir): (&JournalFile, &Path),
    attributes_oid: ObjectIdentifier,
    queues: &Queues,
    shared: Shared,
) -> Result<scrub::Heartbeat, JournalError> {
    start_checkpointer(dir)?;
    scrub::start(source, dir, attributes_oid, queues.done.0.clone(), shared)
}

/// The thread that moves the write-ahead log into the database, away from the path of a commit. It ends with the process.
fn start_checkpointer(dir: &Path) -> Result<(), JournalError> {
    let connection = Journal::checkpointing_connection(dir)?;
    let every = crossbeam_channel::tick(WAL_EVERY);
    thread::spawn(move || {
        for _ in every {
            if let Err(error) = move_wal(&connection, "PASSIVE") {
                tracing::warn!(cause = error.to_string(), "the write-ahead log could not be moved");
            }
        }
    });
    Ok(())
}
