//! A grant on one line: `agents=build/*;roles=logger,scanner;tags=blue;dns=*.x;ttl=1h;budget=1000`.

use std::fmt::{self, Display};
use std::str::FromStr;

use cell::{BoundedSet, Budget, Grant, GrantError, GrantName, Grants, MaxTtl, NameError};

use super::{Lifetime, NotALifetime};

/// Longest lifetime where none is given, in seconds: an hour, the default of certificates.
const TTL_SECS: u32 = 3600;
/// Budget where none is given, in entries an hour: a controller's mistake is noticed before it fills the ledger.
const BUDGET: u32 = 1000;

/// A grant whose name may still be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrantSpec {
    name: Option<GrantName>,
    grant: Grant,
}

/// The caller's: no grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SpecError {
    /// A part that is not `key=value`.
    #[error(
        "{0:?} is not of the form key=value; the keys are name, agents, roles, tags, dns, ttl and budget"
    )]
    Part(String),
    /// A key that no grant has.
    #[error("there is no key {0:?}; the keys are name, agents, roles, tags, dns, ttl and budget")]
    Key(String),
    /// A key twice.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// No agents: the grant would allow nothing.
    #[error("agents is missing: a grant without agents allows nothing")]
    NoAgents,
    /// A value that its key cannot have.
    #[error("{key}: {why}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Lifetime or budget out of bounds.
    #[error(transparent)]
    Bounds(#[from] GrantError),
    /// No lifetime.
    #[error("ttl: {0}")]
    Lifetime(#[from] NotALifetime),
}

/// The values as they were written.
#[derive(Default)]
struct Parts<'a> {
    name: Option<&'a str>,
    agents: Option<&'a str>,
    roles: Option<&'a str>,
    tags: Option<&'a str>,
    dns: Option<&'a str>,
    ttl: Option<&'a str>,
    budget: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn read(text: &'a str) -> Result<Self, SpecError> {
        let mut parts = Self::default();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').ok_or_else(|| SpecError::Part(part.to_owned()))?;
            let (key, place) = match key.trim() {
                "name" => ("name", &mut parts.name),
                "agents" => ("agents", &mut parts.agents),
                "roles" => ("roles", &mut parts.roles),
                "tags" => ("tags", &mut parts.tags),
                "dns" => ("dns", &mut parts.dns),
                "ttl" => ("ttl", &mut parts.ttl),
                "budget" => ("budget", &mut parts.budget),
                unknown => return Err(SpecError::Key(unknown.to_owned())),
            };
            if place.replace(value.trim()).is_some() {
                return Err(SpecError::Twice(key));
            }
        }
        Ok(parts)
    }
}

impl FromStr for GrantSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let parts = Parts::read(text)?;
        let name = parts.name.map(|name| parse("name", name)).transpose()?;
        let ttl = parts.ttl.map_or(Ok(Lifetime::from(TTL_SECS)), str::parse)?;
        let budget = parts.budget.map_or(Ok(BUDGET), |budget| parse("budget", budget))?;
        let grant = Grant {
            name: name.clone().map_or_else(|| parse("name", "default"), Ok)?,
            agents: set("agents", parts.agents)?,
            roles: set("roles", parts.roles)?,
            tags: set("tags", parts.tags)?,
            dns: set("dns", parts.dns)?,
            max_ttl: MaxTtl::try_from(ttl.secs())?,
            budget: Budget::try_from(budget)?,
        };
        if grant.agents.is_empty() {
            return Err(SpecError::NoAgents);
        }
        Ok(Self { name, grant })
    }
}

impl GrantSpec {
    /// The grant under its own name, or "default".
    pub(crate) fn into_grant(self) -> Grant {
        self.grant
    }
}

/// The grants of a controller: those without a name are "default", "grant-2", "grant-3" and so on, by their place.
///
/// # Errors
/// Too many, or two of one name.
pub(crate) fn named(specs: &[GrantSpec]) -> Result<Grants, SpecError> {
    let mut grants = Vec::new();
    for (i, GrantSpec { name, grant }) in specs.iter().enumerate() {
        let name = match (name, i) {
            (Some(name), _) => name.clone(),
            (None, 0) => parse("name", "default")?,
            (None, _) => parse("name", &format!("grant-{}", i + 1))?,
        };
        grants.push(Grant { name, ..grant.clone() });
    }
    Ok(Grants::try_from(grants)?)
}

fn set<T, const MAX: usize>(key: &'static str, text: Option<&str>) -> Result<BoundedSet<T, MAX>, SpecError>
where
    T: FromStr<Err = NameError> + Ord,
{
    let items = text.into_iter().flat_map(|text| text.split(',')).map(str::trim);
    let values: Vec<T> = items.map(|item| parse(key, item)).collect::<Result<_, _>>()?;
    values.try_into().map_err(|error| bad(key, error))
}

fn parse<T: FromStr<Err: Display>>(key: &'static str, text: &str) -> Result<T, SpecError> {
    text.parse().map_err(|error: T::Err| bad(key, format!("{text:?}: {error}")))
}

fn bad(key: &'static str, why: impl Display) -> SpecError {
    SpecError::Value { key, why: why.to_string() }
}

/// As it is written on the command line.
impl Display for GrantSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Grant { name, agents, roles, tags, dns, max_ttl, budget } = &self.grant;
        write!(f, "name={name};agents={}", join(agents))?;
        for (key, list) in [("roles", join(roles)), ("tags", join(tags)), ("dns", join(dns))] {
            if !list.is_empty() {
                write!(f, ";{key}={list}")?;
            }
        }
        write!(f, ";ttl={};budget={}", Lifetime::from(max_ttl.secs()), budget.per_hour())
    }
}

fn join<T: AsRef<str>, const MAX: usize>(set: &BoundedSet<T, MAX>) -> String {
    set.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Result<GrantSpec, SpecError> {
        text.parse()
    }

    #[test]
    fn a_grant_is_written_as_it_is_read() {
        let text = "name=ci;agents=build/*;roles=logger,scanner;tags=blue;dns=*.x;ttl=2h;budget=50";
        assert_eq!(spec(text).unwrap().to_string(), text);
        let grant = spec(" agents = b, a ; roles = ").map(GrantSpec::into_grant);
        assert!(matches!(grant, Err(SpecError::Value { key: "roles", .. })), "{grant:?}");
        let grant = spec("agents=b, a").unwrap().into_grant();
        assert_eq!((grant.agents.len(), grant.roles.len(), grant.name.as_str()), (2, 0, "default"));
        assert_eq!((grant.max_ttl.secs(), grant.budget.per_hour()), (3600, 1000));
    }

    #[test]
    fn grants_without_a_name_get_one_by_their_place() {
        let specs = ["agents=a", "agents=b", "name=own;agents=c", "agents=d"].map(|text| spec(text).unwrap());
        let grants = named(&specs).unwrap();
        let names: Vec<_> = grants.as_slice().iter().map(|grant| grant.name.as_str()).collect();
        assert_eq!(names, ["default", "grant-2", "grant-4", "own"]);
        let twice = ["name=x;agents=a", "name=x;agents=b"].map(|text| spec(text).unwrap());
        assert!(matches!(named(&twice), Err(SpecError::Bounds(GrantError::SameName(_)))));
        assert!(named(&[]).is_err());
    }

    #[test]
    fn what_is_no_grant_says_why() {
        for (text, why) in [
            ("", "agents is missing"),
            ("roles=x", "agents is missing"),
            ("agents", "not of the form key=value"),
            ("agents=a;colour=red", "no key \"colour\""),
            ("agents=a;agents=b", "agents is given twice"),
            ("agents=a b", "agents: \"a b\""),
            ("agents=controller/x", "reserved"),
            ("agents=a;roles=X", "roles: \"X\""),
            ("agents=a;dns=*", "dns"),
            ("agents=a;ttl=1", "ttl: not a length of time"),
            ("agents=a;ttl=2d", "172800"),
            ("agents=a;budget=0", "budget of 0"),
            ("agents=a;budget=many", "budget: \"many\""),
            ("agents=a;name=", "name: \"\""),
        ] {
            let error = spec(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }
}
