//! A new key on its way to a certificate: there is never a key in place without its chain, nor a chain without its key.
//!
//! The key is durable, beside its place, before anybody is asked for a certificate: after a crash the same key asks again,
//! under the same request id, and gets the same certificate.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use sys::files::{self, PUBLIC, SECRET, beside};

use crate::error::Error;
use crate::key::Key;
use crate::pem::certificates_pem;

/// Name of the file with the private key, PKCS#8 PEM, mode 0600.
pub(crate) const KEY: &str = "key.pem";
/// Name of the file with the certificate and its issuers, PEM.
pub(crate) const CHAIN: &str = "chain.pem";
/// Keys of one renewal that wait at most: each was said to be another's, or to have no newest certificate.
pub(crate) const WAITING_MAX: u8 = 200;

/// Where a key and the chain for it lie.
#[derive(Clone, Debug)]
pub struct Pair {
    key: PathBuf,
    chain: PathBuf,
    /// Which of the keys that wait: 0 but for renewals whose first key was refused.
    number: u8,
    /// Whether the key is for a line that officers begin: no renewal asks with it.
    enrols: bool,
}

/// A key that waits for its certificate. Dropped, it is removed, unless it was kept.
pub struct Pending {
    pair: Pair,
    key: Key,
    /// A directory that was made for it.
    made_dir: Option<PathBuf>,
    kept: bool,
}

impl Pair {
    /// Those of the controller whose credentials are in this directory.
    pub fn in_dir(dir: &Path) -> Self {
        Self { key: dir.join(KEY), chain: dir.join(CHAIN), number: 0, enrols: false }
    }

    /// `PREFIX.key.pem` and `PREFIX.chain.pem`.
    pub fn with_prefix(prefix: &Path) -> Self {
        Self {
            key: files::suffixed(prefix, ".key.pem"),
            chain: files::suffixed(prefix, ".chain.pem"),
            number: 0,
            enrols: false,
        }
    }

    /// The same place, for a key whose line officers begin.
    pub fn enrolling(self) -> Self {
        Self { enrols: true, ..self }
    }

    /// The file of the key.
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// The file of the chain.
    pub fn chain(&self) -> &Path {
        &self.chain
    }

    /// The same place, for another key that waits beside the first.
    pub(crate) fn numbered(&self, number: u8) -> Self {
        Self { number, ..self.clone() }
    }

    /// Where its key waits.
    fn waiting(&self) -> PathBuf {
        let first = beside(&self.key);
        if self.enrols {
            files::suffixed(&self.key, ".enrolling")
        } else if self.number == 0 {
            first
        } else {
            files::suffixed(&first, &format!(".{}", self.number))
        }
    }

    /// Brings a replacement to its end that a crash interrupted between its two renames.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn heal(&self) -> Result<(), Error> {
        let waiting = beside(&self.chain);
        if !waiting.exists() || beside(&self.key).exists() {
            return Ok(());
        }
        Ok(files::rename(&waiting, &self.chain)?)
    }
}

impl Pending {
    /// Writes a new key beside its place.
    ///
    /// # Errors
    /// The file system's.
    pub fn create(pair: Pair, key: Key) -> Result<Self, Error> {
        let parent = pair.key.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists());
        let made_dir = parent.map(Path::to_owned);
        made_dir.as_deref().map_or(Ok(()), files::make_private_dir)?;
        pair.heal()?;
        let pending = Self { pair, key, made_dir, kept: false };
        files::write(&pending.pair.waiting(), pending.key.pem().as_bytes(), SECRET)?;
        Ok(pending)
    }

    /// Takes up the key that waits there; none where none does.
    ///
    /// # Errors
    /// There is one, and it cannot be read.
    pub fn resume(pair: Pair) -> Result<Option<Self>, Error> {
        let path = pair.waiting();
        if !path.exists() {
            return Ok(None);
        }
        let key = Key::from_pem(&zeroize::Zeroizing::new(files::read_text(&path)?))?;
        Ok(Some(Self { pair, key, made_dir: None, kept: true }))
    }

    /// The key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// A request id that belongs to the key: 32 hexadecimal digits.
    pub fn request_id(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(self.key.public_key())[..16])
    }

    /// Leaves the key waiting when this is dropped.
    pub fn keep(mut self) -> Self {
        self.kept = true;
        self
    }

    /// Removes the key when this is dropped: its certificate is of no use.
    pub fn give_up(mut self) {
        self.kept = false;
    }

    /// Puts the key and its chain, which was verified, in place.
    ///
    /// # Errors
    /// The file system's.
    pub fn replace(mut self, chain: &[Vec<u8>]) -> Result<(), Error> {
        let waiting = beside(&self.pair.chain);
        files::write(&waiting, certificates_pem(chain).as_bytes(), PUBLIC)?;
        // From here on the certificate is not lost: after a crash between the two renames, `heal` makes the second.
        self.kept = true;
        if self.pair.waiting() != beside(&self.pair.key) {
            // `heal` looks for the first: it is refused, or its certificate is older than this.
            files::rename(&self.pair.waiting(), &beside(&self.pair.key))?;
        }
        files::rename(&beside(&self.pair.key), &self.pair.key)?;
        files::rename(&waiting, &self.pair.chain)?;
        // The others have no certificate that counts any more. One that stays is asked for in vain once.
        for number in 0..WAITING_MAX {
            let _ = std::fs::remove_file(self.pair.numbered(number).waiting());
        }
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.kept {
            // The chain first: alone it would pass for the second half of a replacement. What cannot be removed is overwritten
            // by the next try.
            let _ = std::fs::remove_file(beside(&self.pair.chain));
            let _ = std::fs::remove_file(self.pair.waiting());
            if let Some(dir) = &self.made_dir {
                let _ = std::fs::remove_dir_all(dir);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let names =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_key_that_got_no_certificate_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("build");
        let pending = Pending::create(Pair::in_dir(&dir), Key::generate().unwrap()).unwrap();
        assert_eq!(names(&dir), ["key.pem.new"]);
        drop(pending);
        assert!(!dir.exists());
    }

    #[test]
    fn a_kept_key_asks_again_under_the_same_id() {
        let home = tempfile::tempdir().unwrap();
        let pending = Pending::create(Pair::in_dir(home.path()), Key::generate().unwrap()).unwrap().keep();
        let id = pending.request_id();
        drop(pending);
        let again = Pending::resume(Pair::in_dir(home.path())).unwrap().unwrap();
        assert_eq!((again.request_id(), id.len()), (id, 32));
        again.give_up();
        assert!(Pending::resume(Pair::in_dir(home.path())).unwrap().is_none());
    }

    #[test]
    fn keys_wait_beside_each_other_until_one_is_in_place() {
        let home = tempfile::tempdir().unwrap();
        let pair = Pair::in_dir(home.path());
        let wait = |number| {
            Pending::create(pair.numbered(number), Key::generate().unwrap()).unwrap().keep().request_id()
        };
        let ids = [wait(0), wait(1), wait(2)];
        let resumed = |number| Pending::resume(pair.numbered(number)).unwrap();
        for (number, id) in (0..).zip(&ids) {
            assert_eq!(resumed(number).unwrap().request_id(), *id);
        }
        assert!(resumed(3).is_none());
        resumed(1).unwrap().replace(&[vec![0x30, 0]]).unwrap();
        assert_eq!(names(home.path()), ["chain.pem", "key.pem"]);
    }

    #[test]
    fn a_second_keys_replacement_is_healed_beside_a_first_that_waits() {
        let home = tempfile::tempdir().unwrap();
        let pair = Pair::in_dir(home.path());
        drop(Pending::create(pair.clone(), Key::generate().unwrap()).unwrap().keep());
        // What makes the last rename fail.
        std::fs::create_dir(home.path().join("chain.pem")).unwrap();
        let second = Pending::create(pair.numbered(1), Key::generate().unwrap()).unwrap();
        let key = second.key().pem();
        assert!(second.replace(&[vec![0x30, 0]]).is_err());
        assert_eq!(std::fs::read_to_string(home.path().join("key.pem")).unwrap(), *key);
        std::fs::remove_dir(home.path().join("chain.pem")).unwrap();
        pair.heal().unwrap();
        assert_eq!(names(home.path()), ["chain.pem", "key.pem"]);
    }

    #[test]
    fn a_crash_between_the_two_renames_is_healed() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path();
        std::fs::write(dir.join("chain.pem"), "old").unwrap();
        let pending = Pending::create(Pair::in_dir(dir), Key::generate().unwrap()).unwrap();
        let key = pending.key().pem();
        pending.replace(&[vec![0x30, 0]]).unwrap();
        assert_eq!(names(dir), ["chain.pem", "key.pem"]);
        assert_eq!(std::fs::read_to_string(dir.join("key.pem")).unwrap(), *key);
        let new = std::fs::read(dir.join("chain.pem")).unwrap();
        // As a crash after the first rename leaves it.
        std::fs::rename(dir.join("chain.pem"), dir.join("chain.pem.new")).unwrap();
        std::fs::write(dir.join("chain.pem"), "old").unwrap();
        Pair::in_dir(dir).heal().unwrap();
        assert_eq!(std::fs::read(dir.join("chain.pem")).unwrap(), new);
        // As a crash before it leaves it: the pair that is in place stays, also once the new key is given up.
        std::fs::write(dir.join("chain.pem.new"), "newer").unwrap();
        let again = Pending::create(Pair::in_dir(dir), Key::generate().unwrap()).unwrap().keep();
        std::fs::write(dir.join("chain.pem.new"), "newest").unwrap();
        Pair::in_dir(dir).heal().unwrap();
        again.give_up();
        Pair::in_dir(dir).heal().unwrap();
        assert_eq!(std::fs::read(dir.join("chain.pem")).unwrap(), b"newer");
    }
}
