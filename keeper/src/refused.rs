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
/// Of both, one caller has one part in so many: the others keep their names.
const CALLERS: usize = 8;

/// Octets of a sum: an entry has 65,535 (`ledger::entry::MAX_LEN`), and what is around the sum takes few. The keys of two identities take half
/// of them at most.
const OCTETS_MAX: usize = 60_000;

/// Refusals since the last entry.
#[derive(Default)]
pub(crate) struct Refused {
    since_ms: Option<i64>,
    counts: BTreeMap<(String, &'static str), u64>,
    others: u64,
    /// Requests that were counted, with whose they are and when their signature is over: who has seen one can show it again until then.
    shown: HashMap<[u8; 32], (Arc<str>, i64)>,
    /// How many of these each caller has.
    shown_of: HashMap<Arc<str>, usize>,
    clashes: Vec<KeyClash>,
    /// How many of these each caller claimed.
    clashes_of: HashMap<String, usize>,
    clashes_untold: u64,
    /// When the sum was taken last.
    last_ms: Option<i64>,
}

/// Which request was refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    /// What makes it this one and no other.
    pub(crate) sha256: [u8; 32],
    /// When it was signed, in milliseconds since 1970.
    pub(crate) signed_ms: i64,
}

impl Refused {
    /// This caller presented a key for a second identity; the refusal itself is counted as any other.
    pub(crate) fn clash(&mut self, caller: &str, clash: &KeyClash, now_ms: i64) {
        self.since_ms.get_or_insert(now_ms);
        let same = |known: &&mut KeyClash| KeyClash { count: known.count, ..clash.clone() } == **known;
        let of_caller = self.clashes_of.get(caller).copied().unwrap_or_default();
        let full = self.clashes.len() >= CLASHES_MAX || of_caller >= CLASHES_MAX / CALLERS;
        match self.clashes.iter_mut().find(same) {
            Some(known) => known.count += 1,
            None if !full => {
                self.clashes.push(clash.clone());
                self.clashes_of.insert(caller.to_owned(), of_caller + 1);
            }
            // The refusal itself is in the sum of its caller.
            None => self.clashes_untold = self.clashes_untold.saturating_add(1),
        }
    }

    /// A refusal; `request` says which it was, where its caller signed it: one that is shown again is none of its caller's. Whether it was not.
    pub(crate) fn count(
        &mut self,
        caller: String,
        request: Option<Shown>,
        reason: Reason,
        now_ms: i64,
    ) -> bool {
        self.since_ms.get_or_insert(now_ms);
        if let Some(Shown { sha256, signed_ms }) = request {
            let of_caller = self.shown_of.get(&*caller).copied().unwrap_or_default();
            let room = self.shown.len() < SHOWN_MAX && of_caller < SHOWN_MAX / CALLERS;
            if self.shown.contains_key(&sha256) || !room {
                self.others += 1;
                return false;
            }
            let whose = match self.shown_of.get_key_value(&*caller) {
                Some((known, _)) => Arc::clone(known),
                None => caller.as_str().into(),
            };
            self.shown_of.insert(Arc::clone(&whose), of_caller + 1);
            // The keeper's clock may be set back by a step of NTP.
            self.shown.insert(sha256, (whose, signed_ms.saturating_add(2 * SLACK_MS)));
        }
        let full = self.counts.len() >= KINDS_MAX;
        match self.counts.get_mut(&(caller.clone(), reason.code())) {
            Some(count) => *count += 1,
            None if full => self.others += 1,
            None => {
                self.counts.insert((caller, reason.code()), 1);
            }
        }
        true
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
            "a public key was presented for a second identity: a machine was cloned, or a key copied; the ledger has them all"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_entry_a_minute_of_bounded_size() {
        let mut refused = Refused::default();
        for number in 0..10_000 {
            refused.count(format!("/controller/{}", number % 1000), None, Reason::GrantDoesNotCover, 0);
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
                refused.count(name(number), None, reason, 0);
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
        assert_eq!((sum.key_clashes.len(), sum.key_clashes[0].count), (CLASHES_MAX / CALLERS + 1, 5));
        assert!(sum.key_clashes.contains(&of_another), "one caller does not hide another's");
    }

    #[test]
    fn a_request_that_is_shown_again_is_counted_once_in_its_callers_name() {
        let mut refused = Refused::default();
        let count = |refused: &mut Refused, number: u64, now_ms| {
            let mut sha256 = [0; 32];
            sha256[..8].copy_from_slice(&number.to_be_bytes());
            let shown = Shown { sha256, signed_ms: 0 };
            refused.count("/controller/build".into(), Some(shown), Reason::GrantDoesNotCover, now_ms)
        };
        let new: Vec<bool> = (0..10).map(|number| count(&mut refused, number % 2, 0)).collect();
        assert_eq!(new, [&[true; 2][..], &[false; 8]].concat(), "a clash of it is counted with it");
        let sum = refused.due(EVERY_MS).unwrap();
        assert_eq!((sum.refusals[0].count, sum.others), (2, 8));
        // In the next minute, too, and as long as its signature is good.
        count(&mut refused, 1, EVERY_MS);
        let sum = refused.due(2 * EVERY_MS).unwrap();
        assert_eq!((sum.refusals.len(), sum.others), (0, 1));
        let most = (SHOWN_MAX / CALLERS) as u64;
        for number in 0..most + 5 {
            count(&mut refused, number, 2 * EVERY_MS);
        }
        // Another is told by name all the same.
        let shown = Shown { sha256: [9; 32], signed_ms: 0 };
        assert!(refused.count("/controller/other".into(), Some(shown), Reason::Frozen, 2 * EVERY_MS));
        let sum = refused.due(3 * EVERY_MS).unwrap();
        let told: Vec<_> = sum.refusals.iter().map(|told| (told.identity.as_str(), told.count)).collect();
        assert_eq!(
            (told, sum.others),
            (vec![("/controller/build", most - 2), ("/controller/other", 1)], 2 + 5)
        );
        // Then they are forgotten.
        refused.count("/agent/a".into(), None, Reason::Frozen, 2 * SLACK_MS + 1);
        assert!(refused.due(2 * SLACK_MS + 1 + EVERY_MS).is_some() && refused.shown.is_empty());
    }
}
