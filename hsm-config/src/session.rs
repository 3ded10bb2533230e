//! One session: it signs, draws random numbers, and is dropped after the first error.

use std::sync::Arc;

use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;

use crate::algorithm::KeyAlgorithm;
use crate::error::TokenError;
use crate::module::Module;

/// An open session. Its owner is one thread at a time; after an error it is dropped, not used again.
#[derive(Debug)]
pub struct TokenSession {
    session: Session,
    module: Arc<Module>,
}

/// A private key of the token, valid in every session until the token says otherwise.
#[derive(Clone, Debug)]
pub struct TokenKey {
    pub(crate) handle: ObjectHandle,
    pub(crate) algorithm: KeyAlgorithm,
    pub(crate) spki: Arc<[u8]>,
    pub(crate) id: Arc<[u8]>,
}

impl TokenSession {
    pub(crate) fn new(session: Session, module: Arc<Module>) -> Self {
        Self { session, module }
    }

    pub(crate) fn raw(&self) -> &Session {
        &self.session
    }

    pub(crate) fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// Signs a message. ECDSA signatures are r‖s (PKCS#11 v3.1 §6.3.1).
    ///
    /// # Errors
    /// The token fails, or returns another number of octets than the algorithm has.
    pub fn sign(&self, key: &TokenKey, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let input = key.algorithm.input(message);
        let shared = self.module.shared();
        let signature = self.session.sign(&key.algorithm.signing(), key.handle, &input)?;
        drop(shared);
        if signature.len() == key.algorithm.signature_len() {
            Ok(signature)
        } else {
            Err(TokenError::Malformed("a signature of another length than the algorithm has"))
        }
    }

    /// Fills `block` from the token's random number generator (PKCS#11 v3.1 §5.21.2).
    ///
    /// # Errors
    /// The token fails.
    pub fn random(&self, block: &mut [u8]) -> Result<(), TokenError> {
        let _shared = self.module.shared();
        Ok(self.session.generate_random_slice(block)?)
    }
}

impl TokenKey {
    /// How it signs.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// Its public key: DER SubjectPublicKeyInfo.
    pub fn public_key(&self) -> &[u8] {
        &self.spki
    }

    /// Its CKA_ID.
    pub fn id(&self) -> &[u8] {
        &self.id
    }
}
