//! What holds for officers' acts by their names, for whoever opens a proposal.

use cell::Act;
use ledger::proposal::Rule;

/// The rule of the acts of this name.
pub fn act_rule(name: &str) -> Rule {
    let rule = Rule { is_for_one: Act::is_for_one(name), ..Rule::default() };
    Act::longest_secs(name).map_or(rule, |longest_secs| Rule { longest_secs, ..rule })
}
