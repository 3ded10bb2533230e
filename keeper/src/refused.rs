//! Refusals, summed by the minute: they are recorded, and a flood of them makes no flood of entries.

use std::collections::BTreeMap;

use ledger::entry::{Refusal, Refusals};
use proto::v1::Reason;

/// How long they are summed, in milliseconds.
const EVERY_MS: i64 = 60_000;
/// Most callers and reasons in one entry.
const KINDS_MAX: usize = 256;

/// Refusals since the last entry.
#[derive(Default)]
pub(crate) struct Refused {
    since_ms: Option<i64>,
    counts: BTreeMap<(String, &'static str), u64>,
    others: u64,
}

impl Refused {
    pub(crate) fn count(&mut self, caller: String, reason: Reason, now_ms: i64) {
        self.since_ms.get_or_insert(now_ms);
        let full = self.counts.len() >= KINDS_MAX;
        match self.counts.get_mut(&(caller.clone(), reason.code())) {
            Some(count) => *count += 1,
            None if full => self.others += 1,
            None => {
                self.counts.insert((caller, reason.code()), 1);
            }
        }
    }

    /// The sum, once a minute has passed since the first.
    pub(crate) fn due(&mut self, now_ms: i64) -> Option<Refusals> {
        let since_ms = self.since_ms.filter(|since| now_ms - since >= EVERY_MS)?;
        let Self { counts, others, .. } = std::mem::take(self);
        let refusals = counts
            .into_iter()
            .map(|((identity, reason), count)| Refusal { identity, reason: reason.to_owned(), count })
            .collect();
        Some(Refusals { since_unix_ms: since_ms, refusals, others })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_entry_a_minute_of_bounded_size() {
        let mut refused = Refused::default();
        for number in 0..10_000 {
            refused.count(format!("/controller/{}", number % 1000), Reason::GrantDoesNotCover, 0);
        }
        assert_eq!(refused.due(EVERY_MS - 1), None);
        let sum = refused.due(EVERY_MS).unwrap();
        assert_eq!(sum.refusals.len(), KINDS_MAX);
        assert_eq!(sum.refusals.iter().map(|refusal| refusal.count).sum::<u64>() + sum.others, 10_000);
        assert_eq!(refused.due(EVERY_MS * 2), None);
    }
}
