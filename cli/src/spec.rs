//! What is written on the command line in a form of its own: lifetimes and grants.

mod grant;

use std::fmt;
use std::str::FromStr;

pub(crate) use grant::{GrantSpec, named};

/// Units of a lifetime: its letter and its seconds.
const UNITS: [(char, u32); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];

/// A length of time: "90s", "10m", "1h", "7d". At least a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    secs: u32,
}

/// The caller's: no length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a length of time: write 90s, 10m, 1h or 7d")]
pub(crate) struct NotALifetime;

impl Lifetime {
    /// A length of so many seconds, at least 1.
    pub(crate) const fn from_secs(secs: u32) -> Self {
        Self { secs }
    }

    /// In seconds, at least 1.
    pub(crate) fn secs(self) -> u32 {
        self.secs
    }
}

impl FromStr for Lifetime {
    type Err = NotALifetime;

    fn from_str(text: &str) -> Result<Self, NotALifetime> {
        let (number, unit) = UNITS
            .into_iter()
            .find_map(|(letter, secs)| text.strip_suffix(letter).map(|number| (number, secs)))
            .ok_or(NotALifetime)?;
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let number: u32 = number.parse().ok().filter(|number| digits && *number > 0).ok_or(NotALifetime)?;
        number.checked_mul(unit).map(|secs| Self { secs }).ok_or(NotALifetime)
    }
}

/// In the largest unit that it is a whole number of.
impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit =
            UNITS.into_iter().rev().find(|(_, secs)| self.secs.is_multiple_of(*secs)).unwrap_or(UNITS[0]);
        write!(f, "{}{}", self.secs / unit.1, unit.0)
    }
}

impl From<u32> for Lifetime {
    fn from(secs: u32) -> Self {
        Self { secs }
    }
}

/// A time: RFC 3339, or how long ago ("2h").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// In seconds since 1970.
    At(i64),
    /// So long before now.
    Ago(Lifetime),
}

impl Moment {
    /// In seconds since 1970.
    pub(crate) fn secs(self, now_secs: i64) -> i64 {
        match self {
            Self::At(secs) => secs,
            Self::Ago(ago) => now_secs - i64::from(ago.secs()),
        }
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = |text: &str| text.parse::<jiff::Timestamp>().map(|at| Self::At(at.as_second()));
        text.parse()
            .map(Self::Ago)
            .or_else(|_| at(text))
            .map_err(|_| "not a time: write 2026-01-31T12:00:00Z, or how long ago: 2h")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_have_one_unit() {
        for (text, secs) in [("1s", 1), ("90s", 90), ("10m", 600), ("1h", 3600), ("7d", 604_800)] {
            let lifetime: Lifetime = text.parse().unwrap();
            assert_eq!((lifetime.secs(), lifetime.to_string().as_str()), (secs, text));
        }
        for bad in ["", "h", "1", "0s", "-1s", "+1s", "1.5h", "1h30m", "1 h", "4294967295h"] {
            assert_eq!(bad.parse::<Lifetime>(), Err(NotALifetime), "{bad}");
        }
    }

    #[test]
    fn a_time_is_a_date_or_so_long_ago() {
        assert_eq!("2h".parse::<Moment>().unwrap().secs(10_000), 2_800);
        assert_eq!("1970-01-01T00:00:07Z".parse::<Moment>().unwrap().secs(10_000), 7);
        assert!("yesterday".parse::<Moment>().is_err());
    }
}
