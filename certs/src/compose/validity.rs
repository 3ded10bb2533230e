//! From when to when a certificate is valid.

use std::time::Duration;

use der::DateTime;
use x509_cert::time::Time;

use crate::issuer::Issuer;

/// How long a root is valid, in seconds: ten years of 365 days.
pub const ROOT_LIFETIME_SECS: u64 = 3650 * 86_400;
/// How long a mesh issuer is valid, in seconds: 365 days.
pub const ISSUER_LIFETIME_SECS: u64 = 365 * 86_400;

/// How far at most a certificate starts in the past, in seconds: for peers whose clocks are behind.
const MAX_BACKDATE_SECS: u64 = 60;

/// The last second that GeneralizedTime can say, 9999-12-31T23:59:59Z (RFC 5280 §4.1.2.5.2).
const LAST_SECOND: u64 = 253_402_300_799;

/// Seconds since 1970-01-01T00:00:00Z, both inclusive (RFC 5280 §4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Validity {
    not_before: u64,
    not_after: u64,
}

/// A time in which no certificate can be valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValidityError {
    /// It ends before it starts, or after the year 9999; our bug or a lifetime of nothing.
    #[error("no certificate is valid from {not_before} to {not_after}")]
    Empty {
        /// Its first second.
        not_before: u64,
        /// Its last second.
        not_after: u64,
    },
    /// The issuer is not valid now; the operator's fault, or the clock's.
    #[error("the issuer is valid from {not_before} to {not_after}, and it is {now}")]
    IssuerNotValid {
        /// The issuer's first second.
        not_before: u64,
        /// The issuer's last second.
        not_after: u64,
        /// Now.
        now: u64,
    },
}

impl Validity {
    /// From and to these seconds, both inclusive.
    ///
    /// # Errors
    /// [`ValidityError::Empty`] when the end is before the start or beyond the year 9999.
    pub fn new(not_before: u64, not_after: u64) -> Result<Self, ValidityError> {
        if not_before <= not_after && not_after <= LAST_SECOND {
            Ok(Self { not_before, not_after })
        } else {
            Err(ValidityError::Empty { not_before, not_after })
        }
    }

    /// `ttl_secs` seconds that started up to a minute ago, a tenth of them at most, and lie within the issuer's.
    ///
    /// # Errors
    /// [`ValidityError::IssuerNotValid`] when the issuer is not valid now; [`ValidityError::Empty`] when the whole
    /// lifetime is nothing.
    pub fn for_lifetime(now: u64, ttl_secs: u64, issuer: Self) -> Result<Self, ValidityError> {
        if !issuer.contains(now) {
            let Self { not_before, not_after } = issuer;
            return Err(ValidityError::IssuerNotValid { not_before, not_after, now });
        }
        let unbounded = Self::starting(now, ttl_secs)?;
        Self::new(unbounded.not_before.max(issuer.not_before), unbounded.not_after.min(issuer.not_after))
    }

    /// A root's: [`ROOT_LIFETIME_SECS`] from now.
    ///
    /// # Errors
    /// [`ValidityError::Empty`] when it would end beyond the year 9999.
    pub fn for_root(now: u64) -> Result<Self, ValidityError> {
        Self::starting(now, ROOT_LIFETIME_SECS)
    }

    /// A mesh issuer's: [`ISSUER_LIFETIME_SECS`] from now, within the root's.
    ///
    /// # Errors
    /// As [`Validity::for_lifetime`].
    pub fn for_issuer(now: u64, root: &Issuer) -> Result<Self, ValidityError> {
        Self::for_lifetime(now, ISSUER_LIFETIME_SECS, root.validity())
    }

    /// `ttl_secs` seconds that started up to a minute ago, a tenth of them at most, for what no issuer bounds.
    ///
    /// # Errors
    /// [`ValidityError::Empty`] when they are none, or end beyond the year 9999.
    pub fn starting(now: u64, ttl_secs: u64) -> Result<Self, ValidityError> {
        let not_before = now.saturating_sub(MAX_BACKDATE_SECS.min(ttl_secs / 10));
        // RFC 5280 §4.1.2.5: the last second is included.
        let end = not_before.saturating_add(ttl_secs);
        let empty = ValidityError::Empty { not_before, not_after: end };
        Self::new(not_before, end.checked_sub(1).ok_or(empty)?)
    }

    /// The first second, inclusive.
    pub fn not_before(self) -> u64 {
        self.not_before
    }

    /// The last second, inclusive.
    pub fn not_after(self) -> u64 {
        self.not_after
    }

    /// How many seconds, both ends included.
    pub fn secs(self) -> u64 {
        self.not_after - self.not_before + 1
    }

    /// Whether this second is in it.
    pub fn contains(self, second: u64) -> bool {
        (self.not_before..=self.not_after).contains(&second)
    }

    /// As X.509 has it.
    pub(super) fn to_x509(self) -> Result<x509_cert::time::Validity, der::Error> {
        Ok(x509_cert::time::Validity::new(time(self.not_before)?, time(self.not_after)?))
    }
}

/// This second since 1970: UTCTime through 2049, then GeneralizedTime (RFC 5280 §4.1.2.5, §5.1.2.4).
pub(crate) fn time(secs: u64) -> Result<Time, der::Error> {
    DateTime::from_unix_duration(Duration::from_secs(secs)).map(Time::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn issuer() -> Validity {
        Validity::new(NOW - 1000, NOW + 100_000).unwrap()
    }

    #[test]
    fn it_starts_up_to_a_minute_ago_and_lasts_as_long_as_asked() {
        for (ttl, backdate) in [(3600, 60), (600, 60), (599, 59), (10, 1), (9, 0), (1, 0)] {
            let validity = Validity::for_lifetime(NOW, ttl, issuer()).unwrap();
            assert_eq!((validity.not_before(), validity.secs()), (NOW - backdate, ttl), "{ttl}");
        }
    }

    #[test]
    fn it_is_never_beyond_the_issuers() {
        let long = Validity::for_lifetime(NOW, 200_000, issuer()).unwrap();
        assert_eq!(long.not_after(), issuer().not_after());
        let young = Validity::new(NOW - 5, NOW + 10).unwrap();
        assert_eq!(Validity::for_lifetime(NOW, 3600, young).unwrap(), young);
    }

    #[test]
    fn no_lifetime_and_no_valid_issuer_give_no_certificate() {
        assert!(matches!(Validity::for_lifetime(NOW, 0, issuer()), Err(ValidityError::Empty { .. })));
        for now in [issuer().not_before() - 1, issuer().not_after() + 1] {
            let refused = Validity::for_lifetime(now, 10, issuer());
            assert!(matches!(refused, Err(ValidityError::IssuerNotValid { .. })));
        }
        for now in [issuer().not_before(), issuer().not_after()] {
            assert!(Validity::for_lifetime(now, 10, issuer()).unwrap().contains(now));
        }
    }

    #[test]
    fn it_has_an_order_and_an_end() {
        assert!(Validity::new(5, 5).is_ok() && Validity::new(6, 5).is_err());
        assert!(Validity::new(0, LAST_SECOND).is_ok() && Validity::new(0, LAST_SECOND + 1).is_err());
        assert!(Validity::for_root(u64::MAX).is_err());
        assert_eq!(Validity::for_root(NOW).unwrap().secs(), ROOT_LIFETIME_SECS);
    }

    #[test]
    fn years_from_2050_are_generalized_time() {
        // 2049-12-31T23:59:59Z and the second after it.
        let x509 = Validity::new(2_524_607_999, 2_524_608_000).unwrap().to_x509().unwrap();
        assert!(
            matches!(x509.not_before, Time::UtcTime(_)) && matches!(x509.not_after, Time::GeneralTime(_))
        );
    }
}
