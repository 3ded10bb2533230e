//! What follows from an entry. The same function serves the normal path and the rebuild, so that the state is a function of the entries.
//!
//! Does not: decide. An entry that is here was decided on; one that contradicts the state is our own fault, and ends the process.

use certs::TbsFields;
use ledger::entry::{self, Entry, entry::Kind};
use ledger::note::Note;
use prost::Message;
use rusqlite::{Connection, OptionalExtension};

use super::JournalError;
use super::revocation::Scope;
use crate::{HOUR_MS, RENEWALS_STOP_MS, convert};

/// Names of the projected tables, in the order in which a rebuild compares them.
pub(super) const TABLES: [&str; 18] = [
    "charter",
    "bundle",
    "ca",
    "certificate",
    "line",
    "agent",
    "controller",
    "granted",
    "spent",
    "identity_key",
    "request",
    "proposal",
    "freeze",
    "revoked",
    "agent_ended",
    "crl",
    "epoch",
    "custody",
];

type Applied = Result<(), JournalError>;

/// Brings the projections from the state before entry `index` to the state after it.
pub(super) fn apply(connection: &Connection, index: u64, record: &Entry) -> Applied {
    let state = State { connection, index, record };
    match record.kind.as_ref() {
        Some(Kind::Charter(charter)) => state.charter(charter),
        Some(Kind::Bundle(bundle)) => state.bundle(bundle),
        Some(Kind::CaCertificate(certificate)) => state.ca_certificate(certificate),
        Some(Kind::Act(act)) => state.act(act),
        Some(Kind::Issuance(issuance)) => state.issuance(issuance),
        Some(Kind::AgentChange(change)) => state.agent_change(change),
        Some(Kind::Abandonment(abandonment)) => state.abandonment(abandonment),
        Some(Kind::Revocation(revocation)) => state.revocation(revocation),
        Some(Kind::Crl(crl)) => state.crl(crl),
        Some(Kind::Ceremony(ceremony)) => state.ceremony(ceremony),
        Some(Kind::Custody(custody)) => state.custody(custody),
        Some(Kind::Refusals(_)) => Ok(()),
        None => Err(corrupt("an entry without a kind")),
    }?;
    state.request()
}

struct State<'a> {
    connection: &'a Connection,
    index: u64,
    record: &'a Entry,
}

impl State<'_> {
    fn run(&self, sql: &str, values: impl rusqlite::Params) -> Applied {
        self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(())
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
        let note = note(&act.note)?;
        let proposal = ledger::proposal::Proposal::read(&note).map_err(corrupt)?;
        self.run("INSERT INTO proposal VALUES (?1, ?2)", (proposal.nonce, self.index))?;
        let act = cell::Act::parse(&proposal.act_name, &proposal.act_fields).map_err(corrupt)?;
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
            cell::Act::IssuerActivate { spki_sha256 } => {
                self.run("UPDATE ca SET active = (spki_sha256 = ?1)", [spki_sha256])
            }
            cell::Act::Freeze => self.run(
                "INSERT INTO freeze (one, frozen) VALUES (1, 1) ON CONFLICT DO UPDATE SET frozen = 1",
                [],
            ),
            cell::Act::Thaw => self.run("DELETE FROM freeze", []),
            cell::Act::RenewalsStop => self.stop_renewals(
                self.record.time_unix_ms.saturating_add(RENEWALS_STOP_MS),
                Some(self.record.time_unix_ms),
            ),
            cell::Act::RenewalsStopConfirm => self.stop_renewals(i64::MAX, None),
            cell::Act::EpochOpen { epoch, lost, .. } => self.run(
                "INSERT INTO epoch (number, idx, origin, lost_size) VALUES (?1, ?2, ?3, ?4)",
                (epoch.epoch, self.index, epoch.to_string(), lost.size),
            ),
            // The revocation is the entry that follows.
            cell::Act::CertificateRevoke { .. } | cell::Act::ClockConfirm => Ok(()),
        }
    }

    /// `alone_ms` is when one officer alone stopped them; a stop that is longer already stays so.
    fn stop_renewals(&self, until_ms: i64, alone_ms: Option<i64>) -> Applied {
        self.run(
            "INSERT INTO freeze (one, frozen, stopped_until_ms, alone_ms) VALUES (1, 0, ?1, ?2) \
             ON CONFLICT DO UPDATE SET stopped_until_ms = max(stopped_until_ms, ?1), alone_ms = coalesce(?2, alone_ms)",
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

    fn issuance(&self, issuance: &entry::Issuance) -> Applied {
        let tbs = TbsFields::parse(&issuance.tbs).map_err(corrupt)?;
        let previous: Option<u64> = self
            .connection
            .prepare_cached("SELECT newest FROM line WHERE subject = ?1")?
            .query_row([&issuance.subject], |row| row.get(0))
            .optional()?;
        let payer = self.payer(&issuance.grant)?;
        self.run(
            "INSERT INTO certificate \
             (idx, serial, subject, issuer, not_before, not_after, previous, controller, recorded_ms) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            (
                self.index,
                &tbs.serial,
                &issuance.subject,
                &issuance.issuer_spki_sha256,
                tbs.not_before,
                tbs.not_after,
                previous,
                payer.as_deref(),
                self.record.time_unix_ms,
            ),
        )?;
        // A renewal keeps the lifetime with which the line began.
        self.run(
            "INSERT INTO line (subject, newest, lifetime_secs) VALUES (?1, ?2, ?3) \
             ON CONFLICT DO UPDATE SET newest = ?2, lifetime_secs = iif(?4, lifetime_secs, ?3)",
            (&issuance.subject, self.index, issuance.lifetime_seconds, issuance.renews.is_some()),
        )?;
        self.run(
            "INSERT OR IGNORE INTO identity_key (spki_sha256, subject) VALUES (?1, ?2)",
            (tbs.spki_sha256(), &issuance.subject),
        )?;
        if issuance.renews.is_some() && issuance.profile() == entry::Profile::Agent {
            self.spend(&issuance.subject, "")?;
        }
        match payer {
            Some(controller) => self.spend(&controller, &issuance.grant),
            // The front asks for its own, on nobody's grant.
            None if issuance.profile() == entry::Profile::Service => self.spend(crate::SERVICE_PATH, ""),
            None => Ok(()),
        }
    }

    fn agent_change(&self, change: &entry::AgentChange) -> Applied {
        let agent = change.agent.as_ref().ok_or_else(|| corrupt("a change of no agent"))?;
        match change.change() {
            entry::Change::Created => self.run(
                "INSERT INTO agent (id, idx, record, owner, created_ms, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
                (&agent.id, self.index, agent.encode_to_vec(), &agent.owner, self.record.time_unix_ms),
            )?,
            entry::Change::Updated => self.run(
                "UPDATE agent SET record = ?2, updated_ms = ?3 WHERE id = ?1",
                (&agent.id, agent.encode_to_vec(), self.record.time_unix_ms),
            )?,
            entry::Change::Deleted => self.run("DELETE FROM agent WHERE id = ?1", [&agent.id])?,
            entry::Change::Unspecified => return Err(corrupt("a change of no kind")),
        }
        self.draw(&change.grant)
    }

    fn abandonment(&self, abandonment: &entry::Abandonment) -> Applied {
        let given_up =
            abandonment.certificate.as_ref().ok_or_else(|| corrupt("an abandonment of nothing"))?;
        self.run("UPDATE certificate SET abandoned = 1 WHERE idx = ?1", [given_up.index])
    }

    /// What is revoked follows from the entries before; the entry says how many, so that a difference is seen.
    fn revocation(&self, revocation: &entry::Revocation) -> Applied {
        let scope = Scope::of(revocation, self.record)?;
        let revoked = scope.revoke(self.connection, self.index, revocation.reason)?;
        if revoked != revocation.revoked {
            return Err(corrupt(format!(
                "it revokes {revoked} certificates and says {}",
                revocation.revoked
            )));
        }
        scope.remember(self.connection, self.index)?;
        self.draw(&revocation.grant)
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

    /// Whose budget the entry draws on, where it draws on a grant: the controller that caused it, or that owns the agent that did.
    fn payer(&self, grant: &str) -> Result<Option<String>, JournalError> {
        let identity = self.record.actor.as_ref().map_or("", |actor| actor.identity.as_str());
        Ok(match (identity.strip_prefix("/controller/"), identity.strip_prefix("/agent/")) {
            _ if grant.is_empty() => None,
            (Some(controller), _) => Some(controller.to_owned()),
            (_, Some(agent)) => Some(
                self.connection
                    .prepare_cached("SELECT owner FROM agent WHERE id = ?1")?
                    .query_row([agent], |row| row.get(0))?,
            ),
            _ => None,
        })
    }

    fn draw(&self, grant: &str) -> Applied {
        match self.payer(grant)? {
            Some(controller) => self.spend(&controller, grant),
            None => Ok(()),
        }
    }

    fn spend(&self, controller: &str, grant: &str) -> Applied {
        self.run(
            "INSERT INTO spent (controller, name, hour, entries) VALUES (?1, ?2, ?3, 1) \
             ON CONFLICT DO UPDATE SET entries = iif(hour = ?3, entries + 1, 1), hour = ?3",
            (controller, grant, self.record.time_unix_ms.div_euclid(HOUR_MS)),
        )
    }

    /// Remembers what a request_id led to: of several entries the last.
    fn request(&self) -> Applied {
        let Some(actor) = self.record.actor.as_ref().filter(|_| !self.record.request_id.is_empty()) else {
            return Ok(());
        };
        self.run(
            "INSERT OR REPLACE INTO request (caller, request_id, fields_sha256, idx) VALUES (?1, ?2, ?3, ?4)",
            (&actor.identity, &self.record.request_id, &self.record.fields_sha256, self.index),
        )
    }
}

fn note(bytes: &[u8]) -> Result<Note, JournalError> {
    Note::parse(bytes).map_err(corrupt)
}

fn corrupt(what: impl ToString) -> JournalError {
    JournalError::Corrupt(what.to_string())
}
