//! The token under examination, with a login, opened anew at will.

use crate::attempt::PinGuard;
use crate::error::TokenError;
use crate::pin::Pin;
use crate::session::{TokenKey, TokenSession};
use crate::token::Token;

use super::keys::Examined;

/// The token, its module loaded. Opening it anew finalizes the module before: tpm2-pkcs11 1.9 keeps whatever an attempt to make a key, failed
/// or not, has put into the TPM, where there is room for three objects, and lets go of it then.
pub(super) struct Opened<'a> {
    open: &'a dyn Fn() -> Result<Token, TokenError>,
    pin: &'a Pin,
    guard: &'a PinGuard,
    /// None after it could not be opened.
    now: Option<(TokenSession, Token)>,
}

impl<'a> Opened<'a> {
    pub(super) fn new(
        open: &'a dyn Fn() -> Result<Token, TokenError>,
        pin: &'a Pin,
        guard: &'a PinGuard,
    ) -> Result<Self, TokenError> {
        let mut opened = Self { open, pin, guard, now: None };
        opened.anew()?;
        Ok(opened)
    }

    /// Opens it anew and logs in. What was found before is stale.
    pub(super) fn anew(&mut self) -> Result<(), TokenError> {
        // The last that holds the module finalizes it.
        self.now = None;
        let token = (self.open)()?;
        self.now = Some((token.login(self.pin, self.guard)?, token));
        Ok(())
    }

    /// The session that is logged in.
    pub(super) fn session(&self) -> Result<&TokenSession, TokenError> {
        Ok(&self.now()?.0)
    }

    /// The token.
    pub(super) fn token(&self) -> Result<&Token, TokenError> {
        Ok(&self.now()?.1)
    }

    /// The handle of a key that was made before the token was opened anew.
    pub(super) fn again(&self, key: &Examined) -> Result<TokenKey, TokenError> {
        Ok(self.session()?.find_key(key.found.key.public_key())?.key)
    }

    fn now(&self) -> Result<&(TokenSession, Token), TokenError> {
        self.now.as_ref().ok_or(TokenError::Malformed("no session when it was opened anew"))
    }
}
