//! Agents created, changed and deleted by the controllers that own them.

use audit::Given;
use audit::agents::{UPDATABLE, narrows, updated};
use cell::AgentSpec;
use ledger::entry::entry::Kind;
use ledger::entry::{AgentChange, AgentRecord, Change, Entry};
use proto::v1::{self, Reason};

use super::{Desk, Once, Plan, Signer, Then, issue};
use crate::answers;
use crate::callers::Who;
use crate::convert;
use crate::disk::Wanted;
use crate::journal::AgentRow;
use crate::refusal::Refusal;
use crate::steps::{self, Authorised, Grants};

/// Most agents in one batch.
const BATCH_MAX: usize = 100;

pub(super) fn create(
    desk: &mut Desk<'_>,
    caller: &Signer<'_>,
    create: &v1::CreateAgentBody,
    request_id: &str,
) -> Result<Plan, Refusal> {
    let fields = v1::CreateAgentBody { request_id: String::new(), ..create.clone() };
    let once = Once::new("CreateAgent", request_id, &fields);
    let spec = new_spec(create.agent.as_ref(), "agent")?;
    if let Some(index) = once.before(&desk.reader, caller.who)? {
        return replayed(desk, caller, &[spec.id.as_str()], Then::Created(spec.id.to_string()), index);
    }
    let entry = creation(desk, caller, &once, &spec, 1)?;
    Ok(Plan::Record { entries: vec![entry], certificate: None, then: Then::Created(spec.id.to_string()) })
}

pub(super) fn batch_create(
    desk: &mut Desk<'_>,
    caller: &Signer<'_>,
    batch: &v1::BatchCreateAgentsBody,
    request_id: &str,
) -> Result<Plan, Refusal> {
    if batch.agents.is_empty() || batch.agents.len() > BATCH_MAX {
        return Err(Refusal::malformed("agents", format!("send 1 to {BATCH_MAX}")));
    }
    let fields = v1::BatchCreateAgentsBody { request_id: String::new(), ..batch.clone() };
    let once = Once::new("BatchCreateAgents", request_id, &fields);
    let specs: Vec<AgentSpec> =
        batch.agents.iter().map(|agent| new_spec(Some(agent), "agents")).collect::<Result<_, _>>()?;
    let mut ids: Vec<&str> = specs.iter().map(|spec| spec.id.as_str()).collect();
    let then = Then::BatchCreated(ids.iter().map(ToString::to_string).collect());
    if let Some(index) = once.before(&desk.reader, caller.who)? {
        // The last of its entries is remembered, the receipt is of the first.
        let first = index.saturating_sub(ids.len().saturating_sub(1) as u64);
        return replayed(desk, caller, &ids, then, first);
    }
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Refusal::malformed("agents", "an agent stands in it twice"));
    }
    let count = u32::try_from(specs.len()).unwrap_or(u32::MAX);
    let entries =
        specs.iter().map(|spec| creation(desk, caller, &once, spec, count)).collect::<Result<_, _>>()?;
    Ok(Plan::Record { entries, certificate: None, then })
}

pub(super) fn update(
    desk: &mut Desk<'_>,
    caller: &Signer<'_>,
    update: &v1::UpdateAgentBody,
    request_id: &str,
) -> Result<Plan, Refusal> {
    let agent = update.agent.as_ref().ok_or_else(|| Refusal::malformed("agent", "it is missing"))?;
    let fields = v1::UpdateAgentBody { request_id: String::new(), ..update.clone() };
    let once = Once::new("UpdateAgent", request_id, &fields);
    let (row, id) = owned(desk, caller.who, &agent.name)?;
    if let Some(index) = once.before(&desk.reader, caller.who)? {
        return replayed(desk, caller, &[&id], Then::Updated(id.clone()), index);
    }
    current_etag(&agent.etag, &row)?;
    let record = updated(&row.record, agent, update.update_mask.as_ref()).map_err(|other| {
        let known = UPDATABLE.join(", ");
        Refusal::malformed("update_mask", format!("`{other}` cannot be changed; {known} can"))
    })?;
    let spec = convert::record_spec(&record)?;
    let authorised = if narrows(&row.record, &record) {
        // What is left may be more than a grant gives by now: that is no reason to leave all of it.
        let authorised = Grants::of_caller(&desk.reader, caller.who)?.speak_for(spec.id.clone())?;
        desk.room.demand(Wanted::End)?;
        authorised.within_reserve(&desk.reader, desk.now_ms)?;
        authorised
    } else {
        let authorised = Grants::of_caller(&desk.reader, caller.who)?.cover(&spec, 0)?;
        steps::admit::not_frozen(&desk.reader)?;
        desk.room.demand(Wanted::New)?;
        caller.not_overtaken(desk, &id, Given::Right)?;
        authorised.within_budget(&desk.reader, desk.now_ms, 1)?;
        authorised
    };
    let record = convert::spec_record(&spec, &row.record.owner, record.disabled, row.record.revision + 1);
    let entry = changed(desk, caller, &once, Change::Updated, record, &authorised);
    Ok(Plan::Record { entries: vec![entry], certificate: None, then: Then::Updated(id) })
}

pub(super) fn delete(
    desk: &mut Desk<'_>,
    caller: &Signer<'_>,
    delete: &v1::DeleteAgentBody,
    request_id: &str,
) -> Result<Plan, Refusal> {
    let fields = v1::DeleteAgentBody { request_id: String::new(), ..delete.clone() };
    let once = Once::new("DeleteAgent", request_id, &fields);
    if let Some(index) = once.before(&desk.reader, caller.who)? {
        return replayed(desk, caller, &[], Then::Deleted, index);
    }
    let (row, _) = owned(desk, caller.who, &delete.name)?;
    current_etag(&delete.etag, &row)?;
    // A grant that still speaks for the agent pays for the entry; its roles and tags do not matter for an end.
    let id = row.record.id.parse().map_err(Refusal::internal)?;
    let authorised = Grants::of_caller(&desk.reader, caller.who)?.speak_for(id)?;
    desk.room.demand(Wanted::End)?;
    authorised.within_reserve(&desk.reader, desk.now_ms)?;
    let entry = changed(desk, caller, &once, Change::Deleted, row.record, &authorised);
    Ok(Plan::Record { entries: vec![entry], certificate: None, then: Then::Deleted })
}

fn new_spec(agent: Option<&v1::Agent>, field: &'static str) -> Result<AgentSpec, Refusal> {
    let agent = agent.ok_or_else(|| Refusal::malformed(field, "it is missing"))?;
    if agent.disabled {
        return Err(Refusal::malformed(field, "an agent is created enabled: disable it then"));
    }
    convert::agent_spec(convert::agent_id(&agent.name, "agent.name")?, agent)
}

fn creation(
    desk: &Desk<'_>,
    caller: &Signer<'_>,
    once: &Once<'_>,
    spec: &AgentSpec,
    entries: u32,
) -> Result<Entry, Refusal> {
    let authorised = Grants::of_caller(&desk.reader, caller.who)?.cover(spec, 0)?;
    steps::admit::not_frozen(&desk.reader)?;
    desk.room.demand(Wanted::New)?;
    caller.not_overtaken(desk, spec.id.as_str(), Given::Right)?;
    authorised.within_budget(&desk.reader, desk.now_ms, entries)?;
    if desk.reader.agent(spec.id.as_str())?.is_some() {
        return Err(Refusal::new(Reason::AgentExists, format!("agents/{} exists", spec.id)).on("agent.name"));
    }
    Ok(issue::created(desk, caller, once, spec, &authorised))
}

/// The answer to a request that was carried out before, as entry `index`: the agents as they are now, where they are still the caller's.
fn replayed(
    desk: &Desk<'_>,
    caller: &Signer<'_>,
    ids: &[&str],
    then: Then,
    index: u64,
) -> Result<Plan, Refusal> {
    for id in ids {
        let row = desk.reader.agent(id)?;
        if row.is_none_or(|row| steps::authorise::owner(caller.who, &row).is_err()) {
            return Err(Refusal::not_found(
                "agent: this request was carried out before, and the agent was deleted since",
            ));
        }
    }
    let receipt = Some(desk.receipt(index)?);
    let answer = answers::after(&desk.reader, &desk.settings.cell, &then, receipt)?;
    Ok(Plan::Answer(Box::new(answer)))
}

/// An agent that the caller owns. One of another owner that no grant of the caller's speaks for is as if it were not there.
fn owned(desk: &Desk<'_>, who: &Who, name: &str) -> Result<(AgentRow, String), Refusal> {
    who.controller()?;
    let id = convert::agent_id(name, "name")?;
    let missing = || Refusal::not_found("agent of that name");
    let row = desk.reader.agent(id.as_str())?.ok_or_else(missing)?;
    if let Err(not_owner) = steps::authorise::owner(who, &row) {
        let spoken_for = Grants::of_caller(&desk.reader, who)?.speak_for(id).is_ok();
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

/// The entry of an agent's change, as it is after it.
pub(super) fn changed(
    desk: &Desk<'_>,
    caller: &Signer<'_>,
    once: &Once<'_>,
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
    desk.entry_for(caller, once, Kind::AgentChange(change))
}
