//! Revocations and CRLs: who ended what, how many that were, and that the lists follow one another and leave none out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cell::{RepeatedRevocation, RevocationReason, RevocationTarget};
use ledger::entry::revocation::Target;
use ledger::entry::{Crl, Reference, Revocation};

use super::callers::{By, STEP_MS};
use super::certificates::Revoked;
use super::{Audit, Flaw};

/// The longest that any end-entity certificate lives, in seconds: one that began before has expired.
pub const LIFETIME_MAX_SECS: i64 = 7 * 86_400;

/// How long a list is good for at the most, in seconds.
pub const LIST_SECS: i64 = 86_400;
/// How long before its entry a list may have been begun, in seconds: the next one lists what ended since.
const BEGUN_SECS: i64 = 600;

/// Whether a list that is recorded at a time, in milliseconds since 1970, is of then.
pub fn is_of_its_time(crl: &Crl, time_unix_ms: i64) -> bool {
    let secs = time_unix_ms.div_euclid(1000);
    let begun = secs.saturating_sub(BEGUN_SECS)..=secs.saturating_add(STEP_MS / 1000);
    begun.contains(&crl.this_update_unix)
        && crl.next_update_unix > crl.this_update_unix
        && crl.next_update_unix <= crl.this_update_unix.saturating_add(LIST_SECS)
}

/// What officers approved and is to follow, and for each issuer what was revoked and the newest CRL.
#[derive(Default)]
pub(super) struct Revocations {
    /// By the index of the act.
    approved: BTreeMap<u64, (RevocationTarget, RevocationReason)>,
    /// By SHA-256 of the issuer's public key.
    issuers: BTreeMap<[u8; 32], Listed>,
    /// Serial numbers whose revocation was recorded in lost entries and is repeated.
    repeated: BTreeSet<Vec<u8>>,
    /// Entries that officers declared lost: numbers of lists up to this may be known elsewhere.
    lost: u64,
}

/// One issuer's revoked certificates and lists.
#[derive(Default)]
struct Listed {
    /// Number and thisUpdate of the newest CRL.
    newest: Option<(u64, i64)>,
    /// Revoked by entries that the newest CRL may not have taken into account: the entry, and the certificate's last second.
    recent: VecDeque<(u64, i64)>,
    /// Those that it has, counted by their last second.
    older: BTreeMap<i64, u64>,
    /// How many of those end at `counted_from` or later.
    counted: u64,
    counted_from: i64,
}

impl Listed {
    /// How many are revoked by entries below `covers`, and end at `since` or later.
    fn count(&mut self, covers: u64, since: i64) -> u64 {
        while let Some((_, not_after)) = self.recent.front().copied().filter(|(act, _)| *act < covers) {
            self.recent.pop_front();
            *self.older.entry(not_after).or_default() += 1;
            self.counted += u64::from(not_after >= self.counted_from);
        }
        // From one list to the next little ends: the count moves with it.
        let between =
            |from: i64, to: i64| -> u64 { self.older.range(from..to).map(|(_, count)| count).sum() };
        if since > self.counted_from {
            self.counted -= between(self.counted_from, since);
        } else {
            self.counted += between(since, self.counted_from);
        }
        self.counted_from = since;
        self.counted
    }
}

impl Revocations {
    /// Officers approved it.
    pub(super) fn approve(&mut self, index: u64, target: &RevocationTarget, reason: RevocationReason) {
        self.approved.insert(index, (target.clone(), reason));
    }

    /// Whether the act at this entry says that something is revoked, and nothing has done it.
    pub(super) fn is_owed(&self, act: u64) -> bool {
        self.approved.contains_key(&act)
    }

    /// Officers declared so many entries lost.
    pub(super) fn lost(&mut self, size: u64) {
        self.lost = self.lost.saturating_add(size);
    }

    fn revoked(&mut self, act: u64, revoked: Vec<Revoked>) {
        for Revoked { issuer, not_after } in revoked {
            self.issuers.entry(issuer).or_default().recent.push_back((act, not_after));
        }
    }

    /// A CRL follows the one before of its issuer, and lists all that was revoked before it.
    ///
    /// # Errors
    /// [`Flaw::Crl`], [`Flaw::CrlCount`].
    pub(super) fn crl(&mut self, index: u64, time_unix_ms: i64, crl: &Crl) -> Result<(), Flaw> {
        let issuer = crl.issuer_spki_sha256.as_slice().try_into().map_err(|_| Flaw::Crl)?;
        let most = self.lost.saturating_add(index).saturating_add(1);
        let listed = self.issuers.entry(issuer).or_default();
        let (number, before) = listed.newest.unwrap_or((0, crl.this_update_unix));
        // RFC 5280 §5.2.3: it increases; after a loss it leaps over what may be lost.
        let follows = crl.number > number
            && crl.number <= most
            && is_of_its_time(crl, time_unix_ms)
            && crl.tbs_sha256.len() == 32
            && crl.covers <= index;
        if !follows {
            return Err(Flaw::Crl);
        }
        listed.newest = Some((crl.number, crl.this_update_unix));
        // One that expired since the CRL before stands on one more (RFC 5280 §3.3).
        let made = listed.count(crl.covers, before.min(crl.this_update_unix));
        if made == crl.revoked { Ok(()) } else { Err(Flaw::CrlCount { says: crl.revoked, made }) }
    }
}

impl Audit {
    /// Takes over revocations of what is lost, which officers repeat by the act of a new epoch: those of certificates that are known, and the
    /// others until none of that time can live.
    pub(super) fn repeat(&mut self, index: u64, time_unix_ms: i64, repeated: &[RepeatedRevocation]) {
        let secs = time_unix_ms.div_euclid(1000);
        let active = self.authority.in_force().and_then(|bundle| bundle.contents().active_issuer());
        for RepeatedRevocation { serial, .. } in repeated {
            if !self.revocations.repeated.insert(serial.as_bytes().to_vec()) {
                continue;
            }
            let known = self.certificates.with_serial(serial.as_bytes());
            if known.and_then(|index| self.certificates.get(index)).is_some_and(|one| one.revoked) {
                continue;
            }
            let target = known.map(|index| Target::Certificate(Reference { index, ..Reference::default() }));
            let mut revoked =
                target.map_or_else(Vec::new, |target| self.certificates.revoke(&target, None, secs));
            if revoked.is_empty() {
                let not_after = secs.saturating_add(LIFETIME_MAX_SECS);
                revoked.extend(active.map(|issuer| Revoked { issuer, not_after }));
            }
            self.revocations.revoked(index, revoked);
        }
    }

    /// Judges a revocation: on officers' word, or a controller's under a grant of its own, of as many as it says.
    pub(super) fn judge_revocation(
        &mut self,
        index: u64,
        by: By<'_>,
        revocation: &Revocation,
    ) -> Result<(), Flaw> {
        let target = revocation.target.as_ref().ok_or(Flaw::Revocation)?;
        // A list must be able to say it.
        certs::crl::Reason::try_from(revocation.reason).map_err(|_| Flaw::Revocation)?;
        match by {
            By::Officers => self.by_officers(index, revocation, target),
            By::Caller(caller) => {
                let controller = caller.identity.strip_prefix("/controller/").ok_or(Flaw::Unapproved)?;
                let approval = revocation.approval.as_ref();
                let grant = self.authority.controllers.grant(controller, &revocation.grant, approval)?;
                match target {
                    Target::Agent(id) if !grant.speaks_for(&id.parse()?) => Err(Flaw::Unapproved),
                    Target::IssuedSince(issued) if issued.controller != controller => Err(Flaw::Unapproved),
                    _ => Ok(()),
                }
            }
            // Its own certificate, when it has the next.
            By::Service => match target {
                Target::Certificate(reference)
                    if self
                        .certificates
                        .get(reference.index)
                        .is_some_and(|one| &*one.subject == super::issuances::SERVICE) =>
                {
                    Ok(())
                }
                _ => Err(Flaw::Unapproved),
            },
        }
    }

    /// What officers revoke is what the act just before it says, once.
    fn by_officers(&mut self, index: u64, revocation: &Revocation, target: &Target) -> Result<(), Flaw> {
        let approval = revocation.approval.as_ref().map(|approval| approval.index);
        let act = approval.filter(|act| act + 1 == index);
        let act = act.and_then(|act| self.revocations.approved.remove(&act));
        let (approved, reason) = act.ok_or(Flaw::Unapproved)?;
        let same = match (&approved, target) {
            (RevocationTarget::Entry(approved), Target::Certificate(certificate)) => {
                *approved == certificate.index
            }
            (RevocationTarget::Serial(serial), Target::Certificate(certificate)) => {
                self.certificates.with_serial(serial.as_bytes()) == Some(certificate.index)
            }
            (RevocationTarget::Agent(approved), Target::Agent(id)) => approved.as_str() == id,
            (RevocationTarget::IssuedSince { controller, since }, Target::IssuedSince(issued)) => {
                controller.as_str() == issued.controller && since.as_millisecond() == issued.since_unix_ms
            }
            _ => false,
        };
        // A keeper records none of nothing: it would be spent, and nothing revoked.
        if same && i32::from(reason.code()) == revocation.reason && revocation.revoked > 0 {
            Ok(())
        } else {
            Err(Flaw::Revocation)
        }
    }

    /// Takes a revocation over.
    ///
    /// # Errors
    /// It ends another number of certificates than it says.
    pub(super) fn revoke(
        &mut self,
        index: u64,
        identity: &str,
        revocation: &Revocation,
        time_unix_ms: i64,
    ) -> Result<(), Flaw> {
        let target = revocation.target.as_ref().ok_or(Flaw::Revocation)?;
        let controller = identity.strip_prefix("/controller/");
        let revoked = self.certificates.revoke(target, controller, time_unix_ms.div_euclid(1000));
        let made = revoked.len() as u64;
        self.revocations.revoked(index, revoked);
        if made == revocation.revoked {
            Ok(())
        } else {
            Err(Flaw::RevocationCount { says: revocation.revoked, made })
        }
    }
}
