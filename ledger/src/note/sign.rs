//! Signers of notes.

use std::convert::Infallible;
use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey};

use super::{KeyError, KeyName, NoteError, VerifierKey};

/// Something that signs texts with one key: a key in memory, or one in a token.
pub trait NoteSigner {
    /// The signer's own error.
    type Error;

    /// The public key, with the name it signs under.
    fn key(&self) -> &VerifierKey;

    /// Signs the bytes of a text and returns the raw signature in the form of its [`Algorithm`](super::Algorithm).
    ///
    /// # Errors
    /// The signer's own.
    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, Self::Error>;
}

/// Why a note was not signed. `E` is the signer's own error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigningError<E> {
    /// The signer failed.
    #[error("the signer failed")]
    Signer(#[source] E),
    /// What it returned is not valid, or does not fit in the note.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// An Ed25519 key in memory, wiped when dropped.
pub struct Ed25519Signer {
    key: SigningKey,
    public: VerifierKey,
}

impl Ed25519Signer {
    /// Makes the key of a seed of 32 random bytes (RFC 8032 §5.1.5). Whoever passes the seed wipes it.
    ///
    /// # Errors
    /// [`KeyError::Key`], which no seed is known to cause.
    pub fn from_seed(name: KeyName, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let key = SigningKey::from_bytes(seed);
        let public = VerifierKey::ed25519(name, key.verifying_key().as_bytes())?;
        Ok(Self { key, public })
    }
}

impl NoteSigner for Ed25519Signer {
    type Error = Infallible;

    fn key(&self) -> &VerifierKey {
        &self.public
    }

    fn sign(&self, text: &[u8]) -> Result<Vec<u8>, Infallible> {
        Ok(self.key.sign(text).to_vec())
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key: _, public } = self;
        f.debug_struct("Ed25519Signer").field("public", public).finish_non_exhaustive()
    }
}
