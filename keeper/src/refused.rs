//! Refusals, summed by the minute: they are recorded, and a flood of them makes no flood of entries. A key of two identities does not wait for
//! the minute's end, unless an entry was made within it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ledger::entry::{KeyClash, Refusal, Refusals};
use ledger::request::SLACK_MS;
use prost::Message as _;
use proto::v1::Reason;

/// How long they are summed, in milliseconds.
const EVERY_MS: i64 = 60_000;
/// Most callers and reasons in one entry.
const KINDS_MAX: usize = 256;
/// Signed requests that are told apart: beyond it refusals are counted without a name.
const SHOWN_MAX: usize = 65_536;
/// Most keys of two identities in one entry.
const CLASHES_MAX: usize = 64;
/// Of all of these, whoever answers has one part in so many: the others keep their names. A controller answers for its agents.
const PARTS: usize = 8;

/// Octets of a sum: an entry has 65,535 (`ledger::entry::MAX_LEN`), and what is around the sum takes few. The keys of two identities take half
/// of them at most.
const OCTETS_MAX: usize = 60_000;

/// Refusals since the last entry.
#[derive(Default)]
pub(crate) struct Refused {
    since_ms: Option<i64>,
    counts: BTreeMap<(String, &'static str), u64>,
    /// How many of these each answers for.
    kinds_of: HashMap<String, usize>,
    others: u64,
    /// Requests that were counted, with whose they are and when their signature is over: who has seen one can show it again until then.
    shown: HashMap<[u8; 32], (Arc<str>, i64)>,
    /// How many of these each answers for.
    shown_of: HashMap<Arc<str>, usize>,
    /// Each with who answers for it.
    clashes: Vec<(String, KeyClash)>,
    clashes_untold: u64,
    /// When the sum was taken last.
    last_ms: Option<i64>,
}

/// Whose a refusal is.
#[derive(Clone, Debug)]
pub(crate) struct Whose {
    /// SPIFFE path of the caller; empty where nobody is known to have asked.
    pub(crate) caller: String,
    /// Of whoever answers for it: an agent's owner.
    pub(crate) answerable: String,
}

/// Which request was refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    /// What makes it this one and no other.
    pub(crate) sha256: [u8; 32],
    /// When it was signed, in milliseconds since 1970.
    pub(crate) signed_ms: i64,
}

/// Whether a refused request was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Was {
    /// Not that anybody knows.
    New,
    /// Whoever has seen it shows it again.
    ShownBefore,
}

impl Refused {
    /// A key was presented for a second identity by somebody for whom this one answers; the refusal itself is counted as any other. Where there is no
    /// place, whoever has most gives one up to who has fewer.
    pub(crate) fn clash(&mut self, answerable: &str, clash: &KeyClash, now_ms: i64) {
        self.since_ms.get_or_insert(now_ms);
        let same = |known: &KeyClash| KeyClash { count: known.count, ..clash.clone() } == *known;
        if let Some((_, known)) = self.clashes.iter_mut().find(|(_, known)| same(known)) {
            known.count += 1;
            return;
        }
        let own = self.clashes_of(answerable);
        if own >= CLASHES_MAX / PARTS {
            self.untold(1);
            return;
        }
        if self.clashes.len() >= CLASHES_MAX {
            let most = self.clashes.iter().map(|(of, _)| self.clashes_of(of)).max().unwrap_or_default();
            let theirs = self.clashes.iter().rposition(|(of, _)| self.clashes_of(of) == most);
            let Some(at) = theirs.filter(|_| most > own + 1) else {
                self.untold(1);
                return;
            };
            let (_, gone) = self.clashes.remove(at);
            self.untold(gone.count);
        }
        self.clashes.push((answerable.to_owned(), clash.clone()));
    }

    /// Clashes that are counted only.
    fn untold(&mut self, count: u64) {
        self.clashes_untold = self.clashes_untold.saturating_add(count);
    }

    fn clashes_of(&self, answerable: &str) -> usize {
        self.clashes.iter().filter(|(of, _)| of == answerable).count()
    }

    /// A refusal; `request` says which it was, where its caller signed it: one that is shown again is none of its caller's. Whether it was shown
    /// before; where there is no room to tell, it counts as new, without a name.
    pub(crate) fn count(
        &mut self,
        whose: &Whose,
        request: Option<Shown>,
        reason: Reason,
        now_ms: i64,
    ) -> Was {
        self.since_ms.get_or_insert(now_ms);
        let Whose { caller, answerable } = whose;
        if let Some(Shown { sha256, signed_ms }) = request {
            let of_theirs = self.shown_of.get(answerable.as_str()).copied().unwrap_or_default();
            let room = self.shown.len() < SHOWN_MAX && of_theirs < SHOWN_MAX / PARTS;
            let is_again = self.shown.contains_key(&sha256);
            if is_again || !room {
                self.others += 1;
                return if is_again { Was::ShownBefore } else { Was::New };
            }
            let known = match self.shown_of.get_key_value(answerable.as_str()) {
                Some((known, _)) => Arc::clone(known),
                None => answerable.as_str().into(),
            };
            self.shown_of.insert(Arc::clone(&known), of_theirs + 1);
            // The keeper's clock may be set back by a step of NTP. What is signed at a time to come keeps its place no longer.
            let signed_ms = signed_ms.min(now_ms.saturating_add(SLACK_MS));
            self.shown.insert(sha256, (known, signed_ms.saturating_add(2 * SLACK_MS)));
        }
        if let Some(count) = self.counts.get_mut(&(caller.clone(), reason.code())) {
            *count += 1;
            return Was::New;
        }
        let of_theirs = self.kinds_of.entry(answerable.clone()).or_default();
        if self.counts.len() >= KINDS_MAX || *of_theirs >= KINDS_MAX / PARTS {
            self.others += 1;
        } else {
            *of_theirs += 1;
            self.counts.insert((caller.clone(), reason.code()), 1);
        }
        Was::New
    }

    /// The sum: once a minute has passed since the first, and for a key of two identities at once where the last is a minute ago.
    pub(crate) fn due(&mut self, now_ms: i64) -> Option<Refusals> {
        let rested = self.last_ms.is_none_or(|last_ms| now_ms - last_ms >= EVERY_MS);
        let urgent = rested && !self.clashes.is_empty();
        let since_ms = self.since_ms.filter(|since| urgent || now_ms - since >= EVERY_MS)?;
        let mut shown = std::mem::take(&mut self.shown);
        shown.retain(|_, (_, over_ms)| *over_ms >= now_ms);
        let mut shown_of = HashMap::new();
        for (whose, _) in shown.values() {
            *shown_of.entry(Arc::clone(whose)).or_default() += 1;
        }
        let next = Self { last_ms: Some(now_ms), shown, shown_of, ..Self::default() };
        let Self { counts, others, clashes, clashes_untold, .. } = std::mem::replace(self, next);
        let clashes: Vec<KeyClash> = clashes.into_iter().map(|(_, clash)| clash).collect();
        tell(&clashes);
        let sum = Refusals { since_unix_ms: since_ms, others, clashes_untold, ..Refusals::default() };
        Some(within_an_entry(sum, counts, clashes))
    }
}

/// The sum as far as an entry holds it, keys of two identities first; what has no place among the refusals is counted.
fn within_an_entry(
    mut sum: Refusals,
    counts: BTreeMap<(String, &'static str), u64>,
    clashes: Vec<KeyClash>,
) -> Refusals {
    let mut left = OCTETS_MAX;
    // A message in a message: its key and its length take at most four octets at these sizes.
    let mut takes = |octets: usize, at_least: usize| {
        let fits = octets + 4 + at_least <= left;
        if fits {
            left -= octets + 4;
        }
        fits
    };
    for clash in clashes {
        if takes(clash.encoded_len(), OCTETS_MAX / 2) {
            sum.key_clashes.push(clash);
        } else {
            sum.clashes_untold = sum.clashes_untold.saturating_add(clash.count);
        }
    }
    for ((identity, reason), count) in counts {
        let refusal = Refusal { identity, reason: reason.to_owned(), count };
        if takes(refusal.encoded_len(), 0) {
            sum.refusals.push(refusal);
        } else {
            sum.others = sum.others.saturating_add(count);
        }
    }
    sum
}

/// One line for all clashes of a sum: whoever holds a copied key could fill the log with them.
fn tell(clashes: &[KeyClash]) {
    if let Some(first) = clashes.first() {
        tracing::error!(
            alarm = "key-of-two-identities",
            spki_sha256 = data_encoding::HEXLOWER.encode(&first.spki_sha256),
            holder = first.holder,
            claimant = first.claimant,
            count = clashes.iter().map(|clash| clash.count).sum::<u64>(),
            others = clashes.len() - 1,
            "a public key was presented for a second identity: a machine was cloned, or a key copied; the ledger has them, or how many there were"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(caller: impl Into<String>) -> Whose {
        let caller = caller.into();
        Whose { answerable: caller.clone(), caller }
    }

    #[test]
    fn a_flood_is_one_entry_a_minute_of_bounded_size() {
        let mut refused = Refused::default();
        for number in 0..10_000 {
            refused.count(&by(format!("/controller/{}", number % 1000)), None, Reason::GrantDoesNotCover, 0);
        }
        assert_eq!(refused.due(EVERY_MS - 1), None);
        let sum = refused.due(EVERY_MS).unwrap();
        assert_eq!(sum.refusals.len(), KINDS_MAX);
        assert_eq!(sum.refusals.iter().map(|refusal| refusal.count).sum::<u64>() + sum.others, 10_000);
        assert_eq!(refused.due(EVERY_MS * 2), None);
    }

    #[test]
    fn the_longest_names_and_all_reasons_are_one_entry() {
        let name = |number: usize| format!("/agent/{}{number:04}", "x".repeat(220));
        let mut refused = Refused::default();
        for number in 0..70 {
            for reason in [
                Reason::GrantDoesNotCover,
                Reason::BudgetExhausted,
                Reason::NotOwner,
                Reason::CsrMalformed,
                Reason::Frozen,
            ] {
                refused.count(&by(name(number)), None, reason, 0);
            }
            for other in 0..3 {
                let spki_sha256 = vec![u8::try_from(number).unwrap(); 32];
                let clash =
                    KeyClash { spki_sha256, holder: name(number), claimant: name(1000 + other), count: 1 };
                refused.clash(&name(number), &clash, 0);
            }
        }
        let sum = refused.due(EVERY_MS).unwrap();
        assert!(sum.encoded_len() < 61_000, "{}", sum.encoded_len());
        assert_eq!(sum.key_clashes.len() + usize::try_from(sum.clashes_untold).unwrap(), 210);
        assert!(sum.key_clashes.len() > 50 && sum.refusals.len() > 100);
        assert_eq!(sum.refusals.iter().map(|refusal| refusal.count).sum::<u64>() + sum.others, 350);
    }

    #[test]
    fn a_key_of_two_identities_is_told_at_once_and_a_flood_of_them_by_the_minute() {
        let clash = |number: usize| KeyClash {
            spki_sha256: vec![7; 32],
            holder: "/agent/a".into(),
            claimant: format!("/agent/{number}"),
            count: 1,
        };
        let mut refused = Refused::default();
        refused.clash("/controller/build", &clash(0), 5);
        assert_eq!(refused.due(5).unwrap().key_clashes, [clash(0)]);
        for number in 0..1000 {
            refused.clash("/controller/build", &clash(number % 200), 6);
        }
        let of_another = KeyClash { holder: "/agent/b".into(), ..clash(0) };
        refused.clash("/controller/other", &of_another, 6);
        assert_eq!(refused.due(EVERY_MS), None);
        let sum = refused.due(EVERY_MS + 6).unwrap();
        assert_eq!((sum.key_clashes.len(), sum.key_clashes[0].count), (CLASHES_MAX / PARTS + 1, 5));
        assert!(sum.key_clashes.contains(&of_another), "one caller does not hide another's");
    }

    /// By many agents of one controller, and by many controllers.
    #[test]
    fn nobody_hides_anothers_key_of_two_identities() {
        let clash = |of: &str, number: usize| KeyClash {
            spki_sha256: vec![7; 32],
            holder: format!("/agent/{of}/a"),
            claimant: format!("/agent/{of}/{number}"),
            count: 1,
        };
        let mut refused = Refused::default();
        for controller in 0..10 {
            for number in 0..100 {
                refused.clash(
                    &format!("/controller/{controller}"),
                    &clash("of-many", controller * 100 + number),
                    0,
                );
            }
        }
        refused.clash("/controller/other", &clash("other", 0), 0);
        let sum = refused.due(EVERY_MS).unwrap();
        assert!(sum.key_clashes.contains(&clash("other", 0)));
        assert_eq!(sum.key_clashes.len() as u64 + sum.clashes_untold, 1001);
        // Nor who was refused.
        for number in 0..1000 {
            let of_build =
                Whose { caller: format!("/agent/build/{number}"), answerable: "/controller/build".into() };
            refused.count(&of_build, None, Reason::Frozen, EVERY_MS);
        }
        refused.count(&by("/controller/other"), None, Reason::Frozen, EVERY_MS);
        let sum = refused.due(2 * EVERY_MS).unwrap();
        assert!(sum.refusals.iter().any(|refusal| refusal.identity == "/controller/other"));
        assert_eq!((sum.refusals.len(), sum.others), (KINDS_MAX / PARTS + 1, 1000 - 32));
    }

    #[test]
    fn a_request_that_is_shown_again_is_counted_once_in_its_callers_name() {
        let mut refused = Refused::default();
        let count = |refused: &mut Refused, number: u64, now_ms| {
            let mut sha256 = [0; 32];
            sha256[..8].copy_from_slice(&number.to_be_bytes());
            let shown = Shown { sha256, signed_ms: 0 };
            refused.count(&by("/controller/build"), Some(shown), Reason::GrantDoesNotCover, now_ms)
        };
        let was: Vec<Was> = (0..10).map(|number| count(&mut refused, number % 2, 0)).collect();
        assert_eq!(
            was,
            [&[Was::New; 2][..], &[Was::ShownBefore; 8]].concat(),
            "a clash of it is counted with it"
        );
        let sum = refused.due(EVERY_MS).unwrap();
        assert_eq!((sum.refusals[0].count, sum.others), (2, 8));
        // In the next minute, too, and as long as its signature is good.
        count(&mut refused, 1, EVERY_MS);
        let sum = refused.due(2 * EVERY_MS).unwrap();
        assert_eq!((sum.refusals.len(), sum.others), (0, 1));
        let most = (SHOWN_MAX / PARTS) as u64;
        for number in 0..most + 5 {
            count(&mut refused, number, 2 * EVERY_MS);
        }
        // A clash of what finds no room is told all the same; what had room is known.
        assert_eq!(count(&mut refused, most + 5, 2 * EVERY_MS), Was::New);
        assert_eq!(count(&mut refused, most - 1, 2 * EVERY_MS), Was::ShownBefore);
        // Another is told by name all the same.
        let shown = Shown { sha256: [9; 32], signed_ms: 0 };
        let was = refused.count(&by("/controller/other"), Some(shown), Reason::Frozen, 2 * EVERY_MS);
        assert_eq!(was, Was::New);
        let sum = refused.due(3 * EVERY_MS).unwrap();
        let told: Vec<_> = sum.refusals.iter().map(|told| (told.identity.as_str(), told.count)).collect();
        assert_eq!(
            (told, sum.others),
            (vec![("/controller/build", most - 2), ("/controller/other", 1)], 2 + 5 + 2)
        );
        // Then they are forgotten.
        refused.count(&by("/agent/a"), None, Reason::Frozen, 2 * SLACK_MS + 1);
        assert!(refused.due(2 * SLACK_MS + 1 + EVERY_MS).is_some() && refused.shown.is_empty());
    }

    #[test]
    fn what_is_signed_at_a_time_to_come_takes_no_place_for_good() {
        let mut refused = Refused::default();
        for number in 0..=u8::MAX {
            let shown = Shown { sha256: [number; 32], signed_ms: i64::MAX - i64::from(number) };
            refused.count(&by(""), Some(shown), Reason::SignatureExpired, 0);
        }
        assert!(refused.due(EVERY_MS).is_some() && !refused.shown.is_empty());
        refused.count(&by("/agent/a"), None, Reason::Frozen, 3 * SLACK_MS + 1);
        assert!(refused.due(3 * SLACK_MS + 1 + EVERY_MS).is_some() && refused.shown.is_empty());
    }
}
