//! The service's key and chain in files: `key.pem` (0600) and `chain.pem`, in a directory that only its user can enter.
//!
//! Whoever was the front before could leave anything there: what is no file of a certificate is not waited for, not read, and replaced.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use pem::Pem;
use rustix::fs::OFlags;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use zeroize::Zeroizing;

const KEY: &str = "key.pem";
const CHAIN: &str = "chain.pem";

/// Nobody but the owner.
const OTHERS: u32 = 0o077;
/// The directory's mode.
const OWN: u32 = 0o700;
/// Octets of a file: a chain of four certificates has less than 16 KiB.
const OCTETS_MAX: u32 = 64 * 1024;

/// The directory, which only its user can enter.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
}

impl Store {
    /// Takes the directory, and makes it where there is none. One with another mode gets its own.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        // A link there leads to another's files: it goes, they stay. No other thing but a directory can be entered.
        if fs::symlink_metadata(dir).is_ok_and(|there| !there.is_dir()) {
            fs::remove_file(dir)?;
        }
        DirBuilder::new().recursive(true).mode(OWN).create(dir)?;
        let mode = fs::metadata(dir)?.permissions().mode() & 0o7777;
        if mode != OWN {
            tracing::warn!(dir = %dir.display(), mode = format!("{mode:04o}"), "others could enter it, or its user could not: it is the front's alone again");
            fs::set_permissions(dir, PermissionsExt::from_mode(OWN))?;
        }
        for other in fs::read_dir(dir)?.filter_map(Result::ok).map(|entry| entry.path()) {
            let is_ours = other.file_name().is_some_and(|name| name == KEY || name == CHAIN);
            let is_small = |there: fs::Metadata| there.is_file() && there.len() <= OCTETS_MAX.into();
            if !(is_ours && fs::symlink_metadata(&other).is_ok_and(is_small))
                && let Err(error) = remove(&other)
            {
                tracing::warn!(path = %other.display(), cause = %error, "what another left there stays");
            }
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// Key and chain, if both are there.
    ///
    /// # Errors
    /// The system's; `InvalidData` for what is no file of that size or not PEM, `PermissionDenied` for a key that others could read.
    pub(super) fn load(&self) -> io::Result<Option<(PrivateKeyDer<'static>, Vec<CertificateDer<'static>>)>> {
        let (Some((key, mode)), Some((chain, _))) = (self.read(KEY)?, self.read(CHAIN)?) else {
            return Ok(None);
        };
        if mode & OTHERS != 0 {
            let what = format!("{KEY} has mode {mode:04o}, so that others can read it");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(invalid)?;
        let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<_, _>>().map_err(invalid)?;
        Ok(Some((key, chain)))
    }

    /// The octets of a file with its mode, if it is there. A link is not followed, and a pipe that nobody writes to is not waited for.
    fn read(&self, name: &str) -> io::Result<Option<(Zeroizing<Vec<u8>>, u32)>> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let opened =
            OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(self.dir.join(name));
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() || metadata.len() > OCTETS_MAX.into() {
            let what = format!("{name} is no file of at most {OCTETS_MAX} octets");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        // Of its length at once: what grows is copied, and the copy is not wiped.
        let mut octets =
            Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default()));
        file.take(metadata.len()).read_to_end(&mut octets)?;
        Ok(Some((octets, metadata.permissions().mode() & 0o7777)))
    }

    /// Writes both, each whole or not at all. Blocks for two syncs, some milliseconds, once in half a certificate's life.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn save(&self, key_pem: &Zeroizing<String>, chain: &[CertificateDer<'_>]) -> io::Result<()> {
        self.replace(KEY, key_pem.as_bytes())?;
        let chain: Vec<_> = chain.iter().map(|der| Pem::new("CERTIFICATE", der.as_ref())).collect();
        self.replace(CHAIN, pem::encode_many(&chain).as_bytes())
    }

    /// A crash leaves the old file, and perhaps a `.new` beside it that the next write removes.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (fresh, path) = (self.dir.join(format!("{name}.new")), self.dir.join(name));
        remove(&fresh)?;
        // A file takes a file's place, and no directory's.
        if fs::symlink_metadata(&path).is_ok_and(|there| there.is_dir()) {
            remove(&path)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        File::open(&self.dir)?.sync_all()
    }
}

/// Removes what has this name, if anything does; also nested directories of any depth and any mode.
fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => remove_dir(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Each directory that lies in another is first moved beside this one: the way to it is never too long, and none but one is open.
fn remove_dir(path: &Path) -> io::Result<()> {
    let (mut left, mut moved) = (vec![path.to_owned()], 0_u64);
    while let Some(dir) = left.pop() {
        fs::set_permissions(&dir, PermissionsExt::from_mode(OWN))?;
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                // What cannot be entered cannot be moved, either: ".." in it changes.
                fs::set_permissions(entry.path(), PermissionsExt::from_mode(OWN))?;
                let beside = loop {
                    moved += 1;
                    let beside = path.with_file_name(format!("left-{moved}"));
                    if fs::symlink_metadata(&beside).is_err() {
                        break beside;
                    }
                };
                fs::rename(entry.path(), &beside)?;
                left.push(beside);
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        fs::remove_dir(&dir)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rcgen::KeyPair;

    use super::*;

    fn stored() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("front")).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        store.save(&Zeroizing::new(key.serialize_pem()), &[certificate.der().clone()]).unwrap();
        (dir, store)
    }

    fn again(store: &Store) {
        let key = KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        store.save(&Zeroizing::new(key.serialize_pem()), &[certificate.der().clone()]).unwrap();
        assert!(store.load().unwrap().is_some());
    }

    /// A pipe would be waited for without end, a link leads anywhere, and a file without end takes all memory.
    #[test]
    fn a_link_in_the_directorys_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, place) = (dir.path().join("kept"), dir.path().join("front"));
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("precious"), "x").unwrap();
        std::os::unix::fs::symlink(&kept, &place).unwrap();
        Store::open(&place).unwrap();
        assert!(kept.join("precious").exists());
        assert!(fs::symlink_metadata(&place).unwrap().is_dir());
    }

    #[test]
    fn what_is_no_directory_gives_it_place() {
        let dir = tempfile::tempdir().unwrap();
        let (file, pipe) = (dir.path().join("file"), dir.path().join("pipe"));
        fs::write(&file, "x").unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for place in [file, pipe] {
            again(&Store::open(&place).unwrap());
        }
    }

    #[test]
    fn what_another_left_there_is_not_read_and_is_replaced() {
        type Leave = fn(&Path);
        let pipe: Leave = |path| {
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        };
        let link: Leave = |path| std::os::unix::fs::symlink("/dev/zero", path).unwrap();
        let directory: Leave = |path| fs::create_dir_all(path.join("in it")).unwrap();
        let long: Leave = |path| File::create(path).unwrap().set_len(u64::from(OCTETS_MAX) + 1).unwrap();
        for (leave, why) in
            [(pipe, "no file"), (link, "symbolic link"), (directory, "no file"), (long, "no file")]
        {
            for name in [KEY, CHAIN] {
                let (_dir, store) = stored();
                for name in [name.to_owned(), format!("{name}.new")] {
                    remove(&store.dir.join(&name)).unwrap();
                    leave(&store.dir.join(&name));
                }
                let error = store.load().unwrap_err().to_string();
                assert!(error.contains(why), "{error}");
                again(&store);
            }
        }
    }

    /// What fills the disk, and a directory that cannot be entered.
    #[test]
    fn nothing_else_that_another_left_there_stays() {
        let (_dir, store) = stored();
        File::create(store.dir.join(KEY)).unwrap().set_len(u64::from(OCTETS_MAX) + 1).unwrap();
        // Deeper than a path is long.
        let mut deep = rustix::fs::open(&store.dir, OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
        let name = "n".repeat(200);
        for _ in 0..60 {
            rustix::fs::mkdirat(&deep, &*name, 0o700.into()).unwrap();
            deep = rustix::fs::openat(&deep, &*name, OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
        }
        for name in ["other", "key.pem.new"] {
            let inner = store.dir.join(name).join("in it");
            fs::create_dir_all(&inner).unwrap();
            fs::write(inner.join("file"), "").unwrap();
            fs::set_permissions(&inner, PermissionsExt::from_mode(0o000)).unwrap();
        }
        let store = Store::open(&store.dir).unwrap();
        let left: std::collections::BTreeSet<_> =
            fs::read_dir(&store.dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [CHAIN].map(Into::into).into(), "the key was no longer one");
        again(&store);
    }

    #[test]
    fn the_directory_is_its_users_alone_whatever_another_made_of_it() {
        for mode in [0o755, 0o000, 0o1777] {
            let (_dir, store) = stored();
            fs::set_permissions(&store.dir, PermissionsExt::from_mode(mode)).unwrap();
            let store = Store::open(&store.dir).unwrap();
            assert_eq!(fs::metadata(&store.dir).unwrap().permissions().mode() & 0o7777, OWN);
            again(&store);
        }
        let (_dir, store) = stored();
        fs::set_permissions(store.dir.join(KEY), PermissionsExt::from_mode(0o644)).unwrap();
        let error = store.load().unwrap_err().to_string();
        assert!(error.contains("key.pem has mode 0644"), "{error}");
    }
}
