//! What tokens and their keys look like to people and programs; also what the child tells its parent.

use std::collections::BTreeMap;

use hsm_config::{TokenInfo, TokenUri};
use serde::{Deserialize, Serialize};

use crate::output::{Page, Show};

/// A token.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Token {
    label: String,
    serial: String,
    manufacturer: String,
    model: String,
    firmware: String,
    initialized: bool,
    /// What the token says of its PIN, where that is a warning.
    pin_warning: Option<String>,
    /// Whether it is the one of the configuration.
    configured: bool,
}

/// The tokens of a module.
#[derive(Debug, Serialize)]
pub(super) struct Tokens {
    pub(super) profile: String,
    pub(super) tokens: Vec<Token>,
}

/// A token with its keys.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Inspected {
    pub(super) token: Token,
    pub(super) module: String,
    pub(super) attestation: String,
    /// Claims of invariant I1 that this kind of token cannot make.
    pub(super) exceptions: Vec<String>,
    pub(super) keys: Vec<Key>,
    pub(super) mechanisms: Vec<String>,
}

/// A key pair as its token describes it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) label: String,
    pub(super) id: String,
    pub(super) algorithm: String,
    pub(super) spki_sha256: String,
    /// Why it is not fit for a CA, where it is not.
    pub(super) flaw: Option<String>,
    pub(super) attributes: BTreeMap<String, String>,
}

impl Token {
    pub(super) fn new(info: &TokenInfo, uri: &TokenUri) -> Self {
        let warning = match () {
            () if info.pin_locked => Some("the PIN is locked"),
            () if info.pin_final_try => Some("one more wrong PIN locks it"),
            () if info.pin_count_low => Some("a wrong PIN was entered since the last login"),
            () => None,
        };
        Self {
            configured: info.initialized && uri.matches(&info.label, &info.serial, &info.model),
            label: info.label.clone(),
            serial: info.serial.clone(),
            manufacturer: info.manufacturer.clone(),
            model: info.model.clone(),
            firmware: info.firmware.clone(),
            initialized: info.initialized,
            pin_warning: warning.map(ToOwned::to_owned),
        }
    }

    fn state(&self) -> String {
        let state = if self.initialized { "initialized" } else { "empty" };
        self.pin_warning.as_ref().map_or_else(|| state.to_owned(), |warning| format!("{state}; {warning}"))
    }
}

impl Show for Tokens {
    fn show(&self, page: &mut Page) {
        page.field("profile", &self.profile);
        page.line("");
        page.head(["label", "serial", "model", "state", "configured"]);
        for token in &self.tokens {
            let configured = if token.configured { "yes" } else { "" };
            page.row([
                token.label.clone(),
                token.serial.clone(),
                format!("{} {}", token.manufacturer, token.model),
                token.state(),
                configured.to_owned(),
            ]);
        }
    }
}

impl Show for Inspected {
    fn show(&self, page: &mut Page) {
        page.field("token", format!("{} (serial {})", self.token.label, self.token.serial));
        page.field("state", self.token.state());
        page.field(
            "model",
            format!("{} {}, firmware {}", self.token.manufacturer, self.token.model, self.token.firmware),
        );
        page.field("module", &self.module);
        page.field("attestation", &self.attestation);
        page.field_if("cannot claim", self.exceptions.join(", "));
        for key in &self.keys {
            page.line("");
            key.show(page);
        }
        if !self.mechanisms.is_empty() {
            page.line("");
            page.line(&format!("mechanisms: {}", self.mechanisms.join(", ")));
        }
    }
}

impl Key {
    fn show(&self, page: &mut Page) {
        page.field("key", format!("{} ({})", self.label, self.algorithm));
        page.field("id", &self.id);
        page.field("public key", format!("sha256:{}", self.spki_sha256));
        page.field("custody", self.flaw.as_deref().unwrap_or("as a CA key must be (invariant I1)"));
        for (name, value) in &self.attributes {
            page.field(&format!("  {name}"), value);
        }
    }
}
