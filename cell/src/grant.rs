//! Grants: what a controller may ask for, and the proof that a request is within one.
//!
//! Does not: count a budget or look at a clock; it says how much is allowed.

use crate::{AgentId, AgentPattern, AgentSpec, BoundedSet, DnsName, DnsPattern, GrantName, Role, Tag};

/// The most entries of each list of a grant: what an officer can still read before signing.
pub const MAX_GRANT_ITEMS: usize = 32;
/// The most grants of one controller.
pub const MAX_GRANTS: usize = 16;
/// The lifetimes that a grant may allow, in seconds, both inclusive: ten seconds to the agent profile's cap of a day.
pub const TTL_SECS: std::ops::RangeInclusive<u32> = 10..=86_400;
/// The certificates in an hour that a grant may allow, both inclusive.
pub const BUDGET_PER_HOUR: std::ops::RangeInclusive<u32> = 1..=10_000_000;

/// The longest lifetime that a grant allows, in seconds, within [`TTL_SECS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MaxTtl(u32);

impl MaxTtl {
    /// In seconds, inclusive.
    pub fn secs(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for MaxTtl {
    type Error = GrantError;

    fn try_from(secs: u32) -> Result<Self, GrantError> {
        if TTL_SECS.contains(&secs) { Ok(Self(secs)) } else { Err(GrantError::Ttl(secs)) }
    }
}

/// How many entries a grant may cause in an hour, within [`BUDGET_PER_HOUR`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Budget(u32);

impl Budget {
    /// Entries in an hour.
    pub fn per_hour(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Budget {
    type Error = GrantError;

    fn try_from(per_hour: u32) -> Result<Self, GrantError> {
        if BUDGET_PER_HOUR.contains(&per_hour) {
            Ok(Self(per_hour))
        } else {
            Err(GrantError::Budget(per_hour))
        }
    }
}

/// What one controller may ask for. Every list that is empty denies; no field can hold a value out of bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its name, unique within the controller.
    pub name: GrantName,
    /// The agents it speaks for.
    pub agents: BoundedSet<AgentPattern, MAX_GRANT_ITEMS>,
    /// The roles those may have.
    pub roles: BoundedSet<Role, MAX_GRANT_ITEMS>,
    /// The tags those may have.
    pub tags: BoundedSet<Tag, MAX_GRANT_ITEMS>,
    /// The DNS names those may have.
    pub dns: BoundedSet<DnsPattern, MAX_GRANT_ITEMS>,
    /// The longest lifetime of a certificate.
    pub max_ttl: MaxTtl,
    /// The entries in an hour.
    pub budget: Budget,
}

impl Grant {
    /// Whether this grant covers the agent, all its roles, tags and DNS names, and the lifetime.
    ///
    /// # Errors
    /// The first part that it does not cover, in that order.
    pub fn covers<'a>(&'a self, agent: &'a AgentSpec, ttl_secs: u32) -> Result<Covered<'a>, NotCovered> {
        let grant = || self.name.clone();
        if !self.speaks_for(&agent.id) {
            return Err(NotCovered::Agent(agent.id.clone()));
        }
        if let Some(role) = agent.roles.iter().find(|role| !self.roles.contains(role)) {
            return Err(NotCovered::Role { grant: grant(), role: role.clone() });
        }
        if let Some(tag) = agent.tags.iter().find(|tag| !self.tags.contains(tag)) {
            return Err(NotCovered::Tag { grant: grant(), tag: tag.clone() });
        }
        if let Some(name) = agent.dns_names.iter().find(|name| !self.dns.iter().any(|p| p.matches(name))) {
            return Err(NotCovered::Dns { grant: grant(), name: name.clone() });
        }
        if ttl_secs > self.max_ttl.secs() {
            return Err(NotCovered::Ttl {
                grant: grant(),
                asked_secs: ttl_secs,
                max_secs: self.max_ttl.secs(),
            });
        }
        Ok(Covered { grant: self, agent, ttl_secs })
    }

    /// Whether one of its agent patterns means this agent.
    pub fn speaks_for(&self, id: &AgentId) -> bool {
        self.agents.iter().any(|pattern| pattern.matches(id))
    }
}

/// The first of the grants that covers the agent and the lifetime.
///
/// # Errors
/// The refusal of the first grant that speaks for the agent; [`NotCovered::Agent`] when none does.
pub fn first_covering<'a>(
    grants: impl IntoIterator<Item = &'a Grant>,
    agent: &'a AgentSpec,
    ttl_secs: u32,
) -> Result<Covered<'a>, NotCovered> {
    let mut refusal = None;
    for grant in grants {
        match grant.covers(agent, ttl_secs) {
            Ok(covered) => return Ok(covered),
            Err(NotCovered::Agent(_)) => {}
            Err(other) => refusal = refusal.or(Some(other)),
        }
    }
    Err(refusal.unwrap_or_else(|| NotCovered::Agent(agent.id.clone())))
}

/// Proof that a grant covers an agent and a lifetime: only [`Grant::covers`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Covered<'a> {
    grant: &'a Grant,
    agent: &'a AgentSpec,
    ttl_secs: u32,
}

impl<'a> Covered<'a> {
    /// The grant that covers it.
    pub fn grant(&self) -> &'a Grant {
        self.grant
    }

    /// The agent as it was asked for.
    pub fn agent(&self) -> &'a AgentSpec {
        self.agent
    }

    /// The lifetime as it was asked for, in seconds.
    pub fn ttl_secs(&self) -> u32 {
        self.ttl_secs
    }
}

/// The caller's fault: the part of a request that no grant covers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCovered {
    /// No grant speaks for this agent.
    #[error("no grant speaks for the agent `{0}`")]
    Agent(AgentId),
    /// A role that the grant does not give.
    #[error("the grant `{grant}` does not give the role `{role}`")]
    Role {
        /// The grant that speaks for the agent.
        grant: GrantName,
        /// The role asked for.
        role: Role,
    },
    /// A tag that the grant does not give.
    #[error("the grant `{grant}` does not give the tag `{tag}`")]
    Tag {
        /// The grant that speaks for the agent.
        grant: GrantName,
        /// The tag asked for.
        tag: Tag,
    },
    /// A DNS name that the grant does not give.
    #[error("the grant `{grant}` does not give the DNS name `{name}`")]
    Dns {
        /// The grant that speaks for the agent.
        grant: GrantName,
        /// The name asked for.
        name: DnsName,
    },
    /// A lifetime longer than the grant allows.
    #[error("the grant `{grant}` gives at most {max_secs} s, not {asked_secs} s")]
    Ttl {
        /// The grant that speaks for the agent.
        grant: GrantName,
        /// The lifetime asked for, in seconds.
        asked_secs: u32,
        /// The longest it allows, in seconds.
        max_secs: u32,
    },
}

/// The officer's fault: a grant, or a controller's grants, out of bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// A lifetime outside [`TTL_SECS`].
    #[error("a longest lifetime of {0} s is not within {min} to {max} s", min = TTL_SECS.start(), max = TTL_SECS.end())]
    Ttl(u32),
    /// A budget outside [`BUDGET_PER_HOUR`].
    #[error("a budget of {0} an hour is not within {min} to {max}", min = BUDGET_PER_HOUR.start(), max = BUDGET_PER_HOUR.end())]
    Budget(u32),
    /// Not 1 to [`MAX_GRANTS`] grants.
    #[error("{0} grants, where 1 to {MAX_GRANTS} are allowed")]
    Count(usize),
    /// Two grants of one name.
    #[error("two grants have the name `{0}`")]
    SameName(GrantName),
}

/// A controller's grants: 1 to [`MAX_GRANTS`], sorted by name, each name once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants(Vec<Grant>);

impl Grants {
    /// The grants in the order of their names, which is the order in which [`first_covering`] tries them.
    pub fn as_slice(&self) -> &[Grant] {
        &self.0
    }
}

impl TryFrom<Vec<Grant>> for Grants {
    type Error = GrantError;

    fn try_from(mut grants: Vec<Grant>) -> Result<Self, GrantError> {
        if !(1..=MAX_GRANTS).contains(&grants.len()) {
            return Err(GrantError::Count(grants.len()));
        }
        grants.sort_by(|a, b| a.name.cmp(&b.name));
        match grants.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some(pair) => Err(GrantError::SameName(pair[0].name.clone())),
            None => Ok(Self(grants)),
        }
    }
}

#[cfg(test)]
mod tests;
