//! When each caller last signed a change of an agent or an end of its certificates, and when it last had one made: what it signed before that
//! gives nothing any more.
//!
//! Who stands between a caller and the service can hold a signed request back for as long as its signature is good, and deliver it after
//! a later one of the same caller: an agent that was disabled would be enabled again, and a certificate for a key that was thrown away would
//! be the newest of its line.
//!
//! Does not: hold up what takes away. That is carried out whenever it comes.

use std::collections::HashMap;

use ledger::entry::entry::Kind;
use ledger::entry::revocation::Target;
use ledger::entry::{AgentRecord, Change, Entry, Revocation};
use ledger::request::SLACK_MS;
use sha2::{Digest as _, Sha256};

use crate::agents::narrows;

/// Changes remembered before those are let go that no signature can be older than.
const KEPT: usize = 1024;
/// How far a caller's clock may be from the keeper's without being held up, and how long a request may be under way, in milliseconds.
const SKEW_MS: i64 = 5000;
/// Stands for any caller, or any agent.
const ALL: &str = "";

/// The changes of the last minutes.
#[derive(Debug, Default)]
pub struct Changes {
    /// The last of each kind.
    last: HashMap<Short, Last>,
    /// How many are remembered before it is looked for those that are over.
    look_at: usize,
}

/// When the last change of a kind was made, in milliseconds since 1970.
#[derive(Debug)]
struct Last {
    /// When the caller signed it whom it holds for: that clock is the one by which it signs what it asks for. Long ago where it signed none.
    signed_ms: i64,
    /// When such a one was recorded.
    own_ms: i64,
    /// When one was recorded that somebody else signed: the keeper's clock and a caller's differ.
    others_ms: i64,
}

/// The beginning of the SHA-256 of a kind of change: the caller's SPIFFE path and the agent's, either of which may be [`ALL`], and what is given
/// after it.
type Short = [u8; 16];

/// What a request gives to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Given {
    /// That it is there, or may more than before.
    Right,
    /// A certificate, for a key that its controller names.
    Certificate,
}

impl Changes {
    /// Takes an entry over. `of_certificate` says whose a certificate is, as a SPIFFE path, where the entry ends one.
    pub fn follow(&mut self, entry: &Entry, of_certificate: impl FnOnce(u64) -> Option<String>) {
        let actor = entry.actor.as_ref();
        // Officers' acts are of the moment in which they are recorded, and hold for every caller; so are an agent's renewals.
        let of_officers = By { caller: ALL, signed_ms: None };
        let signed = actor.and_then(|actor| Some((&*actor.identity, actor.signature.as_ref()?.time_unix_ms)));
        let of_caller = signed.map(|(caller, signed_ms)| By { caller, signed_ms: Some(signed_ms) });
        let by = of_caller.unwrap_or(of_officers);
        match &entry.kind {
            Some(Kind::AgentChange(change)) if change.change() != Change::Created => {
                let agent = change.agent.as_ref().map(|agent| path(&agent.id));
                self.change(entry, by, agent, Given::Right);
            }
            Some(Kind::Revocation(Revocation { target: Some(target), revoked, .. })) => match target {
                Target::Agent(id) => self.change(entry, by, Some(path(id)), Given::Right),
                // One that had ended, or was revoked before: it takes nothing.
                Target::Certificate(_) if *revoked == 0 => {}
                Target::Certificate(certificate) => {
                    self.change(entry, by, of_certificate(certificate.index), Given::Right);
                }
                Target::IssuedSince(issued) => {
                    let controller = format!("/controller/{}", issued.controller);
                    self.change(entry, By { caller: &controller, ..by }, Some(ALL.to_owned()), Given::Right);
                }
            },
            Some(Kind::Issuance(issuance)) if issuance.subject.starts_with(AGENTS) => {
                let subject = Some(issuance.subject.clone());
                // Of the agent itself, too, which may have asked for another before.
                self.change(entry, by, subject.clone(), Given::Certificate);
                if issuance.renews.is_some() {
                    self.change(entry, of_officers, subject, Given::Certificate);
                }
            }
            _ => {}
        }
    }

    fn change(&mut self, entry: &Entry, by: By<'_>, agent: Option<String>, given: Given) {
        let Some(agent) = agent else { return };
        if self.last.len() >= self.look_at.max(KEPT) {
            let oldest_ms = entry.time_unix_ms.saturating_sub(SLACK_MS + SKEW_MS);
            self.last.retain(|_, last| last.latest_ms() >= oldest_ms);
            self.look_at = self.last.len() * 2;
        }
        self.last.entry(kind(by.caller, &agent, given)).or_default().follow(by.signed_ms, entry.time_unix_ms);
    }

    /// Officers say that this is the time, in milliseconds since 1970. What was recorded by a clock that was ahead by more than a signature is good for
    /// was recorded by then. Where the clock was less ahead, signatures from then are still good, and their true time is unknown: they give nothing
    /// after what was recorded by that clock, until that time has passed.
    pub fn clock_confirmed(&mut self, time_unix_ms: i64) {
        let (then_ms, good_ms) =
            (time_unix_ms.saturating_sub(SKEW_MS), time_unix_ms.saturating_add(SLACK_MS + SKEW_MS));
        for Last { signed_ms, own_ms, others_ms } in self.last.values_mut() {
            for at_ms in [signed_ms, own_ms, &mut *others_ms] {
                if *at_ms > good_ms {
                    *at_ms = then_ms;
                }
            }
            if *others_ms > then_ms {
                // As of what comes late: up to five seconds before the signature.
                *others_ms = others_ms.saturating_add(2 * SKEW_MS);
            }
        }
    }

    /// When an agent had signed a renewal that was carried out since it signed this one, in milliseconds since 1970; none where this one comes within
    /// five seconds of its signature, and so was not held back. `agent` is a SPIFFE path. One that was signed for a time to come counts from
    /// when it was recorded: else who stole an agent's key would have its owner's renewals taken for late ones.
    pub fn renewed_since(&self, agent: &str, signed_ms: i64, now_ms: i64) -> Option<i64> {
        let last = self.last.get(&kind(agent, agent, Given::Certificate))?;
        let is_late = now_ms.saturating_sub(signed_ms) > SKEW_MS;
        Some(last.signed_ms.min(last.own_ms)).filter(|renewed_ms| is_late && *renewed_ms > signed_ms)
    }

    /// When the change was made, in milliseconds since 1970, that came before a request which gives this to an agent and which its caller
    /// signed earlier; none where there is no such change. Both are SPIFFE paths; `now_ms` is when the request is carried out.
    ///
    /// What a caller signed before a change of its own came before it; what another changed holds up from the moment it is recorded. Where that is
    /// within five seconds of the signature, which was first is not known: a request that comes within five seconds of its signature is carried
    /// out. One that comes later may have been held back: it gives nothing after anything that was recorded up to five seconds before its
    /// signature, by whomever. One that comes by a clock that is further ahead was signed nobody knows when: it gives nothing after
    /// anything that another changed while it may have been under way.
    pub fn since(
        &self,
        (caller, agent): (&str, &str),
        given: Given,
        signed_ms: i64,
        now_ms: i64,
    ) -> Option<i64> {
        let after: &[Given] = match given {
            Given::Right => &[Given::Right],
            Given::Certificate => &[Given::Right, Given::Certificate],
        };
        let each = [(caller, agent), (caller, ALL), (ALL, agent)];
        let each = each.into_iter().flat_map(|pair| after.iter().map(move |given| (pair, *given)));
        let under_way = UnderWay { signed_ms, now_ms };
        each.filter_map(|((caller, agent), given)| {
            self.last.get(&kind(caller, agent, given))?.after(under_way)
        })
        .max()
    }
}

/// A request on its way, in milliseconds since 1970.
#[derive(Clone, Copy)]
struct UnderWay {
    signed_ms: i64,
    now_ms: i64,
}

impl Default for Last {
    fn default() -> Self {
        Self { signed_ms: i64::MIN, own_ms: i64::MIN, others_ms: i64::MIN }
    }
}

impl Last {
    fn latest_ms(&self) -> i64 {
        self.signed_ms.max(self.own_ms).max(self.others_ms)
    }

    fn follow(&mut self, signed_ms: Option<i64>, recorded_ms: i64) {
        match signed_ms {
            Some(signed_ms) => {
                self.signed_ms = signed_ms.max(self.signed_ms);
                self.own_ms = recorded_ms.max(self.own_ms);
            }
            None => self.others_ms = recorded_ms.max(self.others_ms),
        }
    }

    /// When it was made, where that is after the request, see [`Changes::since`].
    fn after(&self, UnderWay { signed_ms, now_ms }: UnderWay) -> Option<i64> {
        let Self { signed_ms: changed_ms, own_ms, others_ms } = *self;
        let late_ms = now_ms.saturating_sub(signed_ms);
        // Up to when a change may have been recorded and yet be before the request.
        let (own_until_ms, others_until_ms) = if late_ms > SKEW_MS {
            (signed_ms.saturating_sub(SKEW_MS), signed_ms.saturating_sub(SKEW_MS))
        } else if late_ms < -SKEW_MS {
            (i64::MAX, now_ms.saturating_sub(SLACK_MS))
        } else {
            (i64::MAX, signed_ms.saturating_add(SKEW_MS))
        };
        let signed = Some(changed_ms).filter(|changed_ms| *changed_ms > signed_ms);
        let own = Some(own_ms).filter(|own_ms| *own_ms > own_until_ms);
        let others = Some(others_ms).filter(|others_ms| *others_ms > others_until_ms);
        signed.max(own).max(others)
    }
}

/// Who made a change.
#[derive(Clone, Copy)]
struct By<'e> {
    /// Whom it holds for: a SPIFFE path, or [`ALL`].
    caller: &'e str,
    /// When that caller signed it, in milliseconds since 1970; none where another made it.
    signed_ms: Option<i64>,
}

/// What an entry on a controller's word gives, and to which agent, as a SPIFFE path. `before` is what an agent was before it.
pub(crate) fn gives(
    entry: &Entry,
    before: impl FnOnce(&str) -> Option<AgentRecord>,
) -> Option<(String, Given)> {
    match entry.kind.as_ref()? {
        Kind::AgentChange(change) => {
            let agent = change.agent.as_ref()?;
            let takes = match change.change() {
                Change::Created => false,
                Change::Updated => before(&agent.id).is_some_and(|before| narrows(&before, agent)),
                _ => true,
            };
            (!takes).then(|| (path(&agent.id), Given::Right))
        }
        // A renewal is asked for with the newest certificate: where that was ended, nothing is renewed.
        Kind::Issuance(issuance) if issuance.renews.is_none() => {
            Some((issuance.subject.clone(), Given::Certificate))
        }
        _ => None,
    }
}

fn kind(by: &str, agent: &str, given: Given) -> Short {
    // No path has a zero byte.
    let mut hash = Sha256::new_with_prefix(by);
    hash.update([0]);
    hash.update(agent);
    hash.update([0, given as u8]);
    let mut first = Short::default();
    first.copy_from_slice(&hash.finalize()[..16]);
    first
}

/// Where the paths of agents begin.
const AGENTS: &str = "/agent/";

fn path(id: &str) -> String {
    format!("{AGENTS}{id}")
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
        Kind::Revocation(Revocation { target: Some(target), revoked: 1, ..Revocation::default() })
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
            let changes = after(&entry(by, 10_000, kind.clone()));
            let asked = [(BUILD, "/agent/a"), (BUILD, "/agent/b"), ("/controller/other", "/agent/a")];
            let held = asked.map(|asked| changes.since(asked, Given::Right, 4999, 10_000).is_some());
            assert_eq!(held, holds, "{by} {kind:?}");
            assert_eq!(
                changes.since(asked[0], Given::Certificate, 10_000, 10_000),
                None,
                "signed with it, or after it"
            );
        }
    }

    #[test]
    fn those_that_no_signature_can_be_older_than_are_let_go() {
        let mut changes = Changes::default();
        for n in 0..10_000 {
            changes.follow(&entry(BUILD, n * 1000, deletion(&n.to_string())), |_| None);
        }
        assert!(changes.last.len() <= KEPT + 1, "{}", changes.last.len());
        let since = |agent| changes.since((BUILD, agent), Given::Right, 0, 9_999_000);
        assert_eq!((since("/agent/9999"), since("/agent/9699")), (Some(9_999_000), Some(9_699_000)));
    }

    #[test]
    fn a_clock_that_was_ahead_holds_nobody_up() {
        let mut changes = after(&entry(BUILD, i64::MAX / 2, deletion("a")));
        changes.clock_confirmed(1_000_000);
        let since = |signed_ms| changes.since((BUILD, "/agent/a"), Given::Right, signed_ms, 1_000_000);
        assert_eq!((since(994_999), since(995_000)), (Some(995_000), None));
    }

    #[test]
    fn a_certificate_holds_for_certificates_alone_and_a_renewal_from_when_it_was_recorded() {
        let issued = |renews: Option<Reference>| {
            let subject = "/agent/a".into();
            Kind::Issuance(ledger::entry::Issuance { subject, renews, ..Default::default() })
        };
        let (right, certificate) = (Given::Right, Given::Certificate);
        let changes = after(&entry(BUILD, 1000, issued(None)));
        let held = |caller, given, signed| changes.since((caller, "/agent/a"), given, signed, 1000);
        assert_eq!(held(BUILD, certificate, 999), Some(1000));
        assert_eq!((held(BUILD, right, 999), held("/controller/other", certificate, 999)), (None, None));
        // Whatever the agent's own clock says.
        let ahead =
            Entry { time_unix_ms: 5500, ..entry("/agent/a", 10_000, issued(Some(Reference::default()))) };
        let changes = after(&ahead);
        let held = |given, signed| changes.since((BUILD, "/agent/a"), given, signed, 5500);
        assert_eq!(
            (held(certificate, 499), held(certificate, 500), held(right, 499)),
            (Some(5500), None, None)
        );
    }

    /// Which of two clocks was first is not known: what comes at once is carried out, and what was held back is not.
    #[test]
    fn what_another_made_holds_up_what_comes_later() {
        let changes = after(&entry("", 10_000, deletion("a")));
        let held =
            |signed_ms, now_ms| changes.since((BUILD, "/agent/a"), Given::Right, signed_ms, now_ms).is_some();
        assert_eq!([held(4999, 9_999), held(5000, 10_000), held(14_999, 19_999)], [true, false, false]);
        assert_eq!([held(5000, 10_001), held(14_999, 20_000), held(15_000, 20_001)], [true, true, false]);
    }

    /// Two that were signed in one millisecond, or by a clock that was set back between both: what comes late is not carried out after the other.
    #[test]
    fn what_comes_late_gives_nothing_after_a_change_of_ones_own() {
        let recorded = |signed_ms| Entry { time_unix_ms: 10_100, ..entry(BUILD, signed_ms, deletion("a")) };
        for signed_ms in [10_000, 8_000] {
            let changes = after(&recorded(signed_ms));
            let held = |now_ms| changes.since((BUILD, "/agent/a"), Given::Right, 10_000, now_ms).is_some();
            assert_eq!([held(10_100), held(15_000), held(15_001), held(290_000)], [false, false, true, true]);
        }
        let changes = after(&recorded(10_000));
        let later = changes.since((BUILD, "/agent/a"), Given::Right, 15_100, 290_000);
        assert_eq!(later, None, "signed five seconds after it was recorded");
    }

    /// By a clock that is further ahead a request may have been signed at any time.
    #[test]
    fn what_was_signed_by_a_clock_that_is_ahead_gives_nothing_after_what_another_changed() {
        let changes = after(&entry("", 10_000, deletion("a")));
        let held =
            |signed_ms, now_ms| changes.since((BUILD, "/agent/a"), Given::Right, signed_ms, now_ms).is_some();
        assert_eq!([held(35_000, 30_000), held(35_001, 30_000)], [false, true]);
        let over_ms = 10_000 + SLACK_MS;
        assert_eq!([held(over_ms + 60_000, over_ms - 1), held(over_ms + 60_000, over_ms)], [true, false]);
        let own = after(&entry(BUILD, 10_000, deletion("a")));
        assert_eq!(own.since((BUILD, "/agent/a"), Given::Right, 70_000, 12_000), None, "by the same clock");
    }

    /// Two renewals of one agent, the second carried out first.
    #[test]
    fn a_renewal_that_was_held_back_is_known_as_such() {
        let renewal = || {
            let (subject, renews) = ("/agent/a".into(), Some(Reference::default()));
            Kind::Issuance(ledger::entry::Issuance { subject, renews, ..Default::default() })
        };
        let changes = after(&entry("/agent/a", 10_000, renewal()));
        let since = |agent, signed_ms| changes.renewed_since(agent, signed_ms, 20_000);
        assert_eq!([since("/agent/a", 9_999), since("/agent/a", 10_000)], [Some(10_000), None]);
        assert_eq!(since("/agent/b", 0), None);
        assert_eq!(changes.renewed_since("/agent/a", 9_999, 14_999), None, "it comes at once");
        // By a thief's clock that is five minutes ahead.
        let ahead = Entry { time_unix_ms: 10_000, ..entry("/agent/a", 305_000, renewal()) };
        let changes = after(&ahead);
        assert_eq!(changes.renewed_since("/agent/a", 15_000, 25_000), None, "the owner's, by a right clock");
    }

    /// Officers set the clock right that was four minutes ahead, by which a caller signed and others changed.
    #[test]
    fn what_was_signed_by_a_clock_that_was_set_right_gives_nothing_after_what_followed() {
        let mut own = after(&entry(BUILD, 240_001, deletion("a")));
        let mut others = after(&entry("", 242_000, deletion("a")));
        for (changes, over_ms) in [(&mut own, 240_001), (&mut others, 247_000)] {
            changes.clock_confirmed(3_000);
            let held = |signed_ms, now_ms| {
                changes.since((BUILD, "/agent/a"), Given::Right, signed_ms, now_ms).is_some()
            };
            for now_ms in [5_000, 100_000, 240_000, 300_000] {
                assert!(held(240_000, now_ms), "{now_ms}");
            }
            assert!(!held(over_ms + 5_000, over_ms + 5_000), "that clock is past");
        }
    }

    /// One that ended is not known to every reader of the log.
    #[test]
    fn what_ends_nothing_is_no_change() {
        let target = Target::Certificate(Reference { index: 7, ..Reference::default() });
        let nothing = Revocation { target: Some(target), ..Revocation::default() };
        let changes = after(&entry(BUILD, 1000, Kind::Revocation(nothing)));
        assert_eq!(changes.since((BUILD, "/agent/a"), Given::Certificate, 0, 1000), None);
    }
}
