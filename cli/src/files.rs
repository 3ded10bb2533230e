//! Files that commands read and write.

use ceremony::directory::Directory;
use ledger::note::Note;

pub(crate) use client::{certificates_pem, pem_of, read_certificates};
pub(crate) use sys::files::{PUBLIC, SECRET, make_private_dir, read, read_text, replace, suffixed, write};

use crate::error::Failure;

/// Reads a note of a ceremony's directory, or of an officer's; none where there is no such file.
///
/// # Errors
/// It is none, or cannot be read.
pub(crate) fn note(dir: &Directory, name: &str) -> Result<Option<Note>, Failure> {
    dir.read(name).map_err(|error| Failure::new("FILE_MALFORMED", error))
}
