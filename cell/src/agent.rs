//! What an agent is to be: the description that a grant covers and a certificate is issued from.

use crate::{AgentId, BoundedSet, DnsName, Role, Tag};

/// The most roles of one agent: they all travel in its certificate.
pub const MAX_ROLES: usize = 16;
/// The most tags of one agent.
pub const MAX_TAGS: usize = 16;
/// The most DNS names of one agent.
pub const MAX_DNS_NAMES: usize = 8;

/// An agent's roles, sorted.
pub type Roles = BoundedSet<Role, MAX_ROLES>;
/// An agent's tags, sorted.
pub type Tags = BoundedSet<Tag, MAX_TAGS>;
/// An agent's DNS names, sorted.
pub type DnsNames = BoundedSet<DnsName, MAX_DNS_NAMES>;

/// An agent as someone asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSpec {
    /// Its name.
    pub id: AgentId,
    /// What it does.
    pub roles: Roles,
    /// What it belongs to.
    pub tags: Tags,
    /// Host names it may be reached by, beside its URI.
    pub dns_names: DnsNames,
}

impl AgentSpec {
    /// An agent without roles, tags or host names.
    pub fn bare(id: AgentId) -> Self {
        Self { id, roles: Roles::default(), tags: Tags::default(), dns_names: DnsNames::default() }
    }
}
