//! What officers set, as of the entry that is read: the charter, the bundle, ceremonies, acts.

use std::collections::BTreeSet;

use cell::Act;
use certs::summary::tbs_of;
use ledger::bundle::Bundle;
use ledger::charter::{Charter, Charters};
use ledger::entry::{self, Custody, Entry};
use ledger::note::{KeyName, Note};
use ledger::proposal;

use super::Flaw;
use super::controllers::Controllers;
use super::stops::Stops;
use crate::act_rule;
use crate::ceremony::Evidence;

/// Everything that officers and controllers set, as of the entry that is read.
#[derive(Default)]
pub(super) struct Authority {
    /// The first charter and the last that whoever asks knows.
    pinned: Option<[Charter; 2]>,
    /// SHA-256 of the first charter, where only that is known.
    first: Option<[u8; 32]>,
    charter: Option<Charter>,
    bundle: Option<Bundle>,
    /// Anchors of every bundle so far, DER.
    anchors: BTreeSet<Vec<u8>>,
    nonces: BTreeSet<[u8; 16]>,
    /// The TBSCertificates that ceremonies signed.
    certified: BTreeSet<Vec<u8>>,
    /// Whether one is recorded.
    is_founded: bool,
    /// What the founding ceremony proves of the keys that it made, until it is recorded.
    founding: Option<Custody>,
    /// Controllers, their grants and their agents.
    pub(super) controllers: Controllers,
    /// What officers stopped.
    pub(super) stops: Stops,
}

impl Authority {
    pub(super) fn pin(&mut self, charters: &Charters) {
        self.pinned = Some([charters.first().clone(), charters.in_force().clone()]);
    }

    pub(super) fn pin_first(&mut self, sha256: [u8; 32]) {
        self.first = Some(sha256);
    }

    /// The trust bundle in force.
    pub(super) fn in_force(&self) -> Option<&Bundle> {
        self.bundle.as_ref()
    }

    /// Whether the charters so far go at least as far as the pinned ones.
    pub(super) fn has_pinned(&self) -> bool {
        let have = self.charter.as_ref().map_or(0, Charter::revision);
        self.pinned.as_ref().is_none_or(|[_, last]| have >= last.revision())
    }

    pub(super) fn is_of_cell(&self, cell: &str) -> bool {
        self.charter.as_ref().is_some_and(|charter| charter.cell() == cell)
    }

    pub(super) fn anchors(&self) -> &BTreeSet<Vec<u8>> {
        &self.anchors
    }

    /// Entry 0 is the first charter; each later one is approved by the one before.
    pub(super) fn charter(&mut self, index: u64, note: &[u8]) -> Result<(), Flaw> {
        let note = Note::parse(note)?;
        let charter = match (&self.charter, index) {
            (None, 0) => Charter::found(&note)?,
            (None, _) => return Err(Flaw::NoCharter),
            (Some(before), _) => before.succeed(&note)?,
        };
        let pinned = self.pinned.iter().flatten();
        if pinned.into_iter().any(|pinned| pinned.revision() == charter.revision() && *pinned != charter) {
            return Err(Flaw::OtherCharter);
        }
        if index == 0 && self.first.is_some_and(|first| first != charter.sha256()) {
            return Err(Flaw::OtherCharter);
        }
        self.charter = Some(charter);
        Ok(())
    }

    pub(super) fn bundle(&mut self, note: &[u8]) -> Result<(), Flaw> {
        let charter = self.charter.as_ref().ok_or(Flaw::NoCharter)?;
        let bundle = Bundle::open(&Note::parse(note)?, charter)?;
        if let Some(before) = &self.bundle {
            bundle.supersedes(before)?;
        }
        self.anchors.extend(bundle.anchors().iter().cloned());
        self.bundle = Some(bundle);
        Ok(())
    }

    /// A ceremony whose plan a quorum approved, for the first time, and whose transcript proves what it says.
    pub(super) fn ceremony(&mut self, ceremony: &entry::Ceremony) -> Result<(), Flaw> {
        let charter = self.charter.as_ref().ok_or(Flaw::NoCharter)?;
        let evidence = Evidence::open(&ceremony.transcript, charter, self.anchors_in_force())?;
        if !self.nonces.insert(evidence.plan.plan().nonce) {
            return Err(Flaw::Replayed);
        }
        if !std::mem::replace(&mut self.is_founded, true) {
            self.founding = Some(evidence.founding_manifest());
        }
        self.certified
            .extend(evidence.certificates.iter().filter_map(|one| tbs_of(&one.der).ok()).map(<[u8]>::to_vec));
        Ok(())
    }

    /// Officers record one custody manifest: what their founding ceremony proves of its keys.
    pub(super) fn founding_manifest(&mut self, custody: &Custody) -> Result<(), Flaw> {
        let proven = self.founding.take().is_some_and(|proven| proven == *custody);
        if proven { Ok(()) } else { Err(Flaw::Founding) }
    }

    /// A CA certificate is one that a ceremony signed.
    pub(super) fn ca_certificate(&self, ca: &entry::CaCertificate) -> Result<(), Flaw> {
        if self.certified.contains(&ca.tbs) { Ok(()) } else { Err(Flaw::Unapproved) }
    }

    /// Anchors of the bundle in force, DER.
    pub(super) fn anchors_in_force(&self) -> &[Vec<u8>] {
        self.bundle.as_ref().map_or(&[], Bundle::anchors)
    }

    /// An issuer signs while the officers' bundle says that it does.
    pub(super) fn is_active(&self, spki_sha256: &[u8]) -> Result<(), Flaw> {
        let active = self.bundle.as_ref().and_then(|bundle| bundle.contents().active_issuer());
        let active = active.is_some_and(|active| active == *spki_sha256);
        if active { Ok(()) } else { Err(Flaw::NotActive) }
    }

    /// An act that a quorum approved, in time, for this log, and for the first time.
    ///
    /// # Errors
    /// It is none; nothing of it counts then.
    pub(super) fn act(
        &mut self,
        index: u64,
        entry: &Entry,
        act: &entry::Act,
        origin: &KeyName,
    ) -> Result<Act, Flaw> {
        let charter = self.charter.as_ref().ok_or(Flaw::NoCharter)?;
        let note = Note::parse(&act.note)?;
        let secs = entry.time_unix_ms.div_euclid(1000);
        let approved = proposal::open(&note, charter, charter.cell(), origin, secs, act_rule)?;
        let proposal = approved.proposal();
        if !self.nonces.insert(proposal.nonce) {
            return Err(Flaw::Replayed);
        }
        let act = Act::parse(&proposal.act_name, &proposal.act_fields)?;
        self.stops.judge(&act)?;
        self.stops.follow(&act, entry.time_unix_ms);
        self.controllers.carry_out(index, entry.time_unix_ms, &act)?;
        Ok(act)
    }
}
