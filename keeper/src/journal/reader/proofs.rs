//! Certificates that are proved from their entries, whatever the table says of them.

use certs::TbsFields;
use ledger::entry::entry::Kind;
use ledger::entry::{Entry, Issuance};

use super::super::JournalError;
use super::super::rows::{CertificateRow, payer};
use super::{Presented, Read, Reader};

impl Reader<'_> {
    /// The certificate with this serial number, where it is signed, has this SHA-256 and is not revoked; else why there is none.
    pub fn presented(&self, serial: &[u8], sha256: &[u8; 32]) -> Read<Presented> {
        if let Some(known) = self.memory().and_then(|memory| memory.presented(sha256)) {
            return Ok(Presented::Valid(known));
        }
        let Some(row) = self.certificate_by_serial(serial)? else { return Ok(Presented::Unknown) };
        match self.signature(row.index)?.filter(|_| !row.abandoned) {
            Some((_, hash)) if hash == *sha256 => {}
            _ => return Ok(Presented::Unknown),
        }
        self.demand_row(&row)?;
        // Whoever has one ECDSA signature can make another of it that verifies, too.
        if self.known(|known| known.is_signed_as(row.index, sha256)) == Some(false) {
            return Err(JournalError::NotAsRecorded(vec!["signature"]));
        }
        if self.memory().is_some_and(|memory| memory.is_revoked(row.index))
            || self.revoked(row.index)?.is_some()
        {
            return Ok(Presented::Revoked);
        }
        if let Some(memory) = self.memory() {
            memory.keep_presented(*sha256, &row);
        }
        Ok(Presented::Valid(row))
    }

    /// A certificate of the writer's as its entry says, by its index.
    pub(crate) fn proved(&self, index: u64) -> Read<Option<CertificateRow>> {
        self.certificate(index)?.map(|row| self.demand_row(&row).map(|()| row)).transpose()
    }

    /// The same by its serial number.
    pub(crate) fn proved_by_serial(&self, serial: &[u8]) -> Read<Option<CertificateRow>> {
        self.certificate_by_serial(serial)?.map(|row| self.demand_row(&row).map(|()| row)).transpose()
    }

    /// The row of a certificate as its entry says, for the writer: whose budget it drew on is decided by the agents in its memory.
    pub(in super::super) fn recorded(
        &self,
        index: u64,
        entry: &Entry,
        issuance: &Issuance,
    ) -> Read<CertificateRow> {
        let tbs =
            TbsFields::parse(&issuance.tbs).map_err(|error| JournalError::Corrupt(error.to_string()))?;
        let owner = |agent: &str| Ok(self.agent(agent)?.map(|agent| agent.record.owner));
        let controller = payer(entry, &issuance.grant, owner)?;
        Ok(CertificateRow {
            index,
            serial: tbs.serial,
            subject: issuance.subject.clone(),
            issuer: issuance.issuer_spki_sha256.clone(),
            not_before: tbs.not_before,
            not_after: tbs.not_after,
            previous: None,
            abandoned: false,
            controller,
            recorded_ms: entry.time_unix_ms,
        })
    }

    /// For the writer: that this row of `certificate` is what its entry says, and that entry in the tree which the writer knows.
    fn demand_row(&self, row: &CertificateRow) -> Read<()> {
        if self.own.is_none() {
            return Ok(());
        }
        let corrupt = |what: &dyn std::fmt::Display| {
            JournalError::Corrupt(format!("certificate {} is not as its entry says: {what}", row.index))
        };
        let (time_unix_ms, issuance, tbs) = self.certified(row.index)?;
        let same = issuance.subject == row.subject
            && time_unix_ms == row.recorded_ms
            && issuance.issuer_spki_sha256 == row.issuer
            && (tbs.serial.as_slice(), tbs.not_before, tbs.not_after)
                == (row.serial.as_slice(), row.not_before, row.not_after);
        let same = same && !self.in_memory(|lines| lines.is_another(row)).unwrap_or_default();
        if same { Ok(()) } else { Err(corrupt(&"another certificate")) }
    }

    /// When the entry of a certificate was made, in milliseconds since 1970, and what it says.
    fn certified(&self, index: u64) -> Read<(i64, Issuance, TbsFields)> {
        let corrupt = |what: &dyn std::fmt::Display| JournalError::Corrupt(format!("entry {index}: {what}"));
        let body = self.entry(index)?.ok_or_else(|| corrupt(&"it is not there"))?;
        let entry = ledger::entry::decode(&body).map_err(|error| corrupt(&error))?;
        let Some(Kind::Issuance(issuance)) = entry.kind else { return Err(corrupt(&"it is no certificate")) };
        let tbs = TbsFields::parse(&issuance.tbs).map_err(|error| corrupt(&error))?;
        Ok((entry.time_unix_ms, issuance, tbs))
    }

    /// The serial number of a certificate and its key (DER SubjectPublicKeyInfo), by its entry. Only to the writer is it proved.
    pub(crate) fn certified_key(&self, index: u64) -> Read<(Vec<u8>, Vec<u8>)> {
        let (.., tbs) = self.certified(index)?;
        Ok((tbs.serial, tbs.spki))
    }
}
