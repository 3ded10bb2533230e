//! What a revocation ends, and why.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use jiff::Timestamp;

use crate::{AgentId, ControllerName};

/// Which certificates are revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationTarget {
    /// The one that an entry of the log recorded.
    Entry(u64),
    /// The one with this serial number.
    Serial(Serial),
    /// All of an agent.
    Agent(AgentId),
    /// All that were recorded under a controller's grants since a time: what it asked for and what their holders renewed.
    IssuedSince {
        /// The controller.
        controller: ControllerName,
        /// From this second on.
        since: Timestamp,
    },
}

/// A serial number: positive, at most 20 octets (RFC 5280 §4.1.2.2), written in lower-case hexadecimal without leading zero octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serial(Vec<u8>);

/// Most octets of a serial number.
const SERIAL_MAX: usize = 20;

impl Serial {
    /// Big-endian, without leading zeros.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Serial {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "is not a serial number: 2 to 40 lower-case hexadecimal digits";
        let octets = HEXLOWER.decode(text.as_bytes()).map_err(|_| FORM)?;
        match octets.first() {
            Some(first) if *first != 0 && octets.len() <= SERIAL_MAX => Ok(Self(octets)),
            _ => Err(FORM),
        }
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// Why a certificate is revoked: RFC 5280 §5.3.1 without certificateHold, which its holder could not rely on, and removeFromCRL, which
/// only undoes that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RevocationReason {
    /// None is given; a CRL then has none, either.
    #[default]
    Unspecified,
    /// The private key is known to another.
    KeyCompromise,
    /// An issuer's key is known to another.
    CaCompromise,
    /// The subject moved.
    AffiliationChanged,
    /// Another certificate took its place.
    Superseded,
    /// The subject is gone.
    CessationOfOperation,
    /// The subject may no longer what it could.
    PrivilegeWithdrawn,
    /// An attribute authority's key is known to another.
    AaCompromise,
}

impl RevocationReason {
    /// Every one, with its CRLReason number and its name.
    pub const ALL: [(Self, u8, &'static str); 8] = [
        (Self::Unspecified, 0, "unspecified"),
        (Self::KeyCompromise, 1, "key-compromise"),
        (Self::CaCompromise, 2, "ca-compromise"),
        (Self::AffiliationChanged, 3, "affiliation-changed"),
        (Self::Superseded, 4, "superseded"),
        (Self::CessationOfOperation, 5, "cessation-of-operation"),
        (Self::PrivilegeWithdrawn, 9, "privilege-withdrawn"),
        (Self::AaCompromise, 10, "aa-compromise"),
    ];

    /// Its CRLReason number (RFC 5280 §5.3.1).
    pub fn code(self) -> u8 {
        Self::ALL.iter().find(|(reason, ..)| *reason == self).map_or(0, |(_, code, _)| *code)
    }
}

/// Not a reason for a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is none of unspecified, key-compromise, ca-compromise, affiliation-changed, superseded, cessation-of-operation, privilege-withdrawn and aa-compromise"
)]
pub struct NotAReason;

impl TryFrom<i32> for RevocationReason {
    type Error = NotAReason;

    fn try_from(wanted: i32) -> Result<Self, NotAReason> {
        Self::ALL
            .iter()
            .find(|(_, code, _)| i32::from(*code) == wanted)
            .map(|(reason, ..)| *reason)
            .ok_or(NotAReason)
    }
}

impl FromStr for RevocationReason {
    type Err = NotAReason;

    fn from_str(text: &str) -> Result<Self, NotAReason> {
        Self::ALL.iter().find(|(.., name)| *name == text).map(|(reason, ..)| *reason).ok_or(NotAReason)
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(reason, ..)| reason == self).map_or("", |(.., name)| name);
        f.write_str(name)
    }
}
