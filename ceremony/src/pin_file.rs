//! Writes a new PIN into a file that only its owner can read, and never over another.

use std::io::{ErrorKind, Result};
use std::path::Path;

use sys::{carried, durable};

/// Creates the file with mode 0400, whole and durable. One that is there is kept: it holds the PIN that the operator chose.
pub(crate) fn create(path: &Path, pin: &str) -> Result<()> {
    durable::make_dirs(durable::parent(path))?;
    match carried::create(path, pin.as_bytes(), 0o400) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        created => created,
    }
}
