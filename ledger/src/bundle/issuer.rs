//! An issuer as a trust bundle names it: a line `issuer: <state> <SHA-256 of its public key>`.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;

use crate::text::TextError;

/// An issuer that the officers know of, so that everyone sees each step of its life before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuerLine {
    /// Where it stands.
    pub state: IssuerState,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki_sha256: [u8; 32],
}

/// Where an issuer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssuerState {
    /// It is certified, and signs nothing yet.
    Prepared,
    /// It signs. At most one does.
    Active,
    /// It signs no more; what it issued counts until it expires.
    Retired,
}

impl FromStr for IssuerLine {
    type Err = TextError;

    fn from_str(value: &str) -> Result<Self, TextError> {
        let (state, hex) = value.split_once(' ').ok_or(TextError::NotCanonical)?;
        let state = match state {
            "prepared" => IssuerState::Prepared,
            "active" => IssuerState::Active,
            "retired" => IssuerState::Retired,
            _ => return Err(TextError::NotCanonical),
        };
        let spki_sha256 = HEXLOWER.decode(hex.as_bytes()).ok().and_then(|octets| octets.try_into().ok());
        Ok(Self { state, spki_sha256: spki_sha256.ok_or(TextError::NotCanonical)? })
    }
}

impl fmt::Display for IssuerLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.state, HEXLOWER.encode(&self.spki_sha256))
    }
}

impl fmt::Display for IssuerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepared => "prepared",
            Self::Active => "active",
            Self::Retired => "retired",
        })
    }
}
