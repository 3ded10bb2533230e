//! The steps of a CRL: composed and linted (5, 6), recorded (7), signed and verified (8, 9). Step 10 is the reader's.
//!
//! A crash before the record leaves nothing; one after it leaves a CRL that is never signed, and the next one takes its place.

use audit::entries::LIST_SECS;
use certs::crl::{Crl, LintedCrl, Revoked};
use certs::{BadSignature, Issuer};
use hsm_config::TokenError;
use sha2::{Digest, Sha256};

use crate::custody::Session;
use crate::journal::{Appended, Committed, Journal, JournalError, Reader};

/// What is to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CrlOrder {
    /// CRL number.
    pub(crate) number: u64,
    /// thisUpdate, in seconds since 1970.
    pub(crate) this_update: i64,
    /// Certificates that expired before this time are left out, in seconds since 1970.
    pub(crate) expired_since: i64,
    /// Entries that it takes into account; all of them are durable.
    pub(crate) covers: u64,
}

/// A CRL's exact input, linted, with what its entry says.
#[derive(Debug)]
pub(crate) struct ComposedCrl {
    linted: LintedCrl,
    entry: ledger::entry::Crl,
    /// What it lists.
    revoked: Vec<Revoked>,
    expired_since: i64,
}

impl ComposedCrl {
    /// Whether it has what the keeper's own memory knows, and nothing else: it was read from a file.
    ///
    /// # Errors
    /// The journal's.
    pub(crate) fn is_as_revoked(&self, journal: &Journal) -> Result<bool, JournalError> {
        journal.is_as_revoked(&self.entry, self.expired_since, &self.revoked)
    }

    /// What is recorded of it.
    pub(crate) fn entry(&self) -> &ledger::entry::Crl {
        &self.entry
    }

    /// The bytes to sign.
    pub(crate) fn tbs(&self) -> &[u8] {
        self.linted.tbs().as_bytes()
    }
}

/// Reads what was revoked, and composes and lints the list of it.
///
/// # Errors
/// The journal's or our own fault, as text: nothing was recorded.
pub(crate) fn compose(reader: &Reader<'_>, issuer: &Issuer, order: &CrlOrder) -> Result<ComposedCrl, String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let spki = issuer.spki_sha256();
    let revoked = reader
        .revoked_certificates(&spki, order.covers, order.expired_since)
        .map_err(|error| said(&error))?;
    let next_update = order.this_update + LIST_SECS;
    let crl = Crl {
        number: order.number,
        this_update: u64::try_from(order.this_update).map_err(|error| said(&error))?,
        next_update: u64::try_from(next_update).map_err(|error| said(&error))?,
        revoked: &revoked,
    };
    let tbs = certs::crl::compose(issuer, &crl).map_err(|error| said(&error))?;
    let tbs_sha256 = tbs.sha256().to_vec();
    let linted = certs::crl::check(tbs, issuer, &crl)
        .map_err(|findings| findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let entry = ledger::entry::Crl {
        issuer_spki_sha256: spki.to_vec(),
        number: order.number,
        this_update_unix: order.this_update,
        next_update_unix: next_update,
        tbs_sha256,
        revoked: revoked.len() as u64,
        covers: order.covers,
    };
    Ok(ComposedCrl { linted, entry, revoked, expired_since: order.expired_since })
}

/// A CRL whose entry and exact input are durable: it may be signed, once. Not `Clone`.
#[derive(Debug)]
pub(crate) struct RecordedCrl {
    index: u64,
    linted: LintedCrl,
}

impl RecordedCrl {
    /// Takes a CRL for signing whose entry the batch appended that is on the disk now; none where it is not.
    pub(crate) fn after_commit(
        committed: &Committed,
        appended: Appended,
        composed: ComposedCrl,
    ) -> Option<Self> {
        let recorded = Self { index: appended.index, linted: composed.linted };
        committed.is_on_disk(appended.index).then_some(recorded)
    }
}

/// A CRL whose signature is the issuer's.
#[derive(Debug)]
pub(crate) struct VerifiedCrl {
    /// Index of its entry.
    pub(crate) index: u64,
    /// The signature as it stands in the CRL.
    pub(crate) signature: Vec<u8>,
    /// SHA-256 of the whole.
    pub(crate) sha256: [u8; 32],
}

/// Why a CRL has no signature.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSigned {
    /// The token's.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token returned another's signature (invariant I4).
    #[error("the token's signature for the CRL at entry {0} does not verify with the issuer's public key")]
    Wrong(u64),
}

/// Has the issuer's key sign, and verifies what it returned.
///
/// # Errors
/// [`NotSigned`].
pub(crate) fn sign(
    session: &mut Session,
    issuer: &Issuer,
    crl: RecordedCrl,
) -> Result<VerifiedCrl, NotSigned> {
    let RecordedCrl { index, linted } = crl;
    let tbs = linted.tbs().as_bytes();
    let signature = session.sign_as_issuer(tbs)?;
    issuer.verify(tbs, &signature).map_err(|BadSignature| NotSigned::Wrong(index))?;
    let sha256 = Sha256::digest(certs::compose::join(tbs, issuer.algorithm(), &signature)).into();
    Ok(VerifiedCrl { index, signature, sha256 })
}
