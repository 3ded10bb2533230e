//! IssueCertificate: a controller asks for one of its agents.

use cell::{AgentId, AgentSpec};
use certs::{Attributes, Profile};
use ledger::entry::entry::Kind;
use ledger::entry::{Change, Entry, Profile as Recorded};
use proto::door::{Issue, RequestedName, requested_name};
use proto::v1::{self, Reason};

use super::{Desk, Plan, Request, Then, agents};
use crate::callers::Who;
use crate::convert;
use crate::journal::AgentRow;
use crate::refusal::Refusal;
use crate::steps::{self, Authorised, Issuing, Order};

/// Lifetime where none is asked for, in seconds: an hour (DESIGN §5).
pub(super) const DEFAULT_TTL_SECS: u32 = 3600;
/// Most characters of a name that a refusal repeats: it travels in a header, and clients bound those (8 KiB is common).
const SHOWN_MAX: usize = 128;

pub(super) fn plan(desk: &mut Desk<'_>, who: &Who, issue: &Issue) -> Result<Plan, Refusal> {
    let controller = who.controller()?.as_str();
    let id = convert::agent_id(&issue.agent, "agent")?;
    let request = Request::new("IssueCertificate", &issue.request_id, &body(issue))?;
    if let Some(plan) = request.certificate_before(desk, who)? {
        return Ok(plan);
    }
    steps::admit::not_frozen(&desk.reader)?;
    let row = desk.reader.agent(id.as_str())?;
    if let Some(row) = &row {
        // Before anything of it is looked at: a refusal tells nothing of another's agent outside the caller's grants, and of one
        // inside them only whose it is not.
        steps::authorise::agent(&desk.reader, who, &AgentSpec::bare(id.clone()), 0)?;
        steps::authorise::owner(who, row)?;
    }
    let spec = described(&id, row.as_ref(), issue.description.as_ref())?;
    let ttl_secs = lifetime(desk, controller, &spec, issue.lifetime_seconds)?;
    let authorised = steps::authorise::agent(&desk.reader, who, &spec, ttl_secs)?;
    if row.is_none() && issue.description.is_none() {
        return Err(missing(&id));
    }
    authorised.within_budget(&desk.reader, desk.now_ms, if row.is_some() { 1 } else { 2 })?;

    let mut entries = Vec::with_capacity(2);
    if row.is_none() {
        entries.push(created(desk, who, &request, &spec, &authorised));
    }
    let revision = row.as_ref().map_or(1, |row| row.record.revision);
    let mut issuing = issuing(desk, &spec, revision, &authorised);
    issuing.csr_sha256.clone_from(&issue.csr_sha256);
    let order = order(desk, &spec);
    demand_names(&order, &issue.requested_names)?;
    let issuance = desk.certificate(&issue.public_key, ttl_secs, &order, issuing)?;
    entries.push(desk.entry(who.actor(&desk.settings.origin), &request, Kind::Issuance(issuance)));
    Ok(Plan::Record { entries, then: Then::Certificate })
}

/// What the request is, apart from what differs between two tries of the same.
fn body(issue: &Issue) -> Issue {
    Issue { csr_sha256: Vec::new(), request_id: String::new(), requested_names: Vec::new(), ..issue.clone() }
}

/// The agent as it is, or as it is described where there is none.
fn described(
    id: &AgentId,
    row: Option<&AgentRow>,
    description: Option<&v1::Agent>,
) -> Result<AgentSpec, Refusal> {
    let wanted = description.map(|agent| convert::agent_spec(id.clone(), agent)).transpose()?;
    let Some(row) = row else {
        return Ok(wanted.unwrap_or_else(|| AgentSpec::bare(id.clone())));
    };
    if row.record.disabled {
        return Err(Refusal::new(
            Reason::AgentDisabled,
            format!("agents/{id} is disabled: update it to enable it"),
        ));
    }
    let spec = convert::record_spec(&row.record)?;
    if wanted.is_some_and(|wanted| wanted != spec) {
        return Err(Refusal::new(
            Reason::AgentDiffers,
            format!("agents/{id} exists and is not as described: update it (UpdateAgent), or leave the description out"),
        )
        .on("description"));
    }
    Ok(spec)
}

fn missing(id: &AgentId) -> Refusal {
    Refusal::new(
        Reason::NotFound,
        format!(
            "there is no agents/{id}: create it (CreateAgent), or send its description with allow_missing"
        ),
    )
    .on("agent")
}

/// The lifetime asked for, or an hour, or the longest that the grants allow.
pub(super) fn lifetime(
    desk: &Desk<'_>,
    controller: &str,
    spec: &AgentSpec,
    asked: u32,
) -> Result<u32, Refusal> {
    if asked == 0 {
        let longest = steps::authorise::longest_ttl(&desk.reader, controller, spec)?;
        return Ok(if longest == 0 { DEFAULT_TTL_SECS } else { longest.min(DEFAULT_TTL_SECS) });
    }
    if cell::TTL_SECS.contains(&asked) {
        return Ok(asked);
    }
    let (least, most) = (cell::TTL_SECS.start(), cell::TTL_SECS.end());
    Err(Refusal::malformed("lifetime", format!("{asked} s is not within {least} s to {most} s")))
}

/// The entry that creates an agent.
pub(super) fn created(
    desk: &Desk<'_>,
    who: &Who,
    request: &Request<'_>,
    spec: &AgentSpec,
    authorised: &Authorised,
) -> Entry {
    let agent = convert::spec_record(spec, authorised.controller(), false, 1);
    agents::changed(desk, who, request, Change::Created, agent, authorised)
}

pub(super) fn issuing(desk: &Desk<'_>, spec: &AgentSpec, revision: u64, authorised: &Authorised) -> Issuing {
    Issuing {
        subject: format!("/agent/{}", spec.id),
        profile: Recorded::Agent,
        agent_revision: revision,
        grant: authorised.grant().to_owned(),
        approval: Some(authorised.approval(&desk.settings.origin)),
        ..Issuing::default()
    }
}

pub(super) fn order(desk: &Desk<'_>, spec: &AgentSpec) -> Order {
    Order {
        dns_names: spec.dns_names.clone(),
        attributes: Attributes { roles: spec.roles.clone(), tags: spec.tags.clone() },
        ..Order::plain(Profile::Agent, spec.id.spiffe_id(&desk.settings.cell))
    }
}

/// Every name that the CSR asks for is one that will be issued: nothing is dropped in silence.
pub(super) fn demand_names(order: &Order, names: &[RequestedName]) -> Result<(), Refusal> {
    let uri = order.uri.to_string();
    for name in names {
        let (issued, shown) = match name.name.as_ref() {
            Some(requested_name::Name::Uri(asked)) => (*asked == uri, asked.as_str()),
            Some(requested_name::Name::Dns(asked)) => {
                (order.dns_names.iter().any(|name| name.as_str() == asked), asked.as_str())
            }
            Some(requested_name::Name::Other(asked)) => (false, asked.as_str()),
            None => (false, "a name of no kind"),
        };
        if !issued {
            let shown: String = shown.chars().take(SHOWN_MAX).collect();
            return Err(Refusal::new(
                Reason::CsrNameNotIssued,
                format!("the CSR asks for {shown:?}, which would not be issued: leave it out, or have it granted to the agent"),
            )
            .on("csr"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_repeats_no_more_of_a_name_than_a_header_takes() {
        let cell = "cell.example".parse().unwrap();
        let order = Order::plain(Profile::Agent, "a".parse::<AgentId>().unwrap().spiffe_id(&cell));
        let name = requested_name::Name::Uri(format!("spiffe://{}", "\u{7f}".repeat(15_000)));
        let refused = demand_names(&order, &[RequestedName { name: Some(name) }]).unwrap_err();
        assert!(refused.to_string().len() < 1024, "{}", refused.to_string().len());
    }
}
