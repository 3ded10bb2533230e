//! PKCS#11 URIs (RFC 7512): which token, by label or serial, never by slot.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Characters that stand for themselves in a path attribute (RFC 7512 §2.3, `pk11-pchar`; the safest of them).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Longest label: `CK_TOKEN_INFO.label` has 32 octets (PKCS#11 v3.1 §3.2).
const LABEL_MAX: usize = 32;
/// Longest serial: `CK_TOKEN_INFO.serialNumber` has 16 octets.
const SERIAL_MAX: usize = 16;

/// Which token. At least one of its fields is set; a token must match all that are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenUri {
    label: Option<String>,
    serial: Option<String>,
    model: Option<String>,
}

/// Not a URI that names one token.
#[derive(Debug, thiserror::Error)]
pub enum UriError {
    /// The operator's: another scheme, or no syntax of RFC 7512.
    #[error("`{0}` is no PKCS#11 URI: write pkcs11:token=LABEL or pkcs11:serial=SERIAL (RFC 7512)")]
    Syntax(String),
    /// The operator's: a secret where everyone can read it.
    #[error("pin-value would put the PIN into the configuration: remove it and set `pin = \"file:PATH\"`")]
    PinValue,
    /// The operator's: slots are renumbered at will.
    #[error("a slot number is not stable: name the token by `token=LABEL` or `serial=SERIAL`")]
    Slot,
    /// The operator's: an attribute that means nothing for a token, or not here.
    #[error("attribute `{0}` has no meaning here: token, serial and model name a token")]
    Attribute(String),
    /// The operator's: it names no token.
    #[error("the URI names no token: add token=LABEL or serial=SERIAL")]
    Empty,
    /// The operator's: longer than any token can have.
    #[error("{0} is longer than a token can have (label 32, serial 16 octets)")]
    TooLong(&'static str),
}

impl TokenUri {
    /// The token with this label.
    ///
    /// # Errors
    /// Empty or too long.
    pub fn with_label(label: &str) -> Result<Self, UriError> {
        Self { label: Some(label.to_owned()), ..Self::default() }.bounded()
    }

    /// The label, where the URI has one.
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// The same token, said by its model too, and by its serial where it has one.
    #[must_use]
    pub fn of_model(&self, model: &str, serial: Option<&str>) -> Self {
        let serial = serial.map(ToOwned::to_owned).or_else(|| self.serial.clone());
        Self { label: self.label.clone(), serial, model: Some(model.to_owned()) }
    }

    /// The serial, where the URI has one.
    pub fn serial(&self) -> Option<&str> {
        self.serial.as_deref()
    }

    /// The model, where the URI has one.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Whether both may mean one token: they have a label or a serial in common, and differ in nothing that both say.
    pub fn may_be(&self, other: &Self) -> bool {
        let pairs = [(&self.label, &other.label), (&self.serial, &other.serial), (&self.model, &other.model)];
        let differs = |(a, b): &(&Option<String>, &Option<String>)| a.is_some() && b.is_some() && a != b;
        let named = |(a, b): &(&Option<String>, &Option<String>)| a.is_some() && a == b;
        !pairs.iter().any(differs) && pairs[..2].iter().any(named)
    }

    /// Whether a token of this label, serial and model is meant.
    pub fn matches(&self, label: &str, serial: &str, model: &str) -> bool {
        let agrees = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        agrees(&self.label, label) && agrees(&self.serial, serial) && agrees(&self.model, model)
    }

    fn bounded(self) -> Result<Self, UriError> {
        let (label, serial) = (self.label.as_deref(), self.serial.as_deref());
        if label.unwrap_or_default().is_empty() && serial.unwrap_or_default().is_empty() {
            return Err(UriError::Empty);
        }
        if label.is_some_and(|label| label.len() > LABEL_MAX) {
            return Err(UriError::TooLong("the label"));
        }
        if serial.is_some_and(|serial| serial.len() > SERIAL_MAX) {
            return Err(UriError::TooLong("the serial"));
        }
        Ok(self)
    }
}

impl FromStr for TokenUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let syntax = || UriError::Syntax(text.split('?').next().unwrap_or_default().to_owned());
        let rest = text.strip_prefix("pkcs11:").ok_or_else(syntax)?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if query.split('&').any(|attribute| attribute.starts_with("pin-value")) {
            return Err(UriError::PinValue);
        }
        if let Some(attribute) = query.split('&').find(|attribute| !attribute.is_empty()) {
            return Err(UriError::Attribute(attribute.split('=').next().unwrap_or_default().to_owned()));
        }
        let mut uri = Self::default();
        for attribute in path.split(';').filter(|attribute| !attribute.is_empty()) {
            let (name, value) = attribute.split_once('=').ok_or_else(syntax)?;
            let value = percent_decode_str(value).decode_utf8().map_err(|_| syntax())?.into_owned();
            let field = match name {
                "token" => &mut uri.label,
                "serial" => &mut uri.serial,
                "model" => &mut uri.model,
                "slot-id" | "slot-description" | "slot-manufacturer" => return Err(UriError::Slot),
                other => return Err(UriError::Attribute(other.to_owned())),
            };
            // RFC 7512 §2.3: an attribute stands at most once.
            if field.replace(value).is_some() {
                return Err(syntax());
            }
        }
        uri.bounded()
    }
}

impl fmt::Display for TokenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [("token", &self.label), ("serial", &self.serial), ("model", &self.model)];
        let attributes: Vec<String> = named
            .iter()
            .filter_map(|(name, value)| {
                value.as_ref().map(|value| format!("{name}={}", utf8_percent_encode(value, ENCODED)))
            })
            .collect();
        write!(f, "pkcs11:{}", attributes.join(";"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_labels_and_serials() {
        for text in ["pkcs11:token=issuing", "pkcs11:serial=0a1b2c", "pkcs11:token=My%20Token;serial=1"] {
            assert_eq!(text.parse::<TokenUri>().unwrap().to_string(), text);
        }
        let spaced: TokenUri = "pkcs11:token=My%20Token".parse().unwrap();
        assert!(spaced.matches("My Token", "7", "any"));
        assert!(!spaced.matches("My token", "7", "any"));
    }

    #[test]
    fn refuses_what_does_not_name_one_token_safely() {
        let parse = |text: &str| text.parse::<TokenUri>().unwrap_err();
        assert!(matches!(parse("pkcs11:token=a?pin-value=1234"), UriError::PinValue));
        assert!(matches!(parse("pkcs11:token=a?module-path=/x&pin-value=1"), UriError::PinValue));
        assert!(matches!(parse("pkcs11:slot-id=3"), UriError::Slot));
        assert!(matches!(parse("pkcs11:object=key"), UriError::Attribute(_)));
        assert!(matches!(parse("pkcs11:"), UriError::Empty));
        assert!(matches!(parse("pkcs11:token="), UriError::Empty));
        assert!(matches!(parse("pkcs11:model=SoftHSM"), UriError::Empty));
        assert!(matches!(parse("pkcs11:token=a;token=b"), UriError::Syntax(_)));
        assert!(matches!(parse("https://x"), UriError::Syntax(_)));
        assert!(matches!(parse(&format!("pkcs11:token={}", "a".repeat(33))), UriError::TooLong(_)));
    }

    #[test]
    fn a_refused_uri_does_not_repeat_its_query() {
        let shown = "http:token=a?pin-value=s3cret".parse::<TokenUri>().unwrap_err().to_string();
        assert!(!shown.contains("s3cret"));
    }
}
