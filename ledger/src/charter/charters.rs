//! The charters of a cell, one after the other: what a client pins, and what it followed since.

use std::fmt;

use super::{Charter, CharterError, Terms};
use crate::note::Note;
use crate::text::Kind;

/// The first charter and those after it, each approved by the officers of the one before. As a text it is their notes in order; one
/// note alone is a chain of one.
#[derive(Debug, Clone)]
pub struct Charters {
    notes: Vec<Note>,
    first: Charter,
    later: Vec<Charter>,
}

impl Charters {
    /// Reads the notes of a chain. That its first charter is the right one, only whoever pinned it knows.
    ///
    /// # Errors
    /// [`CharterError`], of the first note that is none or does not follow.
    pub fn parse(bytes: &[u8]) -> Result<Self, CharterError> {
        let notes = split(bytes).into_iter().map(Note::parse).collect::<Result<Vec<_>, _>>()?;
        let mut notes = notes.into_iter();
        // No note at all is one that cannot be read.
        let note = notes.next().map_or_else(|| Note::parse(bytes), Ok)?;
        let first = Charter::found(&note)?;
        let mut chain = Self { notes: vec![note], first, later: Vec::new() };
        notes.try_for_each(|note| chain.push(note))?;
        Ok(chain)
    }

    /// Adds the charter that follows.
    ///
    /// # Errors
    /// [`CharterError`].
    pub fn push(&mut self, note: Note) -> Result<(), CharterError> {
        let next = self.in_force().succeed(&note)?;
        self.later.push(next);
        self.notes.push(note);
        Ok(())
    }

    /// Follows charters that somebody handed out: those of revisions that the chain has are skipped. Whether it grew.
    ///
    /// # Errors
    /// [`CharterError`], of the first that does not follow; the chain has then grown up to it.
    pub fn follow<'a>(&mut self, notes: impl IntoIterator<Item = &'a str>) -> Result<bool, CharterError> {
        let before = self.notes.len();
        for text in notes {
            let note = Note::parse(text.as_bytes())?;
            if Terms::read(&note)?.revision > self.in_force().revision() {
                self.push(note)?;
            }
        }
        Ok(self.notes.len() > before)
    }

    /// The notes, in order.
    pub fn notes(&self) -> Vec<String> {
        self.notes.iter().map(ToString::to_string).collect()
    }

    /// The first charter: what was pinned.
    pub fn first(&self) -> &Charter {
        &self.first
    }

    /// The charter in force, as far as the chain goes.
    pub fn in_force(&self) -> &Charter {
        self.later.last().unwrap_or(&self.first)
    }

    /// The charter of a revision, where the chain has it: what was signed under it counts as it did then.
    pub fn of_revision(&self, revision: u64) -> Option<&Charter> {
        std::iter::once(&self.first).chain(&self.later).find(|charter| charter.revision() == revision)
    }
}

/// The notes of a text: each begins with the line that says that it is a charter, which no other line can be. What stands before the
/// first belongs to it, and makes it no note.
fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let head = format!("{}\n", Kind::Charter.line()).into_bytes();
    let is_head = |i: &usize| bytes[*i..].starts_with(&head) && (*i == 0 || bytes[*i - 1] == b'\n');
    let mut starts: Vec<usize> = (0..bytes.len()).filter(is_head).collect();
    if let Some(first) = starts.first_mut() {
        *first = 0;
    }
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    starts.iter().zip(ends).map(|(start, end)| &bytes[*start..end]).collect()
}

impl fmt::Display for Charters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.notes.iter().try_for_each(|note| note.fmt(f))
    }
}
