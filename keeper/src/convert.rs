//! Between the wire's words and the cell's: the one place for each.

use cell::{
    AgentId, AgentPattern, AgentSpec, BoundedSet, Budget, ControllerName, DnsName, DnsPattern, Grant, MaxTtl,
    Role, Tag,
};
use certs::csr::{self, CsrError, VerifiedCsr};
use ledger::entry::AgentRecord;
use prost_types::Timestamp;
use proto::v1::{self, Reason};

use crate::page::INDEX_MAX;
use crate::refusal::Refusal;

/// Collection of agents' resource names.
const AGENTS: &str = "agents/";
/// Collection of controllers' resource names.
const CONTROLLERS: &str = "controllers/";
/// Collection of certificates' resource names.
const CERTIFICATES: &str = "certificates/";
/// Longest idempotency key, in characters.
const REQUEST_ID_MAX: usize = 64;

pub(crate) fn agent_id(name: &str, field: &'static str) -> Result<AgentId, Refusal> {
    let id = name.strip_prefix(AGENTS).ok_or_else(|| Refusal::identity(field, "write agents/ID"))?;
    id.parse().map_err(|error| Refusal::identity(field, error))
}

pub(crate) fn controller_name(name: &str) -> Result<ControllerName, Refusal> {
    let id =
        name.strip_prefix(CONTROLLERS).ok_or_else(|| Refusal::identity("name", "write controllers/NAME"))?;
    id.parse().map_err(|error| Refusal::identity("name", error))
}

pub(crate) fn certificate_index(name: &str) -> Result<u64, Refusal> {
    let index = name.strip_prefix(CERTIFICATES).and_then(|index| index.parse().ok());
    // One name for one certificate: no sign, no leading zeros.
    let index = index.filter(|index| *index <= INDEX_MAX && certificate_name(*index) == name);
    index.ok_or_else(|| Refusal::malformed("name", "write certificates/INDEX"))
}

pub(crate) fn certificate_name(index: u64) -> String {
    format!("{CERTIFICATES}{index}")
}

/// An idempotency key: 1 to 64 visible ASCII characters (AIP-155 asks for a UUID).
pub(crate) fn request_id(text: &str) -> Result<&str, Refusal> {
    if (1..=REQUEST_ID_MAX).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic()) {
        Ok(text)
    } else {
        Err(Refusal::malformed("request_id", "use 1 to 64 visible ASCII characters, best a UUID"))
    }
}

/// A CSR, DER or PEM, whose signature is by the key that it is for.
pub(crate) fn csr(bytes: &[u8]) -> Result<VerifiedCsr, Refusal> {
    csr::from_pem_or_der(bytes).and_then(|der| csr::check(&der)).map_err(refused_csr)
}

/// What is wrong with a CSR, on its field.
pub(crate) fn refused_csr(error: CsrError) -> Refusal {
    let reason = match error {
        CsrError::UnsupportedKey | CsrError::UnsupportedSignatureAlgorithm => Reason::KeyUnsupported,
        CsrError::WeakKey(_) => Reason::KeyWeak,
        CsrError::BadSignature => {
            let message = format!("{error}; sign it with the private half of its own key");
            return Refusal::new(Reason::CsrSignatureInvalid, message).on("csr");
        }
        _ => Reason::CsrMalformed,
    };
    Refusal::new(reason, error.to_string()).on("csr")
}

pub(crate) fn agent_spec(id: AgentId, agent: &v1::Agent) -> Result<AgentSpec, Refusal> {
    Ok(AgentSpec {
        id,
        roles: set::<Role, _>("roles", &agent.roles)?,
        tags: set::<Tag, _>("tags", &agent.tags)?,
        dns_names: set::<DnsName, _>("dns_names", &agent.dns_names)?,
    })
}

pub(crate) fn record_spec(record: &AgentRecord) -> Result<AgentSpec, Refusal> {
    Ok(AgentSpec {
        id: record.id.parse().map_err(Refusal::internal)?,
        roles: set::<Role, _>("roles", &record.roles)?,
        tags: set::<Tag, _>("tags", &record.tags)?,
        dns_names: set::<DnsName, _>("dns_names", &record.dns_names)?,
    })
}

pub(crate) fn spec_record(spec: &AgentSpec, owner: &str, disabled: bool, revision: u64) -> AgentRecord {
    AgentRecord {
        id: spec.id.as_str().to_owned(),
        roles: words(&spec.roles),
        tags: words(&spec.tags),
        dns_names: words(&spec.dns_names),
        owner: owner.to_owned(),
        disabled,
        revision,
    }
}

pub(crate) fn grant_to_wire(grant: &Grant) -> v1::Grant {
    v1::Grant {
        name: grant.name.as_str().to_owned(),
        agents: words(&grant.agents),
        roles: words(&grant.roles),
        tags: words(&grant.tags),
        dns_names: words(&grant.dns),
        max_ttl_seconds: grant.max_ttl.secs(),
        budget_per_hour: grant.budget.per_hour(),
    }
}

/// A grant out of the journal. One that does not parse is our own fault: it was a grant when it was recorded.
pub(crate) fn grant_from_wire(grant: &v1::Grant) -> Result<Grant, Refusal> {
    Ok(Grant {
        name: grant.name.parse().map_err(Refusal::internal)?,
        agents: set::<AgentPattern, _>("agents", &grant.agents)?,
        roles: set::<Role, _>("roles", &grant.roles)?,
        tags: set::<Tag, _>("tags", &grant.tags)?,
        dns: set::<DnsPattern, _>("dns_names", &grant.dns_names)?,
        max_ttl: MaxTtl::try_from(grant.max_ttl_seconds).map_err(Refusal::internal)?,
        budget: Budget::try_from(grant.budget_per_hour).map_err(Refusal::internal)?,
    })
}

pub(crate) fn timestamp_secs(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

pub(crate) fn timestamp_ms(millis: i64) -> Timestamp {
    let nanos = i32::try_from(millis.rem_euclid(1000) * 1_000_000).unwrap_or_default();
    Timestamp { seconds: millis.div_euclid(1000), nanos }
}

fn set<T, const MAX: usize>(field: &'static str, values: &[String]) -> Result<BoundedSet<T, MAX>, Refusal>
where
    T: Ord + std::str::FromStr<Err: ToString>,
{
    if values.len() > MAX {
        // Before any of them is looked at.
        return Err(Refusal::malformed(field, format!("more than {MAX} values")));
    }
    let parsed: Result<Vec<T>, _> = values.iter().map(|value| value.parse()).collect();
    let parsed = parsed.map_err(|error: T::Err| Refusal::malformed(field, error))?;
    BoundedSet::try_from(parsed).map_err(|error| Refusal::malformed(field, error))
}

fn words<T: ToString, const MAX: usize>(set: &BoundedSet<T, MAX>) -> Vec<String> {
    set.iter().map(ToString::to_string).collect()
}
