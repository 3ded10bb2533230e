//! One revoked certificate, and why it is.

use std::fmt;

/// A revoked certificate, as a CRL lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Its serial number, big-endian without leading zero bytes.
    pub serial: Vec<u8>,
    /// When it was revoked, in seconds since 1970.
    pub revoked_at: u64,
    /// Why.
    pub reason: Reason,
}

impl Revoked {
    /// The serial number as an order by value: of numbers without leading zero bytes the longer one is the larger.
    pub(super) fn rank(&self) -> (usize, &[u8]) {
        (self.serial.len(), &self.serial)
    }
}

/// Why a certificate is revoked (RFC 5280 §5.3.1), with its codes.
///
/// Without certificateHold (6) and removeFromCRL (8): what is revoked stays so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Reason {
    /// No reason given; a CRL then has none, either.
    #[default]
    Unspecified = 0,
    /// The private key is in other hands, or may be.
    KeyCompromise = 1,
    /// A CA's private key is.
    CaCompromise = 2,
    /// Its holder's name or other information has changed.
    AffiliationChanged = 3,
    /// Another certificate has taken its place.
    Superseded = 4,
    /// It is no longer needed.
    CessationOfOperation = 5,
    /// What it allowed has been withdrawn.
    PrivilegeWithdrawn = 9,
    /// What it says of its holder is compromised.
    AaCompromise = 10,
}

/// The caller's fault: a code that is no reason, or one that is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no reason for a revocation that lasts")]
pub struct ReasonError(pub i32);

impl Reason {
    /// Every reason, by its code.
    pub const ALL: [Self; 8] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::CaCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
        Self::PrivilegeWithdrawn,
        Self::AaCompromise,
    ];

    /// Its code, as CRLReason has it.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Its name, as RFC 5280 §5.3.1 writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "keyCompromise",
            Self::CaCompromise => "cACompromise",
            Self::AffiliationChanged => "affiliationChanged",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessationOfOperation",
            Self::PrivilegeWithdrawn => "privilegeWithdrawn",
            Self::AaCompromise => "aACompromise",
        }
    }
}

impl TryFrom<i32> for Reason {
    type Error = ReasonError;

    fn try_from(code: i32) -> Result<Self, ReasonError> {
        Self::ALL.into_iter().find(|reason| i32::from(reason.code()) == code).ok_or(ReasonError(code))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_rfc_5280_without_hold_and_removal() {
        let taken: Vec<i32> = (-1..12).filter(|&code| Reason::try_from(code).is_ok()).collect();
        assert_eq!(taken, [0, 1, 2, 3, 4, 5, 9, 10]);
        for reason in Reason::ALL {
            assert_eq!(Reason::try_from(i32::from(reason.code())), Ok(reason));
        }
        assert_eq!(Reason::try_from(6), Err(ReasonError(6)));
    }

    #[test]
    fn serial_numbers_have_the_order_of_their_values() {
        let revoked =
            |serial: &[u8]| Revoked { serial: serial.to_vec(), revoked_at: 0, reason: Reason::default() };
        assert!(revoked(&[9]).rank() < revoked(&[1, 0]).rank());
        assert!(revoked(&[1, 2]).rank() < revoked(&[1, 3]).rank());
    }
}
