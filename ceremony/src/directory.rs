//! A ceremony's directory: the notes and the record, so that all of a ceremony can be carried, looked at and kept as one.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use ledger::note::{self, Note, NoteError};

use sys::{carried, durable};

/// The plan.
pub const PLAN: &str = "plan.note";
/// The charter: the first one of a cell, or the one that follows.
pub const CHARTER: &str = "charter.note";
/// What was done.
pub const TRANSCRIPT: &str = "transcript.note";
/// An act of administration.
pub const PROPOSAL: &str = "proposal.note";
/// The trust bundle that follows from it.
pub const BUNDLE: &str = "bundle.note";

/// The notes that officers sign, in the order in which they come about.
pub const NOTES: [&str; 5] = [CHARTER, PLAN, PROPOSAL, TRANSCRIPT, BUNDLE];

/// A ceremony's directory.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

/// Keeps other processes that lock a ceremony's directory out of it, until it is dropped.
#[derive(Debug)]
pub struct Locked {
    _held: File,
}

/// A note of a ceremony could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The file system's.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a note.
    #[error("{path}: {source}", path = .path.display())]
    Note {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: NoteError,
    },
}

impl Directory {
    /// Makes the directory, private, where it is missing, and those above it. Durable when this returns.
    ///
    /// # Errors
    /// The file system's.
    pub fn create(path: &Path) -> Result<Self, DirectoryError> {
        durable::make_dirs(path).map_err(|source| DirectoryError::File { path: path.to_owned(), source })?;
        Ok(Self(path.to_owned()))
    }

    /// A directory that is there.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Waits until no other process holds the directory's lock, and holds it: between reading a note and writing it with another
    /// signature, nobody else's signature may come and be lost.
    ///
    /// # Errors
    /// The file system's.
    pub fn lock(&self) -> Result<Locked, DirectoryError> {
        // The directory itself: a file of its own would be carried along.
        let locked = File::open(&self.0).and_then(|held| held.lock().map(|()| Locked { _held: held }));
        locked.map_err(|source| DirectoryError::File { path: self.0.clone(), source })
    }

    /// A note of this name; none where there is no such file. A link, a pipe or a file that is longer than any note is refused.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub fn read(&self, name: &str) -> Result<Option<Note>, DirectoryError> {
        let path = self.file(name);
        match carried::read(&path, note::MAX_LEN as u64) {
            Ok(bytes) => parse(&bytes).map(Some).map_err(|source| DirectoryError::Note { path, source }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DirectoryError::File { path, source }),
        }
    }

    /// Writes a note as a whole, in place of what was there, durably.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, name: &str, note: &Note) -> Result<(), DirectoryError> {
        write_note(&self.file(name), note)
    }
}

/// A note, or the text of one that nobody has signed yet.
///
/// # Errors
/// Neither.
pub fn parse(bytes: &[u8]) -> Result<Note, NoteError> {
    match Note::parse(bytes) {
        Err(NoteError::Unsigned) => {
            Note::unsigned(std::str::from_utf8(bytes).map_err(|_| NoteError::Encoding)?)
        }
        parsed => parsed,
    }
}

/// Writes a note as a whole, in place of what was there, durably.
///
/// # Errors
/// The file system's.
pub fn write_note(path: &Path, note: &Note) -> Result<(), DirectoryError> {
    durable::replace(path, note.to_string().as_bytes(), 0o600)
        .map_err(|source| DirectoryError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::fs::TryLockError;

    use super::*;

    #[test]
    fn one_at_a_time_holds_the_lock_and_none_of_it_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let ceremony = Directory::create(&dir.path().join("ceremonies/found")).unwrap();
        let held = ceremony.lock().unwrap();
        let other = File::open(ceremony.path()).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(held);
        other.try_lock().unwrap();
        assert_eq!(std::fs::read_dir(ceremony.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_note_is_not_read_through_a_link_nor_without_bound() {
        let dir = tempfile::tempdir().unwrap();
        let ceremony = Directory::at(dir.path());
        std::os::unix::fs::symlink("/dev/zero", ceremony.file(PLAN)).unwrap();
        assert!(ceremony.read(PLAN).unwrap_err().to_string().contains("symbolic link"));
        File::create(ceremony.file(BUNDLE)).unwrap().set_len(3 << 30).unwrap();
        assert!(ceremony.read(BUNDLE).unwrap_err().to_string().contains("longer"));
        assert!(ceremony.read(CHARTER).unwrap().is_none());
    }
}
