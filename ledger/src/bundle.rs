//! The trust bundle: a cell's trust anchors and logs, as its officers published them.
//!
//! Does not: look into certificates. A [`Bundle`] exists only once a quorum's signatures were checked.

mod pem;

use std::fmt;
use std::str::FromStr;

use crate::charter::{Approvals, Charter, NotApproved};
use crate::note::{KeyName, Note, NoteError, VerifierKey};
use crate::text::{self, Kind, Reader, TextError, Writer};

/// Most trust anchors: a root, the next one, and room for mergers of cells.
pub const MAX_ANCHORS: usize = 16;

/// Most logs: each epoch of the ledger has one.
pub const MAX_LOGS: usize = 16;

/// A log whose proofs count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Origin of the log ("prod.example/log/1").
    pub origin: KeyName,
    /// The key that signs its checkpoints.
    pub key: VerifierKey,
}

/// What a bundle says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Trust domain of the cell.
    pub cell: String,
    /// Counts the bundles of the cell, from 1. Of two, the higher one is in force.
    pub number: u64,
    /// Revision of the charter whose officers sign it.
    pub charter_revision: u64,
    /// The logs: 1 to [`MAX_LOGS`], origins distinct.
    pub logs: Vec<Log>,
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

    fn text(&self) -> String {
        let text = Writer::new(Kind::Bundle)
            .line("cell", &self.cell)
            .line("number", self.number)
            .line("charter", self.charter_revision);
        self.logs
            .iter()
            .fold(text, |text, log| text.line("log", log))
            .raw(&pem::encode(&self.anchors))
            .finish()
    }

    fn parse(text: &str) -> Result<Self, TextError> {
        let mut lines = Reader::new(text, Kind::Bundle)?;
        let cell = lines.cell()?;
        let number = lines.parse("number")?;
        let charter_revision = lines.parse("charter")?;
        let logs = lines.repeated("log", MAX_LOGS)?;
        let anchors = pem::decode(&mut lines, MAX_ANCHORS)?;
        let contents = Self { cell, number, charter_revision, logs, anchors };
        contents.check_bounds()?;
        if contents.text() == text { Ok(contents) } else { Err(TextError::NotCanonical) }
    }

    fn check_bounds(&self) -> Result<(), TextError> {
        if self.number == 0 {
            return Err(TextError::Value { line: 3, key: "number" });
        }
        let origins: Vec<_> = self.logs.iter().map(|log| &log.origin).collect();
        if origins.is_empty() || !text::distinct(&origins) {
            return Err(TextError::Count("log"));
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

impl FromStr for Log {
    type Err = TextError;

    fn from_str(value: &str) -> Result<Self, TextError> {
        let (origin, key) = value.split_once(' ').ok_or(TextError::NotCanonical)?;
        let origin = origin.parse().map_err(|_| TextError::NotCanonical)?;
        let key = key.parse().map_err(|_| TextError::NotCanonical)?;
        Ok(Self { origin, key })
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.origin, self.key)
    }
}
