//! A token: found by label or serial, logged in to once.

use std::sync::Arc;

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::session::UserType;
use cryptoki::slot::Slot;

use crate::attempt::{PinGuard, TokenName};
use crate::error::{TokenError, is_of_the_pin};
use crate::module::{Module, text};
use crate::pin::{Pin, PinError};
use crate::session::TokenSession;
use audit::TokenUri;

/// One token of a module.
#[derive(Clone, Debug)]
pub struct Token {
    pub(crate) module: Arc<Module>,
    pub(crate) slot: Slot,
    info: TokenInfo,
    /// Whether `info` is the token's own, or a person said that it need not be.
    told: bool,
}

/// What a token says of itself (PKCS#11 v3.1 §3.2, CK_TOKEN_INFO).
#[derive(Clone, Debug, Default, serde::Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "they are the token's flags, each under its own name")]
pub struct TokenInfo {
    /// Label, without its padding.
    pub label: String,
    /// Serial number.
    pub serial: String,
    /// Manufacturer.
    pub manufacturer: String,
    /// Model.
    pub model: String,
    /// Version of its firmware.
    pub firmware: String,
    /// CKF_TOKEN_INITIALIZED.
    pub initialized: bool,
    /// CKF_USER_PIN_INITIALIZED.
    pub user_pin_set: bool,
    /// CKF_RNG.
    pub rng: bool,
    /// CKF_WRITE_PROTECTED.
    pub write_protected: bool,
    /// CKF_PROTECTED_AUTHENTICATION_PATH.
    pub protected_path: bool,
    /// CKF_USER_PIN_COUNT_LOW.
    pub pin_count_low: bool,
    /// CKF_USER_PIN_FINAL_TRY.
    pub pin_final_try: bool,
    /// CKF_USER_PIN_LOCKED.
    pub pin_locked: bool,
}

impl TokenInfo {
    /// The token's name in the record of PIN attempts.
    pub(crate) fn name(&self) -> TokenName {
        TokenName {
            manufacturer: self.manufacturer.clone(),
            model: self.model.clone(),
            label: self.label.clone(),
            serial: self.serial.clone(),
        }
    }
}

impl Token {
    /// The one token that `uri` means.
    ///
    /// # Errors
    /// None matches, or more than one.
    pub fn find(module: &Arc<Module>, uri: &TokenUri) -> Result<Self, TokenError> {
        let tokens = Self::list(module)?;
        let mut matching = tokens.iter().filter(|token| {
            token.info.initialized && uri.matches(&token.info.label, &token.info.serial, &token.info.model)
        });
        match (matching.next(), matching.count()) {
            (Some(token), 0) => Ok(token.clone()),
            (Some(_), more) => Err(TokenError::ManyTokens { wanted: uri.to_string(), count: more + 1 }),
            (None, _) => {
                let named = tokens.iter().filter(|token| token.info.initialized);
                let present =
                    named.map(|token| format!("{} (serial {})", token.info.label, token.info.serial));
                Err(TokenError::NoToken { wanted: uri.to_string(), present: present.collect() })
            }
        }
    }

    /// Every token of the module, initialised or not.
    ///
    /// # Errors
    /// The module does not answer.
    pub fn list(module: &Arc<Module>) -> Result<Vec<Self>, TokenError> {
        let (library, _alone) = module.alone();
        let mut tokens = Vec::new();
        for slot in library.get_slots_with_token()? {
            let info = read(&library.get_token_info(slot)?);
            tokens.push(Self { module: Arc::clone(module), slot, info, told: true });
        }
        Ok(tokens)
    }

    /// What the token says of itself.
    pub fn info(&self) -> &TokenInfo {
        &self.info
    }

    /// The module that it belongs to.
    pub fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// The token in a slot of this number, for one that cannot be named: what it says of itself may be missing. Where it is, nobody can log
    /// in but `blindly`: not knowing whether one more wrong PIN locks it.
    ///
    /// # Errors
    /// There is no token in it.
    pub fn in_slot(module: &Arc<Module>, number: u64, blindly: bool) -> Result<Self, TokenError> {
        let (library, alone) = module.alone();
        let slot = library.get_slots_with_token()?.into_iter().find(|slot| slot.id() == number);
        let slot = slot.ok_or(TokenError::Malformed("no slot of that number"))?;
        let info = library.get_token_info(slot).map(|info| read(&info));
        drop(alone);
        let told = info.is_ok() || blindly;
        Ok(Self { module: Arc::clone(module), slot, info: info.unwrap_or_default(), told })
    }

    /// The mechanisms that it lists.
    pub(crate) fn mechanism_types(&self) -> Result<Vec<MechanismType>, TokenError> {
        let (library, _alone) = self.module.alone();
        Ok(library.get_mechanism_list(self.slot)?)
    }

    /// Names of the mechanisms that it lists.
    ///
    /// # Errors
    /// The token does not answer.
    pub fn mechanisms(&self) -> Result<Vec<String>, TokenError> {
        let (library, _alone) = self.module.alone();
        Ok(library.get_mechanism_list(self.slot)?.iter().map(ToString::to_string).collect())
    }

    /// Opens a session that may create objects. It sees private objects once the process has logged in.
    ///
    /// # Errors
    /// The token refuses.
    pub fn session(&self) -> Result<TokenSession, TokenError> {
        let (library, _alone) = self.module.alone();
        Ok(TokenSession::new(library.open_rw_session(self.slot)?, Arc::clone(&self.module)))
    }

    /// Logs the process in, trying the PIN once (invariant I7); where it is entered at the token, none is sent. The login lasts while the session returned lives; there is no logout.
    ///
    /// # Errors
    /// The PIN is wrong, was refused before, or one more try could lock the token, or it does not tell: then none is made.
    pub fn login(&self, pin: &Pin, guard: &PinGuard) -> Result<TokenSession, TokenError> {
        if !self.told {
            return Err(PinError::Untold.into());
        }
        if self.info.pin_locked {
            return Err(PinError::Locked("is locked (CKF_USER_PIN_LOCKED)").into());
        }
        if self.info.pin_final_try {
            return Err(
                PinError::Locked("would be locked by one more wrong PIN (CKF_USER_PIN_FINAL_TRY)").into()
            );
        }
        if pin.secret().is_none() && !self.info.protected_path {
            return Err(PinError::NoPinPad.into());
        }
        if self.info.pin_count_low {
            tracing::warn!(
                token = self.info.label,
                "a wrong PIN was entered since the last login (CKF_USER_PIN_COUNT_LOW)"
            );
        }
        let session = self.session()?;
        let (_, alone) = self.module.alone();
        let outcome = guard.attempt(
            &self.info.name(),
            pin,
            || session.raw().login(UserType::User, pin.secret()),
            is_of_the_pin,
        )?;
        drop(alone);
        match outcome {
            // PKCS#11 v3.1 §5.6.8: the login is the process's, not the session's.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
            Err(error) => Err(error.into()),
        }
    }
}

fn read(info: &cryptoki::slot::TokenInfo) -> TokenInfo {
    TokenInfo {
        label: text(info.label()),
        serial: text(info.serial_number()),
        manufacturer: text(info.manufacturer_id()),
        model: text(info.model()),
        firmware: info.firmware_version().to_string(),
        initialized: info.token_initialized(),
        user_pin_set: info.user_pin_initialized(),
        rng: info.rng(),
        write_protected: info.write_protected(),
        protected_path: info.protected_authentication_path(),
        pin_count_low: info.user_pin_count_low(),
        pin_final_try: info.user_pin_final_try(),
        pin_locked: info.user_pin_locked(),
    }
}
