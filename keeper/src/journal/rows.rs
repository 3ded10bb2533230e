//! Rows of the projections, typed, and how each is read.

use cell::Grant;
use certs::crl::CrlSummary;
use ledger::entry::{AgentRecord, Crl, Entry};
use prost::Message;
use proto::v1;
use rusqlite::Row;

use super::JournalError;

/// A certificate as it is projected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateRow {
    /// Index of its entry.
    pub index: u64,
    /// Serial number, big-endian without leading zeros.
    pub serial: Vec<u8>,
    /// SPIFFE path.
    pub subject: String,
    /// SHA-256 of the issuer's SubjectPublicKeyInfo.
    pub issuer: Vec<u8>,
    /// Seconds since 1970, inclusive.
    pub not_before: i64,
    /// Seconds since 1970, inclusive.
    pub not_after: i64,
    /// The one before it of the same subject.
    pub previous: Option<u64>,
    /// Given up before it was signed.
    pub abandoned: bool,
    /// The controller under whose grant it was issued, where under one.
    pub controller: Option<String>,
    /// When it was recorded, in milliseconds since 1970.
    pub recorded_ms: i64,
}

/// A certificate's revocation as it is projected.
#[derive(Clone, Copy, Debug)]
pub struct RevokedRow {
    /// When, in seconds since 1970.
    pub at: i64,
    /// Why: CRLReason (RFC 5280 §5.3.1).
    pub reason: i32,
    /// The entry that revoked it.
    pub act: u64,
}

/// A whole row of `revoked`.
#[derive(Clone, Debug)]
pub(crate) struct RevokedWhole {
    pub(crate) index: u64,
    pub(crate) serial: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) not_after: i64,
    pub(crate) at: i64,
    pub(crate) reason: i32,
    pub(crate) act: u64,
}

/// A CRL as it is projected.
#[derive(Clone, Debug)]
pub struct CrlRow {
    /// Index of its entry.
    pub index: u64,
    /// Its number.
    pub number: u64,
    /// thisUpdate, in seconds since 1970.
    pub this_update: i64,
    /// nextUpdate, likewise.
    pub next_update: i64,
    /// Certificates on it.
    pub revoked: u64,
    /// Entries that it takes into account.
    pub covers: u64,
}

/// What officers stopped.
#[derive(Clone, Copy, Debug, Default)]
pub struct FreezeRow {
    /// No new identity, grant or controller.
    pub frozen: bool,
    /// No renewal before this time, in milliseconds since 1970; `i64::MAX` until a thaw.
    pub stopped_until_ms: i64,
    /// When one officer alone stopped renewals last.
    pub alone_ms: Option<i64>,
}

/// A CA certificate as it is projected.
#[derive(Clone, Debug)]
pub struct CaRow {
    /// Index of its entry.
    pub index: u64,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki_sha256: Vec<u8>,
    /// SHA-256 of its signer's.
    pub signer: Vec<u8>,
}

/// An agent as it is projected.
#[derive(Clone, Debug)]
pub struct AgentRow {
    /// The agent.
    pub record: AgentRecord,
    /// The entry that created it.
    pub index: u64,
    /// When it was created, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it was last changed, likewise.
    pub updated_ms: i64,
}

/// A controller as it is projected.
#[derive(Clone, Debug)]
pub struct ControllerRow {
    /// Name.
    pub name: String,
    /// The act that began its line.
    pub line: u64,
    /// Start of its line, in milliseconds since 1970.
    pub line_start_ms: i64,
    /// Removed: its certificates are refused.
    pub removed: bool,
}

/// A grant as it is projected.
#[derive(Clone, Debug)]
pub struct GrantRow {
    /// The entry that set it.
    pub index: u64,
    /// The grant.
    pub grant: v1::Grant,
}

/// A grant, ready to be held against what is asked for.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The entry that set it.
    pub index: u64,
    /// The grant.
    pub grant: Grant,
}

pub(super) fn revoked_row(row: &Row<'_>) -> rusqlite::Result<RevokedWhole> {
    Ok(RevokedWhole {
        index: row.get(0)?,
        serial: row.get(1)?,
        issuer: row.get(2)?,
        not_after: row.get(3)?,
        at: row.get(4)?,
        reason: row.get(5)?,
        act: row.get(6)?,
    })
}

/// Whose budget an entry draws on, where it draws on a grant: the controller's that caused it, or that owns the agent that did.
pub(super) fn payer(
    entry: &Entry,
    grant: &str,
    owner: impl FnOnce(&str) -> Result<Option<String>, JournalError>,
) -> Result<Option<String>, JournalError> {
    let identity = entry.actor.as_ref().map_or("", |actor| actor.identity.as_str());
    match (identity.strip_prefix("/controller/"), identity.strip_prefix("/agent/")) {
        _ if grant.is_empty() => Ok(None),
        (Some(controller), _) => Ok(Some(controller.to_owned())),
        (_, Some(agent)) => owner(agent),
        _ => Ok(None),
    }
}

pub(super) fn certificate_row(row: &Row<'_>) -> rusqlite::Result<CertificateRow> {
    Ok(CertificateRow {
        index: row.get(0)?,
        serial: row.get(1)?,
        subject: row.get(2)?,
        issuer: row.get(3)?,
        not_before: row.get(4)?,
        not_after: row.get(5)?,
        previous: row.get(6)?,
        abandoned: row.get(7)?,
        controller: row.get(8)?,
        recorded_ms: row.get(9)?,
    })
}

impl CrlRow {
    /// What the entry at an index says of its CRL.
    pub(crate) fn of(index: u64, entry: &Crl) -> Self {
        Self {
            index,
            number: entry.number,
            this_update: entry.this_update_unix,
            next_update: entry.next_update_unix,
            revoked: entry.revoked,
            covers: entry.covers,
        }
    }

    /// Whether a CRL has this number, these times and this length.
    pub(crate) fn matches(&self, crl: &CrlSummary) -> bool {
        crl.number == self.number
            && i64::try_from(crl.this_update) == Ok(self.this_update)
            && i64::try_from(crl.next_update) == Ok(self.next_update)
            && crl.revoked.len() as u64 == self.revoked
    }
}

pub(super) fn crl_row(row: &Row<'_>) -> rusqlite::Result<CrlRow> {
    Ok(CrlRow {
        index: row.get(0)?,
        number: row.get(1)?,
        this_update: row.get(2)?,
        next_update: row.get(3)?,
        revoked: row.get(4)?,
        covers: row.get(5)?,
    })
}

pub(super) fn ca_row(row: &Row<'_>) -> rusqlite::Result<CaRow> {
    Ok(CaRow { index: row.get(0)?, spki_sha256: row.get(1)?, signer: row.get(2)? })
}

pub(super) fn controller_row(row: &Row<'_>) -> rusqlite::Result<ControllerRow> {
    Ok(ControllerRow {
        name: row.get(0)?,
        line: row.get(1)?,
        line_start_ms: row.get(2)?,
        removed: row.get(3)?,
    })
}

pub(super) type Encoded = (Vec<u8>, u64, i64, i64);

pub(super) fn agent_row(row: &Row<'_>) -> rusqlite::Result<Encoded> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

pub(super) fn decoded((record, index, created_ms, updated_ms): Encoded) -> Result<AgentRow, JournalError> {
    let record = AgentRecord::decode(&*record).map_err(|error| JournalError::Corrupt(error.to_string()))?;
    Ok(AgentRow { record, index, created_ms, updated_ms })
}
