//! Patterns of a grant: which agents, which DNS names.

use crate::{AgentId, DnsName, error::Problem, identity::check_agent_prefix, name::text_name};

text_name! {
    /// Which agents: an exact id, `prefix/*` (the prefix and at least one segment more), or `*` (every agent: a
    /// choice that an officer makes by writing it).
    AgentPattern, "agent pattern", check_agent_pattern
}
text_name! {
    /// Which DNS names: an exact name, or `*.suffix`: one label more than the suffix (as RFC 9525 §6.3 reads it).
    DnsPattern, "DNS pattern", check_dns_pattern
}

fn check_agent_pattern(text: &str) -> Result<(), Problem> {
    match text.strip_suffix('*') {
        None => text.parse::<AgentId>().map(drop).map_err(|e| e.problem),
        Some("") => Ok(()),
        Some(before) => match before.strip_suffix('/') {
            Some(prefix) => check_agent_prefix(prefix),
            None => Err(Problem::Form("id, prefix/* or *")),
        },
    }
}

fn check_dns_pattern(text: &str) -> Result<(), Problem> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    name.parse::<DnsName>().map(drop).map_err(|e| e.problem)
}

impl AgentPattern {
    /// Whether this agent is meant.
    pub fn matches(&self, id: &AgentId) -> bool {
        match self.as_str().strip_suffix('*') {
            None => id.as_str() == self.as_str(),
            // What is left is empty or ends with a slash, and no id does: a match has one segment more.
            Some(prefix) => id.as_str().starts_with(prefix),
        }
    }
}

impl DnsPattern {
    /// Whether this name is meant.
    pub fn matches(&self, name: &DnsName) -> bool {
        match self.as_str().strip_prefix("*.") {
            None => name.as_str() == self.as_str(),
            Some(suffix) => name.split_first().1 == Some(suffix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agents(pattern: &str, id: &str) -> bool {
        pattern.parse::<AgentPattern>().unwrap().matches(&id.parse().unwrap())
    }

    fn names(pattern: &str, name: &str) -> bool {
        pattern.parse::<DnsPattern>().unwrap().matches(&name.parse().unwrap())
    }

    #[test]
    fn an_exact_pattern_means_one_agent() {
        assert!(agents("build/x", "build/x"));
        assert!(
            !agents("build/x", "build/x/y") && !agents("build/x", "build") && !agents("build/x", "build/X")
        );
    }

    #[test]
    fn a_prefix_needs_one_segment_more() {
        assert!(agents("build/*", "build/x") && agents("build/*", "build/x/y"));
        assert!(
            !agents("build/*", "build") && !agents("build/*", "builder/x") && !agents("build/*", "x/build/x")
        );
    }

    #[test]
    fn a_star_means_every_agent() {
        assert!(agents("*", "x") && agents("*", "x/y/z"));
    }

    #[test]
    fn malformed_agent_patterns_are_refused() {
        for bad in
            ["", "**", "/*", "a*", "a/**", "*/a", "a/*/b", "../*", "controller/*", "officer/x", "A b/*"]
        {
            assert!(bad.parse::<AgentPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_prefix_leaves_room_for_a_segment() {
        assert!("a/b/c/d/e/f/g/*".parse::<AgentPattern>().is_ok());
        assert!("a/b/c/d/e/f/g/h/*".parse::<AgentPattern>().is_err());
        assert!(format!("{}/*", "a".repeat(198)).parse::<AgentPattern>().is_ok());
        assert!(format!("{}/*", "a".repeat(199)).parse::<AgentPattern>().is_err());
    }

    #[test]
    fn a_dns_wildcard_means_one_label() {
        assert!(names("a.example", "a.example") && !names("a.example", "b.a.example"));
        assert!(names("*.example", "a.example"));
        assert!(!names("*.example", "example") && !names("*.example", "b.a.example"));
        assert!(!names("*.example", "a.xexample"));
    }

    #[test]
    fn malformed_dns_patterns_are_refused() {
        for bad in ["", "*", "*.", "*.*.a", "a.*", "a*.b", "*a.b", "*..a", "*.A"] {
            assert!(bad.parse::<DnsPattern>().is_err(), "{bad}");
        }
    }
}
