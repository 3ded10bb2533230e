//! IssueCertificate: a controller asks for one of its agents.

use audit::Given;
use cell::{AgentId, AgentSpec};
use certs::csr::{Csr, CsrError};
use certs::{Attributes, Profile};
use ledger::entry::{Change, Entry, Profile as Recorded};
use proto::v1::{self, Reason};

use super::{Desk, Once, Plan, Signer, Then, agents};
use crate::convert;
use crate::disk::Wanted;
use crate::journal::AgentRow;
use crate::refusal::Refusal;
use crate::steps::{self, Authorised, Authority, Grants, Issuing, Order};

/// Lifetime where none is asked for, in seconds: an hour (DESIGN §5).
pub(super) const DEFAULT_TTL_SECS: u32 = 3600;

pub(super) fn plan(
    desk: &mut Desk<'_>,
    caller: &Signer<'_>,
    issue: &v1::IssueCertificateBody,
    request_id: &str,
) -> Result<Plan, Refusal> {
    let who = caller.who;
    who.controller()?;
    let id = convert::agent_id(&issue.agent, "agent")?;
    let csr = caller.csr()?;
    // Two tries of the same have the same key, and another signature in their CSR.
    let fields = v1::IssueCertificateBody {
        csr: csr.public_key().spki_der().to_vec(),
        request_id: String::new(),
        ..issue.clone()
    };
    let once = Once::new("IssueCertificate", request_id, &fields);
    if let Some(plan) = once.certificate_before(desk, caller)? {
        return Ok(plan);
    }
    steps::admit::not_frozen(&desk.reader)?;
    desk.room.demand(Wanted::New)?;
    // Before anything of it is looked at: a refusal tells nothing of another's agent outside the caller's grants, not whether it is there either,
    // and of one inside them only whose it is not.
    let grants = Grants::of_caller(&desk.reader, who)?;
    grants.speak_for(id.clone())?;
    let row = desk.reader.agent(id.as_str())?;
    if let Some(row) = &row {
        steps::authorise::owner(who, row)?;
    }
    let described = issue.description.clone().unwrap_or_default();
    let description = issue.allow_missing.then_some(&described);
    let spec = self::described(&id, row.as_ref(), description)?;
    let ttl_secs = lifetime(&grants, &spec, asked_secs(issue.lifetime.as_ref())?)?;
    let authorised = grants.cover(&spec, ttl_secs)?;
    if row.is_none() && description.is_none() {
        return Err(missing(&id));
    }
    caller.not_overtaken(desk, id.as_str(), Given::Certificate)?;
    authorised.within_budget(&desk.reader, desk.now_ms, if row.is_some() { 1 } else { 2 })?;

    let mut entries = Vec::with_capacity(1);
    if row.is_none() {
        entries.push(created(desk, caller, &once, &spec, &authorised));
    }
    let revision = row.as_ref().map_or(1, |row| row.record.revision);
    let mut issuing = issuing(desk, &spec, (revision, ttl_secs), &authorised);
    issuing.csr_sha256 = csr.sha256().to_vec();
    let order = order(desk, &spec);
    demand(csr, &order)?;
    let (authority, entry) = (Authority::of_grant(&authorised), desk.on_request_of(caller, &once));
    let spki = csr.public_key().spki_der();
    let certificate = Some(desk.certificate(authority, spki, (&order, issuing), entry)?);
    Ok(Plan::Record { entries, certificate, then: Then::Certificate })
}

/// Everything that the CSR asks for is what will be issued: nothing is dropped in silence.
pub(super) fn demand(csr: &Csr, order: &Order) -> Result<(), Refusal> {
    csr.demand_within(&order.uri.to_string(), order.dns_names.as_slice()).map_err(|error| {
        let reason = match error {
            CsrError::NameNotGranted(_) => Reason::CsrNameNotIssued,
            _ => Reason::CsrExtensionNotAllowed,
        };
        Refusal::new(reason, format!("{error}: leave it out, or have it granted to the agent")).on("csr")
    })
}

/// Whole seconds; 0, which stands for the default, only where none is named.
pub(super) fn asked_secs(lifetime: Option<&prost_types::Duration>) -> Result<u32, Refusal> {
    let Some(lifetime) = lifetime else { return Ok(0) };
    match u32::try_from(lifetime.seconds) {
        Ok(seconds) if seconds > 0 && lifetime.nanos == 0 => Ok(seconds),
        _ => Err(Refusal::malformed("lifetime", "use whole seconds, from 10 s to the grant's longest")),
    }
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
pub(super) fn lifetime(grants: &Grants, spec: &AgentSpec, asked: u32) -> Result<u32, Refusal> {
    if asked == 0 {
        let longest = grants.longest_secs(&spec.id);
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
    caller: &Signer<'_>,
    once: &Once<'_>,
    spec: &AgentSpec,
    authorised: &Authorised,
) -> Entry {
    let agent = convert::spec_record(spec, authorised.controller(), false, 1);
    agents::changed(desk, caller, once, Change::Created, agent, authorised)
}

/// What is recorded beside the certificate of an agent at this revision, for so many seconds.
pub(super) fn issuing(
    desk: &Desk<'_>,
    spec: &AgentSpec,
    (revision, lifetime_secs): (u64, u32),
    authorised: &Authorised,
) -> Issuing {
    Issuing {
        subject: format!("/agent/{}", spec.id),
        profile: Recorded::Agent,
        agent_revision: revision,
        lifetime_secs,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_whole_positive_seconds_or_none() {
        let duration = |seconds, nanos| prost_types::Duration { seconds, nanos };
        assert_eq!(asked_secs(None), Ok(0));
        assert_eq!(asked_secs(Some(&duration(3600, 0))), Ok(3600));
        for (seconds, nanos) in [(0, 0), (-1, 0), (10, 1), (i64::from(u32::MAX) + 1, 0)] {
            let refused = asked_secs(Some(&duration(seconds, nanos))).unwrap_err();
            assert_eq!(refused.reason(), Reason::RequestMalformed);
        }
    }
}
