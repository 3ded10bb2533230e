//! When each caller last signed a change of an agent or an end of its certificates: what it signed before that gives nothing any more.
//!
//! Who stands between a caller and the service can hold a signed request back for as long as its signature is good, and deliver it after
//! a later one of the same caller: an agent that was disabled would be enabled again.
//!
//! Does not: hold up what takes away. That is carried out whenever it comes.

use std::collections::HashMap;

use ledger::entry::entry::Kind;
use ledger::entry::revocation::Target;
use ledger::entry::{AgentRecord, Change, Entry, Revocation};
use ledger::request::SLACK_MS;

use crate::agents::narrows;

/// Changes remembered before those are let go that no signature can be older than.
const KEPT: usize = 1024;
/// Whoever signs, and whatever agent.
const ALL: &str = "";

/// The changes of the last minutes.
#[derive(Debug, Default)]
pub struct Changes {
    /// By the caller's SPIFFE path and the agent's, either of which may be [`ALL`]: when the last was signed, in milliseconds since 1970.
    signed: HashMap<(String, String), i64>,
    /// How many are remembered before it is looked for those that are over.
    look_at: usize,
}

impl Changes {
    /// Takes an entry over. `of_certificate` says whose a certificate is, as a SPIFFE path, where the entry names one.
    pub fn follow(&mut self, entry: &Entry, of_certificate: impl FnOnce(u64) -> Option<String>) {
        let actor = entry.actor.as_ref();
        // Officers' acts are of the moment in which they are recorded, and hold for every caller.
        let (by, signed_ms) = match actor.and_then(|actor| Some((&actor.identity, actor.signature.as_ref()?)))
        {
            Some((identity, signature)) => (identity.as_str(), signature.time_unix_ms),
            None => (ALL, entry.time_unix_ms),
        };
        let (by, agent) = match &entry.kind {
            Some(Kind::AgentChange(change)) if change.change() != Change::Created => {
                let agent = change.agent.as_ref().map(|agent| path(&agent.id));
                (by, agent)
            }
            Some(Kind::Revocation(Revocation { target: Some(target), .. })) => match target {
                Target::Agent(id) => (by, Some(path(id))),
                Target::Certificate(certificate) => (by, of_certificate(certificate.index)),
                Target::IssuedSince(issued) => {
                    return self.change(
                        format!("/controller/{}", issued.controller),
                        ALL.to_owned(),
                        signed_ms,
                        entry,
                    );
                }
            },
            _ => return,
        };
        if let Some(agent) = agent {
            self.change(by.to_owned(), agent, signed_ms, entry);
        }
    }

    fn change(&mut self, by: String, agent: String, signed_ms: i64, entry: &Entry) {
        if self.signed.len() >= self.look_at.max(KEPT) {
            let oldest_ms = entry.time_unix_ms.saturating_sub(SLACK_MS);
            self.signed.retain(|_, signed_ms| *signed_ms >= oldest_ms);
            self.look_at = self.signed.len() * 2;
        }
        let newest = self.signed.entry((by, agent)).or_insert(signed_ms);
        *newest = signed_ms.max(*newest);
    }

    /// Officers say that this is the time, in milliseconds since 1970: what was signed by a clock that was ahead is no later than any signature
    /// that is taken now.
    pub fn clock_confirmed(&mut self, time_unix_ms: i64) {
        let latest_ms = time_unix_ms.saturating_add(SLACK_MS);
        self.signed.values_mut().for_each(|signed_ms| *signed_ms = latest_ms.min(*signed_ms));
    }

    /// When the change was signed, in milliseconds since 1970, that came before a request which gives something to an agent and which this
    /// caller signed earlier; none where there is no such change. Both are SPIFFE paths.
    pub fn since(&self, caller: &str, agent: &str, signed_ms: i64) -> Option<i64> {
        let each = [(caller, agent), (caller, ALL), (ALL, agent)];
        let changed = each
            .into_iter()
            .filter_map(|(caller, agent)| self.signed.get(&(caller.to_owned(), agent.to_owned())).copied());
        changed.max().filter(|changed_ms| *changed_ms > signed_ms)
    }
}

/// The agent, as a SPIFFE path, to which an entry on a controller's word gives something. `before` is what an agent was before it.
pub(crate) fn gives(entry: &Entry, before: impl FnOnce(&str) -> Option<AgentRecord>) -> Option<String> {
    match entry.kind.as_ref()? {
        Kind::AgentChange(change) => {
            let agent = change.agent.as_ref()?;
            let takes = match change.change() {
                Change::Created => false,
                Change::Updated => before(&agent.id).is_some_and(|before| narrows(&before, agent)),
                _ => true,
            };
            (!takes).then(|| path(&agent.id))
        }
        // A renewal is asked for with the newest certificate: where that was ended, nothing is renewed.
        Kind::Issuance(issuance) if issuance.renews.is_none() => Some(issuance.subject.clone()),
        _ => None,
    }
}

fn path(id: &str) -> String {
    format!("/agent/{id}")
}

#[cfg(test)]
mod tests {
    use ledger::entry::{Actor, AgentChange, IssuedSince, Reference, RequestSignature};

    use super::*;

    const BUILD: &str = "/controller/build";

    fn entry(identity: &str, time_unix_ms: i64, kind: Kind) -> Entry {
        let signature =
            (!identity.is_empty()).then(|| RequestSignature { time_unix_ms, ..RequestSignature::default() });
        let actor = Actor { identity: identity.into(), signature, ..Actor::default() };
        Entry { actor: Some(actor), time_unix_ms, kind: Some(kind), ..Entry::default() }
    }

    fn revocation(target: Target) -> Kind {
        Kind::Revocation(Revocation { target: Some(target), ..Revocation::default() })
    }

    fn deletion(id: &str) -> Kind {
        let agent = Some(AgentRecord { id: id.into(), ..AgentRecord::default() });
        Kind::AgentChange(AgentChange { change: Change::Deleted.into(), agent, ..AgentChange::default() })
    }

    fn after(entry: &Entry) -> Changes {
        let mut changes = Changes::default();
        changes.follow(entry, |index| (index == 7).then(|| "/agent/a".to_owned()));
        changes
    }

    #[test]
    fn a_change_holds_for_its_caller_and_agent_and_an_act_for_all() {
        let certificate = |index| Target::Certificate(Reference { index, ..Reference::default() });
        let since = Target::IssuedSince(IssuedSince { controller: "build".into(), since_unix_ms: 0 });
        // Whose change of what, and whether it holds for build's agent a, build's b, and other's a.
        for (by, kind, holds) in [
            (BUILD, deletion("a"), [true, false, false]),
            (BUILD, revocation(Target::Agent("a".into())), [true, false, false]),
            (BUILD, revocation(certificate(7)), [true, false, false]),
            (BUILD, revocation(certificate(8)), [false, false, false]),
            (BUILD, revocation(since.clone()), [true, true, false]),
            ("", revocation(Target::Agent("a".into())), [true, false, true]),
            ("", revocation(certificate(7)), [true, false, true]),
            ("", revocation(since), [true, true, false]),
        ] {
            let changes = after(&entry(by, 1000, kind.clone()));
            let asked = [(BUILD, "/agent/a"), (BUILD, "/agent/b"), ("/controller/other", "/agent/a")];
            let held = asked.map(|(caller, agent)| changes.since(caller, agent, 999).is_some());
            assert_eq!(held, holds, "{by} {kind:?}");
            assert_eq!(changes.since(BUILD, "/agent/a", 1000), None, "signed with it, or after it");
        }
    }

    #[test]
    fn those_that_no_signature_can_be_older_than_are_let_go() {
        let mut changes = Changes::default();
        for n in 0..10_000 {
            changes.follow(&entry(BUILD, n * 1000, deletion(&n.to_string())), |_| None);
        }
        assert!(changes.signed.len() <= KEPT + 1, "{}", changes.signed.len());
        let newest = changes.since(BUILD, "/agent/9999", 0);
        assert_eq!((newest, changes.since(BUILD, "/agent/9699", 0)), (Some(9_999_000), Some(9_699_000)));
    }

    #[test]
    fn a_clock_that_was_ahead_holds_nobody_up_for_long() {
        let mut changes = after(&entry(BUILD, i64::MAX / 2, deletion("a")));
        changes.clock_confirmed(1_000_000);
        assert_eq!(changes.since(BUILD, "/agent/a", 0), Some(1_000_000 + SLACK_MS));
    }
}
