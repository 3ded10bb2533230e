//! A whole ledger, read from its first entry: the tree is made anew, and every entry is judged by those before it.
//!
//! Does not: judge what the keeper alone knows (budgets, possession of keys), or that nothing was withheld after the checkpoint.

mod authority;
mod custody;
mod flaw;
mod issuers;
mod revocations;
mod stops;

use std::collections::BTreeMap;

use cell::{BoundedSet, LogOrigin, NameError, Tree};
use certs::{CertificateSummary, ObjectIdentifier};
use ledger::checkpoint::Checkpoint;
use ledger::entry::entry::Kind;
use ledger::entry::{self, Entry, EntryError, Issuance, Profile, Reference};
use ledger::leaf_hash;
use ledger::note::KeyName;
use ledger::tree::{Edge, TreeHead};
use serde::Serialize;

pub use flaw::{Finding, Flaw};

use authority::{Authority, EpochOpened};
use custody::Manifests;
use issuers::Issuers;

/// An audit that is under way.
pub struct Audit {
    oid: ObjectIdentifier,
    /// Origin of the log in its newest epoch, and those up to the entry that is read, the newest last.
    origin: KeyName,
    origins: Vec<KeyName>,
    tree: Edge,
    authority: Authority,
    issuers: Issuers,
    manifests: Manifests,
    report: Report,
    /// A tree that was seen before, until this one has grown to its size.
    remembered: Option<TreeHead>,
}

/// What an audit counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Entries read.
    pub entries: u64,
    /// Entries of each kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Certificates whose signature is there and verifies.
    pub signed: u64,
    /// Certificates that were recorded and have no signature.
    pub unsigned: u64,
}

impl Audit {
    /// Begins. `origin` is the log's, taken from a verified bundle or checkpoint; `remembered` a tree of it that was seen before.
    pub fn new(origin: KeyName, oid: ObjectIdentifier, remembered: Option<TreeHead>) -> Self {
        let report = Report::default();
        let (authority, issuers) = (Authority::default(), Issuers::default());
        let (origins, manifests) = (Vec::new(), Manifests::default());
        Self { oid, origin, origins, tree: Edge::new(), authority, issuers, manifests, report, remembered }
    }

    /// Demands that entry 0 holds the first of these charters, and that the log goes on to the last.
    pub fn pin(&mut self, charters: &ledger::charter::Charters) {
        self.authority.pin(charters);
    }

    /// Entries read so far, which is the index of the next.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Reads the entry that follows; `signature` is that of the certificate it records, or empty.
    ///
    /// # Errors
    /// [`Finding`]; the audit is then over.
    pub fn read(&mut self, index: u64, bytes: &[u8], signature: &[u8]) -> Result<(), Finding> {
        self.judge(index, bytes, signature).map_err(|flaw| Finding { index, flaw })
    }

    /// Compares the tree with a checkpoint that the log's key signed.
    ///
    /// # Errors
    /// [`Finding`] at the index where the next entry would be.
    pub fn finish(self, checkpoint: &Checkpoint) -> Result<Report, Finding> {
        let made = self.tree.head();
        let flaw = match self.remembered {
            _ if self.origins.last() != Some(&self.origin) => Some(Flaw::OtherEpoch),
            _ if !self.authority.has_pinned() => Some(Flaw::OtherCharter),
            _ if made != checkpoint.head() => Some(Flaw::Root { made: made.root, signed: checkpoint.root }),
            Some(older) => Some(Flaw::Forked(older.size)),
            None => self.issuers.anchored(self.authority.anchors()).err(),
        };
        flaw.map_or(Ok(self.report), |flaw| Err(Finding { index: made.size, flaw }))
    }

    fn judge(&mut self, index: u64, bytes: &[u8], signature: &[u8]) -> Result<(), Flaw> {
        if index != self.tree.size() {
            return Err(Flaw::Order);
        }
        let entry = entry::decode(bytes)?;
        if index == 0 {
            // Every log begins in its first epoch.
            self.origins.push(format!("{}/log/1", entry.cell).parse().map_err(|_| Flaw::OtherCell)?);
        }
        self.judge_kind(index, &entry, signature)?;
        if !self.authority.is_of_cell(&entry.cell) {
            return Err(Flaw::OtherCell);
        }
        self.tree.append(leaf_hash(bytes));
        self.report.entries += 1;
        if self.remembered.is_some_and(|older| older.size == self.tree.size()) {
            self.recall()?;
        }
        Ok(())
    }

    /// The tree has the size of the one that was seen before: it must be that one.
    fn recall(&mut self) -> Result<(), Flaw> {
        match self.remembered.take() {
            Some(older) if older.root != self.tree.root() => Err(Flaw::Forked(older.size)),
            _ => Ok(()),
        }
    }

    fn judge_kind(&mut self, index: u64, entry: &Entry, signature: &[u8]) -> Result<(), Flaw> {
        let kind = match entry.kind.as_ref() {
            Some(Kind::Charter(charter)) => self.authority.charter(index, &charter.note).map(|()| "charter"),
            Some(Kind::Bundle(bundle)) => self.authority.bundle(&bundle.note).map(|()| "bundle"),
            Some(Kind::Act(act)) => {
                let now = self.origins.last().ok_or(Flaw::NoCharter)?;
                if let Some(opened) = self.authority.act(index, entry, act, now)? {
                    self.open_epoch(&opened)?;
                }
                Ok("act")
            }
            Some(Kind::Ceremony(ceremony)) => self.authority.ceremony(ceremony).map(|()| "ceremony"),
            Some(Kind::CaCertificate(ca)) => {
                self.authority.ca_certificate(ca)?;
                let signed = self.issuers.add(ca, signature, self.authority.anchors_in_force())?;
                self.count(signed);
                Ok("ca_certificate")
            }
            Some(Kind::Issuance(issuance)) => self.issuance(entry, issuance, signature).map(|()| "issuance"),
            Some(Kind::AgentChange(change)) => {
                self.before(index, change.approval.as_ref())?;
                self.authority.agent_change(change).map(|()| "agent_change")
            }
            Some(Kind::Abandonment(given_up)) => {
                self.before(index, given_up.certificate.as_ref()).map(|()| "abandonment")
            }
            Some(Kind::Revocation(revocation)) => {
                self.before(index, revocation.approval.as_ref())?;
                self.authority.revocation(index, entry, revocation).map(|()| "revocation")
            }
            Some(Kind::Crl(crl)) => {
                self.issuers.may_sign(&crl.issuer_spki_sha256)?;
                self.authority.revocations.crl(index, crl).map(|()| "crl")
            }
            Some(Kind::Refusals(_)) => Ok("refusals"),
            Some(Kind::Custody(custody)) => {
                let Self { manifests, origins, .. } = self;
                let is_ours = |to: &Reference| origins.iter().any(|ours| *ours == *to.origin);
                manifests.judge(index, custody, is_ours).map(|()| "custody")
            }
            None => Err(EntryError::NoKind.into()),
        }?;
        *self.report.kinds.entry(kind).or_default() += 1;
        Ok(())
    }

    fn issuance(&mut self, entry: &Entry, issuance: &Issuance, signature: &[u8]) -> Result<(), Flaw> {
        let certificate = self.issuers.certificate(issuance, signature)?;
        self.authority.is_active(&issuance.issuer_spki_sha256)?;
        let summary = CertificateSummary::parse(&certificate, self.oid).map_err(|_| Flaw::Certificate)?;
        if summary.uris != [format!("spiffe://{}{}", entry.cell, issuance.subject)] || summary.is_ca {
            return Err(Flaw::OtherSubject);
        }
        let approval = issuance.approval.as_ref().filter(|approval| self.is_origin(&approval.origin));
        if issuance.profile() != Profile::Service {
            self.authority.stops.issuance(issuance.renews.is_some(), entry.time_unix_ms)?;
        }
        match issuance.profile() {
            Profile::Agent => self.authority.agent_issuance(issuance, approval, &summary)?,
            Profile::Controller => self.authority.controller_issuance(issuance, approval)?,
            // The service's own: the keeper's configuration names it, nobody approves it.
            Profile::Service => {}
            Profile::Unspecified => return Err(Flaw::OtherSubject),
        }
        self.count(!signature.is_empty());
        Ok(())
    }

    fn before(&self, index: u64, reference: Option<&Reference>) -> Result<(), Flaw> {
        let found = reference.is_some_and(|to| self.is_origin(&to.origin) && to.index < index);
        if found { Ok(()) } else { Err(Flaw::Reference) }
    }

    /// Whether it is this log's, in this epoch or one before.
    fn is_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|ours| *ours == *origin)
    }

    /// The log goes on under its next origin, with exactly the entries that are here.
    fn open_epoch(&mut self, opened: &EpochOpened) -> Result<(), Flaw> {
        let next = format!("{}", opened.epoch);
        let before = self.origins.last().and_then(|origin| origin.as_str().parse::<LogOrigin>().ok());
        let head = self.tree.head();
        let follows = before
            .is_some_and(|before| before.cell == opened.epoch.cell && before.epoch < opened.epoch.epoch)
            && opened.kept == (Tree { size: head.size, root: *head.root.as_bytes() });
        if !follows {
            return Err(Flaw::OtherEpoch);
        }
        self.origins.push(next.parse().map_err(|_| Flaw::OtherEpoch)?);
        Ok(())
    }

    fn count(&mut self, signed: bool) {
        if signed {
            self.report.signed += 1;
        } else {
            self.report.unsigned += 1;
        }
    }
}

/// Names of an entry as a bounded set.
fn set<T, const MAX: usize>(names: &[String]) -> Result<BoundedSet<T, MAX>, Flaw>
where
    T: std::str::FromStr<Err = NameError> + Ord,
{
    let names: Vec<T> = names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    names.try_into().map_err(|_| Flaw::OtherAgent)
}

#[cfg(test)]
mod tests;
