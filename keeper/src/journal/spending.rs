//! What was spent of the budgets of an hour, by the entries. It is in the keeper's memory alone: it follows from the entries of an hour or two, and
//! what stood in the file could be set to nothing there.

use std::collections::{BTreeMap, HashMap};

use ledger::entry::entry::Kind;
use ledger::entry::{Entry, Profile};

use super::JournalError;
use super::rows::payer;
use crate::HOUR_MS;

/// By payer and grant, and for certificates that are on no grant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spending {
    /// By payer and grant, the hour of the newest entry (hours since 1970) and how many there were in it. An agent's own renewals are under its SPIFFE
    /// path and no grant.
    drawn: HashMap<(String, String), (i64, u32)>,
    /// The service's own certificates that were not given up, each with its hour.
    own: BTreeMap<u64, i64>,
    /// The latest hour so far.
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
        }
        if hour > self.latest {
            self.latest = hour;
            // A clock that is right is behind by less than an hour.
            self.drawn.retain(|_, (of, _)| *of >= hour - 1);
            self.own.retain(|_, of| *of >= hour - 1);
        }
        Ok(())
    }

    fn draw(&mut self, payer: &str, grant: &str, hour: i64) {
        let drawn = self.drawn.entry((payer.to_owned(), grant.to_owned())).or_insert((hour, 0));
        *drawn = if drawn.0 == hour { (hour, drawn.1.saturating_add(1)) } else { (hour, 1) };
    }

    /// Entries that a payer caused under a grant in this hour.
    pub(super) fn spent(&self, payer: &str, grant: &str, hour: i64) -> u32 {
        let drawn = self.drawn.get(&(payer.to_owned(), grant.to_owned()));
        drawn.filter(|(of, _)| *of == hour).map_or(0, |(_, entries)| *entries)
    }

    /// Certificates of its own that the service was given in this hour. What was given up was given to nobody: nobody's word but its issuer's signature
    /// makes one count after a restart.
    pub(super) fn own(&self, hour: i64) -> usize {
        self.own.values().filter(|of| **of == hour).count()
    }
}

#[cfg(test)]
mod tests {
    use ledger::entry::{Abandonment, Actor, Issuance, Reference};

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
        assert_eq!(spending.spent("build", "g", 7), 2, "a clock may be set back by less");
        follow(&mut spending, 4, &entry(9, "/controller/build", issued("h", false)));
        assert_eq!((spending.spent("build", "g", 7), spending.spent("build", "h", 9)), (0, 1));
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
