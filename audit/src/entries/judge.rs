//! Each entry judged by those before it, and what it says taken over.

use cell::{Act, LogOrigin, Tree};
use ledger::entry::entry::Kind;
use ledger::entry::{self, Entry, EntryError, Reference};

use super::authority::Authority;
use super::callers::{By, said};
use super::{Audit, Flaw, Item, TIMES_MS};

impl Audit {
    /// Judges an entry by those before it, and takes over what it says.
    pub(super) fn judge(&mut self, item: &Item<'_>, entry: &Entry, flaws: &mut Vec<Flaw>) {
        let Item { index, signature, request, .. } = *item;
        if index == 0 {
            // Every log begins in its first epoch.
            let origin = format!("{}/log/1", entry.cell).parse();
            self.origins.extend(origin);
        }
        let by = match said(entry) {
            Ok(by) => by,
            Err(flaw) => return flaws.push(flaw),
        };
        let is_known = index < self.known;
        match by {
            By::Caller(caller) if is_known => {
                self.remember_request(index, entry, &caller);
                self.bodies.keep(index, entry, &caller, request.is_some(), self.known_secs);
            }
            By::Caller(caller) => {
                flaws.extend(self.judge_caller(index, entry, &caller).err().map(Flaw::from));
                let beside = (request, !signature.is_empty());
                flaws.extend(self.judge_request(index, entry, &caller, beside).err().map(Flaw::from));
            }
            By::Officers | By::Service => {}
        }
        let Some(kind) = self.take(item, entry, by, flaws) else { return };
        // Both are recorded as one: an act that stands alone would be spent, and nothing revoked.
        if index.checked_sub(1).is_some_and(|act| !is_known && self.revocations.is_owed(act)) {
            flaws.push(Flaw::NotCarriedOut);
        }
        *self.report.kinds.entry(kind).or_default() += 1;
        if !self.authority.is_of_cell(&entry.cell) {
            flaws.push(Flaw::OtherCell);
        }
        if !is_known && !TIMES_MS.contains(&entry.time_unix_ms) {
            flaws.push(Flaw::Time);
        }
        let is_proven = is_known || (matches!(by, By::Caller(_)) && flaws.is_empty());
        self.recorded(entry, is_proven);
    }

    /// Judges what an entry says, and takes it over: its kind; none where it says nothing.
    fn take(
        &mut self,
        item: &Item<'_>,
        entry: &Entry,
        by: By<'_>,
        flaws: &mut Vec<Flaw>,
    ) -> Option<&'static str> {
        let Item { index, signature, .. } = *item;
        let is_known = index < self.known;
        Some(match (entry.kind.as_ref(), by) {
            (Some(Kind::Charter(charter)), By::Officers) => {
                flaws.extend(self.authority.charter(index, &charter.note).err());
                "charter"
            }
            (Some(Kind::Bundle(bundle)), By::Officers) => {
                flaws.extend(self.authority.bundle(&bundle.note).err());
                "bundle"
            }
            (Some(Kind::Act(act)), By::Officers) => {
                flaws.extend(self.act(index, entry, act).err());
                "act"
            }
            (Some(Kind::Ceremony(ceremony)), By::Officers) => {
                flaws.extend(self.authority.ceremony(ceremony).err());
                "ceremony"
            }
            (Some(Kind::CaCertificate(ca)), By::Officers) => {
                flaws.extend(self.ca_certificate(ca, signature).err());
                "ca_certificate"
            }
            (Some(Kind::Issuance(issuance)), _) if is_known => {
                self.take_issuance(index, entry, issuance, signature);
                "issuance"
            }
            (Some(Kind::Issuance(issuance)), _) => {
                self.issuance(index, entry, issuance, signature, flaws);
                "issuance"
            }
            (Some(Kind::AgentChange(change)), By::Caller(caller)) => {
                let Self { authority: Authority { controllers, stops, .. }, .. } = self;
                if !is_known {
                    flaws.extend(controllers.judge_change(change, caller.identity, stops).err());
                }
                controllers.change(index, change);
                "agent_change"
            }
            (Some(Kind::Abandonment(given_up)), By::Service) => {
                flaws.extend(self.abandonment(given_up.certificate.as_ref()).err().filter(|_| !is_known));
                "abandonment"
            }
            (Some(Kind::Revocation(revocation)), _) => {
                let identity = entry.actor.as_ref().map_or("", |actor| actor.identity.as_str());
                let judged = self.judge_revocation(index, by, revocation);
                let counted = self.revoke(index, identity, revocation, entry.time_unix_ms);
                flaws.extend([judged, counted].into_iter().filter_map(Result::err).filter(|_| !is_known));
                "revocation"
            }
            (Some(Kind::Crl(crl)), By::Service) => {
                let judged = self.issuers.may_sign(&crl.issuer_spki_sha256);
                let follows = self.revocations.crl(index, entry.time_unix_ms, crl);
                flaws.extend([judged, follows].into_iter().filter_map(Result::err).filter(|_| !is_known));
                "crl"
            }
            (Some(Kind::Refusals(_)), By::Service) => "refusals",
            (Some(Kind::Custody(custody)), By::Service | By::Officers) => {
                flaws.extend(self.manifest(index, by, custody).err().filter(|_| !is_known));
                "custody"
            }
            (None, _) => {
                flaws.push(EntryError::NoKind.into());
                return None;
            }
            _ => {
                flaws.push(Flaw::Actor);
                return None;
            }
        })
    }

    /// Takes over when an entry was recorded, and what its caller changed.
    pub(super) fn recorded(&mut self, entry: &Entry, is_proven: bool) {
        if is_proven {
            self.proven_ms = self.proven_ms.max(entry.time_unix_ms);
        }
        let Self { changes, certificates, .. } = self;
        changes.follow(entry, |index| certificates.get(index).map(|one| one.subject.to_string()));
        self.requests.recorded(entry.time_unix_ms);
        self.newest_ms = self.newest_ms.max(entry.time_unix_ms);
    }

    /// A custody manifest follows the one before; officers' is what their founding ceremony proves.
    pub(super) fn manifest(&mut self, index: u64, by: By<'_>, custody: &entry::Custody) -> Result<(), Flaw> {
        let Self { manifests, origins, .. } = self;
        let is_ours = |to: &Reference| origins.iter().any(|ours| *ours == *to.origin);
        let followed = manifests.judge(index, custody, is_ours);
        match by {
            By::Officers => self.authority.founding_manifest(custody),
            By::Service | By::Caller(_) => followed,
        }
    }

    pub(super) fn act(&mut self, index: u64, entry: &Entry, act: &entry::Act) -> Result<(), Flaw> {
        let now = self.origins.last().ok_or(Flaw::NoCharter)?;
        let act = self.authority.act(index, entry, act, now)?;
        if !act.is_of_this_log(index) {
            return Err(Flaw::ClockOfBefore);
        }
        if index >= self.known && !may_go_back(&act) && self.requests.is_past(entry.time_unix_ms) {
            return Err(Flaw::Time);
        }
        match act {
            Act::EpochOpen { epoch, kept, lost, revoked, .. } => {
                self.revocations.lost(lost.size);
                self.repeat(index, entry.time_unix_ms, &revoked);
                self.open_epoch(&epoch, kept)
            }
            Act::CertificateRevoke { target, reason } => {
                self.revocations.approve(index, &target, reason);
                Ok(())
            }
            Act::ClockConfirm { .. } => {
                self.requests.clock_confirmed(entry.time_unix_ms);
                self.changes.clock_confirmed(entry.time_unix_ms);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn ca_certificate(&mut self, ca: &entry::CaCertificate, signature: &[u8]) -> Result<(), Flaw> {
        self.authority.ca_certificate(ca)?;
        self.issuers.add(ca, signature, self.authority.anchors_in_force())?;
        self.count(true);
        Ok(())
    }

    /// The log goes on under its next origin, with exactly the entries that are here.
    pub(super) fn open_epoch(&mut self, epoch: &LogOrigin, kept: Tree) -> Result<(), Flaw> {
        let before = self.origins.last().and_then(|origin| origin.as_str().parse::<LogOrigin>().ok());
        let head = self.tree.head();
        let follows = before.is_some_and(|before| before.cell == epoch.cell && before.epoch < epoch.epoch)
            && kept == (Tree { size: head.size, root: *head.root.as_bytes() });
        if !follows {
            return Err(Flaw::OtherEpoch);
        }
        self.origins.push(epoch.to_string().parse().map_err(|_| Flaw::OtherEpoch)?);
        Ok(())
    }

    pub(super) fn count(&mut self, signed: bool) {
        if signed {
            self.report.signed += 1;
        } else {
            self.report.unsigned += 1;
        }
    }
}

/// Whether an act may be recorded at a time before the newest entry's. One that stops may have been laid beside the journal; one that sets the
/// clock, or goes on after a loss, is about that time. What gives is good until it expires, by the time at which it was recorded.
fn may_go_back(act: &Act) -> bool {
    matches!(
        act,
        Act::Freeze
            | Act::RenewalsStop
            | Act::RenewalsStopConfirm
            | Act::ClockConfirm { .. }
            | Act::EpochOpen { .. }
    )
}
