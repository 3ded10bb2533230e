//! Tokens: how one is described, found, opened, provisioned and made to sign.
//!
//! The only crate that names cryptoki. Nothing of cryptoki's crosses its border: the rest of the house sees public keys, bytes and
//! [`TokenError`]. Every call into a module holds its lock (PKCS#11 v3.1 §2.6.1 leaves less to the modules than they keep).
//!
//! Does not: decide what is signed; keep anything but the record of refused PINs.

mod algorithm;
mod attempt;
mod conformance;
mod data;
mod error;
pub mod health;
mod key;
mod module;
mod pin;
mod profile;
mod provision;
mod public_key;
mod session;
mod token;
mod trial;

pub use algorithm::{KeyAlgorithm, UnknownAlgorithm};
pub use attempt::{PinGuard, PinRefused, TokenName, TriesUsed};
pub use audit::{KeyAttributes, NotInCustody, TokenUri, UriError};
pub use conformance::{Check, Conformance, Rate, Surroundings, Verdict, examine};
pub use error::{Fault, TokenError};
pub use key::{KeyFound, PublicHalf, Stray};
pub use module::{Module, ModuleInfo};
pub use pin::{Pin, PinError, PinSource};
pub use profile::{Profile, ProfileError};
pub use provision::{KeyRequest, fresh_pin, sync_files};
pub use public_key::nobodys_ml_dsa_65;
pub use session::{TokenKey, TokenSession};
pub use token::{Token, TokenInfo};

use std::path::PathBuf;

/// A token as the configuration describes it.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// Which token.
    pub uri: TokenUri,
    /// How its module is loaded.
    pub profile: Profile,
    /// Value of `{dir}` in the profile.
    pub dir: PathBuf,
    /// Where its PIN comes from.
    pub pin: PinSource,
}

impl TokenConfig {
    /// Environment for the process that loads the module. A module reads it when it is initialised, so it belongs to a child.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.profile.environment(&self.dir)
    }

    /// Whether it may be of this machine: its files have a directory, or, of one without files, its module is installed.
    pub fn may_be_here(&self) -> bool {
        match self.profile.files(&self.dir) {
            Some(_) => self.dir.exists(),
            None => self.profile.module_path().is_ok(),
        }
    }

    /// Its PIN. A terminal is asked for it by the token's name.
    ///
    /// # Errors
    /// As [`PinSource::read`].
    pub fn read_pin(&self) -> Result<Pin, PinError> {
        self.pin.read_asking(&format!("PIN of the token {}: ", self.name()))
    }

    /// The PIN that a new token gets. A terminal is asked twice, and both must be the same.
    ///
    /// # Errors
    /// As [`PinSource::read`]; [`PinError::Differ`].
    pub fn read_new_pin(&self) -> Result<Pin, PinError> {
        let pin = self.pin.read_asking(&format!("New PIN, which the token {} gets: ", self.name()))?;
        if self.pin == PinSource::Prompt {
            let again = self.pin.read_asking("The same again: ")?;
            if again.expose() != pin.expose() {
                return Err(PinError::Differ);
            }
        }
        Ok(pin)
    }

    fn name(&self) -> String {
        self.uri.label().map_or_else(|| self.uri.to_string(), ToOwned::to_owned)
    }

    /// Loads the module and finds the token.
    ///
    /// # Errors
    /// The module cannot be loaded, or none or several tokens match.
    pub fn open(&self) -> Result<Token, TokenError> {
        self.profile.settle_in(&self.dir)?;
        let module = Module::load(&self.profile.module_path()?)?;
        Token::find(&module, &self.uri)
    }
}
