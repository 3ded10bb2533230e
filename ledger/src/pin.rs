//! An officer's word that a token's refused PIN may be tried once more: a note that stands beside the record of refused PINs.
//!
//! Does not: reach the ledger. It is about one machine's record, and is kept there (SECURITY.md).

use data_encoding::HEXLOWER;

use crate::note::{Note, NoteError};
use crate::text::{Kind, Reader, TextError, Writer};

/// What an officer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinFailureCleared {
    /// Trust domain of the cell.
    pub cell: String,
    /// The token as the record of refused PINs names it. One line.
    pub token: String,
    /// Makes each word another one: 16 random octets.
    pub nonce: [u8; 16],
    /// When it was said, in seconds since 1970.
    pub time_unix: i64,
}

/// Why a note is none of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinNoteError {
    /// No note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text does not say what this note says.
    #[error(transparent)]
    Text(#[from] TextError),
}

impl PinFailureCleared {
    /// The note to sign.
    ///
    /// # Errors
    /// [`PinNoteError`]: no note can say this, as of a token whose label has two lines.
    pub fn draft(&self) -> Result<Note, PinNoteError> {
        let note = Note::unsigned(&self.text())?;
        if Self::read(&note)? == *self { Ok(note) } else { Err(TextError::NotCanonical.into()) }
    }

    /// Reads what a note says. Nobody has signed it yet.
    ///
    /// # Errors
    /// [`PinNoteError::Text`].
    pub fn read(note: &Note) -> Result<Self, PinNoteError> {
        let mut lines = Reader::new(note.text(), Kind::PinFailureCleared)?;
        let read = Self {
            cell: lines.cell()?,
            token: lines.value("token")?.to_owned(),
            nonce: lines.octets("nonce")?,
            time_unix: lines.parse("time")?,
        };
        lines.end()?;
        if read.text() == note.text() { Ok(read) } else { Err(TextError::NotCanonical.into()) }
    }

    fn text(&self) -> String {
        Writer::new(Kind::PinFailureCleared)
            .line("cell", &self.cell)
            .line("token", &self.token)
            .line("nonce", HEXLOWER.encode(&self.nonce))
            .line("time", self.time_unix)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_and_is_of_its_own_kind() {
        let said = PinFailureCleared {
            cell: "prod.example".into(),
            token: "issuing (serial 77)".into(),
            nonce: [7; 16],
            time_unix: 1_767_225_600,
        };
        let note = said.draft().unwrap();
        assert_eq!(Kind::of(note.text()), Some(Kind::PinFailureCleared));
        assert_eq!(PinFailureCleared::read(&note).unwrap(), said);
        let another = PinFailureCleared { nonce: [8; 16], ..said.clone() };
        assert_ne!(another.draft().unwrap().text(), note.text(), "each word is another one");
        PinFailureCleared { token: "a\nnonce: b".into(), ..said }.draft().unwrap_err();
    }
}
