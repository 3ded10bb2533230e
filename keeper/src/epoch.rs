//! A new epoch of the log: the way out when the log went back. Officers say what is left and what is lost; the log goes on under
//! another origin, so that no proof of one can be taken for one of the other.
//!
//! The new log begins with the entries that are left, so that everything keeps its index; its first own entry is the officers' act, its
//! second the trust bundle that names the log's key under the new origin.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use audit::entries::LIFETIME_MAX_SECS;
use cell::{Act, LogOrigin, LostCertificates, RepeatedRevocation, Serial, Tree};
use certs::ObjectIdentifier;
use certs::crl::CrlSummary;
use ledger::bundle::{Bundle, IssuerState, Log};
use ledger::charter::Charter;
use ledger::entry::entry::Kind;
use ledger::entry::{self, Entry};
use ledger::note::{KeyName, Note, VerifierKey};
use ledger::proposal;
use sys::durable;

use crate::journal::{Durability, Journal, JournalError};
use crate::rollback::{self, Kept, LOST_FILE};
use crate::{charters, recovery, requests, trust};

/// Epochs by which an unsigned checkpoint may be beyond the journal's own: numbers are not used up, and nobody loses so many at once.
const LEAP_MAX: u32 = 16;

/// Why no epoch is opened. Nothing is recorded then.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The operator's: nothing says that the log went back.
    #[error("nothing says that the log went back: start the service; where it did, it says so and leaves {}", .0.display())]
    NothingLost(PathBuf),
    /// Somebody's, most likely: a checkpoint that no key which this journal knows signed, of an epoch far beyond its own.
    #[error("{} names the epoch {epoch}, far beyond {own}, and no key that this journal knows signed it: nobody has seen such a log", .path.display())]
    FarBeyond {
        /// The file.
        path: PathBuf,
        /// What it names.
        epoch: u32,
        /// The journal's.
        own: u32,
    },
    /// The operator's, or the disk's.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The operator's: a list that proves no revocation of this cell.
    #[error("the CRL is none that an issuer of this cell signed")]
    NotOurCrl,
    /// The officers': what they signed is not what is to be opened.
    #[error("what the officers signed is not what is to be opened: {0}")]
    Signed(String),
}

/// What officers decide about the lost entries.
#[derive(Clone, Debug)]
pub struct Decided {
    /// About certificates that were recorded in it.
    pub certificates: LostCertificates,
    /// About revocations that were: those that are repeated, in order of their serial numbers.
    pub revoked: Vec<RepeatedRevocation>,
}

/// A log that went back, and everything that officers need to know to open its next epoch.
#[derive(Debug)]
pub struct WentBack {
    journal: Journal,
    /// Certificates that are given up with it, each with the entry that says so.
    abandoned: Vec<(u64, Entry)>,
    /// The tree with these.
    kept: Tree,
    charter: Charter,
    bundle: Bundle,
    lost_file: PathBuf,
    log: Log,
    next: LogOrigin,
    lost: Tree,
    is_signed: bool,
}

impl WentBack {
    /// Reads a journal that a start refused. The service must be stopped. What officers are to sign for is held against its entries first. What is
    /// pending is abandoned with the act, and the new log covers it; none of it lies below a checkpoint that anybody has: the journal's own, the one
    /// that a start left, those in `kept`.
    ///
    /// # Errors
    /// [`EpochError::NothingLost`], or the journal's.
    pub fn read(dir: &Path, attributes_oid: ObjectIdentifier, kept: &Kept) -> Result<Self, EpochError> {
        let corrupt = |what: &dyn std::fmt::Display| JournalError::Corrupt(what.to_string());
        let mut journal = Journal::open(dir)?;
        journal.verify(attributes_oid)?;
        let lost_file = dir.join(LOST_FILE);
        let note = match durable::read(&lost_file, rollback::NOTE_MAX) {
            Ok(note) => note,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(EpochError::NothingLost(lost_file));
            }
            Err(error) => return Err(JournalError::of_file(&lost_file)(error).into()),
        };
        let charter = charters::in_force(&journal.reader())?;
        let (bundle, _) = charters::bundle(&journal.reader())?;
        let log = bundle.log(journal.origin()).cloned();
        let log = log.ok_or_else(|| corrupt(&"the trust bundle names no key for this log"))?;
        // It may be of a later epoch than the journal: then the one after that is opened, so that no origin has two logs.
        let lost = rollback::claimed(&note, journal.cell());
        let lost = lost.ok_or_else(|| corrupt(&"what is known of the log is no checkpoint of it"))?;
        let origin: LogOrigin = lost.origin.as_str().parse().map_err(|error: &str| corrupt(&error))?;
        let lost = Tree { size: lost.size, root: *lost.root.as_bytes() };
        // No origin has two logs: the next is above the journal's own, too.
        let own: LogOrigin = journal.origin().parse().map_err(|error: &str| corrupt(&error))?;
        let is_signed = rollback::ours(&note, &log.keys).is_some();
        let abandoned = abandoned(&mut journal, &log, kept.checkpoints.iter().chain([&note]))?;
        if !is_signed && origin.epoch > own.epoch.saturating_add(LEAP_MAX) {
            return Err(EpochError::FarBeyond { path: lost_file, epoch: origin.epoch, own: own.epoch });
        }
        let next = if own.epoch > origin.epoch { own.next() } else { origin.next() };
        let mut edge = journal.edge().clone();
        for (_, entry) in &abandoned {
            let body = entry::encode(entry).map_err(|error| corrupt(&error))?;
            edge.append(ledger::leaf_hash(&body));
        }
        let tree = Tree { size: edge.size(), root: *edge.root().as_bytes() };
        Ok(Self { journal, abandoned, kept: tree, charter, bundle, lost_file, log, next, lost, is_signed })
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

    /// Entries that are kept, and those that the log before is known to have had.
    pub fn sizes(&self) -> (u64, u64) {
        (self.kept.size, self.lost.size)
    }

    /// The entries of certificates that the last run recorded and did not sign: they are given up with the act.
    pub fn abandoned(&self) -> impl Iterator<Item = u64> {
        self.abandoned.iter().map(|(index, _)| *index)
    }

    /// Whether a key of the log that this journal knows signed the checkpoint by which entries are lost. Where none did, the log had another key since;
    /// or somebody wrote the file.
    pub fn is_signed(&self) -> bool {
        self.is_signed
    }

    /// The act that officers sign.
    pub fn act(&self, decided: &Decided) -> Act {
        Act::EpochOpen {
            epoch: self.next.clone(),
            kept: self.kept,
            lost: self.lost,
            certificates: decided.certificates.clone(),
            revoked: decided.revoked.clone(),
        }
    }

    /// The log as it will be: the same keys, but for those that are in doubt, under the new origin.
    ///
    /// # Errors
    /// No key is left.
    pub fn next_log(&self, in_doubt: &[VerifierKey]) -> Result<Log, EpochError> {
        let signed = |error: &dyn std::fmt::Display| EpochError::Signed(error.to_string());
        let origin: KeyName = self.next.to_string().parse().map_err(|error| signed(&error))?;
        let keys = self.log.keys.iter().filter(|key| !in_doubt.contains(key));
        let keys: Vec<VerifierKey> = keys
            .map(|key| key.named(origin.clone()))
            .collect::<Result<_, _>>()
            .map_err(|error| signed(&error))?;
        if keys.is_empty() {
            return Err(signed(
                &"no key of the log is left: first have a ceremony make another (`rootcellar ceremony plan log-key`)",
            ));
        }
        Ok(Log { origin, keys })
    }

    /// The revocations on CRLs that somebody still has and that the journal does not know, in order of their serial numbers, each once.
    ///
    /// # Errors
    /// [`EpochError::NotOurCrl`], or the journal's.
    pub fn unknown_of(&self, crls: &[Vec<u8>]) -> Result<Vec<RepeatedRevocation>, EpochError> {
        let reader = self.journal.reader();
        let issuers = trust::issuers(&reader)?;
        let list = |crl: &Vec<u8>| {
            let ours = issuers.iter().any(|issuer| issuer.verify_crl(crl).is_ok());
            CrlSummary::parse(crl).ok().filter(|_| ours).ok_or(EpochError::NotOurCrl)
        };
        let lists: Vec<CrlSummary> = crls.iter().map(list).collect::<Result<_, _>>()?;
        let mut unknown = Vec::new();
        for revoked in lists.into_iter().flat_map(|list| list.revoked) {
            let row = reader.certificate_by_serial(&revoked.serial)?;
            let known = row.map(|row| reader.revoked(row.index)).transpose()?.flatten();
            if known.is_none() {
                let serial: Serial = data_encoding::HEXLOWER
                    .encode(&revoked.serial)
                    .parse()
                    .map_err(|why: &str| EpochError::Signed(why.to_owned()))?;
                unknown.push(RepeatedRevocation { serial, reason: revoked.reason });
            }
        }
        unknown.sort_by(|one, next| one.serial.as_bytes().cmp(next.serial.as_bytes()));
        unknown.dedup_by(|one, next| one.serial == next.serial);
        Ok(unknown)
    }

    /// Records what officers signed, checked as a keeper checks it; the log then goes on under its new origin. Gives that origin.
    ///
    /// # Errors
    /// [`EpochError::Signed`], or the journal's.
    pub fn open(mut self, act: &Note, bundle: &Note, now_ms: i64) -> Result<String, EpochError> {
        // A clock that is behind does not make the log go back in time; what officers signed must be good then.
        let now_ms = now_ms.max(self.journal.newest_ms()?);
        self.check(act, bundle, now_ms)?;
        let origin = self.next.to_string();
        self.journal.begin(Durability::Disk)?;
        for (_, entry) in &self.abandoned {
            self.journal.append(entry)?;
        }
        let kinds = [
            Kind::Act(entry::Act { note: act.to_string().into_bytes() }),
            Kind::Bundle(entry::Bundle { note: bundle.to_string().into_bytes() }),
        ];
        for kind in kinds {
            let record = Entry::new(self.journal.cell(), now_ms, requests::officers(), kind);
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
        let approved = proposal::open(act, &self.charter, cell, &self.log.origin, now_secs, audit::act_rule)
            .map_err(|error| signed(&error))?;
        let proposed = Act::parse(&approved.proposal().act_name, &approved.proposal().act_fields)
            .map_err(|error| signed(&error))?;
        let bundle = Bundle::open(bundle, &self.charter).map_err(|error| signed(&error))?;
        let Act::EpochOpen { certificates, revoked, .. } = &proposed else {
            return Err(signed(&"another act"));
        };
        let decided = Decided { certificates: certificates.clone(), revoked: revoked.clone() };
        if proposed != self.act(&decided) {
            return Err(signed(&"another act"));
        }
        let next = bundle.log(&self.next.to_string());
        let is_ours =
            |key: &VerifierKey| self.log.keys.iter().any(|ours| ours.public_key() == key.public_key());
        let named = next.is_some_and(|next| !next.keys.is_empty() && next.keys.iter().all(is_ours));
        if bundle.number() <= self.bundle.number() || !named {
            return Err(signed(&"a bundle that is not newer, or does not name the new log"));
        }
        match certificates {
            LostCertificates::Retired(issuer) => {
                let retired = bundle
                    .issuers()
                    .iter()
                    .any(|line| line.spki_sha256 == *issuer && line.state == IssuerState::Retired);
                let signed_them = self.bundle.contents().active_issuer() == Some(*issuer);
                if !retired || !signed_them || bundle.contents().active_issuer().is_none() {
                    return Err(signed(&"an act that retires an issuer, and a bundle that does not"));
                }
            }
            LostCertificates::Until(time) if time.as_second() < now_secs + LIFETIME_MAX_SECS => {
                return Err(signed(
                    &"certificates recorded in the lost entries may live for longer than it says",
                ));
            }
            LostCertificates::Until(_) => {}
        }
        Ok(())
    }
}

/// The entries that give up what is pending, at the time of the newest entry, so that every officer reads the same.
///
/// # Errors
/// One of them is covered by a checkpoint that one of the log's keys signed: its signature was removed, or the disk lost it.
fn abandoned<'n>(
    journal: &mut Journal,
    log: &Log,
    notes: impl Iterator<Item = &'n Vec<u8>>,
) -> Result<Vec<(u64, Entry)>, JournalError> {
    let signed = notes.filter_map(|note| rollback::ours(note, &log.keys));
    let covered = signed.filter(|one| one.origin == log.origin).map(|one| one.size).max().unwrap_or(0);
    let pending = journal.take_pending();
    if let Some(index) = pending.iter().find(|index| **index < covered) {
        return Err(JournalError::Corrupt(format!(
            "entry {index}: the signature of its certificate was removed: a checkpoint covers it"
        )));
    }
    let now_ms = journal.newest_ms()?;
    let abandoned = pending.into_iter().map(|index| (index, recovery::abandoned(journal, index, now_ms)));
    Ok(abandoned.collect())
}
