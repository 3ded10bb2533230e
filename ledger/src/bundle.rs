//! The trust bundle: a cell's trust anchors and logs, as its officers published them.
//!
//! Does not: look into certificates. A [`Bundle`] exists only once a quorum's signatures were checked.

mod issuer;
mod log;
mod pem;

pub use issuer::{IssuerLine, IssuerState};
pub use log::Log;

use crate::charter::{Approvals, Charter, NotApproved};
use crate::note::{KeyName, Note, NoteError, VerifierKey};
use crate::text::{self, Kind, Reader, TextError, Writer};

/// Most trust anchors: a root, the next one, and room for mergers of cells.
pub const MAX_ANCHORS: usize = 16;

/// Most keys of logs: each epoch of the ledger has a log, and each token that stands ready a key.
pub const MAX_LOGS: usize = 16;

/// Most issuers: those that sign, those that stand ready, and those whose certificates still live.
pub const MAX_ISSUERS: usize = 16;

/// What a bundle says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Trust domain of the cell.
    pub cell: String,
    /// Counts the bundles of the cell, from 1. Of two, the higher one is in force.
    pub number: u64,
    /// Revision of the charter whose officers sign it.
    pub charter_revision: u64,
    /// The logs: 1 or more, with at most [`MAX_LOGS`] keys in all; origins and keys distinct.
    pub logs: Vec<Log>,
    /// The issuers: at most [`MAX_ISSUERS`], each once, at most one of them active.
    pub issuers: Vec<IssuerLine>,
    /// Trust anchors, each one DER certificate: 1 to [`MAX_ANCHORS`], distinct.
    pub anchors: Vec<Vec<u8>>,
}

/// A bundle that a quorum of officers published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    contents: Contents,
    approvals: Approvals,
}

/// What is no bundle of the cell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// No note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text does not say what a bundle says.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A quorum of officers has not signed it.
    #[error(transparent)]
    NotApproved(#[from] NotApproved),
    /// It is another cell's.
    #[error("the bundle is of another cell")]
    WrongCell,
    /// It was published under another charter.
    #[error("the bundle was published under revision {have} of the charter, not {want}")]
    WrongCharter {
        /// Revision that it names.
        have: u64,
        /// Revision of the charter it was checked with.
        want: u64,
    },
}

/// Why a bundle does not take the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotNewer {
    /// It is another cell's.
    #[error("the bundle is of another cell")]
    WrongCell,
    /// It is older: withheld updates, or a replay.
    #[error("bundle {offered} is older than bundle {have}")]
    Older {
        /// Number of the bundle that is in force.
        have: u64,
        /// Number of the one that was offered.
        offered: u64,
    },
    /// Another bundle has the same number: the officers signed two.
    #[error("there are two bundles {0}")]
    Conflict(u64),
}

impl Contents {
    /// The note to sign.
    ///
    /// # Errors
    /// [`BundleError::Note`] or [`BundleError::Text`] when no bundle can say this.
    pub fn draft(&self) -> Result<Note, BundleError> {
        let note = Note::unsigned(&self.text())?;
        // A value with a newline in it would write a line of its own.
        if Self::parse(note.text())? == *self { Ok(note) } else { Err(TextError::NotCanonical.into()) }
    }

    /// Reads what a note says. Nobody has approved it yet.
    ///
    /// # Errors
    /// [`BundleError::Text`].
    pub fn read(note: &Note) -> Result<Self, BundleError> {
        Ok(Self::parse(note.text())?)
    }

    /// The same as the one that follows under a charter of this revision.
    #[must_use]
    pub fn following(&self, charter_revision: u64) -> Self {
        Self { number: self.number + 1, charter_revision, ..self.clone() }
    }

    /// Every key of every log, with the log's origin.
    pub fn log_keys(&self) -> impl Iterator<Item = (&KeyName, &VerifierKey)> {
        self.logs.iter().flat_map(|log| log.keys.iter().map(move |key| (&log.origin, key)))
    }

    fn active_issuers(&self) -> impl Iterator<Item = [u8; 32]> {
        let active = self.issuers.iter().filter(|issuer| issuer.state == IssuerState::Active);
        active.map(|issuer| issuer.spki_sha256)
    }

    /// The issuer that signs, by the SHA-256 of its SubjectPublicKeyInfo.
    pub fn active_issuer(&self) -> Option<[u8; 32]> {
        self.active_issuers().next()
    }

    fn text(&self) -> String {
        let text = Writer::new(Kind::Bundle)
            .line("cell", &self.cell)
            .line("number", self.number)
            .line("charter", self.charter_revision);
        let text = self.logs.iter().flat_map(Log::lines).fold(text, |text, line| text.line("log", line));
        self.issuers
            .iter()
            .fold(text, |text, issuer| text.line("issuer", issuer))
            .raw(&pem::encode(&self.anchors))
            .finish()
    }

    fn parse(text: &str) -> Result<Self, TextError> {
        let mut lines = Reader::new(text, Kind::Bundle)?;
        let cell = lines.cell()?;
        let number = lines.parse("number")?;
        let charter_revision = lines.parse("charter")?;
        let logs = log::group(lines.repeated("log", MAX_LOGS)?);
        let issuers = lines.repeated("issuer", MAX_ISSUERS)?;
        let anchors = pem::decode(&mut lines, MAX_ANCHORS)?;
        let contents = Self { cell, number, charter_revision, logs, issuers, anchors };
        contents.check_bounds()?;
        if contents.text() == text { Ok(contents) } else { Err(TextError::NotCanonical) }
    }

    fn check_bounds(&self) -> Result<(), TextError> {
        if self.number == 0 {
            return Err(TextError::Value { line: 3, key: "number" });
        }
        let origins: Vec<_> = self.logs.iter().map(|log| &log.origin).collect();
        if origins.is_empty() || !text::distinct(&origins) || !self.logs.iter().all(Log::is_sound) {
            return Err(TextError::Count("log"));
        }
        let issuers: Vec<_> = self.issuers.iter().map(|issuer| issuer.spki_sha256).collect();
        if !text::distinct(&issuers) || self.active_issuers().count() > 1 {
            return Err(TextError::Count("issuer"));
        }
        if self.anchors.is_empty() || !text::distinct(&self.anchors) {
            return Err(TextError::Count(pem::BEGIN));
        }
        Ok(())
    }
}

impl Bundle {
    /// Opens a bundle that was published under a charter.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn open(note: &Note, charter: &Charter) -> Result<Self, BundleError> {
        let contents = Contents::parse(note.text())?;
        if contents.cell != charter.cell() {
            return Err(BundleError::WrongCell);
        }
        let (have, want) = (contents.charter_revision, charter.revision());
        if have != want {
            return Err(BundleError::WrongCharter { have, want });
        }
        let approvals = charter.approvals(note)?;
        Ok(Self { contents, approvals })
    }

    /// Checks that this bundle may take the place of an older one. The same one again may.
    ///
    /// # Errors
    /// [`NotNewer`].
    pub fn supersedes(&self, older: &Self) -> Result<(), NotNewer> {
        if self.cell() != older.cell() {
            return Err(NotNewer::WrongCell);
        }
        let (have, offered) = (older.number(), self.number());
        if offered < have {
            return Err(NotNewer::Older { have, offered });
        }
        if offered == have && self.contents != older.contents {
            return Err(NotNewer::Conflict(have));
        }
        Ok(())
    }

    /// Trust domain of the cell.
    pub fn cell(&self) -> &str {
        &self.contents.cell
    }

    /// Counts the bundles of the cell, from 1.
    pub fn number(&self) -> u64 {
        self.contents.number
    }

    /// The logs whose proofs count.
    pub fn logs(&self) -> &[Log] {
        &self.contents.logs
    }

    /// The log of this origin.
    pub fn log(&self, origin: &str) -> Option<&Log> {
        self.contents.logs.iter().find(|log| log.origin == *origin)
    }

    /// The issuers that the officers know of.
    pub fn issuers(&self) -> &[IssuerLine] {
        &self.contents.issuers
    }

    /// Trust anchors, each one DER certificate.
    pub fn anchors(&self) -> &[Vec<u8>] {
        &self.contents.anchors
    }

    /// The trust anchors as PEM, one after the other.
    pub fn pem(&self) -> String {
        pem::encode(&self.contents.anchors)
    }

    /// What it says.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The officers who published it.
    pub fn approvals(&self) -> &Approvals {
        &self.approvals
    }
}
