//! Files that a person names, such as those of credentials: written as a whole or not at all, private from their first byte; a failure says
//! which file it was.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::durable;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It does not hold what it must.
    #[error("{}: {why}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// By which rule.
        why: String,
    },
    /// It holds a secret, and others can read it.
    #[error("{} can be read by others (mode {mode:04o})", path.display())]
    TooWide {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl FileError {
    /// It cannot be read or written.
    pub fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// It does not hold what it must.
    pub fn malformed(path: &Path, why: impl ToString) -> Self {
        Self::Malformed { path: path.to_owned(), why: why.to_string() }
    }
}

/// Longest file that is read, in bytes: more than any note, chain or key.
const MAX_LEN: u64 = 1024 * 1024;

/// Mode of a file with a secret in it.
pub const SECRET: u32 = 0o600;
/// Mode of a file that everyone may read.
pub const PUBLIC: u32 = 0o644;

/// Replaces a file as a whole. After a crash there is the old file or the new one; two commands at once do not mix.
///
/// # Errors
/// The file system's.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    durable::replace(path, bytes, mode).map_err(|error| FileError::io(path, error))
}

/// Writes a file, which may be there already, and syncs it.
///
/// # Errors
/// The file system's.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    durable::write(path, bytes, mode).map_err(|error| FileError::io(path, error))
}

/// Gives a file its name, durably.
///
/// # Errors
/// The file system's.
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    let renamed = fs::rename(from, to).and_then(|()| durable::sync_dir(durable::parent(to)));
    renamed.map_err(|error| FileError::io(to, error))
}

/// The name of the file that is written before it takes the place of `path`.
pub fn beside(path: &Path) -> PathBuf {
    suffixed(path, ".new")
}

/// A path with something behind its last name.
pub fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    durable::suffixed(path, suffix)
}

/// Makes a directory, and those above it, that only its owner may enter. Durable when this returns.
///
/// # Errors
/// The file system's.
pub fn make_private_dir(path: &Path) -> Result<(), FileError> {
    durable::make_dirs(path).map_err(|error| FileError::io(path, error))
}

/// Reads a file of at most 1 MiB: whatever a person names, also a pipe (`<(openssl req …)`).
///
/// # Errors
/// The file system's, or it is longer.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    read_from(path, File::open(path).map_err(|error| FileError::io(path, error))?)
}

fn read_from(path: &Path, file: File) -> Result<Vec<u8>, FileError> {
    let read = durable::at_most(file, MAX_LEN).map_err(|error| FileError::io(path, error))?;
    read.ok_or_else(|| FileError::malformed(path, "it is longer than 1 MiB"))
}

/// Reads a private key's file, which only its owner may read.
///
/// # Errors
/// As [`read_text`], or others could read it too.
pub fn read_private(path: &Path) -> Result<Zeroizing<String>, FileError> {
    let failed = |error: io::Error| FileError::io(path, error);
    let file = File::open(path).map_err(failed)?;
    // Of what was opened: another file may have the name by now.
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(FileError::TooWide { path: path.to_owned(), mode });
    }
    text(path, read_from(path, file)?).map(Zeroizing::new)
}

/// Reads a text of at most 1 MiB.
///
/// # Errors
/// As [`read`], or it is no UTF-8.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    text(path, read(path)?)
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, FileError> {
    String::from_utf8(bytes).map_err(|_| FileError::malformed(path, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_secret_is_private_even_where_a_wider_file_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        fs::write(&path, "old").unwrap();
        // Of another command, which is in the middle of its own.
        fs::write(beside(&path), "half").unwrap();
        replace(&path, b"new", SECRET).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, SECRET);
        assert_eq!(fs::read(beside(&path)).unwrap(), b"half");
    }

    #[test]
    fn a_file_without_end_is_not_read() {
        assert!(read(Path::new("/dev/zero")).is_err());
    }
}
