//! What is kept beside the entries: signatures, signed requests, the inputs of CRLs, the newest checkpoint.

use super::{Journal, JournalError};

impl Journal {
    /// Goes on as the log of another origin, in the open batch. The newest checkpoint is the log's before: it goes.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn rename(&mut self, origin: &str) -> Result<(), JournalError> {
        self.raw().execute("UPDATE meta SET origin = ?1", [origin])?;
        self.raw().execute("DELETE FROM checkpoint", [])?;
        self.memory.checkpoint.borrow_mut().take();
        origin.clone_into(&mut self.origin);
        Ok(())
    }

    /// Keeps the signature of a recorded certificate. It is no part of the entry.
    ///
    /// # Errors
    /// The disk's.
    pub fn store_signature(
        &self,
        index: u64,
        signature: &[u8],
        certificate: &[u8; 32],
    ) -> Result<(), JournalError> {
        self.raw()
            .prepare_cached("INSERT INTO signature (idx, signature, certificate_sha256) VALUES (?1, ?2, ?3)")?
            .execute((index, signature, certificate))?;
        if let Some(known) = self.memory.known.borrow_mut().as_mut() {
            known.signed(index, certificate);
        }
        Ok(())
    }

    /// Keeps the body of a signed request beside the first entry that it led to, in the same batch.
    ///
    /// # Errors
    /// The disk's.
    pub fn store_request(&self, index: u64, body: &[u8]) -> Result<(), JournalError> {
        self.raw()
            .prepare_cached("INSERT INTO signed_request (idx, body) VALUES (?1, ?2)")?
            .execute((index, body))?;
        Ok(())
    }

    /// Lets the bodies of the requests go that led to these entries: their hashes stay in them.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn let_requests_go(&self, entries: &[u64]) -> Result<(), JournalError> {
        let mut forget = self.raw().prepare_cached("DELETE FROM signed_request WHERE idx = ?1")?;
        for index in entries {
            forget.execute([index])?;
        }
        Ok(())
    }

    /// Keeps the exact input of a CRL beside its entry, in the same batch.
    ///
    /// # Errors
    /// The disk's.
    pub fn store_crl_input(&self, index: u64, tbs: &[u8]) -> Result<(), JournalError> {
        self.raw()
            .prepare_cached("INSERT INTO crl_input (idx, tbs) VALUES (?1, ?2)")?
            .execute((index, tbs))?;
        Ok(())
    }

    /// Lets the inputs go that the signed CRL at `index` replaced, but for the one before it, which someone may be reading: their
    /// hashes stay in their entries.
    ///
    /// # Errors
    /// The disk's.
    pub fn let_crls_go(&self, issuer: &[u8], index: u64) -> Result<(), JournalError> {
        self.raw()
            .prepare_cached(
                "DELETE FROM crl_input WHERE idx IN (SELECT idx FROM crl WHERE issuer = ?1 AND idx < ?2 ORDER BY idx DESC LIMIT -1 OFFSET 1)",
            )?
            .execute((issuer, index))?;
        Ok(())
    }

    /// Lets the inputs of CRLs before `index` go that were never signed.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn let_unsigned_crls_go(&self, index: u64) -> Result<(), JournalError> {
        self.raw()
            .prepare_cached(
                "DELETE FROM crl_input WHERE idx < ?1 AND NOT EXISTS (SELECT 1 FROM signature WHERE signature.idx = crl_input.idx)",
            )?
            .execute([index])?;
        Ok(())
    }

    /// Keeps the newest checkpoint.
    ///
    /// # Errors
    /// The disk's.
    pub fn store_checkpoint(&self, size: u64, note: &str) -> Result<(), JournalError> {
        self.raw()
            .prepare_cached("INSERT OR REPLACE INTO checkpoint (one, size, note) VALUES (1, ?1, ?2)")?
            .execute((size, note))?;
        *self.memory.checkpoint.borrow_mut() = Some((size, note.to_owned()));
        Ok(())
    }
}
