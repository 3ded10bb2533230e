//! What the file of an officer's key may hold: the key itself, the key under a passphrase, or the name of one that a token holds.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use ledger::note::{KeyName, VerifierKey};
use rustix::fs::{Mode, OFlags};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::key::{KeyFileError, OfficerKey};
use super::sealed;
use crate::host::TokenHost;
use sys::carried;

/// Longest file, in bytes: a sealed key with a name of 255 takes less than 1 KiB.
const MAX_LEN: usize = 4096;

/// Before the public key, in files that do not begin with the private one.
const OFFICER: &str = "officer: ";

/// The line behind it where a token holds the private key.
const IN_TOKEN: &str = "private key: in a token\n";

/// The file of an officer's key.
#[derive(Debug)]
pub enum KeyFile {
    /// The key.
    Plain(OfficerKey),
    /// The key, under a passphrase.
    Sealed(Sealed),
    /// A token holds it.
    Held(VerifierKey),
}

/// A key under a passphrase. What is under it is never shown: a short passphrase is found by whoever has it.
pub struct Sealed {
    key: VerifierKey,
    pem: String,
}

impl KeyFile {
    /// Reads the file, which nobody but its owner may use.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let text = read_private(path)?;
        let Some(rest) = text.strip_prefix(OFFICER) else {
            return OfficerKey::decode(&text).map(Self::Plain);
        };
        let (key, rest) = rest.split_once('\n').ok_or(KeyFileError::Malformed)?;
        let key: VerifierKey = key.parse()?;
        match rest {
            IN_TOKEN => Ok(Self::Held(key)),
            pem => Ok(Self::Sealed(Sealed { key, pem: pem.to_owned() })),
        }
    }

    /// The public key.
    pub fn key(&self) -> &VerifierKey {
        use ledger::note::NoteSigner as _;
        match self {
            Self::Plain(key) => key.key(),
            Self::Sealed(sealed) => &sealed.key,
            Self::Held(key) => key,
        }
    }

    /// Makes a key of 32 random bytes and writes it, under a passphrase, to a new file of mode 0400: PKCS#8, PBES2 with scrypt and
    /// AES-256 (RFC 5958, RFC 8018, RFC 7914), which `openssl pkey` reads too.
    ///
    /// # Errors
    /// As [`OfficerKey::create`].
    pub fn seal(
        path: &Path,
        name: KeyName,
        seed: &Zeroizing<[u8; 32]>,
        passphrase: &SecretString,
    ) -> Result<OfficerKey, KeyFileError> {
        use ledger::note::NoteSigner as _;
        let key = OfficerKey::from_seed(name, seed)?;
        let pem = sealed::encrypt(seed, passphrase.expose_secret())?;
        create_private(path, format!("{OFFICER}{}\n{}", key.key(), *pem).as_bytes())?;
        Ok(key)
    }

    /// Writes that a token holds the private key, to a new file of mode 0400.
    ///
    /// # Errors
    /// [`KeyFileError::Io`], also when the file exists.
    pub fn hold(path: &Path, key: &VerifierKey) -> Result<(), KeyFileError> {
        create_private(path, format!("{OFFICER}{key}\n{IN_TOKEN}").as_bytes())
    }
}

impl Sealed {
    /// Opens it.
    ///
    /// # Errors
    /// [`KeyFileError::Passphrase`]; the file is damaged, or holds another key than it says.
    pub fn open(&self, passphrase: &SecretString) -> Result<OfficerKey, KeyFileError> {
        use ledger::note::NoteSigner as _;
        let seed = sealed::decrypt(&self.pem, passphrase.expose_secret())?;
        let key = OfficerKey::from_seed(self.key.name().clone(), &seed)?;
        if *key.key() == self.key { Ok(key) } else { Err(KeyFileError::Malformed) }
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, pem: _ } = self;
        f.debug_tuple("Sealed").field(key).finish()
    }
}

impl OfficerKey {
    /// A key that a token holds, in its own process, where it was opened before.
    pub fn in_token(key: VerifierKey, spki: Vec<u8>, host: TokenHost) -> Self {
        Self::held(key, spki, host)
    }
}

/// Creates a file of mode 0400, whole, and durable with its directory when this returns.
pub(super) fn create_private(path: &Path, bytes: &[u8]) -> Result<(), KeyFileError> {
    Ok(carried::create(path, bytes, 0o400)?)
}

/// Reads a file that nobody but its owner may use.
pub(super) fn read_private(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    // O_NONBLOCK: a pipe in place of the file is refused below, and not waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?);
    check_kept(&file)?;
    // Room for all of it at once: a buffer that grows leaves copies behind that nobody wipes.
    let mut text = Zeroizing::new(String::with_capacity(MAX_LEN + 1));
    match file.take(MAX_LEN as u64 + 1).read_to_string(&mut text) {
        Ok(octets) if octets <= MAX_LEN => Ok(text),
        Ok(_) => Err(KeyFileError::Malformed),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(KeyFileError::Malformed),
        Err(error) => Err(error.into()),
    }
}

fn check_kept(file: &File) -> Result<(), KeyFileError> {
    let stat = rustix::fs::fstat(file).map_err(io::Error::from)?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(KeyFileError::NotAFile);
    }
    let mode = stat.st_mode & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::TooWide { mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("officer.key");
        let name = "cell.example/officer/ada".parse().unwrap();
        KeyFile::seal(&path, name, &Zeroizing::new([7; 32]), &"correct horse".into()).unwrap();
        let shown = format!("{:?}", KeyFile::read(&path).unwrap());
        assert!(shown.contains("officer/ada") && !shown.contains("PRIVATE"), "{shown}");
    }
}
