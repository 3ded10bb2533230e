//! An officer's key, and the file with an Ed25519 key as it is.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ledger::note::{Ed25519Signer, KeyError, KeyName, NoteSigner, VerifierKey};
use zeroize::Zeroizing;

use super::file::{KeyFile, create_private};
use crate::host::{HostError, TokenHost};

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

/// An officer's key: in memory, wiped when dropped and never shown; or in a token, which signs with it.
pub struct OfficerKey {
    signer: Signer,
}

enum Signer {
    Memory(Ed25519Signer),
    Token { key: VerifierKey, spki: Vec<u8>, host: Box<Mutex<TokenHost>> },
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
    /// It does not hold a key of the form `PRIVATE+KEY+<name>+<id>+<base64>`, nor one under a passphrase or in a token.
    #[error("the key file does not hold a private key of notes")]
    Malformed,
    /// It is under a passphrase, and that was not given.
    #[error("the key file is under a passphrase")]
    Sealed,
    /// A token holds the key.
    #[error("the key is in a token")]
    Held,
    /// The passphrase is another.
    #[error("the passphrase does not open the key file")]
    Passphrase,
    /// Our own, or the operating system's: it has no random numbers for a salt.
    #[error("the key could not be put under the passphrase: {0}; nothing was written")]
    Sealing(String),
    /// The bytes make no key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl OfficerKey {
    /// Makes a key of 32 random bytes and writes it to a new file of mode 0400. The file and its directory are durable when
    /// this returns; after a crash within it there is all of the file or none, and no key is lost, since nobody was given it.
    ///
    /// # Errors
    /// [`KeyFileError::Io`], also when the file exists; [`KeyFileError::Key`].
    pub fn create(path: &Path, name: KeyName, seed: &Zeroizing<[u8; 32]>) -> Result<Self, KeyFileError> {
        let key = Self::from_seed(name, seed)?;
        create_private(path, encode(key.key(), seed).as_bytes())?;
        Ok(key)
    }

    pub(super) fn from_seed(name: KeyName, seed: &Zeroizing<[u8; 32]>) -> Result<Self, KeyFileError> {
        Ok(Self { signer: Signer::Memory(Ed25519Signer::from_seed(name, seed)?) })
    }

    pub(super) fn held(key: VerifierKey, spki: Vec<u8>, host: TokenHost) -> Self {
        Self { signer: Signer::Token { key, spki, host: Box::new(Mutex::new(host)) } }
    }

    /// Reads a key that is in its file as it is: neither under a passphrase nor in a token.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        match KeyFile::read(path)? {
            KeyFile::Plain(key) => Ok(key),
            KeyFile::Sealed(_) => Err(KeyFileError::Sealed),
            KeyFile::Held(_) => Err(KeyFileError::Held),
        }
    }

    pub(super) fn decode(text: &str) -> Result<Self, KeyFileError> {
        let mut parts = text.strip_prefix(PREFIX).ok_or(KeyFileError::Malformed)?.splitn(3, '+');
        let name = parts.next().ok_or(KeyFileError::Malformed)?;
        let base64 = parts.nth(1).ok_or(KeyFileError::Malformed)?.trim_end_matches('\n');
        let seed = decode_seed(base64).ok_or(KeyFileError::Malformed)?;
        let key = Self::from_seed(name.parse().map_err(KeyError::Name)?, &seed)?;
        // One form, and the id of this very key: a damaged file must not become another key.
        if encode(key.key(), &seed).as_str() == text { Ok(key) } else { Err(KeyFileError::Malformed) }
    }
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
    type Error = HostError;

    fn key(&self) -> &VerifierKey {
        match &self.signer {
            Signer::Memory(signer) => signer.key(),
            Signer::Token { key, .. } => key,
        }
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, HostError> {
        match &self.signer {
            Signer::Memory(signer) => signer.sign(text).map_err(|never| match never {}),
            Signer::Token { spki, host, .. } => {
                host.lock().unwrap_or_else(PoisonError::into_inner).sign(spki, text)
            }
        }
    }
}

impl fmt::Debug for OfficerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OfficerKey").field(self.key()).finish()
    }
}
