//! Agents created, changed and deleted by the controllers that own them.

use cell::AgentSpec;
use ledger::entry::entry::Kind;
use ledger::entry::{AgentChange, AgentRecord, Change, Entry};
use proto::v1::{self, Reason};

use super::{Desk, Plan, Request, Then, issue};
use crate::answers;
use crate::callers::Who;
use crate::convert;
use crate::journal::AgentRow;
use crate::refusal::Refusal;
use crate::steps::{self, Authorised};

/// Most agents in one batch.
const BATCH_MAX: usize = 100;
/// Fields of an agent that an update may name.
const UPDATABLE: [&str; 4] = ["roles", "tags", "dns_names", "disabled"];

pub(super) fn create(
    desk: &mut Desk<'_>,
    who: &Who,
    create: &v1::CreateAgentRequest,
) -> Result<Plan, Refusal> {
    let body = v1::CreateAgentRequest { request_id: String::new(), ..create.clone() };
    let request = Request::new("CreateAgent", &create.request_id, &body)?;
    let spec = new_spec(create)?;
    if request.before(&desk.reader, who)?.is_some() {
        return replayed(desk, &[spec.id.as_str()], Then::Created(spec.id.to_string()));
    }
    let entry = creation(desk, who, &request, &spec, 1)?;
    Ok(Plan::Record { entries: vec![entry], then: Then::Created(spec.id.to_string()) })
}

pub(super) fn batch_create(
    desk: &mut Desk<'_>,
    who: &Who,
    batch: &v1::BatchCreateAgentsRequest,
) -> Result<Plan, Refusal> {
    if batch.requests.is_empty() || batch.requests.len() > BATCH_MAX {
        return Err(Refusal::malformed("requests", format!("send 1 to {BATCH_MAX}")));
    }
    if batch.requests.iter().any(|create| !create.request_id.is_empty()) {
        return Err(Refusal::malformed("requests.request_id", "give one request_id for the whole batch"));
    }
    let body = v1::BatchCreateAgentsRequest { request_id: String::new(), ..batch.clone() };
    let request = Request::new("BatchCreateAgents", &batch.request_id, &body)?;
    let specs: Vec<AgentSpec> = batch.requests.iter().map(new_spec).collect::<Result<_, _>>()?;
    let mut ids: Vec<&str> = specs.iter().map(|spec| spec.id.as_str()).collect();
    let then = Then::BatchCreated(ids.iter().map(ToString::to_string).collect());
    if request.before(&desk.reader, who)?.is_some() {
        return replayed(desk, &ids, then);
    }
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Refusal::malformed("requests", "an agent stands in it twice"));
    }
    let count = u32::try_from(specs.len()).unwrap_or(u32::MAX);
    let entries =
        specs.iter().map(|spec| creation(desk, who, &request, spec, count)).collect::<Result<_, _>>()?;
    Ok(Plan::Record { entries, then })
}

pub(super) fn update(
    desk: &mut Desk<'_>,
    who: &Who,
    update: &v1::UpdateAgentRequest,
) -> Result<Plan, Refusal> {
    let agent = update.agent.as_ref().ok_or_else(|| Refusal::malformed("agent", "it is missing"))?;
    let body = v1::UpdateAgentRequest { request_id: String::new(), ..update.clone() };
    let request = Request::new("UpdateAgent", &update.request_id, &body)?;
    let (row, id) = owned(desk, who, &agent.name)?;
    if request.before(&desk.reader, who)?.is_some() {
        return replayed(desk, &[&id], Then::Updated(id.clone()));
    }
    current_etag(&agent.etag, &row)?;
    let record = merged(&row.record, agent, update.update_mask.as_ref())?;
    let spec = convert::record_spec(&record)?;
    let authorised = steps::authorise::agent(&desk.reader, who, &spec, 0)?;
    if !narrows(&row.record, &record) {
        steps::admit::not_frozen(&desk.reader)?;
    }
    authorised.within_budget(&desk.reader, desk.now_ms, 1)?;
    let record = convert::spec_record(&spec, &row.record.owner, record.disabled, row.record.revision + 1);
    let entry = changed(desk, who, &request, Change::Updated, record, &authorised);
    Ok(Plan::Record { entries: vec![entry], then: Then::Updated(id) })
}

pub(super) fn delete(
    desk: &mut Desk<'_>,
    who: &Who,
    delete: &v1::DeleteAgentRequest,
) -> Result<Plan, Refusal> {
    let body = v1::DeleteAgentRequest { request_id: String::new(), ..delete.clone() };
    let request = Request::new("DeleteAgent", &delete.request_id, &body)?;
    if request.before(&desk.reader, who)?.is_some() {
        return Ok(Plan::Answer(Box::new(answers::deleted())));
    }
    let (row, _) = owned(desk, who, &delete.name)?;
    current_etag(&delete.etag, &row)?;
    // A grant that still speaks for the agent pays for the entry; its roles and tags do not matter for an end.
    let bare = AgentSpec::bare(row.record.id.parse().map_err(Refusal::internal)?);
    let authorised = steps::authorise::agent(&desk.reader, who, &bare, 0)?;
    authorised.within_budget(&desk.reader, desk.now_ms, 1)?;
    let entry = changed(desk, who, &request, Change::Deleted, row.record, &authorised);
    Ok(Plan::Record { entries: vec![entry], then: Then::Deleted })
}

fn new_spec(create: &v1::CreateAgentRequest) -> Result<AgentSpec, Refusal> {
    let agent = create.agent.as_ref().ok_or_else(|| Refusal::malformed("agent", "it is missing"))?;
    convert::agent_spec(convert::agent_id(&agent.name, "agent.name")?, agent)
}

fn creation(
    desk: &Desk<'_>,
    who: &Who,
    request: &Request<'_>,
    spec: &AgentSpec,
    entries: u32,
) -> Result<Entry, Refusal> {
    let authorised = steps::authorise::agent(&desk.reader, who, spec, 0)?;
    steps::admit::not_frozen(&desk.reader)?;
    authorised.within_budget(&desk.reader, desk.now_ms, entries)?;
    if desk.reader.agent(spec.id.as_str())?.is_some() {
        return Err(Refusal::new(Reason::AgentExists, format!("agents/{} exists", spec.id)).on("agent.name"));
    }
    Ok(issue::created(desk, who, request, spec, &authorised))
}

/// The answer to a request that was carried out before: the agents as they are now.
fn replayed(desk: &Desk<'_>, ids: &[&str], then: Then) -> Result<Plan, Refusal> {
    if ids.iter().any(|id| !matches!(desk.reader.agent(id), Ok(Some(_)))) {
        return Err(Refusal::not_found(
            "agent: this request was carried out before, and it was deleted since",
        ));
    }
    let answer = answers::after(&desk.reader, &desk.settings.cell, &then)?;
    Ok(Plan::Answer(Box::new(answer)))
}

/// An agent that the caller owns. One of another owner that no grant of the caller's speaks for is as if it were not there.
fn owned(desk: &Desk<'_>, who: &Who, name: &str) -> Result<(AgentRow, String), Refusal> {
    who.controller()?;
    let id = convert::agent_id(name, "name")?;
    let missing = || Refusal::not_found("agent of that name");
    let row = desk.reader.agent(id.as_str())?.ok_or_else(missing)?;
    if let Err(not_owner) = steps::authorise::owner(who, &row) {
        let spoken_for = steps::authorise::agent(&desk.reader, who, &AgentSpec::bare(id), 0).is_ok();
        return Err(if spoken_for { not_owner } else { missing() });
    }
    Ok((row, id.to_string()))
}

fn current_etag(etag: &str, row: &AgentRow) -> Result<(), Refusal> {
    if etag.is_empty() || etag == answers::etag(row) {
        Ok(())
    } else {
        Err(Refusal::new(Reason::EtagMismatch, "the agent was changed since you read it: read it again")
            .on("etag"))
    }
}

/// Whether a change only takes away: what a frozen cell lets through.
fn narrows(before: &AgentRecord, after: &AgentRecord) -> bool {
    let within = |before: &[String], after: &[String]| after.iter().all(|word| before.contains(word));
    within(&before.roles, &after.roles)
        && within(&before.tags, &after.tags)
        && within(&before.dns_names, &after.dns_names)
        && (after.disabled || !before.disabled)
}

fn merged(
    record: &AgentRecord,
    agent: &v1::Agent,
    mask: Option<&prost_types::FieldMask>,
) -> Result<AgentRecord, Refusal> {
    let paths: Vec<&str> =
        mask.map_or_else(|| UPDATABLE.to_vec(), |mask| mask.paths.iter().map(String::as_str).collect());
    let mut record = record.clone();
    for path in paths {
        match path {
            "roles" => record.roles.clone_from(&agent.roles),
            "tags" => record.tags.clone_from(&agent.tags),
            "dns_names" => record.dns_names.clone_from(&agent.dns_names),
            "disabled" => record.disabled = agent.disabled,
            other => {
                let known = UPDATABLE.join(", ");
                return Err(Refusal::malformed(
                    "update_mask",
                    format!("`{other}` cannot be changed; {known} can"),
                ));
            }
        }
    }
    Ok(record)
}

/// The entry of an agent's change, as it is after it.
pub(super) fn changed(
    desk: &Desk<'_>,
    who: &Who,
    request: &Request<'_>,
    change: Change,
    agent: AgentRecord,
    authorised: &Authorised,
) -> Entry {
    let change = AgentChange {
        change: change.into(),
        agent: Some(agent),
        grant: authorised.grant().to_owned(),
        approval: Some(authorised.approval(&desk.settings.origin)),
    };
    desk.entry(who.actor(&desk.settings.origin), request, Kind::AgentChange(change))
}
