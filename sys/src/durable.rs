//! Files that are written as a whole, and durably: after a crash there is what was there or what is new.
//!
//! Does not: know what is in them.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Writes a file of this mode in place of what was there. A link is replaced, and not followed.
///
/// # Errors
/// The file system's.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = beside(path, bytes, mode)?;
    fs::rename(&beside, path)?;
    sync_dir(parent(path))
}

/// A new file beside `path`, synced, under a name that no other process writes to; what a crash left there goes.
///
/// # Errors
/// The file system's.
pub fn beside(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    let beside = suffixed(path, &format!(".{}.new", std::process::id()));
    write(&beside, bytes, mode)?;
    Ok(beside)
}

/// Writes and syncs a new file of this mode. What had the name is removed: it would keep its own mode.
///
/// # Errors
/// The file system's.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    remove(path)?;
    // O_EXCL follows no link (open(2)).
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A path with something behind its last name.
pub(crate) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Reads a file of at most so many octets, where somebody may have put something else: a pipe that nobody writes to is not waited for.
///
/// # Errors
/// The file system's, or it is no file, or longer.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no file"));
    }
    at_most(file, most)?
        .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, format!("it has more than {most} octets")))
}

/// The content, where it has at most this many bytes.
///
/// # Errors
/// The file system's.
pub(crate) fn at_most(file: File, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

/// The file that this path leads to, without a link on the way, where no other user but root could change it.
///
/// # Errors
/// The file system's.
pub fn unexposed(path: &Path) -> io::Result<Result<PathBuf, Exposed>> {
    let path = path.canonicalize()?;
    let own = rustix::process::geteuid().as_raw();
    for part in path.ancestors() {
        let metadata = fs::metadata(part)?;
        let (mode, is_theirs) = (metadata.mode(), ![0, own].contains(&metadata.uid()));
        // In a directory with the sticky bit nobody removes or renames what is another's (unlink(2), EPERM).
        let sticky = metadata.is_dir() && mode & 0o1000 != 0;
        if is_theirs || (mode & 0o022 != 0 && !sticky) {
            return Ok(Err(Exposed(part.to_owned())));
        }
    }
    Ok(Ok(path))
}

/// What others could change: a file, or a directory on the way to it, that somebody else owns or may write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed(pub PathBuf);

/// Removes a file, where there is one: whether there was.
///
/// # Errors
/// The file system's.
pub fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}

/// Makes the names in a directory durable.
///
/// # Errors
/// The file system's.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The directory that names `path`.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a directory, and those above it that are missing, each with mode 0700; each is durable when this returns.
///
/// # Errors
/// The file system's.
pub fn make_dirs(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().filter(|dir| !dir.as_os_str().is_empty());
    let missing: Vec<&Path> = missing.take_while(|dir| !dir.exists()).collect();
    for dir in missing.into_iter().rev() {
        // Another process may make it at the same time.
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        // A directory is durable once the one that names it is.
        sync_dir(parent(dir))?;
    }
    // The path of a name alone has no parent but the working directory.
    if path.as_os_str().is_empty() || path.is_dir() { Ok(()) } else { Err(ErrorKind::NotADirectory.into()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (file, pipe) = (dir.path().join("file"), dir.path().join("pipe"));
        fs::write(&file, "12345").unwrap();
        assert_eq!(read(&file, 5).unwrap(), b"12345");
        assert_eq!(read(&file, 4).unwrap_err().kind(), ErrorKind::InvalidData);
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert_eq!(read(&pipe, 5).unwrap_err().to_string(), "it is no file");
        assert!(read(dir.path(), 5).is_err() && read(Path::new("/dev/zero"), 5).is_err());
    }

    #[test]
    fn what_others_can_change_is_seen_wherever_it_is_on_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let (inner, link) = (dir.path().join("inner"), dir.path().join("link"));
        fs::create_dir(&inner).unwrap();
        let file = inner.join("file");
        fs::write(&file, "x").unwrap();
        symlink(&file, &link).unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        set(&inner, 0o755);
        set(&file, 0o644);
        assert_eq!(unexposed(&link).unwrap(), Ok(file.canonicalize().unwrap()));
        for mode in [0o664, 0o646] {
            set(&file, mode);
            assert_eq!(unexposed(&link).unwrap(), Err(Exposed(file.canonicalize().unwrap())), "{mode:o}");
        }
        set(&file, 0o644);
        set(&inner, 0o777);
        assert_eq!(unexposed(&link).unwrap(), Err(Exposed(inner.canonicalize().unwrap())));
        set(&inner, 0o1777);
        assert!(unexposed(&link).unwrap().is_ok());
    }

    #[test]
    fn what_is_replaced_is_whole_private_and_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let (path, kept) = (dir.path().join("file"), dir.path().join("kept"));
        fs::write(&kept, "precious").unwrap();
        symlink(&kept, &path).unwrap();
        // Another process is in the middle of the same.
        let other = dir.path().join("file.1.new");
        fs::write(&other, "half").unwrap();
        replace(&path, b"new", 0o600).unwrap();
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert_eq!((metadata.is_file(), metadata.mode() & 0o7777), (true, 0o600));
        assert_eq!((fs::read(&path).unwrap(), fs::read(&kept).unwrap()), (b"new".into(), b"precious".into()));
        assert_eq!(fs::read(&other).unwrap(), b"half");
    }

    #[test]
    fn directories_are_made_private_all_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        make_dirs(&deep).unwrap();
        make_dirs(&deep).unwrap();
        make_dirs(Path::new("")).unwrap();
        for name in ["a", "a/b", "a/b/c"] {
            assert_eq!(fs::metadata(dir.path().join(name)).unwrap().mode() & 0o7777, 0o700);
        }
        fs::write(dir.path().join("file"), "").unwrap();
        make_dirs(&dir.path().join("file")).unwrap_err();
    }
}
