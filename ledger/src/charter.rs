//! The charter: a cell's officers, and how many of them an act needs.
//!
//! Does not: decide what needs an approval. A [`Charter`] exists only once its own signatures were checked.

mod charters;

use sha2::{Digest, Sha256};

use crate::note::{KeyName, Note, NoteError, VerifierKey};
use crate::text::{self, Kind, Reader, TextError, Writer};

pub use charters::Charters;

/// Most officers of a cell: more than a security team has, and their signatures fit in every note.
pub const MAX_OFFICERS: usize = 32;

/// What a charter says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Trust domain of the cell.
    pub cell: String,
    /// Counts the charters of the cell, from 1.
    pub revision: u64,
    /// How many officers an act needs: 1 to the number of officers.
    pub quorum: u8,
    /// The officers' keys: 1 to [`MAX_OFFICERS`], names and keys distinct.
    pub officers: Vec<VerifierKey>,
}

/// A charter in force: signed by those who may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charter {
    terms: Terms,
}

/// The officers who approved a note: a quorum of a charter. [`Charter::approvals`] alone makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approvals {
    officers: Vec<KeyName>,
}

/// Why a note is not approved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotApproved {
    /// Nobody signed it.
    #[error("nobody has signed it")]
    Unsigned,
    /// Those who signed it are no officers.
    #[error("no officer has signed it")]
    Stranger,
    /// Too few officers signed it.
    #[error("{have} of {need} officers have signed it")]
    NotEnough {
        /// Officers who signed.
        have: u8,
        /// Officers needed.
        need: u8,
    },
    /// Somebody else's signature stands beside the officers', or one of theirs was altered until it was nobody's.
    #[error("a signature under it is no officer's, or is there twice")]
    Others,
    /// A line in an officer's name is not that officer's signature: the note was changed, or the line made up.
    #[error("the signature of {0} is not valid")]
    BadSignature(KeyName),
}

/// What is no charter, or not one that follows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CharterError {
    /// No note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text does not say what a charter says.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Those who must approve it have not.
    #[error(transparent)]
    NotApproved(#[from] NotApproved),
    /// It is another cell's.
    #[error("the charter is of another cell")]
    WrongCell,
    /// It does not follow the charter in force.
    #[error("the charter has revision {have}, and {want} must follow")]
    WrongRevision {
        /// Revision that it has.
        have: u64,
        /// Revision that it must have.
        want: u64,
    },
}

impl Terms {
    /// The note to sign.
    ///
    /// # Errors
    /// [`CharterError::Note`] or [`CharterError::Text`] when no charter can say this.
    pub fn draft(&self) -> Result<Note, CharterError> {
        let note = Note::unsigned(&self.text())?;
        // A value with a newline in it would write a line of its own.
        if Self::parse(note.text())? == *self { Ok(note) } else { Err(TextError::NotCanonical.into()) }
    }

    /// Reads what a note says. Nobody has approved it yet.
    ///
    /// # Errors
    /// [`CharterError::Text`].
    pub fn read(note: &Note) -> Result<Self, CharterError> {
        Ok(Self::parse(note.text())?)
    }

    /// SHA-256 of the text: the charter's name where another note speaks of it.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.text()).into()
    }

    fn text(&self) -> String {
        let text = Writer::new(Kind::Charter)
            .line("cell", &self.cell)
            .line("revision", self.revision)
            .line("quorum", self.quorum);
        self.officers.iter().fold(text, |text, officer| text.line("officer", officer)).finish()
    }

    fn parse(text: &str) -> Result<Self, TextError> {
        let mut lines = Reader::new(text, Kind::Charter)?;
        let cell = lines.cell()?;
        let revision = lines.parse("revision")?;
        let quorum = lines.parse("quorum")?;
        let officers = lines.repeated("officer", MAX_OFFICERS)?;
        lines.end()?;
        let terms = Self { cell, revision, quorum, officers };
        terms.check_bounds()?;
        if terms.text() == text { Ok(terms) } else { Err(TextError::NotCanonical) }
    }

    fn check_bounds(&self) -> Result<(), TextError> {
        let keys: Vec<_> = self.officers.iter().map(VerifierKey::public_key).collect();
        let names: Vec<_> = self.officers.iter().map(VerifierKey::name).collect();
        // One officer under two names, or two under one, would make a quorum of one person.
        if keys.is_empty() || !text::distinct(&keys) || !text::distinct(&names) {
            return Err(TextError::Count("officer"));
        }
        // Other letters look like these, and an officer is read by name.
        if !names.iter().all(|name| name.as_str().is_ascii()) {
            return Err(TextError::Value { line: 5, key: "officer" });
        }
        if self.revision == 0 {
            return Err(TextError::Value { line: 3, key: "revision" });
        }
        if self.quorum == 0 || usize::from(self.quorum) > self.officers.len() {
            return Err(TextError::Value { line: 4, key: "quorum" });
        }
        Ok(())
    }
}

impl Charter {
    /// Opens a first charter: revision 1, signed by a quorum of its own officers. Anybody can make one for any cell; which
    /// is the right one, only a pin or entry 0 of the log tells.
    ///
    /// # Errors
    /// [`CharterError`].
    pub fn found(note: &Note) -> Result<Self, CharterError> {
        let charter = Self { terms: Terms::parse(note.text())? };
        if charter.revision() != 1 {
            return Err(CharterError::WrongRevision { have: charter.revision(), want: 1 });
        }
        charter.approvals(note)?;
        Ok(charter)
    }

    /// A charter whose terms the caller knows from elsewhere, as one knows a pin: nobody's signature is asked for.
    ///
    /// # Errors
    /// No charter can say this.
    pub fn known(terms: Terms) -> Result<Self, CharterError> {
        terms.draft()?;
        Ok(Self { terms })
    }

    /// Opens the charter that follows this one: of the same cell, its revision one higher, signed by a quorum of the
    /// officers of *this* one.
    ///
    /// # Errors
    /// [`CharterError`].
    pub fn succeed(&self, note: &Note) -> Result<Self, CharterError> {
        let terms = Terms::parse(note.text())?;
        if terms.cell != self.terms.cell {
            return Err(CharterError::WrongCell);
        }
        let want = self.terms.revision.saturating_add(1);
        if terms.revision != want {
            return Err(CharterError::WrongRevision { have: terms.revision, want });
        }
        self.approvals(note)?;
        Ok(Self { terms })
    }

    /// Checks that a quorum of the officers signed a note, whatever it says. Lines of strangers are ignored.
    ///
    /// # Errors
    /// [`NotApproved`].
    pub fn approvals(&self, note: &Note) -> Result<Approvals, NotApproved> {
        self.approved_by(note, self.terms.quorum)
    }

    /// The same, for notes under which nobody else's line may stand: each byte of such a note is an officer's word.
    ///
    /// # Errors
    /// [`NotApproved`].
    pub fn approvals_alone(&self, note: &Note, need: u8) -> Result<Approvals, NotApproved> {
        let approvals = self.approved_by(note, need)?;
        if note.signatures().len() == approvals.officers.len() {
            Ok(approvals)
        } else {
            Err(NotApproved::Others)
        }
    }

    /// Checks that one officer at least signed a note: for acts that any one of them can do.
    ///
    /// # Errors
    /// [`NotApproved`].
    pub fn approvals_of_one(&self, note: &Note) -> Result<Approvals, NotApproved> {
        self.approved_by(note, 1)
    }

    fn approved_by(&self, note: &Note, need: u8) -> Result<Approvals, NotApproved> {
        if note.signatures().is_empty() {
            return Err(NotApproved::Unsigned);
        }
        let mut officers = Vec::new();
        for officer in &self.terms.officers {
            // Counted by officer, not by line: repeating a line makes no quorum.
            match note.is_signed_by(officer) {
                Ok(true) => officers.push(officer.name().clone()),
                Ok(false) => {}
                Err(_) => return Err(NotApproved::BadSignature(officer.name().clone())),
            }
        }
        let have = u8::try_from(officers.len()).unwrap_or(u8::MAX);
        match have {
            0 => Err(NotApproved::Stranger),
            _ if have < need => Err(NotApproved::NotEnough { have, need }),
            _ => Ok(Approvals { officers }),
        }
    }

    /// Trust domain of the cell.
    pub fn cell(&self) -> &str {
        &self.terms.cell
    }

    /// Counts the charters of the cell, from 1.
    pub fn revision(&self) -> u64 {
        self.terms.revision
    }

    /// How many officers an act needs.
    pub fn quorum(&self) -> u8 {
        self.terms.quorum
    }

    /// The officers' keys.
    pub fn officers(&self) -> &[VerifierKey] {
        &self.terms.officers
    }

    /// SHA-256 of its text.
    pub fn sha256(&self) -> [u8; 32] {
        self.terms.sha256()
    }

    /// What it says.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }
}

impl Approvals {
    /// Names of the officers who approved, in the order of the charter.
    pub fn officers(&self) -> &[KeyName] {
        &self.officers
    }
}
