//! The child's end: the module is loaded here, and nowhere else in a ceremony.

mod making;

use std::io::{BufRead, Write};

use data_encoding::HEXLOWER;
use hsm_config::{
    KeyFound, KeyRequest, Module, Pin, PinGuard, Token, TokenConfig, TokenError, TokenSession, sync_files,
};
use keeper::{Kept, Probe};
use sha2::{Digest, Sha256};

use super::{Answer, Ask, KeyFacts, TokenFacts};

/// Most random octets in one answer.
const RANDOM_MAX: usize = 4096;

/// Answers until its input ends. `probe` is told when the token has done what was asked, before that is answered.
///
/// # Errors
/// Its input or output.
pub fn serve(
    token: &TokenConfig,
    guard: &PinGuard,
    probe: &Probe,
    asks: impl BufRead,
    mut answers: impl Write,
) -> std::io::Result<()> {
    let mut open = None;
    for line in asks.lines() {
        let answer = match serde_json::from_str(&line?) {
            Ok(ask) => {
                let did = what(&ask);
                let answer = answer(token, guard, probe, &mut open, ask).unwrap_or_else(Answer::Failed);
                (probe)(did);
                answer
            }
            Err(error) => Answer::Failed(error.to_string()),
        };
        serde_json::to_writer(&mut answers, &answer)?;
        answers.write_all(b"\n")?;
        answers.flush()?;
    }
    Ok(())
}

/// What the token does, for whoever watches.
fn what(ask: &Ask) -> &'static str {
    match ask {
        Ask::Open { .. } => "token opened",
        Ask::Look | Ask::Taken { .. } | Ask::Kept { .. } => "token looked at",
        Ask::Make { .. } => "token made",
        Ask::Find { .. } => "token found",
        Ask::Sign { .. } => "token signed",
        Ask::Random { .. } => "token drew",
        Ask::Destroy { .. } => "token destroyed",
    }
}

/// The token, logged in to.
struct Open {
    pin: Pin,
    session: TokenSession,
}

fn answer(
    config: &TokenConfig,
    guard: &PinGuard,
    probe: &Probe,
    open: &mut Option<Open>,
    ask: Ask,
) -> Result<Answer, String> {
    if let Ask::Open { create } = ask {
        let found = making::find_or_make(config, guard, probe, create).map_err(said)?;
        let Some((token, new_pin)) = found else { return Ok(Answer::NoToken) };
        let pin = new_pin.map_or_else(|| config.read_pin(), Ok).map_err(said)?;
        let session = token.login(&pin, guard).map_err(said)?;
        *open = Some(Open { pin, session });
        return facts(&token, config).map(|facts| Answer::Opened(Box::new(facts)));
    }
    if let Ask::Look = ask {
        return look(config);
    }
    if let Ask::Make { .. } = ask
        && config.profile.reopen_to_generate
        && let Some(Open { pin, session }) = open.take()
    {
        // It is finalized by the last who holds it.
        drop(session);
        let session = config.open().and_then(|token| token.login(&pin, guard)).map_err(said)?;
        *open = Some(Open { pin, session });
    }
    let Open { session, .. } = open.as_ref().ok_or("the token is not open")?;
    match ask {
        Ask::Taken { id } => session.has_id(&octets(&id)?).map(Answer::Taken).map_err(said),
        Ask::Make { id, label, algorithm } => {
            let algorithm = algorithm.parse().map_err(said)?;
            let request = KeyRequest { id: octets(&id)?, label, algorithm };
            made(session, &request, config).map(|found| Answer::Key(described(&found))).map_err(said)
        }
        Ask::Find { custody, spki_sha256 } => {
            let found = find(session, &octets(&spki_sha256)?)?;
            if custody && let Some(found) = &found {
                config.profile.require_custody(&found.attributes).map_err(said)?;
            }
            Ok(found.map_or(Answer::NoKey, |found| Answer::Key(described(&found))))
        }
        Ask::Sign { spki, message } => {
            let key = session.find_key(&octets(&spki)?).map_err(said)?.key;
            let raw = session.sign(&key, &octets(&message)?).map_err(said)?;
            let signature = keeper::certificate_signature(key.algorithm(), raw).map_err(said)?;
            Ok(Answer::Octets(HEXLOWER.encode(&signature)))
        }
        Ask::Kept { cell } => {
            let kept = Kept::read(session, &cell).map_err(said)?;
            Ok(Answer::Kept {
                charter: kept.charter.map(|sha256| HEXLOWER.encode(&sha256)),
                checkpoints: kept
                    .checkpoints
                    .into_iter()
                    .map(|note| String::from_utf8(note).map_err(said))
                    .collect::<Result<_, _>>()?,
            })
        }
        Ask::Random { octets } => {
            let mut block = vec![0u8; octets.min(RANDOM_MAX)];
            session.random(&mut block).map_err(said)?;
            Ok(Answer::Octets(HEXLOWER.encode(&block)))
        }
        Ask::Destroy { spki_sha256 } => {
            let destroyed = destroy(session, &octets(&spki_sha256)?)?;
            sync_files(&config.profile, &config.dir).map_err(said)?;
            Ok(Answer::Destroyed(destroyed))
        }
        Ask::Open { .. } | Ask::Look => Err("the token is open already".into()),
    }
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn octets(hex: &str) -> Result<Vec<u8>, String> {
    HEXLOWER.decode(hex.as_bytes()).map_err(said)
}

/// A key pair under this CKA_ID: the one that is there, or a new one. Durable when this returns.
fn made(session: &TokenSession, request: &KeyRequest, config: &TokenConfig) -> Result<KeyFound, TokenError> {
    let found = match session.made_before(request, &config.profile)? {
        Some(found) if found.key.algorithm() == request.algorithm => found,
        Some(_) => return Err(TokenError::Malformed("a key of another kind under this CKA_ID")),
        None => session.generate(request, &config.profile)?,
    };
    sync_files(&config.profile, &config.dir)?;
    Ok(found)
}

fn find(session: &TokenSession, spki_sha256: &[u8]) -> Result<Option<KeyFound>, String> {
    let found = session.keys().map_err(said)?.into_iter();
    let mut found: Vec<KeyFound> = found.filter(|found| is_of(found.key.public_key(), spki_sha256)).collect();
    match (found.pop(), found.len()) {
        (None, _) => Ok(None),
        (Some(only), 0) => Ok(Some(only)),
        (Some(_), more) => Err(format!("the token holds {} private keys for this public key", more + 1)),
    }
}

fn is_of(spki: &[u8], spki_sha256: &[u8]) -> bool {
    Sha256::digest(spki).as_slice() == spki_sha256
}

/// Destroys what there is of a key, found by its public half alone: nobody's word says under which CKA_ID it is, and a private key without a
/// public half is nobody's to destroy.
fn destroy(session: &TokenSession, spki_sha256: &[u8]) -> Result<usize, String> {
    let halves = session.public_halves().map_err(said)?;
    let (own, others): (Vec<_>, Vec<_>) = halves.iter().partition(|half| is_of(&half.spki, spki_sha256));
    if own.iter().any(|half| others.iter().any(|other| other.id == half.id)) {
        return Err("another key has the CKA_ID of the one to be destroyed: none was".into());
    }
    let mut destroyed = 0;
    for half in own {
        destroyed += session.destroy(&half.id).map_err(said)?;
    }
    Ok(destroyed)
}

fn described(found: &KeyFound) -> KeyFacts {
    KeyFacts {
        spki: HEXLOWER.encode(found.key.public_key()),
        id: HEXLOWER.encode(found.key.id()),
        label: found.label.clone(),
        algorithm: found.key.algorithm().to_string(),
        attributes: found
            .attributes
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}

fn facts(token: &Token, config: &TokenConfig) -> Result<TokenFacts, String> {
    let (info, module) = (token.info(), token.module().info().map_err(said)?);
    let file = std::fs::read(&module.path).map_err(said)?;
    Ok(TokenFacts {
        label: info.label.clone(),
        serial: info.serial.clone(),
        manufacturer: info.manufacturer.clone(),
        model: info.model.clone(),
        firmware: info.firmware.clone(),
        module: module.path.display().to_string(),
        module_sha256: HEXLOWER.encode(&Sha256::digest(file)),
        library: format!("{} {}", module.description, module.version),
        mechanisms: token.mechanisms().map_err(said)?,
        attestation: config.profile.attestation.clone(),
        exceptions: config.profile.exceptions(),
    })
}

/// The token, or the empty slot in which it may be made.
fn look(config: &TokenConfig) -> Result<Answer, String> {
    config.profile.set_up(&config.dir).map_err(said)?;
    let module = config.profile.module_path().and_then(|path| Module::load(&path)).map_err(said)?;
    let (info, is_there) = match Token::find(&module, &config.uri) {
        Ok(token) if !making::is_half_made(config, &token) => (token.info().clone(), true),
        Ok(token) => (token.info().clone(), false),
        Err(TokenError::NoToken { .. }) => {
            let all = Token::list(&module).map_err(said)?;
            let free = all.iter().find(|token| config.profile.initializable && !token.info().initialized);
            let Some(free) = free else { return Ok(Answer::NoToken) };
            (free.info().clone(), false)
        }
        Err(error) => return Err(said(error)),
    };
    Ok(Answer::Looked { model: info.model, serial: is_there.then_some(info.serial) })
}
