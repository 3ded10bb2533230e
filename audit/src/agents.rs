//! Agents as requests describe them and as entries hold them.

use cell::{AgentId, AgentSpec, BoundedSet, NameError};
use ledger::entry::AgentRecord;
use proto::v1;

/// Fields of an agent that an update may name.
pub const UPDATABLE: [&str; 4] = ["roles", "tags", "dns_names", "disabled"];

/// What a record says that the agent is; none where it is no agent.
pub fn recorded(record: &AgentRecord) -> Option<AgentSpec> {
    spec(record.id.parse().ok()?, &record.roles, &record.tags, &record.dns_names)
}

/// What a request says that the agent of this identifier is; none where it can be none.
pub fn described(id: AgentId, agent: &v1::Agent) -> Option<AgentSpec> {
    spec(id, &agent.roles, &agent.tags, &agent.dns_names)
}

fn spec(id: AgentId, roles: &[String], tags: &[String], dns_names: &[String]) -> Option<AgentSpec> {
    Some(AgentSpec { id, roles: set(roles)?, tags: set(tags)?, dns_names: set(dns_names)? })
}

fn set<T, const MAX: usize>(names: &[String]) -> Option<BoundedSet<T, MAX>>
where
    T: std::str::FromStr<Err = NameError> + Ord,
{
    let names: Vec<T> = names.iter().map(|name| name.parse().ok()).collect::<Option<_>>()?;
    names.try_into().ok()
}

/// The record as an update makes it, its words not yet checked: the named fields of `agent`, all that can be changed where none are named
/// (AIP-134).
///
/// # Errors
/// The name of a field that cannot be changed.
pub fn updated<'a>(
    record: &AgentRecord,
    agent: &v1::Agent,
    mask: Option<&'a prost_types::FieldMask>,
) -> Result<AgentRecord, &'a str> {
    let paths: Vec<&str> =
        mask.map_or_else(|| UPDATABLE.to_vec(), |mask| mask.paths.iter().map(String::as_str).collect());
    let mut record = record.clone();
    for (at, path) in paths.iter().enumerate() {
        // Each is said once: a list that is copied again and again costs the time of all.
        if paths[..at].contains(path) {
            return Err(path);
        }
        match *path {
            "roles" => record.roles.clone_from(&agent.roles),
            "tags" => record.tags.clone_from(&agent.tags),
            "dns_names" => record.dns_names.clone_from(&agent.dns_names),
            "disabled" => record.disabled = agent.disabled,
            other => return Err(other),
        }
    }
    Ok(record)
}

/// Whether a change only takes away, and takes something: what a frozen cell lets through. One of nothing has an entry and its price as any other.
pub fn narrows(before: &AgentRecord, after: &AgentRecord) -> bool {
    let within = |before: &[String], after: &[String]| after.iter().all(|word| before.contains(word));
    let same = AgentRecord { revision: before.revision, ..after.clone() } == *before;
    !same
        && within(&before.roles, &after.roles)
        && within(&before.tags, &after.tags)
        && within(&before.dns_names, &after.dns_names)
        && (after.disabled || !before.disabled)
}
