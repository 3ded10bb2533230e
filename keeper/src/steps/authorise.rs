//! Step 3, authorise: may this caller have this done?
//!
//! A crash here leaves nothing.

use cell::{AgentSpec, first_covering};
use ledger::entry::Reference;
use proto::v1::Reason;

use crate::HOUR_MS;
use crate::callers::Who;
use crate::journal::{AgentRow, Granted, Reader};
use crate::refusal::Refusal;

/// One part in so many of a grant's budget is there, on top, for what only takes away: revoke, disable, delete, narrow.
const RESERVE_SHARE: u32 = 4;
/// Entries of that reserve at least, in an hour.
const RESERVE_LEAST: u32 = 16;

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

/// The caller is a controller, and one of its grants covers the agent and the lifetime (0 where no certificate is asked for).
///
/// # Errors
/// It is none, or no grant covers it.
pub(crate) fn agent(
    reader: &Reader<'_>,
    who: &Who,
    spec: &AgentSpec,
    ttl_secs: u32,
) -> Result<Authorised, Refusal> {
    under(reader, who.controller()?.as_str(), spec, ttl_secs)
}

/// One of this controller's grants covers the agent and the lifetime.
///
/// # Errors
/// None does.
pub(crate) fn under(
    reader: &Reader<'_>,
    controller: &str,
    spec: &AgentSpec,
    ttl_secs: u32,
) -> Result<Authorised, Refusal> {
    let granted = reader.granted(controller)?;
    let covered = first_covering(granted.iter().map(|granted| &granted.grant), spec, ttl_secs)?;
    let row = granted.iter().find(|granted| granted.grant.name == covered.grant().name);
    let row = row.ok_or_else(|| Refusal::internal("a grant that is not there"))?;
    Ok(Authorised::by(controller, row))
}

/// Any grant of the caller's: for what concerns all that it obtained.
///
/// # Errors
/// [`Reason::GrantDoesNotCover`] where it has none.
pub(crate) fn any(reader: &Reader<'_>, who: &Who) -> Result<Authorised, Refusal> {
    let controller = who.controller()?.as_str();
    let granted = reader.granted(controller)?;
    let row = granted.first().ok_or_else(|| Refusal::new(Reason::GrantDoesNotCover, "you have no grant"))?;
    Ok(Authorised::by(controller, row))
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

/// The longest lifetime that the caller's grants allow for an agent, in seconds; 0 where none speaks for it.
pub(crate) fn longest_ttl(reader: &Reader<'_>, controller: &str, spec: &AgentSpec) -> Result<u32, Refusal> {
    let granted = reader.granted(controller)?;
    let speaking = granted.iter().filter(|granted| granted.grant.speaks_for(&spec.id));
    Ok(speaking.map(|granted| granted.grant.max_ttl.secs()).max().unwrap_or(0))
}
