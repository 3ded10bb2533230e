//! An epoch of the log: after a loss the log begins anew, on what is left of it.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use jiff::Timestamp;

use super::{RevocationReason, Serial};
use crate::TrustDomain;

/// Origin of a log: `<cell>/log/<epoch>`, the epoch from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOrigin {
    /// The cell.
    pub cell: TrustDomain,
    /// The epoch, from 1.
    pub epoch: u32,
}

impl LogOrigin {
    /// That of the next epoch.
    pub fn next(&self) -> Self {
        Self { cell: self.cell.clone(), epoch: self.epoch.saturating_add(1) }
    }
}

impl FromStr for LogOrigin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "is not of the form <cell>/log/<epoch>";
        let (cell, epoch) = text.split_once("/log/").ok_or(FORM)?;
        let origin = Self { cell: cell.parse().map_err(|_| FORM)?, epoch: epoch.parse().map_err(|_| FORM)? };
        if origin.epoch > 0 && origin.to_string() == text { Ok(origin) } else { Err(FORM) }
    }
}

impl fmt::Display for LogOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/log/{}", self.cell, self.epoch)
    }
}

/// Size and root of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    /// Entries.
    pub size: u64,
    /// Root hash (RFC 9162 §2.1.1).
    pub root: [u8; 32],
}

impl FromStr for Tree {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "is not a size and a root of 64 hexadecimal digits";
        let (size, root) = text.split_once(' ').ok_or(FORM)?;
        let root = HEXLOWER.decode(root.as_bytes()).ok().and_then(|root| root.try_into().ok());
        Ok(Self { size: size.parse().map_err(|_| FORM)?, root: root.ok_or(FORM)? })
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.size, HEXLOWER.encode(&self.root))
    }
}

/// What is done about certificates that were recorded in entries that are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LostCertificates {
    /// The issuer with this key (SHA-256 of its SubjectPublicKeyInfo) signs nothing more; the bundle of the new epoch says so.
    Retired([u8; 32]),
    /// They live until this second at most: the longest lifetime of any is waited for.
    Until(Timestamp),
}

impl FromStr for LostCertificates {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "is not of the form `retired SHA256` or `until TIME`";
        match text.split_once(' ') {
            Some(("retired", hash)) => {
                let hash = HEXLOWER.decode(hash.as_bytes()).ok().and_then(|hash| hash.try_into().ok());
                hash.map(Self::Retired).ok_or(FORM)
            }
            Some(("until", time)) => time.parse().map(Self::Until).map_err(|_| FORM),
            _ => Err(FORM),
        }
    }
}

impl fmt::Display for LostCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retired(hash) => write!(f, "retired {}", HEXLOWER.encode(hash)),
            Self::Until(time) => write!(f, "until {time}"),
        }
    }
}

/// A revocation from the lost entries, repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatedRevocation {
    /// Serial number of the certificate.
    pub serial: Serial,
    /// Why it was revoked.
    pub reason: RevocationReason,
}

impl FromStr for RepeatedRevocation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (serial, reason) = text.split_once(' ').ok_or("is not a serial number and a reason")?;
        Ok(Self {
            serial: serial.parse().map_err(str::to_owned)?,
            reason: reason.parse().map_err(|why: super::NotAReason| why.to_string())?,
        })
    }
}

impl fmt::Display for RepeatedRevocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.serial, self.reason)
    }
}
