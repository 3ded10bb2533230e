//! What is signed and lies beside the entries: signatures, requests, CRLs, the newest checkpoint.

use certs::compose::join;
use certs::crl::CrlSummary;
use ledger::entry;
use ledger::entry::Entry;
use ledger::entry::entry::Kind;
use sha2::{Digest, Sha256};

use super::{Pass, corrupt};
use crate::journal::{CrlRow, JournalError, Reader};

impl Pass {
    /// What lies beside an entry is what the entry says.
    pub(super) fn beside(
        &self,
        index: u64,
        entry: &Entry,
        signature: Option<&(Vec<u8>, [u8; 32])>,
        request: Option<&[u8]>,
    ) -> Result<(), JournalError> {
        if let Some(body) = request {
            let signed = entry.actor.as_ref().and_then(|actor| actor.signature.as_ref());
            if signed.is_none_or(|signed| signed.request_sha256 != Sha256::digest(body).as_slice()) {
                return Err(corrupt(format!(
                    "the request beside entry {index} is not the one that was signed"
                )));
            }
        }
        let Some((signature, sha256)) = signature else { return Ok(()) };
        let (tbs, signer) = match &entry.kind {
            Some(Kind::Issuance(issuance)) => {
                let algorithm = self.audit.algorithm(&issuance.issuer_spki_sha256);
                // Of the two forms the keeper stores one: whoever was given that has no other.
                if !algorithm.is_some_and(|algorithm| algorithm.is_canonical(signature)) {
                    return Err(corrupt(format!(
                        "the signature beside entry {index} is not in its one form"
                    )));
                }
                (&issuance.tbs, &issuance.issuer_spki_sha256)
            }
            Some(Kind::CaCertificate(ca)) => (&ca.tbs, &ca.signer_spki_sha256),
            // Those that a newer one replaced are let go; the others are looked at in the end.
            Some(Kind::Crl(_)) => return Ok(()),
            _ => return Err(corrupt(format!("entry {index} is nothing that is signed"))),
        };
        self.demand_hash(index, tbs, signer, signature, sha256)
    }

    /// A signature that lies beside an entry completes what has this hash.
    pub(super) fn demand_hash(
        &self,
        index: u64,
        tbs: &[u8],
        signer: &[u8],
        signature: &[u8],
        sha256: &[u8; 32],
    ) -> Result<(), JournalError> {
        let whole = self.audit.algorithm(signer).map(|algorithm| join(tbs, algorithm, signature));
        if whole.is_some_and(|whole| Sha256::digest(whole).as_slice() == sha256) {
            return Ok(());
        }
        Err(corrupt(format!("the signature beside entry {index} is not the one of its hash")))
    }

    /// The lists that are there are those whose hashes their entries have, with their issuers' signatures; the newest signed one of each
    /// issuer is there.
    pub(super) fn demand_lists(&self, reader: &Reader<'_>) -> Result<(), JournalError> {
        for (index, tbs) in reader.crl_inputs()? {
            let damaged = || corrupt(format!("the CRL beside entry {index} is damaged"));
            let body = reader.entry(index)?.ok_or_else(damaged)?;
            let crl = match entry::decode(&body).map_err(|_| damaged())?.kind {
                Some(Kind::Crl(crl)) if crl.tbs_sha256 == Sha256::digest(&tbs).as_slice() => crl,
                _ => return Err(damaged()),
            };
            if let Some((signature, sha256)) = reader.signature(index)? {
                self.demand_hash(index, &tbs, &crl.issuer_spki_sha256, &signature, &sha256)?;
                if !self.audit.signed_by(&crl.issuer_spki_sha256, &tbs, &signature) {
                    return Err(damaged());
                }
                // Its issuer signed it as this list, and not as one before.
                let algorithm = self.audit.algorithm(&crl.issuer_spki_sha256).ok_or_else(damaged)?;
                let list = CrlSummary::parse(&join(&tbs, algorithm, &signature)).map_err(|_| damaged())?;
                if !CrlRow::of(index, &crl).matches(&list) {
                    return Err(corrupt(format!("entry {index} says of its CRL what that does not say")));
                }
            }
        }
        match reader.signed_crl_without_input()? {
            Some(index) => Err(corrupt(format!("the CRL beside entry {index} is not there"))),
            None => Ok(()),
        }
    }

    /// The newest checkpoint is by a key that the trust bundle names for this log, over the entries read so far: what it covers, a keeper
    /// recorded.
    pub(super) fn demand_checkpoint(
        &self,
        reader: &Reader<'_>,
    ) -> Result<Option<(u64, String)>, JournalError> {
        let Some((size, note)) = reader.checkpoint()? else { return Ok(None) };
        let log = self.audit.bundle().and_then(|bundle| bundle.log(&self.origin));
        let log = log.ok_or_else(|| corrupt("the trust bundle names no key for this log"))?;
        let signed = log
            .checkpoint(note.as_bytes())
            .map_err(|error| corrupt(format!("the newest checkpoint: {error}")))?;
        if signed.head() == self.audit.head() && signed.size == size {
            Ok(Some((size, note)))
        } else {
            Err(corrupt("its tree is not the one that its checkpoint signs"))
        }
    }
}
