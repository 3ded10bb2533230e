//! A whole ledger, read from its first entry: the tree is made anew, and every entry is judged by those before it.
//!
//! Does not: judge what the keeper alone knows (budgets, possession of keys), or that nothing was withheld after the checkpoint.

mod authority;
mod callers;
mod certificates;
mod controllers;
mod custody;
mod flaw;
mod issuances;
mod issuers;
mod judge;
mod requests;
mod revocations;
mod stops;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use certs::{ObjectIdentifier, SignatureAlgorithm};
use ledger::bundle::Bundle;
use ledger::checkpoint::Checkpoint;
use ledger::entry::{self, Entry};
use ledger::note::KeyName;
use ledger::tree::{Edge, Tile, TreeHead};
use ledger::{Hash, leaf_hash};

pub use callers::CallerFlaw;
pub use flaw::{Finding, Flaw, OutOfOrder};
pub use requests::{KEPT_SECS, RequestFlaw};
pub use revocations::{LIFETIME_MAX_SECS, LIST_SECS, is_of_its_time};

use crate::{Changes, RequestVerifier};
use authority::Authority;
use callers::Requests;
use certificates::Certificates;
use custody::Manifests;
use issuers::Issuers;
use requests::Bodies;
use revocations::Revocations;

/// Findings kept; of further ones only the number.
const FINDINGS_MAX: usize = 10_000;
/// Times that an entry can have, in milliseconds since 1970: those of GeneralizedTime (RFC 5280 §4.1.2.5.2).
const TIMES_MS: RangeInclusive<i64> = 0..=253_402_300_799_999;

/// An entry as a log hands it out.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Its index.
    pub index: u64,
    /// Its exact bytes.
    pub entry: &'a [u8],
    /// Signature of the certificate that it records; empty where there is none.
    pub signature: &'a [u8],
    /// Body of the request that it came from, where it lies beside it.
    pub request: Option<&'a [u8]>,
}

/// What became of an entry that was read.
#[derive(Debug)]
pub struct Taken {
    /// Its leaf hash.
    pub leaf: Hash,
    /// The tiles that it filled.
    pub tiles: Vec<Tile>,
    /// What it says; none where it is no entry.
    pub entry: Option<Entry>,
}

/// An audit that is under way.
pub struct Audit {
    oid: ObjectIdentifier,
    /// Origin of the log in its newest epoch, and those up to the entry that is read, the newest last.
    origin: KeyName,
    origins: Vec<KeyName>,
    tree: Edge,
    authority: Authority,
    issuers: Issuers,
    certificates: Certificates,
    revocations: Revocations,
    manifests: Manifests,
    requests: Requests,
    bodies: Bodies,
    changes: Changes,
    signatures: RequestVerifier,
    report: Report,
    /// A tree that was seen before, until this one has grown to its size.
    remembered: Option<TreeHead>,
    /// Entries below this are judged only in what officers sign,
    known: u64,
    /// and certificates that had ended by this second since 1970 are then of no interest.
    known_secs: i64,
    /// Whether a keeper reads its own: then nothing that no checkpoint covers has lost the request behind it.
    is_own: bool,
    /// Certificates without a signature that nothing gives up.
    pending: BTreeSet<u64>,
    /// Time of the latest entry that a checkpoint covers, in milliseconds since 1970, and of callers' entries above, whose signatures say when: no
    /// entry of the service's own moves it.
    proven_ms: i64,
    newest_ms: i64,
}

/// What an audit counted and found.
#[derive(Debug, Default)]
pub struct Report {
    /// Entries read.
    pub entries: u64,
    /// Entries of each kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Certificates whose signature is there and verifies.
    pub signed: u64,
    /// Certificates that were recorded and have no signature.
    pub unsigned: u64,
    /// What is wrong, by entry; the first ten thousand.
    pub findings: Vec<Finding>,
    /// How many more findings there are.
    pub untold: u64,
}

impl Audit {
    /// Begins. `origin` is the log's, taken from a verified bundle or checkpoint; `remembered` a tree of it that was seen before.
    pub fn new(origin: KeyName, oid: ObjectIdentifier, remembered: Option<TreeHead>) -> Self {
        Self {
            oid,
            origin,
            origins: Vec::new(),
            tree: Edge::new(),
            authority: Authority::default(),
            issuers: Issuers::default(),
            certificates: Certificates::default(),
            revocations: Revocations::default(),
            manifests: Manifests::default(),
            requests: Requests::default(),
            bodies: Bodies::default(),
            changes: Changes::default(),
            signatures: RequestVerifier::default(),
            report: Report::default(),
            remembered,
            known: 0,
            known_secs: i64::MIN,
            is_own: false,
            pending: BTreeSet::new(),
            proven_ms: i64::MIN,
            newest_ms: i64::MIN,
        }
    }

    /// Demands that entry 0 holds the first of these charters, and that the log goes on to the last.
    pub fn pin(&mut self, charters: &ledger::charter::Charters) {
        self.authority.pin(charters);
    }

    /// The same of the first charter alone, by its SHA-256.
    pub fn pin_first(&mut self, charter_sha256: [u8; 32]) {
        self.authority.pin_first(charter_sha256);
    }

    /// Of entries below `size`, which a checkpoint by the log's key covers, judges only what officers sign. For the keeper, which recorded
    /// them. Certificates that had ended by `ended_secs`, a second since 1970, are of no interest to any entry above.
    pub fn known_below(&mut self, size: u64, ended_secs: i64) {
        self.is_own = true;
        self.known = size;
        self.known_secs = ended_secs;
    }

    /// Entries read so far, which is the index of the next.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Reads the entry that follows. What is wrong with it is in the report.
    ///
    /// # Errors
    /// It is not the one that follows.
    pub fn read(&mut self, item: &Item<'_>) -> Result<Taken, OutOfOrder> {
        if item.index != self.size() {
            return Err(OutOfOrder { wanted: self.size(), given: item.index });
        }
        let mut flaws = Vec::new();
        let entry = entry::decode(item.entry).map_err(|error| flaws.push(error.into())).ok();
        if let Some(entry) = &entry {
            self.judge(item, entry, &mut flaws);
        }
        let leaf = leaf_hash(item.entry);
        let tiles = self.tree.append(leaf);
        self.report.entries += 1;
        flaws.extend(self.recall().err());
        for flaw in flaws {
            self.report.add(item.index, flaw);
        }
        Ok(Taken { leaf, tiles, entry })
    }

    /// The certificate of an entry was signed since it was read: the SHA-256 of the whole.
    pub fn complete(&mut self, index: u64, sha256: [u8; 32]) {
        self.certificates.complete(index, sha256);
    }

    /// The tree of the entries read so far.
    pub fn head(&self) -> TreeHead {
        self.tree.head()
    }

    /// The algorithm with which the CA signs whose public key has this SHA-256.
    pub fn algorithm(&self, spki_sha256: &[u8]) -> Option<SignatureAlgorithm> {
        self.issuers.algorithm(spki_sha256, self.authority.anchors())
    }

    /// Whether the issuer whose public key has this SHA-256 signed these bytes.
    pub fn signed_by(&self, spki_sha256: &[u8], tbs: &[u8], signature: &[u8]) -> bool {
        self.issuers.issuer(spki_sha256).is_ok_and(|issuer| issuer.verify(tbs, signature).is_ok())
    }

    /// The controller that owns an agent, as of the entries read so far.
    pub fn owner(&self, agent: &str) -> Option<&str> {
        self.authority.controllers.agent(agent).map(|record| record.owner.as_str())
    }

    /// Time of the latest entry since officers confirmed the clock, in milliseconds since 1970: none after it may be before.
    pub fn latest_ms(&self) -> i64 {
        self.requests.newest_ms()
    }

    /// Whether a checkpoint covers an entry, as set by [`Self::known_below`].
    pub fn is_known(&self, index: u64) -> bool {
        index < self.known
    }

    /// How many entries a checkpoint covers, as set by [`Self::known_below`].
    pub fn known(&self) -> u64 {
        self.known
    }

    /// The changes of the last minutes, as of the entries read so far: they are taken away.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// Whether it is the charter's cell, as of the entries read so far.
    pub fn is_of_cell(&self, cell: &str) -> bool {
        self.authority.is_of_cell(cell)
    }

    /// The trust bundle in force, as of the entries read so far.
    pub fn bundle(&self) -> Option<&Bundle> {
        self.authority.in_force()
    }

    /// Compares the tree with a checkpoint that the log's key signed.
    pub fn finish(mut self, checkpoint: &Checkpoint) -> Report {
        let made = self.tree.head();
        if made != checkpoint.head() {
            self.report.add(made.size, Flaw::Root { made: made.root, signed: checkpoint.root });
        }
        // The checkpoint covers all of it.
        self.proven_ms = self.newest_ms;
        for index in std::mem::take(&mut self.pending) {
            self.report.add(index, Flaw::NotSigned);
        }
        self.conclude()
    }

    /// Ends where nothing is there to compare the tree with.
    pub fn conclude(mut self) -> Report {
        let end = self.size();
        let mut flaws = Vec::new();
        if self.origins.last() != Some(&self.origin) {
            flaws.push(Flaw::OtherEpoch);
        }
        if !self.authority.has_pinned() {
            flaws.push(Flaw::OtherCharter);
        }
        flaws.extend(self.remembered.map(|older| Flaw::Forked(older.size)));
        if end.checked_sub(1).is_some_and(|act| act >= self.known && self.revocations.is_owed(act)) {
            flaws.push(Flaw::NotCarriedOut);
        }
        flaws.extend(self.issuers.anchored(self.authority.anchors()).err());
        let missing: Vec<u64> = self.bodies.missing(self.proven_ms.div_euclid(1000)).collect();
        for index in missing {
            self.report.add(index, RequestFlaw::Missing.into());
        }
        for flaw in flaws {
            self.report.add(end, flaw);
        }
        self.report
    }

    /// The tree has the size of the one that was seen before: it must be that one.
    fn recall(&mut self) -> Result<(), Flaw> {
        match self.remembered.take_if(|older| older.size == self.tree.size()) {
            Some(older) if older.root != self.tree.root() => Err(Flaw::Forked(older.size)),
            _ => Ok(()),
        }
    }

    /// Whether it is this log's, in this epoch or one before.
    fn is_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|ours| *ours == *origin)
    }
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether the entries are those of the checkpoint, and go on from the tree that was seen before, whatever is wrong with them.
    pub fn is_the_log(&self) -> bool {
        let of_the_tree = |finding: &Finding| {
            matches!(finding.flaw, Flaw::Root { .. } | Flaw::Forked(_) | Flaw::OtherEpoch)
        };
        !self.findings.iter().any(of_the_tree)
    }

    fn add(&mut self, index: u64, flaw: Flaw) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { index, flaw });
        } else {
            self.untold += 1;
        }
    }
}

#[cfg(test)]
mod tests;
