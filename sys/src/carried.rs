//! Files that are carried from machine to machine, so that whoever carries them may have put anything in their place: opened without
//! following a link or waiting for a pipe, read to a bound, written as a whole and durably.
//!
//! Does not: know what is in them.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::durable::{at_most, beside, parent, sync_dir};

/// Reads a regular file of at most `max` octets.
///
/// # Errors
/// The file system's; it is a link, a pipe, a device or a directory; it is longer.
pub fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    at_most(regular(path, OFlags::RDONLY)?, max)?.ok_or_else(|| too_long(max))
}

/// Opens a regular file to be read and written where it lies, made with mode 0600 where it is missing. One that has a second name is
/// refused: it would be written under both.
///
/// # Errors
/// As [`read`].
pub fn open_or_create(path: &Path, max: u64) -> io::Result<File> {
    let file = regular(path, OFlags::RDWR | OFlags::CREATE)?;
    let metadata = file.metadata()?;
    if metadata.nlink() != 1 {
        return Err(io::Error::other("it has a second name (a hard link): put a copy in its place"));
    }
    if metadata.len() > max { Err(too_long(max)) } else { Ok(file) }
}

/// Writes a new file of this mode as a whole: after a crash there is all of it or none.
///
/// # Errors
/// The file system's; [`ErrorKind::AlreadyExists`] where something has that name.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = beside(path, bytes, mode)?;
    let renamed = match rustix::fs::renameat_with(CWD, &beside, CWD, path, RenameFlags::NOREPLACE) {
        // A file system that cannot refuse by itself, such as NFS.
        Err(Errno::INVAL | Errno::NOSYS) if fs::symlink_metadata(path).is_err() => fs::rename(&beside, path),
        Err(Errno::INVAL | Errno::NOSYS) => Err(ErrorKind::AlreadyExists.into()),
        renamed => renamed.map_err(io::Error::from),
    };
    if renamed.is_err() {
        fs::remove_file(&beside)?;
    }
    renamed?;
    sync_dir(parent(path))
}

fn regular(path: &Path, flags: OFlags) -> io::Result<File> {
    // O_NONBLOCK: a pipe is refused below, and not waited for.
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let opened = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| match errno {
        Errno::LOOP => io::Error::other("it is a symbolic link: put the file itself in its place"),
        // A pipe that nobody reads, or a socket.
        Errno::NXIO => not_a_file(),
        errno => errno.into(),
    });
    let file = File::from(opened?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_a_file()) }
}

fn not_a_file() -> io::Error {
    io::Error::other("it is not a regular file")
}

fn too_long(max: u64) -> io::Error {
    io::Error::other(format!("it is longer than {max} octets"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_pipes_and_long_files_are_refused_and_never_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, name) = (dir.path().join("kept"), dir.path().join("plan.note"));
        fs::write(&kept, "precious").unwrap();
        symlink(&kept, &name).unwrap();
        assert!(read(&name, 100).unwrap_err().to_string().contains("symbolic link"));
        assert!(open_or_create(&name, 100).unwrap_err().to_string().contains("symbolic link"));
        create(&name, b"new", 0o400).unwrap_err();
        // The link goes, what it leads to stays.
        crate::durable::replace(&name, b"new", 0o600).unwrap();
        assert_eq!((fs::read(&name).unwrap(), fs::read(&kept).unwrap()), (b"new".into(), b"precious".into()));
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(read(&pipe, 100).unwrap_err().to_string().contains("regular"));
        assert!(open_or_create(&pipe, 100).unwrap_err().to_string().contains("regular"));
        assert!(read(&kept, 7).unwrap_err().to_string().contains("longer"));
        fs::hard_link(&kept, dir.path().join("second")).unwrap();
        assert!(open_or_create(&kept, 100).unwrap_err().to_string().contains("second name"));
    }

    #[test]
    fn a_new_file_is_whole_or_not_there_and_takes_no_others_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("officer.key");
        let left = dir.path().join(format!("officer.key.{}.new", std::process::id()));
        fs::write(&left, "half").unwrap();
        create(&path, b"whole", 0o400).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o400);
        assert_eq!(create(&path, b"other", 0o400).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert!(!left.exists());
    }
}
