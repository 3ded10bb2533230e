//! Files of credentials: written as a whole or not at all, private from their first byte.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use ceremony::directory::Directory;
use ledger::note::Note;
use sys::durable;
use zeroize::Zeroizing;

use crate::error::Failure;

/// Longest file that is read, in bytes: more than any note, chain or key.
const MAX_LEN: u64 = 1024 * 1024;

/// Mode of a file with a secret in it.
pub(crate) const SECRET: u32 = 0o600;
/// Mode of a file that everyone may read.
pub(crate) const PUBLIC: u32 = 0o644;

/// Replaces a file as a whole. After a crash there is the old file or the new one; two commands at once do not mix.
///
/// # Errors
/// The file system's.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    durable::replace(path, bytes, mode).map_err(|error| Failure::file(path, &error))
}

/// Writes a file, which may be there already, and syncs it.
///
/// # Errors
/// The file system's.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let written = || -> io::Result<()> {
        // A file that is there already would keep its own mode.
        durable::remove(path)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    written().map_err(|error| Failure::file(path, &error))
}

/// Gives a file its name, durably.
///
/// # Errors
/// The file system's.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    let renamed = fs::rename(from, to).and_then(|()| durable::sync_dir(durable::parent(to)));
    renamed.map_err(|error| Failure::file(to, &error))
}

/// The name of the file that is written before it takes the place of `path`.
pub(crate) fn beside(path: &Path) -> PathBuf {
    suffixed(path, ".new")
}

/// A path with something behind its last name.
pub(crate) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes a directory, and those above it, that only its owner may enter. Durable when this returns.
///
/// # Errors
/// The file system's.
pub(crate) fn make_private_dir(path: &Path) -> Result<(), Failure> {
    durable::make_dirs(path).map_err(|error| Failure::file(path, &error))
}

/// Reads a file of at most 1 MiB: whatever a person names, also a pipe (`<(openssl req …)`).
///
/// # Errors
/// The file system's, or it is longer.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    read_from(path, File::open(path).map_err(|error| Failure::file(path, &error))?)
}

fn read_from(path: &Path, file: File) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    file.take(MAX_LEN + 1).read_to_end(&mut bytes).map_err(|error| Failure::file(path, &error))?;
    if bytes.len() as u64 > MAX_LEN {
        return Err(Failure::malformed(path, "it is longer than 1 MiB"));
    }
    Ok(bytes)
}

/// Reads a note of a ceremony's directory, or of an officer's; none where there is no such file.
///
/// # Errors
/// It is none, or cannot be read.
pub(crate) fn note(dir: &Directory, name: &str) -> Result<Option<Note>, Failure> {
    dir.read(name).map_err(|error| Failure::new("FILE_MALFORMED", error))
}

/// Reads a private key's file, which only its owner may read.
///
/// # Errors
/// As [`read_text`], or others could read it too.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let failed = |error: io::Error| Failure::file(path, &error);
    let file = File::open(path).map_err(failed)?;
    // Of what was opened: another file may have the name by now.
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let shown = path.display();
        return Err(Failure::new("KEY_TOO_WIDE", format!("{shown} can be read by others (mode {mode:04o})"))
            .mended_by(format!("chmod 0600 {shown}")));
    }
    text(path, read_from(path, file)?).map(Zeroizing::new)
}

/// Reads a text of at most 1 MiB.
///
/// # Errors
/// As [`read`], or it is no UTF-8.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    text(path, read(path)?)
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|_| Failure::malformed(path, "it is not UTF-8"))
}

/// The certificates in a PEM file, DER, in their order; or the one in a DER file.
///
/// # Errors
/// The file system's, or it holds none.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let bytes = read(path)?;
    if bytes.first() == Some(&0x30) {
        return Ok(vec![bytes]);
    }
    let blocks = pem::parse_many(&bytes).map_err(|error| Failure::malformed(path, error))?;
    let certificates: Vec<_> = blocks
        .into_iter()
        .filter(|block| block.tag() == "CERTIFICATE")
        .map(pem::Pem::into_contents)
        .collect();
    if certificates.is_empty() {
        return Err(Failure::malformed(path, "it holds no certificate"));
    }
    Ok(certificates)
}

/// Certificates as PEM, one after the other.
pub(crate) fn certificates_pem(certificates: &[Vec<u8>]) -> String {
    certificates.iter().map(|der| pem_of("CERTIFICATE", der)).collect()
}

/// DER as PEM under this label.
pub(crate) fn pem_of(label: &str, der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(label, der), config)
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
