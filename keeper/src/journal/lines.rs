//! What the writer knows of certificates that can still be renewed or revoked, and of those that were revoked: made of the entries when the journal
//! is verified, and kept with each one appended since. Of a certificate that ended only what makes it the newest of its line stays.
//!
//! It takes some 150 bytes a certificate. Does not: know what the file's tables say; they are held against it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ledger::entry::revocation::Target;

use super::JournalError;
use super::revocation::{Scope, is_named};
use super::rows::{CertificateRow, RevokedWhole};

/// For how long a certificate that ended is remembered, in seconds: clocks differ.
const SLACK_SECS: i64 = 3600;

/// For how long a revocation is remembered after its certificate's end, in seconds: beyond the farthest that a clock may be ahead before officers
/// set it right.
const FAR_SECS: i64 = 100 * 86_400;

/// A certificate.
#[derive(Clone, Debug)]
struct Live {
    index: u64,
    serial: Box<[u8]>,
    issuer: Arc<[u8]>,
    not_after: i64,
    recorded_ms: i64,
    controller: Option<Arc<str>>,
    abandoned: bool,
}

/// Those of one subject, the oldest first.
#[derive(Debug, Default)]
struct Line {
    lifetime_secs: u32,
    certificates: Vec<Live>,
}

impl Line {
    /// But for the newest that anybody can hold, and those after it.
    fn forget(&mut self, now_ms: i64) {
        let newest = self.certificates.iter().rposition(|live| !live.abandoned).unwrap_or(0);
        let ended = now_ms.div_euclid(1000).saturating_sub(SLACK_SECS);
        let mut at = 0;
        self.certificates.retain(|live| {
            at += 1;
            at > newest || live.not_after >= ended
        });
    }
}

/// A revocation, as a list has it.
#[derive(Debug)]
struct Revoked {
    serial: Box<[u8]>,
    issuer: Arc<[u8]>,
    not_after: i64,
    at: i64,
    reason: i32,
    act: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: HashMap<Box<str>, Line>,
    revoked: HashMap<u64, Revoked>,
    /// Each text once.
    controllers: HashSet<Arc<str>>,
    issuers: HashSet<Arc<[u8]>>,
}

impl Lines {
    /// Begins a line, or goes on with one; `lifetime_secs` is that with which it began. What had ended by the log's time, in milliseconds since 1970,
    /// is forgotten: not by that of the row, which a clock that was ahead may have given it.
    pub(super) fn record(&mut self, row: &CertificateRow, lifetime_secs: u32, now_ms: i64) {
        let live = self.live(row);
        let line = self.lines.entry(row.subject.as_str().into()).or_default();
        line.lifetime_secs = lifetime_secs;
        line.certificates.push(live);
        line.forget(now_ms);
    }

    /// Forgets what had ended by the log's time, in milliseconds since 1970.
    pub(super) fn forget(&mut self, now_ms: i64) {
        self.lines.values_mut().for_each(|line| line.forget(now_ms));
    }

    fn live(&mut self, row: &CertificateRow) -> Live {
        Live {
            index: row.index,
            serial: row.serial.as_slice().into(),
            issuer: shared(&mut self.issuers, row.issuer.as_slice()),
            not_after: row.not_after,
            recorded_ms: row.recorded_ms,
            controller: row.controller.as_deref().map(|controller| shared(&mut self.controllers, controller)),
            abandoned: row.abandoned,
        }
    }

    /// A certificate is given up; `subject` is whose it is by the file's tables: it is looked for there first.
    pub(super) fn abandon(&mut self, subject: Option<&str>, index: u64) {
        let is_it = |live: &&mut Live| live.index == index;
        let first = subject.and_then(|subject| self.lines.get_mut(subject));
        if let Some(live) = first.and_then(|line| line.certificates.iter_mut().find(is_it)) {
            live.abandoned = true;
        } else if let Some(live) = self.lines.values_mut().flat_map(|line| &mut line.certificates).find(is_it)
        {
            live.abandoned = true;
        }
    }

    /// The newest certificate of a subject that was not given up.
    pub(super) fn newest_held(&self, subject: &str) -> Option<u64> {
        let line = self.lines.get(subject)?;
        line.certificates.iter().rev().find(|live| !live.abandoned).map(|live| live.index)
    }

    /// The lifetime with which a subject's line began, in seconds.
    pub(super) fn lifetime(&self, subject: &str) -> Option<u32> {
        self.lines.get(subject).map(|line| line.lifetime_secs)
    }

    /// Whether a certificate that is remembered was recorded under another controller's grant than this row says, or given up where it says not.
    pub(super) fn is_another(&self, row: &CertificateRow) -> bool {
        let line = self.lines.get(row.subject.as_str());
        let live = line.and_then(|line| line.certificates.iter().find(|live| live.index == row.index));
        live.is_some_and(|live| {
            (live.controller.as_deref(), live.abandoned) != (row.controller.as_deref(), row.abandoned)
        })
    }

    pub(super) fn is_revoked(&self, index: u64) -> bool {
        self.revoked.contains_key(&index)
    }

    /// Whether anything was revoked by an entry from `index` on.
    pub(super) fn revoked_since(&self, index: u64) -> bool {
        self.revoked.values().any(|revoked| revoked.act >= index)
    }

    /// A certificate that stands among the revoked of a journal that was verified.
    pub(super) fn was_revoked(&mut self, row: &RevokedWhole) {
        let issuer = shared(&mut self.issuers, row.issuer.as_slice());
        let serial = row.serial.as_slice().into();
        let RevokedWhole { not_after, at, reason, act, .. } = *row;
        self.revoked.insert(row.index, Revoked { serial, issuer, not_after, at, reason, act });
    }

    /// Takes over a revocation by the entry `act`, for this reason (RFC 5280 §5.3.1), which ended these certificates by the file's tables. `subject` is
    /// whose the one certificate is by them that a scope names: it is looked for there first.
    ///
    /// # Errors
    /// It ended others than it names, or ones that were revoked before: the tables are not as the entries say.
    pub(super) fn revoke(
        &mut self,
        scope: &Scope,
        (act, reason, ended): (u64, i32, &[u64]),
        subject: Option<&str>,
    ) -> Result<(), JournalError> {
        let named: Vec<Live> = self.named(scope, subject).cloned().collect();
        let mut wanted: Vec<u64> = named.iter().map(|live| live.index).collect();
        let mut ended = ended.to_vec();
        wanted.sort_unstable();
        ended.sort_unstable();
        if wanted != ended {
            return Err(JournalError::NotAsRecorded(vec!["certificate", "line", "revoked", "agent_ended"]));
        }
        for Live { index, serial, issuer, not_after, .. } in named {
            let at = scope.now_secs();
            self.revoked.insert(index, Revoked { serial, issuer, not_after, at, reason, act });
        }
        Ok(())
    }

    /// The same of certificates whose revocation a new epoch repeats: which those are, the act says.
    ///
    /// # Errors
    /// One was revoked before.
    pub(super) fn repeat(&mut self, rows: &[RevokedWhole]) -> Result<(), JournalError> {
        for row in rows {
            if self.is_revoked(row.index) || row.index >= row.act {
                return Err(JournalError::NotAsRecorded(vec!["revoked"]));
            }
            self.was_revoked(row);
        }
        Ok(())
    }

    /// How many a scope names that are not revoked and had not ended.
    pub(super) fn count(&self, scope: &Scope, subject: Option<&str>) -> u64 {
        self.named(scope, subject).count() as u64
    }

    /// What a scope names, is not revoked, and had not ended.
    fn named<'l>(&'l self, scope: &'l Scope, subject: Option<&str>) -> impl Iterator<Item = &'l Live> {
        let one = match scope.target() {
            Target::Agent(id) => Some(self.lines.get_key_value(&*format!("/agent/{id}"))),
            Target::Certificate(of) => subject
                .and_then(|subject| self.lines.get_key_value(subject))
                .filter(|(_, line)| line.certificates.iter().any(|live| live.index == of.index))
                .map(Some),
            Target::IssuedSince(_) => None,
        };
        let all = one.is_none().then(|| self.lines.iter());
        let lines = one.flatten().into_iter().chain(all.into_iter().flatten());
        let certificates =
            lines.flat_map(|(subject, line)| line.certificates.iter().map(move |live| (&**subject, live)));
        let is_named = |(subject, live): &(&str, &Live)| {
            let controller = live.controller.as_deref();
            is_named(scope.target(), live.index, subject, (controller, live.recorded_ms))
                && scope.reaches(controller, live.not_after)
                && !self.is_revoked(live.index)
        };
        certificates.filter(is_named).map(|(_, live)| live)
    }

    /// What a list of this issuer has, by serial number: everything that was revoked by an entry below `covers` and had not ended at `since_secs`, with
    /// when and why; and what a new epoch repeats of others. Forgets what no list has any more.
    pub(super) fn listed<'l>(
        &'l mut self,
        issuer: &[u8],
        (covers, since_secs): (u64, i64),
        repeated: &'l [(Vec<u8>, (i64, i32))],
    ) -> HashMap<&'l [u8], (i64, i32)> {
        self.revoked.retain(|_, revoked| revoked.not_after >= since_secs.saturating_sub(FAR_SECS));
        let own: HashSet<&[u8]> = self.revoked.values().map(|revoked| &*revoked.serial).collect();
        let repeated = repeated.iter().map(|(serial, of)| (serial.as_slice(), *of));
        let mut all: HashMap<_, _> = repeated.filter(|(serial, _)| !own.contains(serial)).collect();
        let is_on_it = |revoked: &&Revoked| {
            *revoked.issuer == *issuer && revoked.act < covers && revoked.not_after >= since_secs
        };
        let listed = self.revoked.values().filter(is_on_it);
        all.extend(listed.map(|revoked| (&*revoked.serial, (revoked.at, revoked.reason))));
        all
    }
}

/// The one copy of a text.
fn shared<T: ?Sized + Eq + std::hash::Hash>(known: &mut HashSet<Arc<T>>, text: &T) -> Arc<T>
where
    Arc<T>: for<'t> From<&'t T>,
{
    if let Some(same) = known.get(text) {
        return Arc::clone(same);
    }
    let new = Arc::from(text);
    known.insert(Arc::clone(&new));
    new
}

#[cfg(test)]
mod tests {
    use ledger::entry::{IssuedSince, Reference};

    use super::*;

    const NOW_MS: i64 = 1_000_000;

    fn row(index: u64, subject: &str, not_after: i64) -> CertificateRow {
        CertificateRow {
            index,
            serial: index.to_be_bytes().to_vec(),
            subject: subject.into(),
            issuer: vec![7; 32],
            not_after,
            controller: Some("build".into()),
            recorded_ms: 1_000_000,
            ..CertificateRow::default()
        }
    }

    fn of_agent(now_secs: i64) -> Scope {
        Scope::new(Target::Agent("a".into()), None, now_secs)
    }

    #[test]
    fn a_revocation_ends_all_that_it_names_and_nothing_else() {
        let fresh = || {
            let mut lines = Lines::default();
            for (index, subject, end) in
                [(1, "/agent/a", 900), (2, "/agent/a", 5000), (3, "/agent/b", 5000), (4, "/agent/a", 6000)]
            {
                lines.record(&row(index, subject, end), 60, NOW_MS);
            }
            lines
        };
        assert!(fresh().revoke(&of_agent(1000), (9, 1, &[4, 2]), None).is_ok());
        for other in [&[2][..], &[2, 4, 1], &[2, 3, 4], &[]] {
            assert!(fresh().revoke(&of_agent(1000), (9, 1, other), None).is_err(), "{other:?}");
        }
        let mut lines = fresh();
        lines.revoke(&of_agent(1000), (9, 1, &[2, 4]), None).unwrap();
        assert!(lines.revoke(&of_agent(1000), (10, 1, &[2, 4]), None).is_err(), "they were revoked before");
        lines.revoke(&of_agent(1000), (10, 1, &[]), None).unwrap();
        assert_eq!((fresh().count(&of_agent(1000), None), lines.count(&of_agent(1000), None)), (2, 0));
        assert!(lines.revoked_since(9) && !lines.revoked_since(10));
        let certificate = |index| {
            let target = Target::Certificate(Reference { index, ..Reference::default() });
            Scope::new(target, Some("build"), 1000)
        };
        // Whatever the file's tables say whose it is.
        for subject in [None, Some("/agent/a"), Some("/agent/b")] {
            fresh().revoke(&certificate(3), (9, 1, &[3]), subject).unwrap();
        }
        let since = Target::IssuedSince(IssuedSince { controller: "build".into(), since_unix_ms: 0 });
        fresh().revoke(&Scope::new(since, None, 1000), (9, 1, &[2, 3, 4]), None).unwrap();
        fresh()
            .revoke(&Scope::new(Target::Agent("a".into()), Some("other"), 1000), (9, 1, &[]), None)
            .unwrap();
    }

    #[test]
    fn the_newest_stays_and_what_ended_goes() {
        let mut lines = Lines::default();
        lines.record(&row(1, "/agent/a", 100), 60, NOW_MS);
        assert_eq!((lines.newest_held("/agent/a"), lines.lifetime("/agent/a")), (Some(1), Some(60)));
        let later = |index| CertificateRow { recorded_ms: 100_000_000, ..row(index, "/agent/a", 200_000) };
        lines.record(&later(2), 60, 100_000_000);
        assert_eq!(lines.lines["/agent/a"].certificates.len(), 1, "the first ended long ago");
        lines.record(&later(3), 60, 100_000_000);
        lines.abandon(Some("/agent/other"), 3);
        assert_eq!(lines.newest_held("/agent/a"), Some(2));
        assert_eq!(lines.newest_held("/agent/b"), None);
    }

    /// A clock that was days ahead gave a certificate its time, and officers set it right.
    #[test]
    fn a_row_of_a_time_to_come_has_nothing_forgotten() {
        let mut lines = Lines::default();
        lines.record(&row(1, "/agent/a", 5000), 60, NOW_MS);
        let ahead = CertificateRow { recorded_ms: 100_000_000, ..row(2, "/agent/a", 200_000) };
        lines.record(&ahead, 60, NOW_MS);
        assert_eq!(lines.count(&of_agent(1000), None), 2);
        lines.revoke(&of_agent(1000), (9, 1, &[1, 2]), None).unwrap();
        assert!(lines.is_revoked(1) && lines.is_revoked(2));
    }

    #[test]
    fn a_list_has_what_was_revoked_and_has_not_ended() {
        let mut lines = Lines::default();
        lines.record(&row(1, "/agent/a", 5000), 60, NOW_MS);
        lines.record(&row(2, "/agent/a", 6000), 60, NOW_MS);
        lines.revoke(&of_agent(1000), (9, 1, &[1, 2]), None).unwrap();
        let (one, two) = (1_u64.to_be_bytes(), 2_u64.to_be_bytes());
        let mut all_of = |covers, since, repeated: &[(Vec<u8>, (i64, i32))]| {
            let all = lines.listed(&[7; 32], (covers, since), repeated);
            let mut all: Vec<_> = all.into_iter().map(|(serial, of)| (serial.to_vec(), of)).collect();
            all.sort_unstable();
            all
        };
        let (one, two) = ((one.to_vec(), (1000, 1)), (two.to_vec(), (1000, 1)));
        assert_eq!(all_of(10, 1000, &[]), [one, two.clone()]);
        assert_eq!(all_of(9, 1000, &[]), [], "an entry that it does not take into account");
        assert_eq!(all_of(10, 5500, &[]), std::slice::from_ref(&two), "the first has ended");
        // Nor is it repeated: it was revoked, by its own journal.
        let (again, lost) = ((two.0.clone(), (2000, 4)), (vec![9], (2000, 4)));
        assert_eq!(all_of(10, 5500, &[again, lost.clone()]), [two, lost]);
    }
}
