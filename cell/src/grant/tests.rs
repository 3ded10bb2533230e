use std::str::FromStr;

use super::*;

fn all<T: FromStr<Err: std::fmt::Debug> + Ord, const MAX: usize>(texts: &[&str]) -> BoundedSet<T, MAX> {
    texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<T>>().try_into().unwrap()
}

fn grant(name: &str, agents: &[&str]) -> Grant {
    Grant {
        name: name.parse().unwrap(),
        agents: all(agents),
        roles: all(&["logger", "scanner"]),
        tags: all(&["blue"]),
        dns: all(&["*.agents.example", "x.example"]),
        max_ttl: 3600.try_into().unwrap(),
        budget: 1000.try_into().unwrap(),
    }
}

fn agent(id: &str) -> AgentSpec {
    AgentSpec {
        id: id.parse().unwrap(),
        roles: all(&["logger"]),
        tags: all(&["blue"]),
        dns_names: all(&["a.agents.example"]),
    }
}

#[test]
fn a_covered_request_names_its_grant() {
    let (grant, agent) = (grant("default", &["build/*"]), agent("build/x"));
    let covered = grant.covers(&agent, 3600).unwrap();
    assert_eq!((covered.grant().name.as_str(), covered.ttl_secs()), ("default", 3600));
    assert_eq!(covered.agent(), &agent);
}

#[test]
fn each_part_is_refused_by_its_name() {
    let grant = grant("default", &["build/*"]);
    let refusal = |spec: AgentSpec, ttl| grant.covers(&spec, ttl).unwrap_err().to_string();
    assert_eq!(refusal(agent("scan/x"), 1), "no grant speaks for the agent `scan/x`");
    assert_eq!(
        refusal(AgentSpec { roles: all(&["logger", "root"]), ..agent("build/x") }, 1),
        "the grant `default` does not give the role `root`"
    );
    assert_eq!(
        refusal(AgentSpec { tags: all(&["red"]), ..agent("build/x") }, 1),
        "the grant `default` does not give the tag `red`"
    );
    assert_eq!(
        refusal(AgentSpec { dns_names: all(&["a.b.agents.example"]), ..agent("build/x") }, 1),
        "the grant `default` does not give the DNS name `a.b.agents.example`"
    );
    assert_eq!(refusal(agent("build/x"), 3601), "the grant `default` gives at most 3600 s, not 3601 s");
}

#[test]
fn an_empty_list_denies() {
    let none = |change: fn(&mut Grant)| {
        let mut grant = grant("default", &["*"]);
        change(&mut grant);
        grant.covers(&agent("build/x"), 1).map(drop).unwrap_err()
    };
    assert!(matches!(none(|g| g.agents = BoundedSet::empty()), NotCovered::Agent(_)));
    assert!(matches!(none(|g| g.roles = BoundedSet::empty()), NotCovered::Role { .. }));
    assert!(matches!(none(|g| g.tags = BoundedSet::empty()), NotCovered::Tag { .. }));
    assert!(matches!(none(|g| g.dns = BoundedSet::empty()), NotCovered::Dns { .. }));
}

#[test]
fn an_agent_without_roles_tags_and_names_needs_none() {
    let bare = AgentSpec {
        roles: BoundedSet::empty(),
        tags: BoundedSet::empty(),
        dns_names: BoundedSet::empty(),
        ..agent("build/x")
    };
    let mut grant = grant("default", &["build/x"]);
    (grant.roles, grant.tags, grant.dns) = (BoundedSet::empty(), BoundedSet::empty(), BoundedSet::empty());
    assert!(grant.covers(&bare, 1).is_ok());
}

#[test]
fn the_first_covering_grant_is_found_behind_others() {
    let mut short = grant("a-short", &["build/*"]);
    short.max_ttl = 10.try_into().unwrap();
    let grants = [grant("other", &["scan/*"]), short, grant("b-long", &["build/*"])];
    let spec = agent("build/x");
    assert_eq!(first_covering(&grants, &spec, 10).unwrap().grant().name.as_str(), "a-short");
    assert_eq!(first_covering(&grants, &spec, 11).unwrap().grant().name.as_str(), "b-long");
}

#[test]
fn the_refusal_is_that_of_the_grant_that_speaks_for_the_agent() {
    let grants = [grant("other", &["scan/*"]), grant("mine", &["build/*"])];
    let refused = first_covering(&grants, &agent("build/x"), 9999).unwrap_err();
    assert!(matches!(refused, NotCovered::Ttl { ref grant, .. } if grant.as_str() == "mine"), "{refused}");
    assert!(matches!(first_covering(&grants, &agent("x"), 1).unwrap_err(), NotCovered::Agent(_)));
    assert!(matches!(first_covering(&[], &agent("x"), 1).unwrap_err(), NotCovered::Agent(_)));
}

#[test]
fn lifetimes_and_budgets_have_bounds() {
    for (good, bad) in [(10, 9), (86_400, 86_401)] {
        assert_eq!(MaxTtl::try_from(good).unwrap().secs(), good);
        assert_eq!(MaxTtl::try_from(bad).unwrap_err(), GrantError::Ttl(bad));
    }
    for (good, bad) in [(1, 0), (10_000_000, 10_000_001)] {
        assert_eq!(Budget::try_from(good).unwrap().per_hour(), good);
        assert_eq!(Budget::try_from(bad).unwrap_err(), GrantError::Budget(bad));
    }
}

#[test]
fn lists_have_bounds() {
    let roles = |n: usize| -> Result<BoundedSet<Role, MAX_GRANT_ITEMS>, _> {
        (0..n).map(|i| format!("r{i}").parse().unwrap()).collect::<Vec<Role>>().try_into()
    };
    assert!(roles(32).is_ok() && roles(33).is_err());
    let of_agent = |n: usize| -> Result<crate::Roles, _> {
        (0..n).map(|i| format!("r{i}").parse().unwrap()).collect::<Vec<Role>>().try_into()
    };
    assert!(of_agent(16).is_ok() && of_agent(17).is_err());
    let names = |n: usize| -> Result<crate::DnsNames, _> {
        (0..n).map(|i| format!("r{i}").parse().unwrap()).collect::<Vec<DnsName>>().try_into()
    };
    assert!(names(8).is_ok() && names(9).is_err());
}

#[test]
fn a_controller_has_one_to_sixteen_grants_of_different_names() {
    let grants =
        |n: usize| Grants::try_from((0..n).map(|i| grant(&format!("g{i}"), &["*"])).collect::<Vec<_>>());
    assert_eq!(grants(0).unwrap_err(), GrantError::Count(0));
    assert!(grants(1).is_ok() && grants(16).is_ok());
    assert_eq!(grants(17).unwrap_err(), GrantError::Count(17));
    let same = Grants::try_from(vec![grant("a", &["x"]), grant("b", &["y"]), grant("a", &["z"])]);
    assert_eq!(same.unwrap_err(), GrantError::SameName("a".parse().unwrap()));
}
