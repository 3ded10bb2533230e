//! A new epoch of the log: the way out when the log went back. Officers say what is left and what is lost; the log goes on under
//! another origin, so that no proof of one can be taken for one of the other.
//!
//! The new log begins with the entries that are left, so that everything keeps its index; its first own entry is the officers' act, its
//! second the trust bundle that names the log's key under the new origin.

use std::fs;
use std::path::{Path, PathBuf};

use cell::{Act, LogOrigin, Tree};
use ledger::bundle::{Bundle, Log};
use ledger::charter::Charter;
use ledger::entry::entry::Kind;
use ledger::entry::{self, Actor, ActorKind, Entry, VERSION};
use ledger::note::Note;
use ledger::proposal;

use crate::charters;
use crate::journal::{Durability, Journal, JournalError};
use crate::rollback::{self, LOST_FILE};

/// Why no epoch is opened. Nothing is recorded then.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The operator's: nothing says that the log went back.
    #[error("nothing says that the log went back: start the service; where it did, it says so and leaves {}", .0.display())]
    NothingLost(PathBuf),
    /// The operator's, or the disk's.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The officers': what they signed is not what is to be opened.
    #[error("what the officers signed is not what is to be opened: {0}")]
    Signed(String),
}

/// A log that went back, and everything that officers need to know to open its next epoch.
#[derive(Debug)]
pub struct WentBack {
    journal: Journal,
    charter: Charter,
    bundle: Bundle,
    lost_file: PathBuf,
    log: Log,
    next: LogOrigin,
    lost: Tree,
}

impl WentBack {
    /// Reads a journal that a start refused. The service must be stopped.
    ///
    /// # Errors
    /// [`EpochError::NothingLost`], or the journal's.
    pub fn read(dir: &Path) -> Result<Self, EpochError> {
        let corrupt = |what: &dyn std::fmt::Display| JournalError::Corrupt(what.to_string());
        let journal = Journal::open(dir)?;
        let lost_file = dir.join(LOST_FILE);
        let Ok(note) = fs::read(&lost_file) else { return Err(EpochError::NothingLost(lost_file)) };
        let charter = charters::in_force(&journal.reader())?;
        let (bundle, _) = charters::bundle(&journal.reader())?;
        let log = bundle.log(journal.origin()).cloned();
        let log = log.ok_or_else(|| corrupt(&"the trust bundle names no key for this log"))?;
        // It may be of a later epoch than the journal: then the one after that is opened, so that no origin has two logs.
        let lost =
            rollback::ours(&note, &log.keys).ok_or_else(|| corrupt(&"its log's key did not sign it"))?;
        let origin: LogOrigin = lost.origin.as_str().parse().map_err(|error: &str| corrupt(&error))?;
        let lost = Tree { size: lost.size, root: *lost.root.as_bytes() };
        Ok(Self { journal, charter, bundle, lost_file, log, next: origin.next(), lost })
    }

    /// The officers.
    pub fn charter(&self) -> &Charter {
        &self.charter
    }

    /// The trust bundle in force.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// The log as it was.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The act that officers sign.
    pub fn act(&self) -> Act {
        let edge = self.journal.edge();
        let kept = Tree { size: edge.size(), root: *edge.root().as_bytes() };
        Act::EpochOpen { epoch: self.next.clone(), kept, lost: self.lost }
    }

    /// The log as it will be: the same keys, under the new origin.
    ///
    /// # Errors
    /// None of an origin that is one.
    pub fn next_log(&self) -> Result<Log, EpochError> {
        let signed = |error: &dyn std::fmt::Display| EpochError::Signed(error.to_string());
        let origin: ledger::note::KeyName = self.next.to_string().parse().map_err(|error| signed(&error))?;
        let keys: Result<_, _> = self.log.keys.iter().map(|key| key.named(origin.clone())).collect();
        Ok(Log { origin, keys: keys.map_err(|error| signed(&error))? })
    }

    /// Records what officers signed, checked as a keeper checks it; the log then goes on under its new origin. Gives that origin.
    ///
    /// # Errors
    /// [`EpochError::Signed`], or the journal's.
    pub fn open(mut self, act: &Note, bundle: &Note, now_ms: i64) -> Result<String, EpochError> {
        self.check(act, bundle, now_ms)?;
        let origin = self.next.to_string();
        self.journal.begin(Durability::Disk)?;
        let kinds = [
            Kind::Act(entry::Act { note: act.to_string().into_bytes() }),
            Kind::Bundle(entry::Bundle { note: bundle.to_string().into_bytes() }),
        ];
        for kind in kinds {
            let record = Entry {
                version: VERSION,
                cell: self.journal.cell().to_owned(),
                time_unix_ms: now_ms,
                actor: Some(Actor { kind: ActorKind::Officers.into(), ..Actor::default() }),
                kind: Some(kind),
                ..Entry::default()
            };
            self.journal.append(&record)?;
        }
        self.journal.rename(&origin)?;
        self.journal.commit()?;
        self.journal.settle()?;
        // It is in the act. Left behind by a crash, it says nothing new.
        let _ = fs::remove_file(&self.lost_file);
        Ok(origin)
    }

    fn check(&self, act: &Note, bundle: &Note, now_ms: i64) -> Result<(), EpochError> {
        let signed = |error: &dyn std::fmt::Display| EpochError::Signed(error.to_string());
        let cell = self.journal.cell();
        let now_secs = now_ms.div_euclid(1000);
        let approved = proposal::open(act, &self.charter, cell, &self.log.origin, now_secs, Act::is_for_one)
            .map_err(|error| signed(&error))?;
        let proposed = Act::parse(&approved.proposal().act_name, &approved.proposal().act_fields)
            .map_err(|error| signed(&error))?;
        let bundle = Bundle::open(bundle, &self.charter).map_err(|error| signed(&error))?;
        if proposed != self.act() {
            return Err(signed(&"another act"));
        }
        if bundle.number() <= self.bundle.number() || !bundle.logs().contains(&self.next_log()?) {
            return Err(signed(&"a bundle that is not newer, or does not name the new log"));
        }
        Ok(())
    }
}
