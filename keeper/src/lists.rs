//! The newest list of each issuer, for whoever reads it: proven by its issuer's signature, and never an older one than was handed out before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use certs::Issuer;
use certs::crl::CrlSummary;
use data_encoding::HEXLOWER;
use proto::v1::GetCrlResponse;
use sha2::{Digest, Sha256};

use crate::convert;
use crate::journal::{CrlRow, JournalError, Reader};
use crate::steps::release;

/// Those that were handed out last, and what the keeper knows of the newest, by the SHA-256 of their issuers' public keys.
#[derive(Clone, Default)]
pub(crate) struct Lists {
    handed: Arc<Mutex<HashMap<[u8; 32], Arc<Newest>>>>,
    known: Arc<Mutex<HashMap<[u8; 32], Known>>>,
}

/// Numbers of an issuer's lists.
#[derive(Clone, Copy, Default)]
struct Known {
    /// Of the newest that was signed: it is in the file.
    signed: u64,
    /// Of the oldest that is handed out, whatever is in the file.
    least: u64,
}

struct Newest {
    sha256: [u8; 32],
    list: GetCrlResponse,
}

impl Lists {
    /// Takes over what a journal that was just verified says of the lists of issuers, by the SHA-256 of their public keys. Of the one that signs now also what a checkpoint covers and nobody
    /// signed: the next list takes its place at once. Of another no list follows, and one that a crash left unsigned stays so.
    ///
    /// # Errors
    /// The journal's.
    pub(crate) fn begin(
        &self,
        reader: &Reader<'_>,
        issuers: impl IntoIterator<Item = [u8; 32]>,
        active: [u8; 32],
    ) -> Result<(), JournalError> {
        for key in issuers {
            reader.signed_crl(&key)?.into_iter().for_each(|row| self.signed(key, row.number));
        }
        let covered = reader.checkpoint()?.map_or(0, |(size, _)| size);
        if let Some(row) = reader.crl(&active)?.filter(|row| row.index < covered) {
            self.know(active, |known| known.least = row.number.max(known.least));
        }
        Ok(())
    }

    /// The list of this number was signed.
    pub(crate) fn signed(&self, issuer: [u8; 32], number: u64) {
        self.know(issuer, |known| {
            known.signed = number.max(known.signed);
            known.least = number.max(known.least);
        });
    }

    /// The newest signed one of each issuer is in the file, with its signature.
    ///
    /// # Errors
    /// One is not: somebody took it away. The journal's.
    pub(crate) fn demand(&self, reader: &Reader<'_>) -> Result<(), JournalError> {
        let all = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.into_iter().try_for_each(|(issuer, known)| match reader.signed_crl(&issuer)? {
            Some(row) if row.number >= known.signed => Ok(()),
            None if known.signed == 0 => Ok(()),
            _ => Err(removed()),
        })
    }

    fn know(&self, issuer: [u8; 32], learn: impl FnOnce(&mut Known)) {
        learn(self.known.lock().unwrap_or_else(PoisonError::into_inner).entry(issuer).or_default());
    }

    fn least(&self, issuer: &[u8; 32]) -> u64 {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(issuer).map_or(0, |known| known.least)
    }

    /// The newest signed list of an issuer, as an answer; none where there is none. One that was removed since it was handed out is there still.
    ///
    /// # Errors
    /// The journal's; what stands there is not what the issuer signed.
    pub(crate) fn newest(
        &self,
        reader: &Reader<'_>,
        issuer: &Issuer,
        origin: &str,
    ) -> Result<Option<GetCrlResponse>, JournalError> {
        let key = issuer.spki_sha256();
        let least = self.least(&key);
        let known = self.handed.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let row = reader.signed_crl(&key)?;
        let newest = row.as_ref().map(|row| row.number).max(known.as_ref().map(|known| known.list.number));
        if newest.unwrap_or_default() < least {
            return Err(removed());
        }
        let newer = row.filter(|row| known.as_ref().is_none_or(|known| row.number >= known.list.number));
        let Some(row) = newer else { return Ok(known.map(|known| known.list.clone())) };
        let Some((signature, sha256)) = reader.signature(row.index)? else { return Ok(None) };
        if let Some(known) = known.filter(|known| known.sha256 == sha256) {
            return Ok(Some(known.list.clone()));
        }
        let Some(tbs) = reader.crl_input(row.index)? else { return Ok(None) };
        let list = proven(reader, &row, (issuer, origin), (&tbs, &signature, sha256))?;
        let newest = Arc::new(Newest { sha256, list: list.clone() });
        let mut all = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        // Another reader may have seen a newer one.
        let kept = all.entry(key).or_insert_with(|| Arc::clone(&newest));
        if kept.list.number < newest.list.number {
            *kept = newest;
        }
        Ok(Some(list))
    }
}

fn removed() -> JournalError {
    JournalError::Corrupt("its newest CRL was removed".into())
}

/// The list, if it says what its row does, and its issuer signed that.
fn proven(
    reader: &Reader<'_>,
    row: &CrlRow,
    (issuer, origin): (&Issuer, &str),
    (tbs, signature, sha256): (&[u8], &[u8], [u8; 32]),
) -> Result<GetCrlResponse, JournalError> {
    let damaged = || JournalError::Corrupt(format!("the CRL of entry {} is damaged", row.index));
    issuer.verify(tbs, signature).map_err(|_| damaged())?;
    let crl = certs::compose::join(tbs, issuer.algorithm(), signature);
    let summary = CrlSummary::parse(&crl).map_err(|_| damaged())?;
    if !row.matches(&summary) || Sha256::digest(&crl).as_slice() != sha256 {
        return Err(damaged());
    }
    let leaf = reader.leaf(row.index)?.ok_or_else(damaged)?;
    Ok(GetCrlResponse {
        crl,
        number: row.number,
        this_update: Some(convert::timestamp_secs(row.this_update)),
        next_update: Some(convert::timestamp_secs(row.next_update)),
        revoked: row.revoked,
        issuer: HEXLOWER.encode(&issuer.public_key().key_identifier()),
        receipt: Some(release::receipt(origin, row.index, leaf)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::testing;

    /// A crash leaves a list without its signature, under a checkpoint: of the issuer that signs no older one is handed out then, and of no issuer is that
    /// damage. What was signed is not taken away.
    #[test]
    fn a_list_that_was_never_signed_is_no_damage() {
        let (old, active) = ([1; 32], [2; 32]);
        let database = testing::in_memory();
        let connection = database.raw();
        connection.execute("INSERT INTO checkpoint VALUES (1, 10, 'note')", []).unwrap();
        let add = |index: u64, issuer: [u8; 32], number: u64, signed: bool| {
            let sql = "INSERT INTO crl VALUES (?1, ?2, ?3, 0, 1, 0, 0)";
            connection.execute(sql, (index, issuer, number)).unwrap();
            if signed {
                let sql = "INSERT INTO signature VALUES (?1, x'00', zeroblob(32))";
                connection.execute(sql, [index]).unwrap();
            }
        };
        for (index, issuer, number, signed) in
            [(1, old, 4, true), (2, old, 5, false), (3, active, 6, true), (4, active, 7, false)]
        {
            add(index, issuer, number, signed);
        }
        let (lists, reader) = (Lists::default(), Reader::borrowing(&database));
        lists.begin(&reader, [old, active], active).unwrap();
        assert_eq!((lists.least(&old), lists.least(&active)), (4, 7));
        lists.demand(&reader).unwrap();
        add(12, active, 8, true);
        lists.signed(active, 8);
        lists.demand(&reader).unwrap();
        connection.execute("DELETE FROM signature WHERE idx = 12", []).unwrap();
        assert!(lists.demand(&reader).is_err());
    }
}
