//! Writes a new PIN into a file that only its owner can read, and never over another.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Result, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Creates the file with mode 0400 and makes it durable. One that is there is kept: it holds the PIN that the operator chose.
pub(crate) fn create(path: &Path, pin: &str) -> Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o400).open(path) {
        Ok(mut file) => {
            file.write_all(pin.as_bytes())?;
            file.sync_all()?;
            File::open(directory)?.sync_all()
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}
