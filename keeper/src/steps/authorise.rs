//! Step 3, authorise: may this caller have this done?
//!
//! A crash here leaves nothing.

use std::sync::Arc;

use cell::{AgentId, AgentSpec, first_covering};
use ledger::entry::Reference;
use ledger::proposal::Approved;
use proto::v1::Reason;

use crate::HOUR_MS;
use crate::callers::{Kind, Who};
use crate::journal::{AgentRow, ControllerRow, Granted, Reader};
use crate::refusal::Refusal;

/// How long a controller renews on one officers' act, in milliseconds: 90 days (DESIGN §5).
pub(crate) const LINE_MS: i64 = 90 * 86_400_000;
/// One part in so many of a grant's budget is there, on top, for what only takes away: revoke, disable, delete, narrow.
const RESERVE_SHARE: u32 = 4;
/// Entries of that reserve at least, in an hour.
const RESERVE_LEAST: u32 = 16;

/// By whose leave a certificate is made: what step 4 takes. Only this file makes one.
#[derive(Debug)]
pub(crate) struct Authority(());

impl Authority {
    /// A grant's that covers it.
    pub(crate) fn of_grant(_: &Authorised) -> Self {
        Self(())
    }

    /// Officers' who approved the act that names its key.
    pub(crate) fn of_officers(_: &Approved) -> Self {
        Self(())
    }

    /// The configuration's, for the front's own.
    ///
    /// # Errors
    /// Another than the front asks.
    pub(crate) fn of_configuration(who: &Who) -> Result<Self, Refusal> {
        match who.kind() {
            Kind::Front => Ok(Self(())),
            _ => Err(Refusal::not_allowed(who.path())),
        }
    }

    /// Officers' who began a controller's line, for as long as one lasts; and the seconds that are left of it.
    ///
    /// # Errors
    /// [`Reason::LineEnded`].
    pub(crate) fn of_line(controller: &ControllerRow, now_ms: i64) -> Result<(Self, i64), Refusal> {
        let left_secs = (controller.line_start_ms + LINE_MS - now_ms).div_euclid(1000);
        if left_secs >= i64::from(*cell::TTL_SECS.start()) {
            return Ok((Self(()), left_secs));
        }
        let name = &controller.name;
        Err(Refusal::new(
            Reason::LineEnded,
            format!(
                "controllers/{name} has renewed for 90 days: have an officer run `rootcellar controller reissue {name}`"
            ),
        ))
    }
}

/// The caller may: under which grant, and which entry set it.
#[derive(Clone, Debug)]
pub(crate) struct Authorised {
    controller: String,
    grant: String,
    budget_per_hour: u32,
    set_by: u64,
}

impl Authorised {
    fn by(controller: &str, granted: &Granted) -> Self {
        Self {
            controller: controller.to_owned(),
            grant: granted.grant.name.to_string(),
            budget_per_hour: granted.grant.budget.per_hour(),
            set_by: granted.index,
        }
    }

    /// The controller.
    pub(crate) fn controller(&self) -> &str {
        &self.controller
    }

    /// The grant's name.
    pub(crate) fn grant(&self) -> &str {
        &self.grant
    }

    /// The entry that set the grant.
    pub(crate) fn approval(&self, origin: &str) -> Reference {
        Reference { origin: origin.to_owned(), index: self.set_by }
    }

    /// Entries that the grant allows in an hour.
    pub(crate) fn budget_per_hour(&self) -> u32 {
        self.budget_per_hour
    }

    /// Refuses when `entries` more would exceed what the grant allows in this hour.
    ///
    /// # Errors
    /// [`Reason::BudgetExhausted`], with the time until the next hour.
    pub(crate) fn within_budget(
        &self,
        reader: &Reader<'_>,
        now_ms: i64,
        entries: u32,
    ) -> Result<(), Refusal> {
        self.within(self.budget_per_hour, reader, now_ms, entries)
    }

    /// The same for one entry that only takes away: it has a reserve, so that who has spent the budget can still stop a thief.
    ///
    /// # Errors
    /// [`Reason::BudgetExhausted`], with the time until the next hour.
    pub(crate) fn within_reserve(&self, reader: &Reader<'_>, now_ms: i64) -> Result<(), Refusal> {
        let reserve = (self.budget_per_hour / RESERVE_SHARE).max(RESERVE_LEAST);
        self.within(self.budget_per_hour.saturating_add(reserve), reader, now_ms, 1)
    }

    fn within(&self, allowed: u32, reader: &Reader<'_>, now_ms: i64, entries: u32) -> Result<(), Refusal> {
        let spent = reader.spent(&self.controller, &self.grant, now_ms.div_euclid(HOUR_MS))?;
        if spent.saturating_add(entries) <= allowed {
            return Ok(());
        }
        let wait = u32::try_from(HOUR_MS - now_ms.rem_euclid(HOUR_MS)).unwrap_or(u32::MAX);
        Err(Refusal::new(
            Reason::BudgetExhausted,
            format!("the budget of grant {} is spent: {spent} of {allowed} entries in this hour", self.grant),
        )
        .retry(wait))
    }
}

/// What a controller's grants say: looked up once for a request.
pub(crate) struct Grants {
    controller: String,
    granted: Arc<[Granted]>,
}

impl Grants {
    /// Those of a controller.
    ///
    /// # Errors
    /// The journal's.
    pub(crate) fn of(reader: &Reader<'_>, controller: &str) -> Result<Self, Refusal> {
        Ok(Self { controller: controller.to_owned(), granted: reader.granted(controller)? })
    }

    /// Those of the caller.
    ///
    /// # Errors
    /// It is no controller.
    pub(crate) fn of_caller(reader: &Reader<'_>, who: &Who) -> Result<Self, Refusal> {
        Self::of(reader, who.controller()?.as_str())
    }

    /// One of them covers the agent and the lifetime (0 where no certificate is asked for).
    ///
    /// # Errors
    /// None does.
    pub(crate) fn cover(&self, spec: &AgentSpec, ttl_secs: u32) -> Result<Authorised, Refusal> {
        let covered = first_covering(self.granted.iter().map(|granted| &granted.grant), spec, ttl_secs)?;
        let row = self.granted.iter().find(|granted| granted.grant.name == covered.grant().name);
        let row = row.ok_or_else(|| Refusal::internal("a grant that is not there"))?;
        Ok(Authorised::by(&self.controller, row))
    }

    /// One of them speaks for the agent, whatever roles and tags it has.
    ///
    /// # Errors
    /// None does.
    pub(crate) fn speak_for(&self, id: AgentId) -> Result<Authorised, Refusal> {
        self.cover(&AgentSpec::bare(id), 0)
    }

    /// The longest lifetime that they allow for an agent, in seconds; 0 where none speaks for it.
    pub(crate) fn longest_secs(&self, id: &AgentId) -> u32 {
        let speaking = self.granted.iter().filter(|granted| granted.grant.speaks_for(id));
        speaking.map(|granted| granted.grant.max_ttl.secs()).max().unwrap_or(0)
    }

    /// The first of them: for what concerns all that the controller obtained.
    ///
    /// # Errors
    /// [`Reason::GrantDoesNotCover`] where it has none.
    pub(crate) fn first(&self) -> Result<Authorised, Refusal> {
        let row = self
            .granted
            .first()
            .ok_or_else(|| Refusal::new(Reason::GrantDoesNotCover, "you have no grant"))?;
        Ok(Authorised::by(&self.controller, row))
    }
}

/// The agent belongs to the caller.
///
/// # Errors
/// [`Reason::NotOwner`].
pub(crate) fn owner(who: &Who, agent: &AgentRow) -> Result<(), Refusal> {
    if who.controller()?.as_str() == agent.record.owner {
        Ok(())
    } else {
        Err(Refusal::new(
            Reason::NotOwner,
            format!("agents/{} belongs to another controller", agent.record.id),
        ))
    }
}
