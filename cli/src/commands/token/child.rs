//! In the process that loads the module.

use hsm_config::{Module, PinGuard, Token, TokenConfig, TokenError};
use sha2::{Digest as _, Sha256};

use super::view;
use crate::error::Failure;

/// Every token that the module shows.
pub(super) fn list(config: &TokenConfig) -> Result<Vec<view::Token>, Failure> {
    let module = load(config)?;
    let tokens = Token::list(&module)?;
    Ok(tokens.iter().map(|token| view::Token::new(token.info(), &config.uri)).collect())
}

/// The configured token with its keys. Logs in, trying the PIN once (invariant I7): `guard` keeps the record that the keeper and
/// the ceremonies keep too.
pub(super) fn inspect(
    config: &TokenConfig,
    guard: &PinGuard,
    mechanisms: bool,
) -> Result<view::Inspected, Failure> {
    let module = load(config)?;
    let token = Token::find(&module, &config.uri)?;
    let pin = config.read_pin().map_err(TokenError::from)?;
    let session = token.login(&pin, guard)?;
    let keys = session.keys()?;
    let info = module.info()?;
    Ok(view::Inspected {
        token: view::Token::new(token.info(), &config.uri),
        module: format!("{} {} ({})", info.description, info.version, info.path.display()),
        attestation: config.profile.attestation.clone(),
        exceptions: config.profile.exceptions(),
        keys: keys.iter().map(|found| key(found, config)).collect(),
        mechanisms: if mechanisms { token.mechanisms()? } else { Vec::new() },
    })
}

fn load(config: &TokenConfig) -> Result<std::sync::Arc<Module>, TokenError> {
    config.profile.settle_in(&config.dir)?;
    Module::load(&config.profile.module_path()?)
}

fn key(found: &hsm_config::KeyFound, config: &TokenConfig) -> view::Key {
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    view::Key {
        label: found.label.clone(),
        id: hex(found.key.id()),
        algorithm: found.key.algorithm().to_string(),
        spki_sha256: hex(&Sha256::digest(found.key.public_key())),
        flaw: config.profile.require_custody(&found.attributes).err().map(|flaw| flaw.to_string()),
        attributes: found
            .attributes
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}
