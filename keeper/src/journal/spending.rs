//! What was spent of the budgets, by the entries of the last week. It is in the keeper's memory alone: what stood in the file could be set to nothing
//! there.

use std::collections::{BTreeMap, HashMap};

use ledger::entry::entry::Kind;
use ledger::entry::{Entry, Profile};

use super::JournalError;
use super::rows::payer;
use crate::HOUR_MS;

/// How many hours are kept before the latest that is proved: officers who set the clock right may set the log's time back.
const KEPT_HOURS: i64 = 7 * 24;

/// Entries of one payer under one grant, by the hour (hours since 1970).
type Hours = BTreeMap<i64, u32>;

/// By payer and grant, and for certificates that are on no grant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spending {
    /// By payer and grant. An agent's own renewals are under its SPIFFE path and no grant.
    drawn: HashMap<(String, String), Hours>,
    /// The service's own certificates that were not given up, each with its hour.
    own: BTreeMap<u64, i64>,
    /// The latest hour in which a caller caused an entry, whose signature says when: no word of the service moves it.
    latest: i64,
}

impl Spending {
    /// Takes the entry at `index` over. `owner` knows the controller that owns an agent.
    ///
    /// # Errors
    /// Those of `owner`.
    pub(super) fn follow(
        &mut self,
        index: u64,
        entry: &Entry,
        owner: impl FnOnce(&str) -> Result<Option<String>, JournalError>,
    ) -> Result<(), JournalError> {
        let hour = entry.time_unix_ms.div_euclid(HOUR_MS);
        let grant = match &entry.kind {
            Some(Kind::Issuance(issuance)) => {
                if issuance.renews.is_some() && issuance.profile() == Profile::Agent {
                    self.draw(&issuance.subject, "", hour);
                }
                if issuance.profile() == Profile::Service {
                    self.own.insert(index, hour);
                }
                &issuance.grant
            }
            Some(Kind::AgentChange(change)) => &change.grant,
            Some(Kind::Revocation(revocation)) => &revocation.grant,
            Some(Kind::Abandonment(given_up)) => {
                given_up.certificate.as_ref().map(|to| self.own.remove(&to.index));
                return Ok(());
            }
            _ => return Ok(()),
        };
        if let Some(controller) = payer(entry, grant, owner)? {
            self.draw(&controller, grant, hour);
            if hour > self.latest {
                self.latest = hour;
                self.forget(hour - KEPT_HOURS);
            }
        }
        Ok(())
    }

    fn draw(&mut self, payer: &str, grant: &str, hour: i64) {
        let hours = self.drawn.entry((payer.to_owned(), grant.to_owned())).or_default();
        let entries = hours.entry(hour).or_default();
        *entries = entries.saturating_add(1);
    }

    fn forget(&mut self, before: i64) {
        self.drawn.retain(|_, hours| {
            hours.retain(|hour, _| *hour >= before);
            !hours.is_empty()
        });
        self.own.retain(|_, hour| *hour >= before);
    }

    /// Entries that a payer caused under a grant in this hour.
    pub(super) fn spent(&self, payer: &str, grant: &str, hour: i64) -> u32 {
        let hours = self.drawn.get(&(payer.to_owned(), grant.to_owned()));
        hours.and_then(|hours| hours.get(&hour)).copied().unwrap_or_default()
    }

    /// Certificates of its own that the service was given in this hour. What was given up was given to nobody: nobody's word but its issuer's signature
    /// makes one count after a restart.
    pub(super) fn own(&self, hour: i64) -> usize {
        self.own.values().filter(|of| **of == hour).count()
    }
}

#[cfg(test)]
mod tests {
    use ledger::entry::{Abandonment, Actor, AgentChange, Issuance, Reference, Revocation};

    use super::*;

    fn entry(hour: i64, identity: &str, kind: Kind) -> Entry {
        let actor = Actor { identity: identity.into(), ..Actor::default() };
        Entry { time_unix_ms: hour * HOUR_MS, actor: Some(actor), kind: Some(kind), ..Entry::default() }
    }

    fn follow(spending: &mut Spending, index: u64, entry: &Entry) {
        spending.follow(index, entry, |agent| Ok((agent == "build/a").then(|| "build".into()))).unwrap();
    }

    #[test]
    fn an_hour_s_entries_are_their_payer_s() {
        let mut spending = Spending::default();
        let issued = |grant: &str, renews: bool| {
            let renews = renews.then(Reference::default);
            let (subject, grant) = ("/agent/build/a".into(), grant.into());
            let profile = Profile::Agent.into();
            Kind::Issuance(Issuance { subject, grant, renews, profile, ..Issuance::default() })
        };
        follow(&mut spending, 1, &entry(7, "/controller/build", issued("g", false)));
        follow(&mut spending, 2, &entry(7, "/agent/build/a", issued("g", true)));
        assert_eq!((spending.spent("build", "g", 7), spending.spent("/agent/build/a", "", 7)), (2, 1));
        assert_eq!((spending.spent("build", "g", 8), spending.spent("build", "h", 7)), (0, 0));
        follow(&mut spending, 3, &entry(8, "/controller/build", issued("h", false)));
        assert_eq!(spending.spent("build", "g", 7), 2, "officers may set the clock back");
        let later = 8 + KEPT_HOURS;
        follow(&mut spending, 4, &entry(later, "/controller/build", issued("h", false)));
        assert_eq!((spending.spent("build", "g", 7), spending.spent("build", "h", later)), (0, 1));
    }

    /// As a word of the service is that somebody wrote, before officers set the clock right.
    #[test]
    fn no_word_of_the_service_forgets_what_was_spent() {
        let mut spending = Spending::default();
        let change =
            |grant: &str| Kind::AgentChange(AgentChange { grant: grant.into(), ..AgentChange::default() });
        follow(&mut spending, 1, &entry(7, "/controller/build", change("g")));
        let revocation = Kind::Revocation(Revocation::default());
        follow(&mut spending, 2, &entry(7 + 2 * KEPT_HOURS, "/service/ca", revocation));
        assert_eq!(spending.spent("build", "g", 7), 1);
    }

    #[test]
    fn what_was_given_up_was_not_given() {
        let mut spending = Spending::default();
        let own = Kind::Issuance(Issuance { profile: Profile::Service.into(), ..Issuance::default() });
        follow(&mut spending, 1, &entry(7, "/service/ca", own.clone()));
        follow(&mut spending, 2, &entry(7, "/service/ca", own));
        assert_eq!(spending.own(7), 2);
        let certificate = Some(Reference { index: 1, ..Reference::default() });
        let given_up = Kind::Abandonment(Abandonment { certificate, ..Abandonment::default() });
        follow(&mut spending, 3, &entry(7, "/service/ca", given_up));
        assert_eq!(spending.own(7), 1);
    }
}
