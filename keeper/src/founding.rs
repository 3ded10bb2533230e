//! The first entries of a journal, for the ceremony that founds a cell: recorded before they are signed, like all others.

use std::path::Path;

use ledger::entry::entry::Kind;
use ledger::entry::{Actor, ActorKind, Entry, VERSION};
use sha2::{Digest, Sha256};

use crate::journal::{Appended, Durability, Journal, JournalError};

/// A journal being founded.
#[derive(Debug)]
pub struct Founder {
    journal: Journal,
}

/// A cell could not be founded.
pub type FoundingError = JournalError;

impl Founder {
    /// Makes the journal in `dir`, which must be private and without one. The log's first epoch is `<cell>/log/1`.
    ///
    /// # Errors
    /// There is one, or the disk fails.
    pub fn create(dir: &Path, cell: &str, origin: &str) -> Result<Self, FoundingError> {
        Ok(Self { journal: Journal::create(dir, cell, origin)? })
    }

    /// Records an entry on the officers' word. It is durable when this returns.
    ///
    /// # Errors
    /// The entry is malformed, or the disk fails.
    pub fn record(&mut self, now_ms: i64, kind: Kind) -> Result<Appended, FoundingError> {
        let entry = Entry {
            version: VERSION,
            cell: self.journal.cell().to_owned(),
            time_unix_ms: now_ms,
            actor: Some(Actor { kind: ActorKind::Officers.into(), ..Actor::default() }),
            kind: Some(kind),
            ..Entry::default()
        };
        self.journal.begin(Durability::Disk)?;
        let appended = self.journal.append(&entry)?;
        self.journal.commit()?;
        Ok(appended)
    }

    /// Keeps the signature of a recorded CA certificate.
    ///
    /// # Errors
    /// The disk's.
    pub fn store_signature(
        &mut self,
        recorded: Appended,
        signature: &[u8],
        certificate: &[u8],
    ) -> Result<(), FoundingError> {
        self.journal.begin(Durability::Disk)?;
        self.journal.store_signature(recorded.index, signature, &Sha256::digest(certificate).into())?;
        self.journal.commit()
    }
}
