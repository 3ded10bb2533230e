//! Step 8, sign: in the token, each recorded certificate once.
//!
//! A crash here leaves an entry without a certificate. A `C_Sign` that has begun is never cancelled.

use hsm_config::TokenError;

use super::Recorded;
use crate::custody::Session;

/// A certificate with a signature that nobody has checked yet.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(super) recorded: Recorded,
    pub(super) signature: Vec<u8>,
}

/// Has the issuer's key sign.
///
/// # Errors
/// The token did not, after every rung of the recovery ladder that this process has.
pub(crate) fn sign(session: &mut Session, recorded: Recorded) -> Result<Signed, (Recorded, TokenError)> {
    match session.sign_as_issuer(recorded.tbs()) {
        Ok(signature) => Ok(Signed { recorded, signature }),
        Err(error) => Err((recorded, error)),
    }
}
