//! A token that is made where it is not there, so that a crash at any point leaves one that is finished the next time.

use std::path::{Path, PathBuf};

use hsm_config::{
    Module, Pin, PinError, PinGuard, PinSource, Token, TokenConfig, TokenError, fresh_pin, sync_files,
};
use keeper::Probe;
use secrecy::ExposeSecret as _;
use sys::durable;

use crate::pin_file;

/// Finds the token; where it is not there and may be made by software, it is made if `create` says so. With a token that was made comes the
/// PIN that it got: a descriptor is read once, and a terminal need not be asked again.
pub(super) fn find_or_make(
    config: &TokenConfig,
    guard: &PinGuard,
    probe: &Probe,
    create: bool,
) -> Result<Option<(Token, Option<Pin>)>, TokenError> {
    if !create && !config.may_be_here() {
        return Ok(None);
    }
    config.profile.set_up(&config.dir)?;
    let module = Module::load(&config.profile.module_path()?)?;
    let begun = match Token::find(&module, &config.uri) {
        Err(TokenError::NoToken { .. }) if !create => return Ok(None),
        Err(TokenError::NoToken { .. }) if config.profile.initializable => None,
        Ok(token) if is_half_made(config, &token) => Some(token),
        found => {
            let token = found?;
            forget_so_pin(config)?;
            return Ok(Some((token, None)));
        }
    };
    if !create {
        return Ok(None);
    }
    make(config, &module, guard, probe, begun).map(|(token, pin)| Some((token, Some(pin))))
}

/// Whether a crash left it without a user PIN, after it was initialised here: then its SO PIN is still there. Not seen of a token that shows
/// CKF_USER_PIN_INITIALIZED too early (tpm2-pkcs11 1.9).
pub(super) fn is_half_made(config: &TokenConfig, token: &Token) -> bool {
    !token.info().user_pin_set && so_pin_file(config).exists()
}

/// Initialises the token, or goes on with one that was, and gives it its PIN. Its SO PIN is written down before and lost behind it: nobody
/// can reset the user PIN of such a token.
fn make(
    config: &TokenConfig,
    module: &std::sync::Arc<Module>,
    guard: &PinGuard,
    probe: &Probe,
    begun: Option<Token>,
) -> Result<(Token, Pin), TokenError> {
    if config.pin == PinSource::Protected {
        return Err(PinError::NotToBeSetHere.into());
    }
    if let PinSource::File(path) = &config.pin {
        write_fresh_pin(path)?;
    }
    let pin = config.read_new_pin()?;
    let path = so_pin_file(config);
    write_fresh_pin(&path)?;
    let so_pin = PinSource::File(path).read()?;
    let token = match begun {
        Some(token) => token,
        None => Token::initialise(module, &config.uri, &so_pin)?,
    };
    sync_files(&config.profile, &config.dir)?;
    (probe)("token initialised");
    token.set_user_pin(&so_pin, &pin, guard)?;
    sync_files(&config.profile, &config.dir)?;
    (probe)("token given its PIN");
    forget_so_pin(config)?;
    Ok((token, pin))
}

fn write_fresh_pin(path: &Path) -> Result<(), TokenError> {
    let pin = fresh_pin().map_err(|_| TokenError::Malformed("no random numbers for a PIN"))?;
    let written = pin_file::create(path, pin.expose_secret());
    written.map_err(|source| TokenError::Files { path: path.to_owned(), source })
}

fn so_pin_file(config: &TokenConfig) -> PathBuf {
    config.dir.join("so.pin")
}

/// Removes the SO PIN, durably, where a token is whole.
fn forget_so_pin(config: &TokenConfig) -> Result<(), TokenError> {
    let path = so_pin_file(config);
    let removed = durable::remove(&path)
        .and_then(|was_there| if was_there { durable::sync_dir(&config.dir) } else { Ok(()) });
    removed.map_err(|source| TokenError::Files { path, source })
}
