//! Step 7, record: one entry, durable before anything is signed (invariant I2).
//!
//! A crash before the commit leaves nothing. A crash after it leaves an entry without a certificate, which the next start abandons: it counts
//! as issued all the same.

use certs::compose::Tbs;
use ledger::Hash;
use ledger::entry::{Issuance, Profile, Reference};

use super::Linted;
use crate::journal::Appended;

/// What the entry says beside the certificate's bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Issuing {
    pub(crate) subject: String,
    pub(crate) profile: Profile,
    pub(crate) agent_revision: u64,
    pub(crate) grant: String,
    pub(crate) approval: Option<Reference>,
    pub(crate) csr_sha256: Vec<u8>,
    pub(crate) renews: Option<Reference>,
    pub(crate) lifetime_secs: u32,
}

impl Issuing {
    /// The entry of a linted certificate.
    pub(crate) fn entry(self, linted: &Linted, issuer_spki_sha256: [u8; 32]) -> Issuance {
        Issuance {
            tbs: linted.tbs().as_bytes().to_vec(),
            issuer_spki_sha256: issuer_spki_sha256.to_vec(),
            subject: self.subject,
            profile: self.profile.into(),
            agent_revision: self.agent_revision,
            grant: self.grant,
            approval: self.approval,
            csr_sha256: self.csr_sha256,
            renews: self.renews,
            lifetime_seconds: self.lifetime_secs,
        }
    }
}

/// A certificate whose entry is durable: it may be signed, once. Not `Clone`.
#[derive(Debug)]
pub(crate) struct Recorded {
    index: u64,
    leaf: Hash,
    tbs: Tbs,
}

impl Recorded {
    /// Takes an entry's certificate for signing. Called after the commit of the batch that appended it, with what that batch appended, and by
    /// nobody else: what is read from the journal is never signed.
    pub(crate) fn after_commit(appended: Appended, issuance: Issuance) -> Self {
        Self { index: appended.index, leaf: appended.leaf, tbs: Tbs::from_recorded(issuance.tbs) }
    }

    /// Index of the entry.
    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    /// Leaf hash of the entry.
    pub(crate) fn leaf(&self) -> Hash {
        self.leaf
    }

    /// The bytes to sign.
    pub(crate) fn tbs(&self) -> &[u8] {
        self.tbs.as_bytes()
    }
}
