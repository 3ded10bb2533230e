//! SPIFFE IDs: a trust domain and a path (SPIFFE-ID, the specification's section 2).
//!
//! Does not: know which paths this cell gives out; `identity` does.

use std::{fmt, str::FromStr};

use crate::{
    error::{NameError, Problem, check_alphabet, check_length},
    name::text_name,
};

/// The longest SPIFFE ID, in bytes of the whole URI (SPIFFE-ID §2.3).
pub const MAX_URI_BYTES: usize = 2048;

/// The longest trust domain name, in bytes (SPIFFE-ID §2.3).
const MAX_TRUST_DOMAIN_BYTES: usize = 255;

/// The scheme; only this spelling, so that equal IDs are equal bytes.
const SCHEME: &str = "spiffe://";

text_name! {
    /// A trust domain, which is the cell's name: 1 to 255 bytes of `[a-z0-9._-]` (SPIFFE-ID §2.1).
    TrustDomain, "trust domain", check_trust_domain
}
text_name! {
    /// The path of a SPIFFE ID: `/` and segments of `[a-zA-Z0-9._-]`, none empty, `.` or `..` (SPIFFE-ID §2.2).
    ///
    /// Never empty and at most as long as a whole URI may be; [`SpiffeId::new`] holds the whole to its bound.
    SpiffePath, "SPIFFE path", check_path
}

fn check_trust_domain(text: &str) -> Result<(), Problem> {
    check_length(text, MAX_TRUST_DOMAIN_BYTES)?;
    check_alphabet(text, |c| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-'))
}

fn check_path(text: &str) -> Result<(), Problem> {
    check_length(text, MAX_URI_BYTES)?;
    match text.strip_prefix('/') {
        Some(segments) => check_segments(segments),
        None => Err(Problem::Form("/segment/segment")),
    }
}

/// SPIFFE-ID §2.2, for the part after the first slash.
pub(crate) fn check_segments(segments: &str) -> Result<(), Problem> {
    check_alphabet(segments, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/'))?;
    if segments.split('/').any(|s| matches!(s, "" | "." | "..")) {
        return Err(Problem::Segment);
    }
    Ok(())
}

impl TrustDomain {
    /// The trust domain's own URI, `spiffe://<trust domain>`: what a CA certificate carries (X509-SVID §3.1).
    pub fn uri(&self) -> String {
        format!("{SCHEME}{self}")
    }
}

impl SpiffePath {
    /// The path's segments, at least one.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('/').skip(1)
    }
}

/// A SPIFFE ID with a path, `spiffe://<trust domain>/<path>`; at most [`MAX_URI_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    trust_domain: TrustDomain,
    path: SpiffePath,
}

impl SpiffeId {
    /// The ID of this path in this trust domain.
    ///
    /// # Errors
    /// [`Problem::TooLong`] when the whole URI is longer than SPIFFE-ID §2.3 allows.
    pub fn new(trust_domain: TrustDomain, path: SpiffePath) -> Result<Self, NameError> {
        if SCHEME.len() + trust_domain.as_str().len() + path.as_str().len() > MAX_URI_BYTES {
            return Err(Problem::TooLong { max: MAX_URI_BYTES }.of("SPIFFE ID"));
        }
        Ok(Self { trust_domain, path })
    }

    /// The ID of one of the cell's own names: a place and segments that `check_segments` has passed.
    ///
    /// It cannot be too long: a trust domain has at most 255 bytes, the longest name (an agent's) 200.
    pub(crate) fn placed(trust_domain: &TrustDomain, place: &'static str, name: &str) -> Self {
        Self { trust_domain: trust_domain.clone(), path: SpiffePath(format!("/{place}/{name}")) }
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The path.
    pub fn path(&self) -> &SpiffePath {
        &self.path
    }
}

impl FromStr for SpiffeId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let malformed = || Problem::Form("spiffe://trust-domain/path").of("SPIFFE ID");
        let rest = text.strip_prefix(SCHEME).ok_or_else(malformed)?;
        let slash = rest.find('/').ok_or_else(malformed)?;
        let (trust_domain, path) = rest.split_at(slash);
        Self::new(trust_domain.parse()?, path.parse()?)
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}{}", self.trust_domain, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Result<SpiffeId, NameError> {
        text.parse()
    }

    #[test]
    fn valid_ids_come_back_as_they_were() {
        for good in ["spiffe://cell.example/agent/x", "spiffe://a/B", "spiffe://a_b-c.d/.../x..y/_-."] {
            assert_eq!(id(good).unwrap().to_string(), good);
        }
    }

    #[test]
    fn malformed_ids_are_refused() {
        for bad in [
            "",
            "spiffe://",
            "spiffe:///a",
            "spiffe://td",
            "spiffe://td/",
            "spiffe://td//a",
            "spiffe://td/a/",
            "spiffe://td/./a",
            "spiffe://td/a/..",
            "SPIFFE://td/a",
            "spiffe://TD/a",
            "spiffe://td:80/a",
            "spiffe://u@td/a",
            "spiffe://td/a?q",
            "spiffe://td/a#f",
            "spiffe://td/%61",
            "spiffe://td/ä",
            "https://td/a",
            " spiffe://td/a",
        ] {
            assert!(id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_trust_domain_is_at_most_255_bytes() {
        assert!("a".repeat(255).parse::<TrustDomain>().is_ok());
        assert_eq!(
            "a".repeat(256).parse::<TrustDomain>().unwrap_err().problem,
            Problem::TooLong { max: 255 }
        );
        assert_eq!("".parse::<TrustDomain>().unwrap_err().problem, Problem::Empty);
    }

    #[test]
    fn a_whole_id_is_at_most_2048_bytes() {
        let of = |n: usize| format!("spiffe://td/{}", "a".repeat(n - "spiffe://td/".len()));
        assert_eq!(id(&of(2048)).unwrap().to_string().len(), 2048);
        assert_eq!(id(&of(2049)).unwrap_err().problem, Problem::TooLong { max: 2048 });
    }

    #[test]
    fn the_trust_domain_alone_has_a_uri() {
        assert_eq!("cell.example".parse::<TrustDomain>().unwrap().uri(), "spiffe://cell.example");
    }
}
