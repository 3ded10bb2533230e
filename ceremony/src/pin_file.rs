//! Writes a new PIN into a file that only its owner can read, and never over another.

use std::io::{ErrorKind, Result};
use std::path::Path;

use hsm_config::durable;

use crate::files;

/// Creates the file with mode 0400, whole and durable. One that is there is kept: it holds the PIN that the operator chose.
pub(crate) fn create(path: &Path, pin: &str) -> Result<()> {
    files::make_dirs(durable::parent(path))?;
    match files::create(path, pin.as_bytes(), 0o400) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        created => created,
    }
}
