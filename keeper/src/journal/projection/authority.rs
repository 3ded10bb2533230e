//! What officers and controllers set: charters, bundles, CAs, acts, agents; and the lists and manifests, which are few.

use audit::entries::LIFETIME_MAX_SECS;
use certs::TbsFields;
use ledger::entry::{self, entry::Kind};
use ledger::note::Note;
use prost::Message;

use super::{Applied, State, corrupt};
use crate::journal::JournalError;
use crate::{RENEWALS_STOP_MS, convert};

/// The nonce of a recorded act, and what it is.
fn read(act: &entry::Act) -> Result<([u8; 16], cell::Act), JournalError> {
    let proposal = ledger::proposal::Proposal::read(&note(&act.note)?).map_err(corrupt)?;
    let act = cell::Act::parse(&proposal.act_name, &proposal.act_fields).map_err(corrupt)?;
    Ok((proposal.nonce, act))
}

/// Whether officers set the clock right by this act: what had ended by a clock that was ahead may live again.
///
/// # Errors
/// It is none.
pub(in super::super) fn sets_the_clock(act: &entry::Act) -> Result<bool, JournalError> {
    Ok(matches!(read(act)?.1, cell::Act::ClockConfirm { .. }))
}

impl State<'_> {
    pub(super) fn authority(&self) -> Applied {
        match self.kind()? {
            Kind::Charter(charter) => self.charter(charter),
            Kind::Bundle(bundle) => self.bundle(bundle),
            Kind::CaCertificate(certificate) => self.ca_certificate(certificate),
            Kind::Act(act) => self.act(act),
            Kind::AgentChange(change) => self.agent(change),
            Kind::Crl(crl) => self.crl(crl),
            Kind::Ceremony(ceremony) => self.ceremony(ceremony),
            Kind::Custody(custody) => self.custody(custody),
            Kind::Issuance(_) | Kind::Abandonment(_) | Kind::Revocation(_) | Kind::Refusals(_) => Ok(()),
        }
    }

    fn charter(&self, charter: &entry::Charter) -> Applied {
        let note = note(&charter.note)?;
        let revision = ledger::charter::Terms::read(&note).map_err(corrupt)?.revision;
        self.run("INSERT INTO charter VALUES (?1, ?2, ?3)", (revision, self.index, note.to_string()))
    }

    fn bundle(&self, bundle: &entry::Bundle) -> Applied {
        let note = note(&bundle.note)?;
        let contents = ledger::bundle::Contents::read(&note).map_err(corrupt)?;
        self.run("INSERT INTO bundle VALUES (?1, ?2, ?3)", (contents.number, self.index, note.to_string()))?;
        match contents.active_issuer() {
            Some(spki_sha256) => self.run("UPDATE ca SET active = (spki_sha256 = ?1)", [spki_sha256]),
            // From before bundles named issuers: an act says which is active.
            None => Ok(()),
        }
    }

    /// A plan is carried out once, as a proposal is.
    fn ceremony(&self, ceremony: &entry::Ceremony) -> Applied {
        let transcript =
            ledger::transcript::Transcript::read(&note(&ceremony.transcript)?).map_err(corrupt)?;
        let nonce = transcript.plan().map_err(corrupt)?.nonce;
        self.run("INSERT INTO proposal VALUES (?1, ?2)", (nonce, self.index))
    }

    fn ca_certificate(&self, certificate: &entry::CaCertificate) -> Applied {
        let tbs = TbsFields::parse(&certificate.tbs).map_err(corrupt)?;
        self.run(
            "INSERT INTO ca (idx, role, spki_sha256, signer) VALUES (?1, ?2, ?3, ?4)",
            (self.index, certificate.role, tbs.spki_sha256(), &certificate.signer_spki_sha256),
        )
    }

    fn act(&self, act: &entry::Act) -> Applied {
        let (nonce, act) = read(act)?;
        self.run("INSERT INTO proposal VALUES (?1, ?2)", (nonce, self.index))?;
        match act {
            cell::Act::ControllerAdd { name, grants, .. } => {
                self.run(
                    "INSERT INTO controller (name, idx, line_start_ms) VALUES (?1, ?2, ?3)",
                    (name.as_str(), self.index, self.record.time_unix_ms),
                )?;
                grants.as_slice().iter().try_for_each(|grant| self.grant(name.as_str(), grant))
            }
            cell::Act::ControllerRemove { name } => {
                self.run("UPDATE controller SET removed = 1 WHERE name = ?1", [name.as_str()])
            }
            cell::Act::ControllerReissue { name, .. } => self.run(
                "UPDATE controller SET idx = ?2, line_start_ms = ?3, removed = 0 WHERE name = ?1",
                (name.as_str(), self.index, self.record.time_unix_ms),
            ),
            cell::Act::GrantSet { controller, grant } => self.grant(controller.as_str(), &grant),
            cell::Act::GrantRemove { controller, grant } => self.run(
                "DELETE FROM granted WHERE controller = ?1 AND name = ?2",
                (controller.as_str(), grant.as_str()),
            ),
            cell::Act::Freeze => self.run(
                "INSERT INTO freeze (one, frozen) VALUES (1, 1) ON CONFLICT DO UPDATE SET frozen = 1",
                [],
            ),
            // When one officer alone stopped renewals last is not forgotten by that.
            cell::Act::Thaw => self.run("UPDATE freeze SET frozen = 0, stopped_until_ms = 0", []),
            cell::Act::RenewalsStop => self.stop_renewals(
                self.record.time_unix_ms.saturating_add(RENEWALS_STOP_MS),
                Some(self.record.time_unix_ms),
            ),
            cell::Act::RenewalsStopConfirm => self.stop_renewals(i64::MAX, None),
            cell::Act::EpochOpen { epoch, lost, certificates, revoked, .. } => {
                // A retired issuer signs nothing more; what it signed is believed until it ends.
                let live_until = match certificates {
                    cell::LostCertificates::Retired(_) => {
                        self.record.time_unix_ms.div_euclid(1000) + LIFETIME_MAX_SECS
                    }
                    cell::LostCertificates::Until(time) => time.as_second(),
                };
                self.run(
                    "INSERT INTO epoch (number, idx, origin, lost_size, live_until) VALUES (?1, ?2, ?3, ?4, ?5)",
                    (epoch.epoch, self.index, epoch.to_string(), lost.size, live_until),
                )?;
                revoked.iter().try_for_each(|revocation| self.repeat(revocation))
            }
            // The revocation is the entry that follows.
            cell::Act::CertificateRevoke { .. } | cell::Act::ClockConfirm { .. } => Ok(()),
        }
    }

    /// Nothing says when a certificate ends that is lost: none lives longer than the longest that any does.
    fn repeat(&self, revocation: &cell::RepeatedRevocation) -> Applied {
        let at = self.record.time_unix_ms.div_euclid(1000);
        self.run(
            "INSERT OR IGNORE INTO repeated (serial, issuer, not_after, at, reason, act) \
             SELECT ?1, spki_sha256, ?2, ?3, ?4, ?5 FROM ca WHERE active = 1",
            (revocation.serial.as_bytes(), at + LIFETIME_MAX_SECS, at, revocation.reason.code(), self.index),
        )
    }

    /// `alone_ms` is when one officer alone stopped them; a stop that is longer already stays so.
    fn stop_renewals(&self, until_ms: i64, alone_ms: Option<i64>) -> Applied {
        self.run(
            "INSERT INTO freeze (one, frozen, stopped_until_ms, alone_ms) VALUES (1, 0, ?1, ?2) \
             ON CONFLICT DO UPDATE SET stopped_until_ms = max(stopped_until_ms, ?1), alone_ms = max(coalesce(?2, alone_ms), coalesce(alone_ms, ?2))",
            (until_ms, alone_ms),
        )
    }

    fn grant(&self, controller: &str, grant: &cell::Grant) -> Applied {
        let body = convert::grant_to_wire(grant).encode_to_vec();
        self.run(
            "INSERT OR REPLACE INTO granted (controller, name, idx, body) VALUES (?1, ?2, ?3, ?4)",
            (controller, grant.name.as_str(), self.index, body),
        )
    }

    fn agent(&self, change: &entry::AgentChange) -> Applied {
        let agent = change.agent.as_ref().ok_or_else(|| corrupt("a change of no agent"))?;
        match change.change() {
            entry::Change::Created => self.run(
                "INSERT INTO agent (id, idx, record, owner, created_ms, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
                (&agent.id, self.index, agent.encode_to_vec(), &agent.owner, self.record.time_unix_ms),
            ),
            entry::Change::Updated => self.run(
                "UPDATE agent SET record = ?2, updated_ms = ?3 WHERE id = ?1",
                (&agent.id, agent.encode_to_vec(), self.record.time_unix_ms),
            ),
            entry::Change::Deleted => self.run("DELETE FROM agent WHERE id = ?1", [&agent.id]),
            entry::Change::Unspecified => Err(corrupt("a change of no kind")),
        }
    }

    fn crl(&self, crl: &entry::Crl) -> Applied {
        self.run(
            "INSERT INTO crl (idx, issuer, number, this_update, next_update, revoked, covers) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            (
                self.index,
                &crl.issuer_spki_sha256,
                crl.number,
                crl.this_update_unix,
                crl.next_update_unix,
                crl.revoked,
                crl.covers,
            ),
        )
    }

    /// The founding manifest, and those that the keeper observed: they alone have a module.
    fn custody(&self, custody: &entry::Custody) -> Applied {
        self.run(
            "INSERT INTO custody SELECT ?1, ?2 WHERE ?3 OR NOT EXISTS (SELECT 1 FROM custody)",
            (self.index, self.record.time_unix_ms, custody.module.is_some()),
        )
    }
}

fn note(bytes: &[u8]) -> Result<Note, JournalError> {
    Note::parse(bytes).map_err(corrupt)
}
