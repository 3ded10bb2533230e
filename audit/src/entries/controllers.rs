//! Controllers with their grants, and agents, as of the entry that is read.

use std::collections::BTreeMap;

use cell::{Act, Grant, SpkiDer};
use certs::CertificateSummary;
use ledger::entry::{AgentChange, AgentRecord, Change, Issuance, Reference};

use super::Flaw;
use super::stops::Stops;
use crate::agents;

/// Everything that controllers have and own.
#[derive(Default)]
pub(super) struct Controllers {
    controllers: BTreeMap<String, Controller>,
    agents: BTreeMap<String, Agent>,
}

struct Controller {
    /// The act that added or reissued it.
    line: u64,
    /// When that was, in milliseconds since 1970.
    line_start_ms: i64,
    /// The key of its first certificate since.
    public_key: SpkiDer,
    removed: bool,
    /// Each grant by its name, with the act that set it.
    grants: BTreeMap<String, (u64, Grant)>,
}

struct Agent {
    /// The entry that created it: certificates from before belong to an agent of the same name that was deleted.
    created: u64,
    record: AgentRecord,
}

impl Controllers {
    /// Carries out an act that officers approved, as the entry `index`.
    ///
    /// # Errors
    /// It adds what is there, or changes what is not.
    pub(super) fn carry_out(&mut self, index: u64, time_unix_ms: i64, act: &Act) -> Result<(), Flaw> {
        match act {
            Act::ControllerAdd { name, public_key, grants } => {
                let grants = grants.as_slice().iter().cloned();
                let controller = Controller {
                    line: index,
                    line_start_ms: time_unix_ms,
                    public_key: public_key.clone(),
                    removed: false,
                    grants: grants.map(|grant| (grant.name.to_string(), (index, grant))).collect(),
                };
                if self.controllers.insert(name.to_string(), controller).is_some() {
                    return Err(Flaw::Replayed);
                }
            }
            Act::ControllerRemove { name } => self.controller(name.as_str())?.removed = true,
            Act::ControllerReissue { name, public_key } => {
                let controller = self.controller(name.as_str())?;
                (controller.line, controller.line_start_ms) = (index, time_unix_ms);
                (controller.public_key, controller.removed) = (public_key.clone(), false);
            }
            Act::GrantSet { controller, grant } => {
                let grants = &mut self.controller(controller.as_str())?.grants;
                grants.insert(grant.name.to_string(), (index, grant.clone()));
            }
            Act::GrantRemove { controller, grant } => {
                self.controller(controller.as_str())?.grants.remove(grant.as_str());
            }
            Act::CertificateRevoke { .. }
            | Act::Freeze
            | Act::Thaw
            | Act::RenewalsStop
            | Act::RenewalsStopConfirm
            | Act::ClockConfirm { .. }
            | Act::EpochOpen { .. } => {}
        }
        Ok(())
    }

    fn controller(&mut self, name: &str) -> Result<&mut Controller, Flaw> {
        self.controllers.get_mut(name).ok_or(Flaw::Unapproved)
    }

    /// An agent, where there is one.
    pub(super) fn agent(&self, id: &str) -> Option<&AgentRecord> {
        Some(&self.agents.get(id)?.record)
    }

    /// Whether a caller is registered who presents the certificate that this entry records.
    pub(super) fn lives(&self, identity: &str, certificate: u64) -> bool {
        match (identity.strip_prefix("/controller/"), identity.strip_prefix("/agent/")) {
            (Some(name), _) => {
                let controller = self.controllers.get(name);
                controller.is_some_and(|controller| !controller.removed && controller.line < certificate)
            }
            (_, Some(id)) => {
                let agent = self.agents.get(id);
                agent.is_some_and(|agent| !agent.record.disabled && agent.created < certificate)
            }
            _ => false,
        }
    }

    /// The grant of that name, where this reference is to the act that set it, and its controller was not removed.
    pub(super) fn grant(
        &self,
        controller: &str,
        name: &str,
        approval: Option<&Reference>,
    ) -> Result<&Grant, Flaw> {
        let controller = self.controllers.get(controller).filter(|controller| !controller.removed);
        let (index, grant) =
            controller.and_then(|controller| controller.grants.get(name)).ok_or(Flaw::Unapproved)?;
        if approval.is_some_and(|approval| approval.index == *index) {
            Ok(grant)
        } else {
            Err(Flaw::Unapproved)
        }
    }

    /// A change of an agent by its owner, under a grant of its own that covers it.
    pub(super) fn judge_change(
        &self,
        change: &AgentChange,
        identity: &str,
        stops: &Stops,
    ) -> Result<(), Flaw> {
        let record = change.agent.as_ref().ok_or(Flaw::OtherAgent)?;
        let spec = agents::recorded(record).ok_or(Flaw::OtherAgent)?;
        if identity.strip_prefix("/controller/") != Some(&record.owner) {
            return Err(Flaw::NotOwner);
        }
        let grant = self.grant(&record.owner, &change.grant, change.approval.as_ref())?;
        let before = self.agent(&record.id);
        if before.is_some_and(|before| before.owner != record.owner) {
            return Err(Flaw::NotOwner);
        }
        let follows = match (change.change(), before) {
            (Change::Created, None) => record.revision == 1 && !record.disabled,
            (Change::Updated, Some(before)) => record.revision == before.revision + 1,
            (Change::Deleted, Some(before)) => record == before,
            _ => false,
        };
        if !follows {
            return Err(Flaw::OtherAgent);
        }
        if change.change() == Change::Deleted || before.is_some_and(|before| agents::narrows(before, record))
        {
            // What goes needs no room in the grant: only who may say so.
            return if grant.speaks_for(&spec.id) { Ok(()) } else { Err(Flaw::Unapproved) };
        }
        grant.covers(&spec, 0)?;
        stops.frozen()
    }

    /// Takes a change over.
    pub(super) fn change(&mut self, index: u64, change: &AgentChange) {
        let Some(record) = &change.agent else { return };
        match change.change() {
            Change::Deleted => drop(self.agents.remove(&record.id)),
            Change::Created => {
                self.agents.insert(record.id.clone(), Agent { created: index, record: record.clone() });
            }
            Change::Updated => {
                let agent = Agent { created: index, record: AgentRecord::default() };
                self.agents.entry(record.id.clone()).or_insert(agent).record = record.clone();
            }
            Change::Unspecified => {}
        }
    }

    /// An agent's certificate is made from the agent as it was then, under a grant of its owner that covers it; its owner asked, or it itself
    /// for a renewal.
    pub(super) fn issuance(
        &self,
        issuance: &Issuance,
        approval: Option<&Reference>,
        summary: &CertificateSummary,
        identity: &str,
    ) -> Result<(), Flaw> {
        let id = issuance.subject.strip_prefix("/agent/").ok_or(Flaw::OtherSubject)?;
        let record = self.agent(id).filter(|record| !record.disabled).ok_or(Flaw::OtherAgent)?;
        let asks = if issuance.renews.is_some() {
            identity == issuance.subject
        } else {
            identity.strip_prefix("/controller/") == Some(&record.owner)
        };
        if !asks {
            return Err(Flaw::NotOwner);
        }
        let spec = agents::recorded(record).ok_or(Flaw::OtherAgent)?;
        let dns_names: Vec<&str> = spec.dns_names.iter().map(AsRef::as_ref).collect();
        let as_recorded = record.revision == issuance.agent_revision
            && summary.attributes.roles == spec.roles
            && summary.attributes.tags == spec.tags
            && summary.dns_names == dns_names;
        if !as_recorded {
            return Err(Flaw::OtherAgent);
        }
        self.grant(&record.owner, &issuance.grant, approval)?.covers(&spec, issuance.lifetime_seconds)?;
        Ok(())
    }

    /// A controller's certificate refers to the act that added it, or reissued it last: when that was, in milliseconds since 1970.
    pub(super) fn of_line(&self, issuance: &Issuance, approval: Option<&Reference>) -> Result<i64, Flaw> {
        let name = issuance.subject.strip_prefix("/controller/").ok_or(Flaw::OtherSubject)?;
        let controller = self.controllers.get(name).filter(|controller| !controller.removed);
        let line = controller.filter(|line| approval.is_some_and(|approval| approval.index == line.line));
        line.map(|line| line.line_start_ms).ok_or(Flaw::Unapproved)
    }

    /// The first certificate of a controller's line is for the key that officers approved, and follows their act.
    pub(super) fn first_of_line(&self, index: u64, issuance: &Issuance, spki: &[u8]) -> Result<(), Flaw> {
        let name = issuance.subject.strip_prefix("/controller/").unwrap_or_default();
        let first = self.controllers.get(name).is_some_and(|controller| {
            controller.line + 1 == index
                && controller.public_key.as_bytes() == spki
                && issuance.renews.is_none()
        });
        if first { Ok(()) } else { Err(Flaw::Unapproved) }
    }
}
