//! What a token can do of what is needed here, found out by doing it: before a token is bought, and before its profile is written.
//!
//! Makes keys of its own under one label and destroys them again, those that an examination left behind when it was cut short too.
//! Does not: initialise a token, touch anybody else's key, or try a PIN twice.

mod checks;
mod keys;
mod making;
mod opened;
mod profile;
mod rates;

use serde::{Deserialize, Serialize};

use crate::algorithm::KeyAlgorithm;
use crate::attempt::PinGuard;
use crate::error::TokenError;
use crate::pin::Pin;
use crate::profile::Profile;
use crate::token::Token;

use checks::Sheet;
use opened::Opened;

/// CKA_LABEL of everything that an examination makes.
pub(crate) const LABEL: &str = "rootcellar conformance";
/// What is tried, the preferred first.
const ALGORITHMS: [KeyAlgorithm; 5] = [
    KeyAlgorithm::EcdsaP256,
    KeyAlgorithm::EcdsaP384,
    KeyAlgorithm::Ed25519,
    KeyAlgorithm::RsaPss(3072),
    KeyAlgorithm::MlDsa65,
];

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It does what is needed.
    Pass,
    /// It says that it does, and does not, or does something that it must not.
    Fail,
    /// It says that it does not.
    Unsupported,
}

/// One thing that was tried.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    /// Its name, stable: "p256 signature".
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What the token did.
    pub found: String,
    /// What that means here.
    pub means: String,
}

/// How many signatures a second.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rate {
    /// Kind of key, as `KeyAlgorithm` writes it.
    pub algorithm: String,
    /// Sessions that signed at once.
    pub sessions: usize,
    /// Signatures a second of all of them.
    pub per_second: u64,
}

/// What an examination found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Conformance {
    /// Every check, in the order they were made.
    pub checks: Vec<Check>,
    /// Measured rates.
    pub rates: Vec<Rate>,
    /// Sessions with which four fifths of the best rate are reached.
    pub sessions: usize,
    /// Kinds of key that a cell can issue with, the preferred first; none of a token that no cell can use, whatever its keys.
    pub issuing_keys: Vec<String>,
    /// Kinds of key that a cell's log can be signed with.
    pub log_keys: Vec<String>,
    /// A profile made of what was found, TOML.
    pub profile: String,
}

impl Conformance {
    /// Whether a cell can have its service's token there.
    pub fn fit(&self) -> bool {
        !self.issuing_keys.is_empty() && !self.log_keys.is_empty()
    }
}

/// What an examination is given from outside.
pub struct Surroundings<'a> {
    /// Whether a signature, as the token returns it, is over this message by the key of this DER SubjectPublicKeyInfo.
    #[expect(clippy::type_complexity, reason = "a function, written out where it is documented")]
    pub verify: &'a dyn Fn(KeyAlgorithm, &[u8], &[u8], Vec<u8>) -> bool,
    /// Logs another process in to the token while this one is: how that went, or nothing where it cannot be tried.
    pub other_process: &'a dyn Fn() -> Option<Result<(), String>>,
    /// Whether rates are measured, three seconds for each kind of key.
    pub measure: bool,
}

/// Examines the token that `open` opens, each time with its module loaded anew. `profile` is what is known of it beforehand; the profile that results keeps its module, environment and files.
///
/// # Errors
/// The PIN is refused (invariant I7), or the token does not open a session.
pub fn examine(
    open: &dyn Fn() -> Result<Token, TokenError>,
    pin: &Pin,
    guard: &PinGuard,
    profile: &Profile,
    surroundings: &Surroundings<'_>,
) -> Result<Conformance, TokenError> {
    let mut sheet = Sheet::default();
    let mut opened = Opened::new(open, pin, guard)?;
    let info = opened.token()?.info().clone();
    sheet.token(&info);
    opened.session()?.forget_keys(LABEL)?;
    sheet.random(opened.session()?);
    sheet.sessions(opened.token()?);
    let mechanisms = opened.token()?.mechanism_types()?;
    let mut keys = Vec::new();
    let mut omitted = Vec::new();
    for algorithm in ALGORITHMS {
        if let Some(key) = sheet.key(&mut opened, algorithm, &mechanisms, &omitted, surroundings) {
            omitted.clone_from(&key.omitted);
            keys.push(key);
        }
    }
    sheet.recovers(&mut opened, &keys);
    sheet.other_process(surroundings);
    opened.anew()?;
    sheet.data_objects(opened.session()?);
    let rates = if surroundings.measure { sheet.rates(&mut opened, &keys) } else { Vec::new() };
    opened.session()?.forget_keys(LABEL)?;
    let sessions = rates::recommended(&rates);
    let issuing: Vec<_> = keys.into_iter().filter(|key| key.good && !sheet.unfit).collect();
    let for_notes = |algorithm| matches!(algorithm, KeyAlgorithm::EcdsaP256 | KeyAlgorithm::Ed25519);
    Ok(Conformance {
        issuing_keys: issuing.iter().map(|key| key.algorithm.to_string()).collect(),
        log_keys: issuing
            .iter()
            .filter(|key| for_notes(key.algorithm))
            .map(|key| key.algorithm.to_string())
            .collect(),
        profile: profile::written(&info, profile, sessions, &issuing),
        checks: sheet.checks,
        rates,
        sessions,
    })
}
