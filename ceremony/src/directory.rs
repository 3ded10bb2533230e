//! A ceremony's directory: the notes and the record, so that all of a ceremony can be carried, looked at and kept as one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ledger::note::{Note, NoteError};

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

/// A ceremony's directory.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

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
    /// Makes the directory, private, where it is missing.
    ///
    /// # Errors
    /// The file system's.
    pub fn create(path: &Path) -> Result<Self, DirectoryError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|source| DirectoryError::File { path: path.to_owned(), source })?;
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

    /// A note of this name; none where there is no such file.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub fn read(&self, name: &str) -> Result<Option<Note>, DirectoryError> {
        let path = self.file(name);
        match fs::read(&path) {
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
    let written = || -> io::Result<()> {
        let beside = path.with_extension("note.new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(note.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    written().map_err(|source| DirectoryError::File { path: path.to_owned(), source })
}
