//! Step 7, record: one entry, durable before anything is signed (invariant I2).
//!
//! A crash before the commit leaves nothing. A crash after it leaves an entry without a certificate, which the next start abandons: it counts
//! as issued all the same.

use certs::compose::Tbs;
use ledger::Hash;
use ledger::entry::entry::Kind;
use ledger::entry::{Entry, Issuance, Profile, Reference};

use super::Linted;
use crate::journal::{Appended, Committed};

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

/// A certificate that passed steps 3 to 6, in the entry that records it. [`Issuing::recordable`] alone makes one.
#[derive(Debug)]
pub(crate) struct Recordable(Box<Entry>);

impl Issuing {
    /// What is recorded of a linted certificate, in the entry that `entry` makes of it.
    pub(crate) fn recordable(
        self,
        linted: &Linted,
        issuer_spki_sha256: [u8; 32],
        entry: impl FnOnce(Kind) -> Entry,
    ) -> Recordable {
        Recordable(Box::new(entry(Kind::Issuance(Issuance {
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
        }))))
    }
}

impl Recordable {
    /// The entry.
    pub(crate) fn entry(&self) -> &Entry {
        &self.0
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
    /// Takes a certificate for signing whose entry the batch appended that is on the disk now; none where it is not. What is read from the
    /// journal is never signed: nothing makes a [`Recordable`] of it.
    pub(crate) fn after_commit(
        committed: &Committed,
        appended: Appended,
        Recordable(entry): Recordable,
    ) -> Option<Self> {
        match entry.kind {
            Some(Kind::Issuance(issuance)) if committed.is_on_disk(appended.index) => {
                let tbs = Tbs::from_recorded(issuance.tbs);
                Some(Self { index: appended.index, leaf: appended.leaf, tbs })
            }
            _ => None,
        }
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
