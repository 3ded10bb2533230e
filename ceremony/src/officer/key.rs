//! An officer's Ed25519 key in a file.

use std::convert::Infallible;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ledger::note::{Ed25519Signer, KeyError, KeyName, NoteSigner, VerifierKey};
use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

/// What a private key in the form of golang.org/x/mod/sumdb/note begins with.
const PREFIX: &str = "PRIVATE+KEY+";

/// Signature type of Ed25519 (c2sp.org/signed-note, "Signature types").
const ED25519: u8 = 0x01;

/// Signature type and seed, in bytes.
const ENCODED_LEN: usize = 1 + 32;

/// The same as base64, in characters.
const BASE64_LEN: usize = 44;

/// Longest file in bytes: prefix, a name of 255 bytes, the id, the key and a newline.
const MAX_FILE_LEN: usize = PREFIX.len() + KeyName::MAX_LEN + 10 + BASE64_LEN + 1;

/// An officer's key. The private part is wiped when dropped, and never shown.
pub struct OfficerKey {
    signer: Ed25519Signer,
}

/// Why a key was not written or read. Each is for the officer to put right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file system refused; a file that exists already is never overwritten.
    #[error("the key file: {0}")]
    Io(#[from] io::Error),
    /// It is a directory, a device, or something else that keeps no key. (A symbolic link is refused as an I/O error.)
    #[error("the key file is not a regular file")]
    NotAFile,
    /// Others than its owner may use it.
    #[error("the key file has mode {mode:04o}: others than its owner may use it; make it 0400")]
    TooWide {
        /// Its permission bits.
        mode: u32,
    },
    /// It does not hold a key of the form `PRIVATE+KEY+<name>+<id>+<base64>`.
    #[error("the key file does not hold a private key of notes")]
    Malformed,
    /// The bytes make no key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl OfficerKey {
    /// Makes a key of 32 random bytes and writes it to a new file of mode 0400. The file and its directory are durable when
    /// this returns; after a crash within it there may be a file that [`OfficerKey::load`] refuses, and no key is lost,
    /// since nobody was given it.
    ///
    /// # Errors
    /// [`KeyFileError::Io`], also when the file exists; [`KeyFileError::Key`].
    pub fn create(path: &Path, name: KeyName, seed: &Zeroizing<[u8; 32]>) -> Result<Self, KeyFileError> {
        let signer = Ed25519Signer::from_seed(name, seed)?;
        let text = encode(signer.key(), seed);
        // O_EXCL: neither a file nor a link that somebody put there is written to.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(path, flags, Mode::RUSR).map_err(io::Error::from)?);
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // The name of the file is durable only with its directory.
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(Self { signer })
    }

    /// Reads a key from a file that nobody but its owner may use.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        // O_NONBLOCK: a pipe in place of the file is refused below, and not waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?);
        check_kept(&file)?;
        // Room for all of it at once: a buffer that grows leaves copies behind that nobody wipes.
        let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE_LEN + 1));
        file.take(MAX_FILE_LEN as u64 + 1).read_to_end(&mut text)?;
        let text = std::str::from_utf8(&text).map_err(|_| KeyFileError::Malformed)?;
        Self::decode(text)
    }

    fn decode(text: &str) -> Result<Self, KeyFileError> {
        let mut parts = text.strip_prefix(PREFIX).ok_or(KeyFileError::Malformed)?.splitn(3, '+');
        let name = parts.next().ok_or(KeyFileError::Malformed)?;
        let base64 = parts.nth(1).ok_or(KeyFileError::Malformed)?.trim_end_matches('\n');
        let seed = decode_seed(base64).ok_or(KeyFileError::Malformed)?;
        let signer = Ed25519Signer::from_seed(name.parse().map_err(KeyError::Name)?, &seed)?;
        // One form, and the id of this very key: a damaged file must not become another key.
        if encode(signer.key(), &seed).as_str() != text {
            return Err(KeyFileError::Malformed);
        }
        Ok(Self { signer })
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

/// The file's text: the encoding of golang.org/x/mod/sumdb/note, and a newline.
fn encode(key: &VerifierKey, seed: &[u8; 32]) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new([0; ENCODED_LEN]);
    encoded[0] = ED25519;
    encoded[1..].copy_from_slice(seed);
    let public = format!("{PREFIX}{}+{:08x}+", key.name(), key.id());
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_LEN));
    text.push_str(&public);
    BASE64_STANDARD.encode_string(encoded.as_slice(), &mut text);
    text.push('\n');
    text
}

fn decode_seed(base64: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut encoded = Zeroizing::new([0; ENCODED_LEN]);
    if base64.len() != BASE64_LEN {
        return None;
    }
    let len = BASE64_STANDARD.decode_slice(base64, encoded.as_mut_slice()).ok()?;
    let (algorithm, seed) = encoded.split_first()?;
    if len != ENCODED_LEN || *algorithm != ED25519 {
        return None;
    }
    let mut copy = Zeroizing::new([0; 32]);
    copy.copy_from_slice(seed);
    Some(copy)
}

impl NoteSigner for OfficerKey {
    type Error = Infallible;

    fn key(&self) -> &VerifierKey {
        self.signer.key()
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, Infallible> {
        self.signer.sign(text)
    }
}

impl fmt::Debug for OfficerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signer } = self;
        f.debug_tuple("OfficerKey").field(signer.key()).finish()
    }
}
