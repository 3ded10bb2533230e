//! What callers are told of agents and controllers.

use cell::TrustDomain;
use proto::door::answer::Answer;
use proto::v1;
use sha2::{Digest, Sha256};

use crate::convert;
use crate::journal::{AgentRow, ControllerRow, JournalError, Reader};
use crate::refusal::Refusal;
use crate::requests::Then;
use crate::steps::authorise::LINE_MS;

/// An agent as callers see it.
///
/// # Errors
/// The journal cannot be read.
pub(crate) fn agent(
    reader: &Reader<'_>,
    cell: &TrustDomain,
    row: &AgentRow,
) -> Result<v1::Agent, JournalError> {
    let record = &row.record;
    let newest = reader.newest(&format!("/agent/{}", record.id))?.filter(|newest| *newest > row.index);
    Ok(v1::Agent {
        name: format!("agents/{}", record.id),
        spiffe_id: format!("spiffe://{cell}/agent/{}", record.id),
        roles: record.roles.clone(),
        tags: record.tags.clone(),
        dns_names: record.dns_names.clone(),
        owner: format!("controllers/{}", record.owner),
        disabled: record.disabled,
        etag: etag(row),
        create_time: Some(convert::timestamp_ms(row.created_ms)),
        update_time: Some(convert::timestamp_ms(row.updated_ms)),
        latest_certificate: newest.map(convert::certificate_name).unwrap_or_default(),
    })
}

/// Changes with every change: the entry that created the agent and the number of its changes.
pub(crate) fn etag(row: &AgentRow) -> String {
    let digest = Sha256::digest(format!("{} {}", row.index, row.record.revision));
    data_encoding::HEXLOWER.encode(&digest[..8])
}

/// A controller with its grants.
///
/// # Errors
/// The journal cannot be read.
pub(crate) fn controller(
    reader: &Reader<'_>,
    cell: &TrustDomain,
    row: &ControllerRow,
) -> Result<v1::Controller, JournalError> {
    let newest = reader.newest(&format!("/controller/{}", row.name))?;
    Ok(v1::Controller {
        name: format!("controllers/{}", row.name),
        spiffe_id: format!("spiffe://{cell}/controller/{}", row.name),
        grants: reader.grants(&row.name)?.into_iter().map(|row| row.grant).collect(),
        removed: row.removed,
        latest_certificate: newest.map(convert::certificate_name).unwrap_or_default(),
        line_end: Some(convert::timestamp_ms(row.line_start_ms + LINE_MS)),
    })
}

/// The answer to a change of agents, read back from what follows from it.
///
/// # Errors
/// Our own fault: what was just appended is not there.
pub(crate) fn after(
    reader: &Reader<'_>,
    cell: &TrustDomain,
    then: &Then,
    receipt: Option<v1::Receipt>,
) -> Result<Answer, Refusal> {
    let read = |id: &String| -> Result<v1::Agent, Refusal> {
        let row = reader.agent(id)?.ok_or_else(|| Refusal::internal("an agent just written is not there"))?;
        Ok(agent(reader, cell, &row)?)
    };
    Ok(match then {
        Then::Created(id) => Answer::CreateAgent(v1::CreateAgentResponse { agent: Some(read(id)?), receipt }),
        Then::BatchCreated(ids) => {
            let agents = ids.iter().map(read).collect::<Result<_, _>>()?;
            Answer::BatchCreateAgents(v1::BatchCreateAgentsResponse { agents, receipt })
        }
        Then::Updated(id) => Answer::UpdateAgent(v1::UpdateAgentResponse { agent: Some(read(id)?), receipt }),
        Then::Deleted => Answer::DeleteAgent(v1::DeleteAgentResponse { receipt }),
        Then::Certificate | Then::Proposal { .. } | Then::Revoked(_) | Then::Imported { .. } => {
            return Err(Refusal::internal("not a change of agents"));
        }
    })
}
