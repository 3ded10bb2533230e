//! A key pair to measure with. It is no object of the token: it lives in one session, and is gone with it.

use cryptoki::object::Attribute;

use crate::algorithm::KeyAlgorithm;
use crate::error::TokenError;
use crate::public_key;
use crate::session::{TokenKey, TokenSession};

impl TokenSession {
    /// Makes a key pair as a session object (CKA_TOKEN = false, PKCS#11 v3.1 §4.4): it is gone when this session closes, also where the
    /// process was killed. It is no CA's key, so that nothing it signs is a certificate of anyone. Needs a login.
    ///
    /// # Errors
    /// The token fails, or makes no such keys.
    pub fn trial_key(&self, algorithm: KeyAlgorithm) -> Result<TokenKey, TokenError> {
        let mut public = vec![Attribute::Token(false), Attribute::Private(false), Attribute::Verify(true)];
        public.extend(algorithm.parameters());
        let private = [
            Attribute::Token(false),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ];
        let (_, _alone) = self.module().alone();
        let (public, handle) = self.raw().generate_key_pair(&algorithm.generation(), &public, &private)?;
        let (algorithm, spki) = public_key::read(self.raw(), public)?
            .ok_or(TokenError::Malformed("a key of another kind than asked for"))?;
        Ok(TokenKey { handle, algorithm, spki: spki.as_slice().into(), id: [].into() })
    }
}
