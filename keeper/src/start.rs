//! Starts a keeper: what is on the disk is read and checked, the token is opened, what a crash left is finished, then the door opens.

mod assemble;
mod watch;

use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cell::{DnsNames, TrustDomain};
use certs::{Blocklist, ObjectIdentifier};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use hsm_config::{PinGuard, TokenConfig};

use crate::checkpoints::Checkpoints;
use crate::command::{Command, Ended};
use crate::custody::Custody;
use crate::door::{OtherEnd, Routes};
use crate::journal::{Durability, Journal, JournalError};
use crate::local::Socket;
use crate::manifest::LoadedModule;
use crate::metrics::Metrics;
use crate::remembered::Remembered;
use crate::requests::Settings;
use crate::rollback::Kept;
use crate::start_error::StartError;
use crate::status::Listens;
use crate::stopping;
use crate::time::Time;
use crate::trust::Trust;
use crate::workers::Pulse;
use crate::{Clock, Probe, Random, recovery, rollback};

use assemble::Checked;
use watch::Watch;

/// How often calls that hang are looked for, and whether the sequencer turns.
const LOOK: Duration = Duration::from_millis(500);
/// A call into the module that lasts longer never comes back.
const HANG: Duration = Duration::from_secs(10);
/// How long a process that must end may take for what runs at its exit.
const EXIT: Duration = Duration::from_millis(500);

/// What a keeper is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data directory; it must be 0700.
    pub data_dir: PathBuf,
    /// Path of the keeper's own socket, made with mode 0660.
    pub socket: PathBuf,
    /// Where the record of refused PINs is (invariant I7).
    pub pin_record: PathBuf,
    /// The trust domain; it must be the journal's.
    pub cell: TrustDomain,
    /// The tokens that may hold the issuing and the log key: the one with the key of the active issuer is used.
    pub tokens: Vec<TokenConfig>,
    /// Names in the service's own certificate.
    pub service_dns: DnsNames,
    /// Addresses in it.
    pub service_addresses: Vec<IpAddr>,
    /// OID of the roles-and-tags extension.
    pub attributes_oid: ObjectIdentifier,
    /// Keys that are known to be weak: none of them gets a certificate.
    pub weak_keys: Arc<Blocklist>,
    /// Bytes of the journal's disk that are kept for what takes away.
    pub keep_free: u64,
    /// How long the token's module may take for a start, but where a person enters the PIN.
    pub start_timeout: Duration,
}

/// What a keeper is given of the world, so that a test decides it.
#[derive(Clone)]
pub struct Surroundings {
    /// The time.
    pub clock: Clock,
    /// Milliseconds since the machine started, suspends included.
    pub boot: Clock,
    /// The operating system's random octets.
    pub random: Random,
    /// Who is told of each step.
    pub probe: Probe,
}

/// A running keeper.
pub struct Keeper {
    routes: Routes,
    socket: Socket,
    listens: Listens,
    done: Sender<Command>,
    /// Threads that call the module. They end when the sequencer has.
    in_module: Vec<JoinHandle<()>>,
    pulse: Pulse,
    /// Counts the sequencer's turns.
    turns: Arc<AtomicU64>,
    ended: Receiver<Ended>,
}

/// Serves fronts.
#[derive(Clone)]
pub struct Doors {
    routes: Routes,
    listens: Listens,
}

impl Doors {
    /// The front listens at this address, for who asks how the service is.
    pub fn listens_at(&self, address: SocketAddr) {
        self.listens.at(address);
    }

    /// Serves a front at the other end of `door`, until it closes. There is one front: the door of the one before is closed, whoever kept it.
    ///
    /// # Errors
    /// The socket's, or the journal's.
    pub fn serve(&self, door: UnixStream) -> Result<(), JournalError> {
        self.routes.serve(door, OtherEnd::Front)
    }
}

/// Asks a keeper to stop.
#[derive(Clone)]
pub struct Stopper(Sender<Command>);

impl Stopper {
    /// Finishes what has begun; [`Keeper::wait`] then returns.
    pub fn stop(&self) {
        let _ = self.0.send(Command::Stop);
    }
}

impl Keeper {
    /// Starts a keeper. When this returns it issues.
    ///
    /// # Errors
    /// The journal, the PIN, the token or a key; nothing is left running.
    pub fn start(config: Config, surroundings: Surroundings) -> Result<Self, StartError> {
        let clock = Arc::clone(&surroundings.clock);
        let mut journal = Journal::open(&config.data_dir)?;
        if journal.cell() != config.cell.as_ref() {
            let (journal, configured) = (journal.cell().to_owned(), config.cell.to_string());
            return Err(StartError::WrongCell { journal, configured });
        }
        // Before anything that the journal says is acted on.
        let head = journal.verify(config.attributes_oid)?;
        tracing::info!(entries = head.size, "the journal is as its entries say");
        let (trust, metrics) = (Trust::read(&journal)?, Metrics::new());
        let guard = PinGuard::new(&config.pin_record);
        let modules = LoadedModule::about_to_be(&config.tokens, &journal.reader())?;
        let log_spkis: Vec<Vec<u8>> = trust.log.keys.iter().map(audit::note_spki).collect();
        let issuer_spki = trust.issuer.public_key().spki_der().to_vec();
        let watch = Watch::over(&config);
        let (custody, keys) = Custody::open(&config.tokens, guard, issuer_spki, &log_spkis, metrics.clone())?;
        let module = LoadedModule::of(modules, custody.config())?;
        let session = custody.bare_session()?;
        let kept = Kept::read(&session, journal.cell())?;
        rollback::check(&kept, custody.info(), &journal, &trust, &config.data_dir)?;
        if rollback::put_back(&kept, &mut journal, &trust)? {
            // What is above it is less than it seemed to be.
            journal.verify(config.attributes_oid)?;
        }
        for key in &keys {
            tracing::info!(label = key.label, algorithm = key.key.algorithm().to_string(), "key in custody");
        }
        let settings = settings(&config, &journal);
        let mut remembered = Remembered::read(&config.data_dir);
        let latest_ms = journal.take_latest_ms().unwrap_or_default();
        let boot = Arc::clone(&surroundings.boot);
        let mut time = Time::new(clock, boot, latest_ms, remembered.offset_ms());
        if let (Ok(_), Some(trusted_ms)) = (time.now_ms(), time.trusted_ms()) {
            remembered.keep(trusted_ms);
        }
        // A clock that is wrong leaves nothing of a time to come.
        metrics.abandoned(recovery::recover(&mut journal, time.best_ms())?);
        stopping::take(&mut journal, time.earliest_ms())?;
        let checkpoints = checkpoint(&mut journal, &custody, &trust)?;
        let newest = journal.reader().checkpoint()?.map(|(_, note)| note);
        rollback::keep_at_start(&session, &kept, journal.cell(), &trust.charter_sha256, newest.as_deref());
        drop((session, watch));
        Checked { journal, trust, custody, module, settings, metrics, checkpoints, time, remembered }
            .assemble(config, surroundings)
    }

    /// Where fronts are served.
    pub fn doors(&self) -> Doors {
        Doors { routes: self.routes.clone(), listens: self.listens.clone() }
    }

    /// What stops it.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.done.clone())
    }

    /// Waits until it has stopped or must end. After a stop nothing is left in the module, and it is finalized: what runs when a process
    /// exits must not meet a thread in there. When it must end, threads may be left in the module, and the process is to end.
    ///
    /// `alive` is told now and then while the sequencer turns, for whoever ends a process that does not.
    pub fn wait(self, mut alive: impl FnMut()) -> Ended {
        drop(self.routes);
        let _socket = self.socket;
        let mut seen = u64::MAX;
        let ended = loop {
            let turns = self.turns.load(Ordering::Relaxed);
            if std::mem::replace(&mut seen, turns) != turns {
                alive();
            }
            match self.ended.recv_timeout(LOOK) {
                Ok(ended) => break ended,
                Err(RecvTimeoutError::Disconnected) => break Ended::Token("the sequencer panicked".into()),
                Err(RecvTimeoutError::Timeout) if self.pulse.hangs(HANG) => {
                    break Ended::Token("a call into the module did not come back within 10 s".into());
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        if matches!(ended, Ended::Stopped) {
            for thread in self.in_module {
                // One that panicked has left the module too.
                let _ = thread.join();
            }
        } else {
            thread::spawn(end_for_certain);
        }
        ended
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

/// Ends a process that does not end of itself: what SoftHSM2 runs when a process exits can wait for ever for a lock of a thread that was
/// left in there. Nothing is lost by it: what is acknowledged is on the disk.
fn end_for_certain() {
    let _ = crossbeam_channel::after(EXIT).recv();
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

/// Has the log's key sign a checkpoint over everything that is recorded, where none covers it yet: so that from the first start on the token has
/// one to keep.
fn checkpoint(
    journal: &mut Journal,
    custody: &Arc<Custody>,
    trust: &Trust,
) -> Result<Checkpoints, StartError> {
    let key = trust.log.keys.iter().find(|key| audit::note_spki(key) == custody.log_spki()).cloned();
    let key = key.ok_or(StartError::Unfounded("the trust bundle does not name the log's key"))?;
    let covered = journal.reader().checkpoint()?.map_or(0, |(size, _)| size);
    let mut checkpoints = Checkpoints::new(trust.log.origin.clone(), key, covered);
    let (head, now) = (journal.edge().head(), Instant::now());
    if checkpoints.is_due(head.size, now, true) {
        let (size, text) = (head.size, checkpoints.begin(head, now));
        let signature = custody.session()?.sign_as_log(text.as_bytes())?;
        let note = checkpoints.signed(size, &text, &signature).map_err(|error| {
            JournalError::Corrupt(format!("the token signed another checkpoint: {error}"))
        })?;
        journal.begin(Durability::Disk)?;
        journal.store_checkpoint(size, &note)?;
        journal.commit()?;
    }
    Ok(checkpoints)
}

fn settings(config: &Config, journal: &Journal) -> Settings {
    Settings {
        cell: config.cell.clone(),
        origin: journal.origin().to_owned(),
        attributes_oid: config.attributes_oid,
        service_dns: config.service_dns.clone(),
        service_addresses: config.service_addresses.clone(),
        weak_keys: Arc::clone(&config.weak_keys),
    }
}
