//! Certificates of agents, controllers and the service: that each is what policy made of what was asked.

use certs::lint::{Given, examine};
use certs::{CertificateSummary, Profile as Kind, TbsFields};
use ledger::entry::{Entry, Issuance, Profile, Reference};
use sha2::{Digest, Sha256};

use super::callers::By;
use super::certificates::Recording;
use super::{Audit, Flaw};

/// SPIFFE path of the service.
pub(super) const SERVICE: &str = "/service/ca";
/// Longest lifetime of a controller's certificate, in seconds: 7 days.
const CONTROLLER_SECS: u32 = 7 * 86_400;
/// Longest lifetime of the service's own, in seconds.
const SERVICE_SECS: u32 = 86_400;
/// How long a controller renews on one officers' act, in seconds: 90 days.
const LINE_SECS: i64 = 90 * 86_400;
/// The rule that the signature is the issuer's; nothing to look at where there is none.
const SIGNATURE: &str = "signature";

/// A certificate as its entry and its bytes have it.
struct Read<'e> {
    entry: &'e Entry,
    issuance: &'e Issuance,
    summary: CertificateSummary,
    fields: TbsFields,
}

impl Audit {
    /// Judges a certificate, and takes it over. Every flaw that it has is added.
    pub(super) fn issuance(
        &mut self,
        index: u64,
        entry: &Entry,
        issuance: &Issuance,
        signature: &[u8],
        flaws: &mut Vec<Flaw>,
    ) {
        let by = super::callers::said(entry);
        match self.judge_bytes(entry, issuance, signature, flaws) {
            Ok(read) => {
                flaws.extend(judge_names(&read).err());
                flaws.extend(self.judge_uniqueness(&read).err());
                flaws.extend(by.and_then(|by| self.judge_authority(index, by, &read)).err());
                flaws.extend(self.judge_renewal(by_of(entry), &read).err());
            }
            Err(flaw) => flaws.push(flaw),
        }
        self.take_issuance(index, entry, issuance, signature);
    }

    /// Takes a certificate over without judging it.
    pub(super) fn take_issuance(&mut self, index: u64, entry: &Entry, issuance: &Issuance, signature: &[u8]) {
        self.count(!signature.is_empty());
        if signature.is_empty() {
            self.pending.insert(index);
        }
        let Ok(fields) = TbsFields::parse(&issuance.tbs) else { return };
        let begins_secs = issuance.renews.is_none().then_some(issuance.lifetime_seconds);
        // One without a signature may be given up yet.
        let is_signed = !signature.is_empty();
        if index < self.known && is_signed && fields.not_after < self.known_secs {
            let of = (issuance.subject.as_str(), fields.spki_sha256());
            return self.certificates.pass_over(index, of, begins_secs);
        }
        let der = is_signed.then(|| self.issuers.join(issuance, signature).ok()).flatten();
        let identity = entry.actor.as_ref().map_or("", |actor| actor.identity.as_str());
        let controller = match (identity.strip_prefix("/controller/"), identity.strip_prefix("/agent/")) {
            _ if issuance.grant.is_empty() => None,
            (Some(controller), _) => Some(controller.to_owned()),
            (_, Some(agent)) => self.authority.controllers.agent(agent).map(|record| record.owner.clone()),
            _ => None,
        };
        let recording = Recording {
            index,
            subject: &issuance.subject,
            issuer: issuance.issuer_spki_sha256.as_slice().try_into().unwrap_or_default(),
            controller: controller.as_deref(),
            sha256: der.map(|der| Sha256::digest(der).into()),
            time_unix_ms: entry.time_unix_ms,
            begins_secs,
        };
        self.certificates.add(&recording, &fields);
    }

    /// The bytes are a certificate of its kind by an active issuer, and pass every rule.
    fn judge_bytes<'e>(
        &self,
        entry: &'e Entry,
        issuance: &'e Issuance,
        signature: &[u8],
        flaws: &mut Vec<Flaw>,
    ) -> Result<Read<'e>, Flaw> {
        let issuer = self.issuers.issuer(&issuance.issuer_spki_sha256)?;
        flaws.extend(self.authority.is_active(&issuance.issuer_spki_sha256).err());
        let profile = match issuance.profile() {
            Profile::Agent => Kind::Agent,
            Profile::Controller => Kind::Controller,
            Profile::Service => Kind::Service,
            Profile::Unspecified => return Err(Flaw::OtherSubject),
        };
        let der = self.issuers.join(issuance, signature)?;
        let given = Given {
            profile: Some(profile),
            issuer: Some(issuer),
            attributes_oid: self.oid,
            now: u64::try_from(entry.time_unix_ms.div_euclid(1000)).unwrap_or_default(),
        };
        for finding in examine(&der, &given).findings {
            match finding.rule {
                SIGNATURE if signature.is_empty() => {}
                SIGNATURE => flaws.push(certs::BadSignature.into()),
                _ => flaws.push(Flaw::Lint(finding)),
            }
        }
        let summary = CertificateSummary::parse(&der, self.oid).map_err(|_| Flaw::Certificate)?;
        let fields = TbsFields::parse(&issuance.tbs).map_err(|_| Flaw::Certificate)?;
        Ok(Read { entry, issuance, summary, fields })
    }

    /// No other certificate has its serial number, no other identity its key.
    fn judge_uniqueness(&self, read: &Read<'_>) -> Result<(), Flaw> {
        if self.certificates.with_serial(&read.fields.serial).is_some() {
            return Err(Flaw::SerialTwice);
        }
        match self.certificates.holder(&read.fields.spki) {
            Some(holder) if holder != read.issuance.subject => Err(Flaw::KeyOfTwo),
            _ if self.issuers.is_ca(&read.fields.spki) => Err(Flaw::KeyOfTwo),
            _ => Ok(()),
        }
    }

    /// Who asked may have it, for as long as it lives.
    fn judge_authority(&self, index: u64, by: By<'_>, read: &Read<'_>) -> Result<(), Flaw> {
        let Read { entry, issuance, summary, fields, .. } = read;
        let approval = issuance.approval.as_ref().filter(|approval| self.is_origin(&approval.origin));
        let lifetime = fields.not_after.saturating_sub(fields.not_before).saturating_add(1);
        if lifetime > i64::from(issuance.lifetime_seconds) {
            return Err(Flaw::Lifetime);
        }
        if issuance.profile() != Profile::Service {
            self.authority.stops.issuance(issuance.renews.is_some(), entry.time_unix_ms)?;
        }
        match (issuance.profile(), by) {
            (Profile::Agent, By::Caller(caller)) => {
                self.authority.controllers.issuance(issuance, approval, summary, caller.identity)
            }
            (Profile::Controller, By::Caller(caller)) if caller.identity == issuance.subject => {
                let began_ms = self.authority.controllers.of_line(issuance, approval)?;
                let ends = began_ms.div_euclid(1000).saturating_add(LINE_SECS);
                let within = issuance.lifetime_seconds <= CONTROLLER_SECS && fields.not_after <= ends;
                if within { Ok(()) } else { Err(Flaw::Lifetime) }
            }
            (Profile::Controller, By::Officers) if issuance.lifetime_seconds <= CONTROLLER_SECS => {
                self.authority.controllers.of_line(issuance, approval)?;
                self.authority.controllers.first_of_line(index, issuance, &fields.spki)
            }
            // The service's own: the keeper's configuration names it, nobody approves it.
            (Profile::Service, By::Service) if issuance.lifetime_seconds <= SERVICE_SECS => Ok(()),
            (Profile::Controller, By::Officers) | (Profile::Service, By::Service) => Err(Flaw::Lifetime),
            _ => Err(Flaw::Unapproved),
        }
    }

    /// A renewal is of the newest certificate of its line, which the caller presented, and for no longer than the line began with.
    fn judge_renewal(&self, presented: Option<u64>, read: &Read<'_>) -> Result<(), Flaw> {
        let Read { issuance, .. } = read;
        let Some(renews) = &issuance.renews else { return Ok(()) };
        let newest = self.certificates.newest(&issuance.subject);
        let renewed = Some(renews.index).filter(|_| self.is_origin(&renews.origin));
        if renewed.is_none() || renewed != newest || renewed != presented {
            return Err(Flaw::NotNewest);
        }
        let line_secs = self.certificates.line_lifetime(&issuance.subject);
        let longer = issuance.profile() == Profile::Agent && Some(issuance.lifetime_seconds) > line_secs;
        if longer { Err(Flaw::Lifetime) } else { Ok(()) }
    }

    /// An abandonment is of a certificate that was recorded, is not signed, and was not abandoned before. A checkpoint covers no pending certificate:
    /// an abandonment above a checkpoint, of a certificate below it, means that the signature was removed. Checked above the checkpoint only.
    pub(super) fn abandonment(&mut self, certificate: Option<&Reference>) -> Result<(), Flaw> {
        let index = certificate.map(|reference| reference.index).ok_or(Flaw::Reference)?;
        let is_pending =
            self.certificates.get(index).is_some_and(|one| one.sha256.is_none() && !one.abandoned);
        let unheld = if is_pending && index >= self.known { Ok(()) } else { Err(Flaw::Abandoned) };
        self.certificates.abandon(index);
        self.pending.remove(&index);
        unheld
    }
}

/// The entry of the certificate that the caller presented.
fn by_of(entry: &Entry) -> Option<u64> {
    match super::callers::said(entry) {
        Ok(By::Caller(caller)) => Some(caller.certificate),
        _ => None,
    }
}

/// The names in it are those of its subject, which is one of its profile.
fn judge_names(read: &Read<'_>) -> Result<(), Flaw> {
    let Read { entry, issuance, summary, .. } = read;
    let subject = issuance.subject.as_str();
    let (of_profile, plain) = match issuance.profile() {
        Profile::Agent => (subject.starts_with("/agent/"), summary.ip_addresses.is_empty()),
        Profile::Controller => (
            subject.starts_with("/controller/"),
            summary.ip_addresses.is_empty()
                && summary.dns_names.is_empty()
                && summary.attributes == certs::Attributes::default(),
        ),
        Profile::Service => (subject == SERVICE, summary.attributes == certs::Attributes::default()),
        Profile::Unspecified => (false, false),
    };
    let uri = format!("spiffe://{}{subject}", entry.cell);
    if of_profile && plain && summary.uris == [uri] && !summary.is_ca {
        Ok(())
    } else {
        Err(Flaw::OtherSubject)
    }
}
