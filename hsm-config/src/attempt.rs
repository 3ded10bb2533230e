//! One PIN try (invariant I7): what was tried is written down before it is tried, and a refused PIN is not tried again.
//!
//! Holds, for each token, a salted slow hash of each PIN that was tried since the last login, and how that ended; never the PIN. A token is named by all that it says of itself:
//! tpm2-pkcs11 gives every token the same serial number, and a login to one must not forgive what another refused.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};

use crate::pin::{Pin, PinError};
use sys::durable;

/// Tries of one PIN whose end is not known, because the process died meanwhile. A token gives away three at the least.
const UNRESOLVED_MAX: u8 = 2;
/// Tries of a token since its last login, whatever the PINs: some lock at the third wrong one. A person who mistypes has as many.
const TRIES_MAX: u8 = 3;

/// A token as the record of attempts names it: by what it says of itself (PKCS#11 v3.1 §3.2, CK_TOKEN_INFO). Its module's path is no part of
/// it: by whatever library it is reached, its count of wrong PINs is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenName {
    /// Manufacturer.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// Label.
    pub label: String,
    /// Serial number.
    pub serial: String,
}

impl TokenName {
    /// What names it on a command line: its serial number where that says anything, else its label.
    pub fn short(&self) -> &str {
        let says_nothing = self.serial.chars().all(|digit| digit == '0');
        if says_nothing { &self.label } else { &self.serial }
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (serial {})", self.label, self.serial)
    }
}

/// The record of PIN attempts in one directory.
#[derive(Clone, Debug)]
pub struct PinGuard {
    path: PathBuf,
}

/// The operator's: this PIN was refused by this token, now or before.
#[derive(Debug, thiserror::Error)]
#[error(
    "token {token} refused this PIN{before}. It is not tried again, restarts included: correct the PIN, or, if it is right after \
     all, have an officer clear it (`rootcellar token clear-pin-failure {short}`)",
    short = .token.short(),
    before = if *.earlier { " in an earlier attempt" } else { "" },
)]
pub struct PinRefused {
    /// The token.
    pub token: Box<TokenName>,
    /// Whether it was refused before this process tried.
    pub earlier: bool,
}

/// The operator's: so many tries ended without a login that another PIN is not tried either.
#[derive(Debug, thiserror::Error)]
#[error(
    "token {0}: {TRIES_MAX} tries since the last login have failed, and one more may lock it, so that no PIN is tried. Correct the PIN, and \
     have an officer clear them (`rootcellar token clear-pin-failure {short}`)",
    short = .0.short(),
)]
pub struct TriesUsed(pub Box<TokenName>);

/// One PIN of one token. The file is a list of these; before several PINs of a token were remembered it had the same form.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attempt {
    token: TokenName,
    pin_hash: String,
    refused: bool,
    /// Tries of it, of which at most the last ended with an answer.
    unresolved: u8,
}

impl PinGuard {
    /// The record in `dir`.
    pub fn new(dir: &Path) -> Self {
        Self { path: dir.join("pin-attempts.json") }
    }

    /// Writes the attempt down, makes it, and writes down how it ended. A login forgives every PIN that was refused before.
    ///
    /// A crash after the record leaves a try whose end is not known; at most two such are followed by another try.
    ///
    /// # Errors
    /// The PIN was refused before, is refused now, three tries have failed, or the record cannot be kept.
    pub(crate) fn attempt<E>(
        &self,
        token: &TokenName,
        pin: &Pin,
        login: impl FnOnce() -> Result<(), E>,
        refused: impl Fn(&E) -> bool,
    ) -> Result<Result<(), E>, PinError> {
        // Another process with the same token waits: it then reads how this try ended.
        let _alone = self.lock()?;
        let before = self.load()?;
        let mut attempts = before.clone();
        let of_it = |attempt: &&Attempt| attempt.token == *token;
        let tries =
            before.iter().filter(of_it).fold(0, |sum: u8, attempt| sum.saturating_add(attempt.unresolved));
        let this =
            match attempts.iter().position(|attempt| of_it(&attempt) && same_pin(&attempt.pin_hash, pin)) {
                Some(at) if attempts[at].refused || attempts[at].unresolved >= UNRESOLVED_MAX => {
                    return Err(Self::refusal(token, true));
                }
                _ if tries >= TRIES_MAX => return Err(TriesUsed(Box::new(token.clone())).into()),
                Some(at) => at,
                None => {
                    let pin_hash = self.hash(pin)?;
                    attempts.push(Attempt { token: token.clone(), pin_hash, refused: false, unresolved: 0 });
                    attempts.len() - 1
                }
            };
        attempts[this].unresolved += 1;
        self.save(&attempts)?;
        let outcome = login();
        match &outcome {
            Ok(()) => attempts.retain(|attempt| attempt.token != *token),
            Err(error) if refused(error) => attempts[this].refused = true,
            // Neither accepted nor refused: the token is not there, and no try was counted. What is known of other PINs stays.
            Err(_) => attempts = before,
        }
        self.save(&attempts)?;
        match &outcome {
            Err(error) if refused(error) => Err(Self::refusal(token, false)),
            _ => Ok(outcome),
        }
    }

    /// The tokens of which a refused PIN is remembered, or a try whose end is not known; each once.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn remembered(&self) -> Result<Vec<TokenName>, PinError> {
        let mut tokens = Vec::new();
        for Attempt { token, .. } in self.load()? {
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
        Ok(tokens)
    }

    /// Forgets what is remembered of a token: the same PINs are then tried once more. Whose word that takes, the caller decides.
    ///
    /// # Errors
    /// The record cannot be kept.
    pub fn clear(&self, token: &TokenName) -> Result<(), PinError> {
        let _alone = self.lock()?;
        let mut attempts = self.load()?;
        attempts.retain(|attempt| attempt.token != *token);
        self.save(&attempts)
    }

    fn refusal(token: &TokenName, earlier: bool) -> PinError {
        PinRefused { token: Box::new(token.clone()), earlier }.into()
    }

    fn failed(&self, cause: io::Error) -> PinError {
        PinError::Record { path: self.path.clone(), cause }
    }

    fn hash(&self, pin: &Pin) -> Result<String, PinError> {
        let mut salt = [0u8; 16];
        getrandom::fill(&mut salt).map_err(|error| self.failed(io::Error::other(error)))?;
        let salt = SaltString::encode_b64(&salt)
            .map_err(|error| self.failed(io::Error::other(error.to_string())))?;
        let hash = slow_hash().hash_password(pin.expose(), &salt);
        Ok(hash.map_err(|error| self.failed(io::Error::other(error.to_string())))?.to_string())
    }

    /// A lock on a file of its own, for the record itself is replaced. It ends with the file's handle, also by a crash. Makes the directory,
    /// private, where there is none.
    fn lock(&self) -> Result<fs::File, PinError> {
        let locked = || -> io::Result<fs::File> {
            let dir = durable::parent(&self.path);
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            let path = self.path.with_extension("lock");
            let file =
                fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
            file.lock()?;
            Ok(file)
        };
        locked().map_err(|error| self.failed(error))
    }

    fn load(&self) -> Result<Vec<Attempt>, PinError> {
        match fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| self.failed(error.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn save(&self, attempts: &[Attempt]) -> Result<(), PinError> {
        let text = serde_json::to_vec(attempts).map_err(|error| self.failed(error.into()))?;
        durable::replace(&self.path, &text, 0o600).map_err(|error| self.failed(error))
    }
}

/// Argon2id with the parameters of RFC 9106 §4's memory-constrained choice, lowered to OWASP's first: 19 MiB, 2 passes.
fn slow_hash() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

fn same_pin(hash: &str, pin: &Pin) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| slow_hash().verify_password(pin.expose(), &hash).is_ok())
}

#[cfg(test)]
mod tests;
