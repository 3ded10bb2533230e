//! Who could approve what at each entry: the charter, the bundle, controllers with their grants, agents.

use std::collections::{BTreeMap, BTreeSet};

use crate::ceremony::Evidence;
use cell::{Act, AgentSpec, Grant, LogOrigin, Tree};
use certs::CertificateSummary;
use certs::summary::tbs_of;
use ledger::bundle::Bundle;
use ledger::charter::{Charter, Charters};
use ledger::entry::revocation::Target;
use ledger::entry::{self, AgentChange, AgentRecord, Change, Entry, Issuance, Reference, Revocation};
use ledger::note::{KeyName, Note};
use ledger::proposal;

use super::revocations::Revocations;
use super::stops::Stops;
use super::{Flaw, set};

/// Everything that officers and controllers set, as of the entry that is read.
#[derive(Default)]
pub(super) struct Authority {
    /// The first charter and the last that whoever asks knows.
    pinned: Option<[Charter; 2]>,
    charter: Option<Charter>,
    bundle: Option<Bundle>,
    /// Anchors of every bundle so far, DER.
    anchors: BTreeSet<Vec<u8>>,
    nonces: BTreeSet<[u8; 16]>,
    /// The TBSCertificates that ceremonies signed, once one is recorded.
    certified: Option<BTreeSet<Vec<u8>>>,
    controllers: BTreeMap<String, Controller>,
    agents: BTreeMap<String, AgentRecord>,
    /// What officers stopped.
    pub(super) stops: Stops,
    /// What was revoked, and the lists of it.
    pub(super) revocations: Revocations,
}

/// What an act said of a new epoch.
pub(super) struct EpochOpened {
    pub(super) epoch: LogOrigin,
    pub(super) kept: Tree,
}

struct Controller {
    /// The act that added or reissued it.
    line: u64,
    removed: bool,
    /// Each grant by its name, with the act that set it.
    grants: BTreeMap<String, (u64, Grant)>,
}

impl Authority {
    pub(super) fn pin(&mut self, charters: &Charters) {
        self.pinned = Some([charters.first().clone(), charters.in_force().clone()]);
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
        let certified = self.certified.get_or_insert_default();
        certified
            .extend(evidence.certificates.iter().filter_map(|one| tbs_of(&one.der).ok()).map(<[u8]>::to_vec));
        Ok(())
    }

    /// A CA certificate is one that a ceremony signed. Logs from before ceremonies were recorded have none.
    pub(super) fn ca_certificate(&self, ca: &entry::CaCertificate) -> Result<(), Flaw> {
        let known = self.certified.as_ref().is_none_or(|certified| certified.contains(&ca.tbs));
        if known { Ok(()) } else { Err(Flaw::Unapproved) }
    }

    /// Anchors of the bundle in force, DER.
    pub(super) fn anchors_in_force(&self) -> &[Vec<u8>] {
        self.bundle.as_ref().map_or(&[], Bundle::anchors)
    }

    /// An issuer signs while the officers' bundle says that it does. Bundles from before they named issuers say nothing.
    pub(super) fn is_active(&self, spki_sha256: &[u8]) -> Result<(), Flaw> {
        let bundle = self.bundle.as_ref().filter(|bundle| !bundle.issuers().is_empty());
        let active = bundle.is_none_or(|bundle| {
            bundle.contents().active_issuer().is_some_and(|active| active == *spki_sha256)
        });
        if active { Ok(()) } else { Err(Flaw::NotActive) }
    }

    /// An act that a quorum approved, in time, for this log, and for the first time; the epoch that it opened, where it did.
    pub(super) fn act(
        &mut self,
        index: u64,
        entry: &Entry,
        act: &entry::Act,
        origin: &KeyName,
    ) -> Result<Option<EpochOpened>, Flaw> {
        let charter = self.charter.as_ref().ok_or(Flaw::NoCharter)?;
        let note = Note::parse(&act.note)?;
        let secs = entry.time_unix_ms.div_euclid(1000);
        let approved = proposal::open(&note, charter, charter.cell(), origin, secs, Act::is_for_one)?;
        let proposal = approved.proposal();
        if !self.nonces.insert(proposal.nonce) {
            return Err(Flaw::Replayed);
        }
        let act = Act::parse(&proposal.act_name, &proposal.act_fields)?;
        self.stops.judge(&act)?;
        self.stops.follow(&act, entry.time_unix_ms);
        if let Act::EpochOpen { epoch, kept, .. } = act {
            return Ok(Some(EpochOpened { epoch, kept }));
        }
        self.carry_out(index, act).map(|()| None)
    }

    fn carry_out(&mut self, index: u64, act: Act) -> Result<(), Flaw> {
        match act {
            Act::ControllerAdd { name, grants, .. } => {
                let grants = grants.as_slice().iter().cloned();
                let grants = grants.map(|grant| (grant.name.to_string(), (index, grant))).collect();
                let controller = Controller { line: index, removed: false, grants };
                match self.controllers.insert(name.to_string(), controller) {
                    None => {}
                    Some(_) => return Err(Flaw::Replayed),
                }
            }
            Act::ControllerRemove { name } => self.controller(name.as_str())?.removed = true,
            Act::ControllerReissue { name, .. } => {
                let controller = self.controller(name.as_str())?;
                (controller.line, controller.removed) = (index, false);
            }
            Act::GrantSet { controller, grant } => {
                let grants = &mut self.controller(controller.as_str())?.grants;
                grants.insert(grant.name.to_string(), (index, grant));
            }
            Act::GrantRemove { controller, grant } => {
                self.controller(controller.as_str())?.grants.remove(grant.as_str());
            }
            Act::CertificateRevoke { target, reason } => self.revocations.approve(index, target, reason),
            Act::IssuerActivate { .. }
            | Act::Freeze
            | Act::Thaw
            | Act::RenewalsStop
            | Act::RenewalsStopConfirm
            | Act::ClockConfirm
            | Act::EpochOpen { .. } => {}
        }
        Ok(())
    }

    fn controller(&mut self, name: &str) -> Result<&mut Controller, Flaw> {
        self.controllers.get_mut(name).ok_or(Flaw::Unapproved)
    }

    /// The grant of that name, where this reference is to the act that set it, and its controller was not removed.
    fn grant(&self, controller: &str, name: &str, approval: Option<&Reference>) -> Result<&Grant, Flaw> {
        let controller = self.controllers.get(controller).filter(|controller| !controller.removed);
        let (index, grant) =
            controller.and_then(|controller| controller.grants.get(name)).ok_or(Flaw::Unapproved)?;
        if approval.is_some_and(|approval| approval.index == *index) {
            Ok(grant)
        } else {
            Err(Flaw::Unapproved)
        }
    }

    pub(super) fn agent_change(&mut self, change: &AgentChange) -> Result<(), Flaw> {
        let record = change.agent.as_ref().ok_or(Flaw::OtherAgent)?;
        let grant = self.grant(&record.owner, &change.grant, change.approval.as_ref())?;
        // What goes needs no room in the grant: only who may say so.
        let spec = spec(record)?;
        match change.change() {
            Change::Deleted if grant.speaks_for(&spec.id) => self.agents.remove(&record.id),
            Change::Created | Change::Updated => {
                grant.covers(&spec, 0)?;
                if change.change() == Change::Created {
                    self.stops.frozen()?;
                }
                self.agents.insert(record.id.clone(), record.clone())
            }
            Change::Deleted | Change::Unspecified => return Err(Flaw::OtherAgent),
        };
        Ok(())
    }

    /// An agent's certificate is made from the agent as it was then, under a grant of its owner that covers it.
    pub(super) fn agent_issuance(
        &self,
        issuance: &Issuance,
        approval: Option<&Reference>,
        summary: &CertificateSummary,
    ) -> Result<(), Flaw> {
        let id = issuance.subject.strip_prefix("/agent/").ok_or(Flaw::OtherSubject)?;
        let record = self.agents.get(id).filter(|record| !record.disabled).ok_or(Flaw::OtherAgent)?;
        let spec = spec(record)?;
        let dns_names: Vec<&str> = spec.dns_names.iter().map(AsRef::as_ref).collect();
        let as_recorded = record.revision == issuance.agent_revision
            && summary.attributes.roles == spec.roles
            && summary.attributes.tags == spec.tags
            && summary.dns_names == dns_names;
        if !as_recorded {
            return Err(Flaw::OtherAgent);
        }
        let secs = summary.not_after.saturating_sub(summary.not_before).saturating_add(1);
        let secs = u32::try_from(secs).map_err(|_| Flaw::Certificate)?;
        self.grant(&record.owner, &issuance.grant, approval)?.covers(&spec, secs)?;
        Ok(())
    }

    /// A controller's certificate refers to the act that added it, or reissued it last.
    pub(super) fn controller_issuance(
        &self,
        issuance: &Issuance,
        approval: Option<&Reference>,
    ) -> Result<(), Flaw> {
        let name = issuance.subject.strip_prefix("/controller/").ok_or(Flaw::OtherSubject)?;
        let line = self.controllers.get(name).filter(|controller| !controller.removed);
        let approved = line.is_some_and(|line| approval.is_some_and(|approval| approval.index == line.line));
        if approved { Ok(()) } else { Err(Flaw::Unapproved) }
    }
}

impl Authority {
    /// On officers' word, or a controller's under a grant of its own.
    pub(super) fn revocation(
        &mut self,
        index: u64,
        entry: &Entry,
        revocation: &Revocation,
    ) -> Result<(), Flaw> {
        let actor = entry.actor.as_ref().ok_or(Flaw::Unapproved)?;
        match actor.identity.strip_prefix("/controller/") {
            Some(controller) => {
                let target = revocation.target.as_ref().ok_or(Flaw::Revocation)?;
                let grant = self.grant(controller, &revocation.grant, revocation.approval.as_ref())?;
                match target {
                    Target::Agent(id) if !grant.speaks_for(&id.parse()?) => Err(Flaw::Unapproved),
                    Target::IssuedSince(issued) if issued.controller != controller => Err(Flaw::Unapproved),
                    _ => Ok(()),
                }
            }
            None => self.revocations.by_officers(index, revocation),
        }
    }
}

fn spec(record: &AgentRecord) -> Result<AgentSpec, Flaw> {
    Ok(AgentSpec {
        id: record.id.parse()?,
        roles: set(&record.roles)?,
        tags: set(&record.tags)?,
        dns_names: set(&record.dns_names)?,
    })
}
