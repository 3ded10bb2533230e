//! The identities this cell gives out, and where each lives in the trust domain.
//!
//! Agents live below `/agent/`; the other first segments in [`RESERVED`] belong to the cell itself.

use crate::{
    error::{NameError, Problem, check_length},
    name::{check_label, text_name},
    spiffe::{SpiffeId, SpiffePath, TrustDomain, check_segments},
};

/// First segments that name parts of the cell: no agent id and no grant starts with one of them, although ids
/// live below `/agent/`, so that an officer who reads `controller/x` in a grant is never misled.
pub const RESERVED: [&str; 4] = ["controller", "officer", "service", "auditor"];

/// The longest agent id, in bytes: eight segments of ordinary names, and a line that a person can read.
const MAX_AGENT_BYTES: usize = 200;

/// The most segments of an agent id.
const MAX_AGENT_SEGMENTS: usize = 8;

text_name! {
    /// An agent's name in its cell: 1 to 8 segments of `[a-zA-Z0-9._-]`, at most 200 bytes; `/agent/<id>` as a path.
    AgentId, "agent id", check_agent_id
}
text_name! {
    /// A controller's name: 1 to 63 bytes, `[a-z0-9][a-z0-9._-]*`; `/controller/<name>` as a path.
    ControllerName, "controller name", check_label
}
text_name! {
    /// A service's name: 1 to 63 bytes, `[a-z0-9][a-z0-9._-]*`; `/service/<name>` as a path.
    ServiceName, "service name", check_label
}

fn check_agent_id(text: &str) -> Result<(), Problem> {
    check_agent_segments(text, MAX_AGENT_SEGMENTS)
}

/// The part of an agent id before `/*`, which leaves room for one segment more.
pub(crate) fn check_agent_prefix(text: &str) -> Result<(), Problem> {
    check_agent_segments(text, MAX_AGENT_SEGMENTS - 1)?;
    check_length(text, MAX_AGENT_BYTES - "/x".len())
}

fn check_agent_segments(text: &str, max: usize) -> Result<(), Problem> {
    check_length(text, MAX_AGENT_BYTES)?;
    check_segments(text)?;
    if text.split('/').count() > max {
        return Err(Problem::Segments { max });
    }
    match text.split('/').next() {
        Some(first) if RESERVED.contains(&first) => Err(Problem::Reserved),
        _ => Ok(()),
    }
}

/// Gives a name its place in a trust domain.
macro_rules! placed {
    ($name:ident, $place:literal) => {
        impl $name {
            /// The SPIFFE ID of this name in the trust domain.
            pub fn spiffe_id(&self, trust_domain: &TrustDomain) -> SpiffeId {
                SpiffeId::placed(trust_domain, $place, self.as_str())
            }
        }
    };
}
placed!(AgentId, "agent");
placed!(ControllerName, "controller");
placed!(ServiceName, "service");

impl ServiceName {
    /// The certificate authority's own name.
    pub fn ca() -> Self {
        Self("ca".to_owned())
    }
}

/// Whose a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// `/agent/<id>`.
    Agent(AgentId),
    /// `/controller/<name>`.
    Controller(ControllerName),
    /// `/service/<name>`.
    Service(ServiceName),
    /// Any other valid path: it has no meaning here and no right.
    Other,
}

impl TryFrom<&SpiffePath> for Identity {
    type Error = NameError;

    /// # Errors
    /// A path below `/agent`, `/controller` or `/service` whose rest is not a name of that kind.
    fn try_from(path: &SpiffePath) -> Result<Self, NameError> {
        let text = path.as_str();
        let rest = text.splitn(3, '/').nth(2).unwrap_or_default();
        Ok(match path.segments().next() {
            Some("agent") => Self::Agent(rest.parse()?),
            Some("controller") => Self::Controller(rest.parse()?),
            Some("service") => Self::Service(rest.parse()?),
            _ => Self::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(path: &str) -> Result<Identity, NameError> {
        Identity::try_from(&path.parse::<SpiffePath>().unwrap())
    }

    #[test]
    fn each_place_has_its_kind() {
        assert_eq!(identity("/agent/build/7").unwrap(), Identity::Agent("build/7".parse().unwrap()));
        assert_eq!(identity("/controller/build").unwrap(), Identity::Controller("build".parse().unwrap()));
        assert_eq!(identity("/service/front").unwrap(), Identity::Service("front".parse().unwrap()));
        for other in ["/officer/anna", "/auditor/x", "/agents/x", "/ns/a/sa/b", "/Agent/x"] {
            assert_eq!(identity(other).unwrap(), Identity::Other, "{other}");
        }
    }

    #[test]
    fn a_malformed_name_in_a_known_place_is_refused() {
        for bad in ["/agent", "/controller", "/service", "/controller/a/b", "/controller/A", "/service/-x"] {
            assert!(identity(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_agent_id_never_starts_with_a_reserved_segment() {
        for word in RESERVED {
            for bad in [word.to_owned(), format!("{word}/x")] {
                assert_eq!(bad.parse::<AgentId>().unwrap_err().problem, Problem::Reserved, "{bad}");
            }
            assert!(format!("x/{word}").parse::<AgentId>().is_ok());
            assert!(format!("{word}s").parse::<AgentId>().is_ok());
        }
    }

    #[test]
    fn an_agent_id_has_bounds() {
        assert!("a/b/c/d/e/f/g/h".parse::<AgentId>().is_ok());
        assert_eq!("a/b/c/d/e/f/g/h/i".parse::<AgentId>().unwrap_err().problem, Problem::Segments { max: 8 });
        assert!("a".repeat(200).parse::<AgentId>().is_ok());
        assert_eq!("a".repeat(201).parse::<AgentId>().unwrap_err().problem, Problem::TooLong { max: 200 });
        for bad in ["", "/a", "a/", "a//b", ".", "a/..", "a b", "a*", "ä"] {
            assert!(bad.parse::<AgentId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_and_ids_meet_again() {
        let cell: TrustDomain = "a".repeat(255).parse().unwrap();
        let agent: AgentId = "b".repeat(200).parse().unwrap();
        let id = agent.spiffe_id(&cell);
        assert_eq!(id.to_string().parse::<SpiffeId>().unwrap(), id);
        assert_eq!(Identity::try_from(id.path()).unwrap(), Identity::Agent(agent));
        let small: TrustDomain = "c".parse().unwrap();
        let controller: ControllerName = "x".parse().unwrap();
        assert_eq!(controller.spiffe_id(&small).to_string(), "spiffe://c/controller/x");
        let service: ServiceName = "x".parse().unwrap();
        assert_eq!(service.spiffe_id(&small).to_string(), "spiffe://c/service/x");
    }
}
