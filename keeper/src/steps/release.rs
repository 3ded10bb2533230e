//! Step 10, store and release: the signature is written and the certificate handed out.
//!
//! The signature is on the disk before the answer leaves. So a certificate without a signature was released to nobody, and a start may say so
//! of it.

use ledger::Hash;
use proto::v1;

use super::Verified;
use crate::convert;
use crate::journal::{CertificateRow, JournalError, Reader, RevokedRow};

/// What every certificate's answer needs of the cell.
pub(crate) struct Release<'a> {
    pub(crate) cell: &'a str,
    pub(crate) origin: &'a str,
    /// DER of the active issuer, and those before it, by the hash of their public key.
    pub(crate) issuers: &'a [certs::Issuer],
}

impl Release<'_> {
    /// The certificate at an entry as callers see it, in whatever state it is.
    ///
    /// # Errors
    /// The journal cannot be read, or contradicts itself.
    pub(crate) fn certificate(
        &self,
        reader: &Reader<'_>,
        row: &CertificateRow,
    ) -> Result<v1::Certificate, JournalError> {
        let missing = |what: &str| JournalError::Corrupt(format!("entry {}: no {what}", row.index));
        let leaf = reader.leaf(row.index)?.ok_or_else(|| missing("leaf"))?;
        let revoked = reader.revoked(row.index)?;
        let Some((signature, _)) = reader.signature(row.index)? else {
            return Ok(self.shown(row, leaf, Vec::new(), revoked));
        };
        let body = reader.entry(row.index)?.ok_or_else(|| missing("entry"))?;
        let entry = ledger::entry::decode(&body).map_err(|_| missing("readable entry"))?;
        let Some(ledger::entry::entry::Kind::Issuance(issuance)) = entry.kind else {
            return Err(missing("issuance"));
        };
        let issuer = self.issuers.iter().find(|issuer| issuer.spki_sha256() == *row.issuer);
        let issuer = issuer.ok_or_else(|| missing("issuer"))?;
        // Invariant I4: what lies beside the entry was verified when it was stored, and may be something else by now.
        issuer.verify(&issuance.tbs, &signature).map_err(|_| missing("signature of its issuer"))?;
        let certificate = certs::compose::join(&issuance.tbs, issuer.algorithm(), &signature);
        Ok(self.shown(row, leaf, vec![certificate, issuer.certificate_der().to_vec()], revoked))
    }

    /// The certificate that was just signed and verified.
    ///
    /// # Errors
    /// Its issuer is not among ours.
    pub(crate) fn fresh(
        &self,
        row: &CertificateRow,
        verified: Verified,
    ) -> Result<v1::Certificate, JournalError> {
        let issuer = self.issuers.iter().find(|issuer| issuer.spki_sha256() == *row.issuer);
        let issuer =
            issuer.ok_or_else(|| JournalError::Corrupt(format!("entry {}: no issuer", row.index)))?;
        let chain = vec![verified.certificate, issuer.certificate_der().to_vec()];
        Ok(self.shown(row, verified.leaf, chain, None))
    }

    fn shown(
        &self,
        row: &CertificateRow,
        leaf: Hash,
        chain: Vec<Vec<u8>>,
        revoked: Option<RevokedRow>,
    ) -> v1::Certificate {
        let state = match (revoked, row.abandoned, chain.is_empty()) {
            (Some(_), ..) => v1::CertificateState::Revoked,
            (None, true, _) => v1::CertificateState::Abandoned,
            (None, false, true) => v1::CertificateState::Pending,
            (None, false, false) => v1::CertificateState::Issued,
        };
        v1::Certificate {
            name: convert::certificate_name(row.index),
            spiffe_id: format!("spiffe://{}{}", self.cell, row.subject),
            serial: data_encoding::HEXLOWER.encode(&row.serial),
            chain,
            not_before: Some(convert::timestamp_secs(row.not_before)),
            not_after: Some(convert::timestamp_secs(row.not_after)),
            renew_after: Some(convert::timestamp_secs(renew_after(row))),
            receipt: Some(receipt(self.origin, row.index, leaf)),
            state: state.into(),
            revocation: revoked.map(|revoked| v1::Revocation {
                time: Some(convert::timestamp_secs(revoked.at)),
                reason: revoked.reason,
                entry: revoked.act,
            }),
        }
    }
}

/// Where the ledger holds an entry.
pub(crate) fn receipt(origin: &str, index: u64, leaf: Hash) -> v1::Receipt {
    v1::Receipt { origin: origin.to_owned(), index, leaf_hash: leaf.as_bytes().to_vec() }
}

/// Half of the lifetime, moved by up to a tenth of it either way. The serial number is the chance: the same certificate always says the
/// same time.
fn renew_after(row: &CertificateRow) -> i64 {
    let lifetime = row.not_after - row.not_before + 1;
    let chance = row.serial.last().copied().map_or(0, i64::from);
    row.not_before + lifetime / 2 + lifetime / 10 * (2 * chance - 255) / 255
}
