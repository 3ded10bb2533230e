//! In the process that loads the module.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use hsm_config::health::{START_UP, examine};
use hsm_config::{KeyAlgorithm, Module, PinGuard, Token, TokenConfig, TokenError, TokenSession};
use sha2::{Digest as _, Sha256};

use super::facts::{Facts, Flags, Inside, Key, Random, Rate};
use crate::config::Config;
use crate::error::Failure;
use crate::session::Session;

/// How long signing is measured.
const MEASURED: Duration = Duration::from_millis(500);
/// Sessions of the keeper beside its workers': the sequencer's own, the attendant's, and the one that holds the login.
const BESIDE: usize = 3;
/// What is signed begins with this: no TBS does, whose first octet is DER's 0x30, and no checkpoint, whose first line is an origin.
const PROBE: &str = "rootcellar/v1 doctor probe\n";

/// Everything that a token of the service shows; without a `login` what it shows to everyone. How fast it signs is measured with a key of the
/// kind of `issuer`, SHA-256 of a public key in hexadecimal.
///
/// # Errors
/// There is no module, or no token.
pub(super) fn look(
    session: &Session,
    config: &Config,
    wanted: &TokenConfig,
    login: bool,
    issuer: Option<&str>,
) -> Result<Facts, Failure> {
    let path = wanted.profile.module_path()?;
    let bytes = std::fs::read(&path).map_err(|error| Failure::file(&path, error))?;
    let module = Module::load(&path)?;
    let token = Token::find(&module, &wanted.uri)?;
    let shown = Token::list(&module)?;
    let shown = shown.iter().map(Token::info).filter(|info| info.initialized);
    let system = |out: &mut [u8]| (session.surroundings().random)(out);
    Ok(Facts {
        module_path: path.display().to_string(),
        module_sha256: HEXLOWER.encode(&Sha256::digest(&bytes)),
        label: token.info().label.clone(),
        serial: token.info().serial.clone(),
        flags: Flags::from(token.info()),
        mechanisms: token.mechanisms()?,
        tokens: shown.map(|info| (info.label.clone(), info.serial.clone(), info.model.clone())).collect(),
        system_random: random(system).map_err(|error| Failure::new("RANDOM", error))?,
        inside: if login {
            inside(config, wanted, &token, issuer).map_err(|error| error.to_string())
        } else {
            Err("nobody was to log in".to_owned())
        },
    })
}

/// Logs in, trying the PIN once (invariant I7): the record of refused PINs is the keeper's too, where both are the same user's.
fn inside(
    config: &Config,
    wanted: &TokenConfig,
    token: &Token,
    issuer: Option<&str>,
) -> Result<Inside, TokenError> {
    let login = token.login(&wanted.pin.read()?, &PinGuard::new(config.state_dir()))?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let threads = wanted.profile.sessions(cores);
    let key = |found: hsm_config::KeyFound| Key {
        flaw: wanted.profile.require_custody(&found.attributes).err().map(|flaw| flaw.to_string()),
        spki_sha256: HEXLOWER.encode(&Sha256::digest(found.key.public_key())),
        algorithm: found.key.algorithm().to_string(),
        label: found.label,
    };
    let keys: Vec<Key> = login.keys()?.into_iter().map(key).collect();
    let issuer = keys.iter().find(|key| issuer == Some(key.spki_sha256.as_str()));
    let kind = issuer.and_then(|key| key.algorithm.parse().ok()).unwrap_or(config.issuing_key());
    let sessions: Vec<TokenSession> = (0..threads + BESIDE).map_while(|_| token.session().ok()).collect();
    let had = sessions.len();
    let rate = measure(&login, kind, sessions.into_iter().take(threads).collect());
    Ok(Inside {
        keys,
        sessions: (threads + BESIDE, had),
        random: random(|out| login.random(out))?,
        rate: rate.map_err(|error| error.to_string()),
    })
}

fn random<E>(mut draw: impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<Random, E> {
    let mut samples = [0; START_UP];
    draw(&mut samples)?;
    Ok(examine(&samples).into())
}

/// Signs with a key of the issuer's kind that is made for it and gone with the session: a CA's key signs nothing that is not in the ledger
/// (invariant I2), and the log's may be of another kind.
fn measure(
    holder: &TokenSession,
    algorithm: KeyAlgorithm,
    sessions: Vec<TokenSession>,
) -> Result<Rate, TokenError> {
    let key = holder.trial_key(algorithm)?;
    let (threads, signed) = (sessions.len(), AtomicU64::new(0));
    let began = Instant::now();
    let sign = |session: TokenSession| {
        while began.elapsed() < MEASURED {
            let number = signed.load(Ordering::Relaxed);
            session.sign(&key, format!("{PROBE}{number}").as_bytes())?;
            signed.fetch_add(1, Ordering::Relaxed);
        }
        Ok::<(), TokenError>(())
    };
    thread::scope(|scope| {
        let hands: Vec<_> = sessions.into_iter().map(|session| scope.spawn(|| sign(session))).collect();
        hands.into_iter().try_for_each(|hand| {
            hand.join().unwrap_or(Err(TokenError::Malformed("a panic of the thread that signs")))
        })
    })?;
    let signed = u32::try_from(signed.into_inner()).unwrap_or(u32::MAX);
    Ok(Rate { per_second: f64::from(signed) / began.elapsed().as_secs_f64(), threads })
}
