//! The keys' custody: one login, the keys bound by their public halves and read back, and the ladder that brings a lost token back.
//!
//! The ladder's rungs, each counted: open another session; log in, once; find the key again; end the process. The last is a new
//! `C_Initialize` with nothing left over from before: docs/decisions/002-ladder.md says why there is no rung between.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hsm_config::{
    Fault, KeyAlgorithm, KeyFound, PinGuard, Token, TokenConfig, TokenError, TokenInfo, TokenKey,
    TokenSession,
};

use sha2::Digest as _;

use crate::metrics::{Call, Metrics};

/// The token with the service's keys, opened and logged in to.
pub(crate) struct Custody {
    token: Token,
    config: TokenConfig,
    guard: PinGuard,
    issuer_spki: Vec<u8>,
    log_spki: Vec<u8>,
    /// Held for all of a second login, so that no worker opens a session in the midst of it.
    login: Mutex<Login>,
    recoveries: AtomicU64,
    metrics: Metrics,
}

/// The process's login: it lasts while its session lives.
struct Login {
    session: TokenSession,
    again: Again,
}

/// What became of the second login, the last that a process makes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    NotTried,
    Failed,
    Done,
}

/// One worker's session with the keys it signs with. Owned by one thread.
pub(crate) struct Session {
    /// How things stood with the second login when this was opened.
    opened: Again,
    custody: Arc<Custody>,
    session: TokenSession,
    issuer: TokenKey,
    log: TokenKey,
}

#[derive(Clone, Copy)]
enum Which {
    Issuer,
    Log,
}

impl Custody {
    /// Opens the token that holds the issuer's key, logs in once, finds it and the log's key and checks both (invariant I1). Of several
    /// tokens only that one is logged in to: one that is lost, or stands ready, costs no PIN try.
    ///
    /// # Errors
    /// The token, the PIN, or a key that is missing or unfit.
    pub(crate) fn open(
        configs: &[TokenConfig],
        guard: PinGuard,
        issuer_spki: Vec<u8>,
        log_spkis: &[Vec<u8>],
        metrics: Metrics,
    ) -> Result<(Arc<Self>, [KeyFound; 2]), TokenError> {
        let (config, token) = choose(configs, &issuer_spki)?;
        let login = token.login(&config.read_pin()?, &guard)?;
        let log_spki = log_spki(&login, log_spkis)?;
        let custody = Arc::new(Self {
            token,
            config,
            guard,
            issuer_spki,
            log_spki,
            login: Mutex::new(Login { session: login, again: Again::NotTried }),
            recoveries: AtomicU64::new(0),
            metrics,
        });
        let keys = custody.check(&custody.token.session()?)?;
        Ok((custody, keys))
    }

    /// The log's key, of those that there are.
    pub(crate) fn log_spki(&self) -> &[u8] {
        &self.log_spki
    }

    /// What the token says of itself.
    pub(crate) fn info(&self) -> &TokenInfo {
        self.token.info()
    }

    /// The token.
    pub(crate) fn token(&self) -> &Token {
        &self.token
    }

    /// How it was opened.
    pub(crate) fn config(&self) -> &TokenConfig {
        &self.config
    }

    /// Sessions that sign at once on this machine.
    pub(crate) fn sessions(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.config.profile.sessions(cores)
    }

    /// Rungs taken so far.
    pub(crate) fn recoveries(&self) -> u64 {
        self.recoveries.load(Ordering::Relaxed)
    }

    /// Finds both keys and reads their attributes back.
    ///
    /// # Errors
    /// A key is missing, there twice, or not as a CA key must be.
    pub(crate) fn check(&self, session: &TokenSession) -> Result<[KeyFound; 2], TokenError> {
        let issuer = session.find_key(&self.issuer_spki)?;
        let log = session.find_key(&self.log_spki)?;
        for key in [&issuer, &log] {
            self.config.profile.require_custody(&key.attributes)?;
        }
        Ok([issuer, log])
    }

    /// A bare session, for random numbers and for reading attributes back.
    ///
    /// # Errors
    /// The token refuses.
    pub(crate) fn bare_session(&self) -> Result<TokenSession, TokenError> {
        self.token.session()
    }

    /// A session for one worker.
    ///
    /// # Errors
    /// The token refuses, or a key is gone.
    pub(crate) fn session(self: &Arc<Self>) -> Result<Session, TokenError> {
        let opened = self.login().again;
        let session = self.token.session()?;
        let issuer = session.find_key(&self.issuer_spki)?.key;
        let log = session.find_key(&self.log_spki)?.key;
        Ok(Session { opened, custody: Arc::clone(self), session, issuer, log })
    }

    fn login(&self) -> MutexGuard<'_, Login> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs in again, once in the life of the process, where the PIN can be had without a person (invariant I7). A worker whose session
    /// is from before that login has it already: a login is the process's (PKCS#11 v3.1 §5.6.8).
    fn login_again(&self, opened: Again) -> Result<(), TokenError> {
        let mut login = self.login();
        match (login.again, opened) {
            (Again::Done, Again::NotTried) => return Ok(()),
            (Again::NotTried, _) if self.config.pin.unattended() => login.again = Again::Failed,
            _ => return Err(TokenError::Malformed("no login, and this process has logged in before")),
        }
        login.session = self.token.login(&self.config.read_pin()?, &self.guard)?;
        login.again = Again::Done;
        Ok(())
    }

    fn rung(&self, rung: &'static str, error: &TokenError) {
        self.recoveries.fetch_add(1, Ordering::Relaxed);
        self.metrics.recovery(rung);
        tracing::warn!(rung, token = self.info().label, cause = error.to_string(), "recovering the token");
    }
}

impl Session {
    /// Signs with the issuer's key; the signature is as certificates carry it.
    ///
    /// # Errors
    /// What was left when the ladder was climbed.
    pub(crate) fn sign_as_issuer(&mut self, tbs: &[u8]) -> Result<Vec<u8>, TokenError> {
        self.sign(Which::Issuer, tbs)
    }

    /// Signs with the log's key; the signature is as notes carry it.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn sign_as_log(&mut self, text: &[u8]) -> Result<Vec<u8>, TokenError> {
        self.sign(Which::Log, text)
    }

    fn sign(&mut self, which: Which, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let mut last = match self.attempt(which, message) {
            Ok(signature) => return Ok(signature),
            Err(error) => error,
        };
        // A session that returned an error is not used again (PKCS#11 v3.1 §5.2 leaves it undefined what is active in it).
        while let Some(rung) = rung(&last) {
            self.custody.rung(rung, &last);
            if rung == "login" {
                self.custody.login_again(self.opened)?;
            }
            *self = self.custody.session()?;
            match self.attempt(which, message) {
                Ok(signature) => return Ok(signature),
                Err(again) if rung == "login" || again.fault() == last.fault() => return Err(again),
                Err(again) => last = again,
            }
        }
        Err(last)
    }

    fn attempt(&self, which: Which, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let key = match which {
            Which::Issuer => &self.issuer,
            Which::Log => &self.log,
        };
        let signed = self.session.sign(key, message);
        self.custody.metrics.call(Call::Sign, &signed);
        encoded(key.algorithm(), signed?)
    }
}

/// The token that shows the issuer's public key. A token that is not there, or is there and does nothing, is passed over where there is
/// another.
fn choose(configs: &[TokenConfig], issuer_spki: &[u8]) -> Result<(TokenConfig, Token), TokenError> {
    let mut first = None;
    for config in configs {
        let opened = config.open().and_then(|token| {
            let has = configs.len() == 1 || token.session()?.has_public_key(issuer_spki)?;
            Ok((token, has))
        });
        match opened {
            Ok((token, true)) => return Ok((config.clone(), token)),
            Ok((token, false)) => {
                let spki = data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(issuer_spki));
                tracing::info!(token = token.info().label, spki, "not the token of the active issuer");
                first.get_or_insert(TokenError::KeyNotUnique { spki, count: 0 });
            }
            Err(error @ (TokenError::NoToken { .. } | TokenError::NoModule(_) | TokenError::Call(_))) => {
                tracing::warn!(
                    token = config.uri.to_string(),
                    cause = error.to_string(),
                    "a token is not there"
                );
                first.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(first.unwrap_or(TokenError::Malformed("no token is configured")))
}

/// The key of the log that this token holds: of several the newest, which the bundle names last.
fn log_spki(login: &TokenSession, spkis: &[Vec<u8>]) -> Result<Vec<u8>, TokenError> {
    for spki in spkis.iter().rev() {
        if login.has_public_key(spki)? {
            return Ok(spki.clone());
        }
    }
    // It says which key is missing.
    let first = spkis.first().ok_or(TokenError::Malformed("no key for the log"))?;
    login.find_key(first).map(|found| found.key.public_key().to_vec())
}

/// The rung that may help; `None` where only a new process, a person, or no one can.
fn rung(error: &TokenError) -> Option<&'static str> {
    match error.fault() {
        Fault::Session => Some("session"),
        Fault::Login => Some("login"),
        Fault::Handle => Some("key"),
        Fault::Module | Fault::Pin | Fault::Request => None,
    }
}

/// A token's signature in the form that certificates carry: for ECDSA a DER ECDSA-Sig-Value (RFC 5758 §3.2), else as it is.
///
/// # Errors
/// It has not the form that the algorithm has.
pub fn encoded(algorithm: KeyAlgorithm, raw: Vec<u8>) -> Result<Vec<u8>, TokenError> {
    match algorithm {
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 => certs::ecdsa_der(&raw)
            .map_err(|_| TokenError::Malformed("a signature that is no pair of numbers")),
        KeyAlgorithm::Ed25519 | KeyAlgorithm::RsaPss(_) | KeyAlgorithm::MlDsa65 => Ok(raw),
    }
}
