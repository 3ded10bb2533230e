//! Short names of one segment, and DNS names.
//!
//! Does not: know what a role or a tag means; a policy does.

use crate::error::{Problem, check_alphabet, check_length};

/// The longest label, in bytes: it fits a DNS label and a line of a table.
pub(crate) const MAX_LABEL_BYTES: usize = 63;

/// Defines a text newtype with one way in: `parse`, by way of the check named.
macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::NameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                match $check(&text) {
                    Ok(()) => Ok(Self(text)),
                    Err(problem) => Err(problem.of($kind)),
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::try_from(text.to_owned())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}
pub(crate) use text_name;

text_name! {
    /// What an agent does: 1 to 63 bytes, `[a-z0-9][a-z0-9._-]*`.
    Role, "role", check_label
}
text_name! {
    /// What an agent belongs to: 1 to 63 bytes, `[a-z0-9][a-z0-9._-]*`.
    Tag, "tag", check_label
}
text_name! {
    /// A grant's name, unique within its controller: 1 to 63 bytes, `[a-z0-9][a-z0-9._-]*`.
    GrantName, "grant name", check_label
}
text_name! {
    /// A host name, lower case, 1 to 253 bytes, without wildcard and without final dot (RFC 1123 §2.1).
    ///
    /// The last label is not all digits, so that no text is both a name and an IPv4 address.
    DnsName, "DNS name", check_dns
}

/// The longest DNS name in text form, in bytes (RFC 1035 §2.3.4: 255 octets on the wire).
const MAX_DNS_BYTES: usize = 253;

/// `[a-z0-9][a-z0-9._-]{0,62}`: safe in a path, a file name and a line of a note; never `.` or `..`.
pub(crate) fn check_label(text: &str) -> Result<(), Problem> {
    check_length(text, MAX_LABEL_BYTES)?;
    check_alphabet(text, |c| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-'))?;
    match text.chars().next() {
        Some(c @ ('.' | '_' | '-')) => Err(Problem::Edge(c)),
        _ => Ok(()),
    }
}

/// RFC 1123 §2.1: letters, digits and hyphens in labels of 1 to 63, no hyphen at an edge.
fn check_dns(text: &str) -> Result<(), Problem> {
    check_length(text, MAX_DNS_BYTES)?;
    check_alphabet(text, |c| matches!(c, 'a'..='z' | '0'..='9' | '.' | '-'))?;
    if text.split('.').filter(|label| label.starts_with(A_LABEL)).count() > A_LABELS_MAX {
        return Err(Problem::Form("a host name (more than four labels of other alphabets)"));
    }
    for label in text.split('.') {
        if label.is_empty() {
            return Err(Problem::Segment);
        }
        check_length(label, MAX_LABEL_BYTES)?;
        if label.starts_with('-') || label.ends_with('-') {
            return Err(Problem::Edge('-'));
        }
        if label.starts_with(A_LABEL) && !is_a_label(label) {
            return Err(Problem::Form("a host name (what follows xn-- encodes no label)"));
        }
    }
    let last = text.rsplit('.').next().unwrap_or_default();
    // RFC 1123 §2.1: the highest-level label is alphabetic, which tells a name from a dotted address.
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Problem::Form("a host name (its last label is a number)"));
    }
    Ok(())
}

/// How labels of other alphabets begin (RFC 5890 §2.3.2.5).
const A_LABEL: &str = "xn--";
/// Of those a name has at most so many: each costs some microseconds to look at, and who refuses a name has looked at all of it.
const A_LABELS_MAX: usize = 4;

/// Whether it encodes a label of another alphabet, and is what that one is encoded as: a name has one form.
fn is_a_label(label: &str) -> bool {
    let (decoded, sound) = idna::domain_to_unicode(label);
    sound.is_ok() && idna::domain_to_ascii_strict(&decoded).is_ok_and(|encoded| encoded == label)
}

impl DnsName {
    /// The name's first label and the rest; no rest for a name of one label.
    pub fn split_first(&self) -> (&str, Option<&str>) {
        match self.0.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (&self.0, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NameError;

    fn parse<T: std::str::FromStr<Err = NameError>>(text: &str) -> Result<T, NameError> {
        text.parse()
    }

    #[test]
    fn a_label_is_as_long_as_its_bound_and_no_longer() {
        assert!(parse::<Role>(&"a".repeat(63)).is_ok());
        let refused = parse::<Role>(&"a".repeat(64)).unwrap_err();
        assert_eq!(refused, Problem::TooLong { max: 63 }.of("role"));
        assert_eq!(parse::<Tag>("").unwrap_err(), Problem::Empty.of("tag"));
    }

    #[test]
    fn a_label_keeps_to_its_alphabet() {
        for good in ["a", "0", "a.b", "a_b-c.9", "a--"] {
            assert_eq!(parse::<Role>(good).unwrap().as_str(), good);
        }
        for bad in ["A", "a b", "a/b", "ä", "a\n", "a\u{202e}", "a*", "a,b", "a:b"] {
            assert!(matches!(parse::<Role>(bad).unwrap_err().problem, Problem::Character(_)), "{bad:?}");
        }
        for bad in [".", "..", "-a", "_a", ".a"] {
            assert!(matches!(parse::<Role>(bad).unwrap_err().problem, Problem::Edge(_)), "{bad:?}");
        }
    }

    #[test]
    fn an_error_prints_no_control_or_bidi_character() {
        let text = parse::<Role>("a\u{202e}b").unwrap_err().to_string();
        assert!(text.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{text}");
    }

    #[test]
    fn dns_names_follow_rfc_1123() {
        for good in [
            "localhost",
            "a.b",
            "3com.example",
            "xn--bcher-kva.example",
            "a-b.c",
            "xn--p1ai",
            "xn--p1ai.xn--p1ai.xn--p1ai.xn--p1ai.example",
            "r3---sn.a",
        ] {
            assert!(parse::<DnsName>(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "-a.b",
            "a-.b",
            "A.b",
            "*.a",
            "a_b.c",
            "10.0.0.1",
            "1",
            "a.1",
            "ä.de",
            // Punycode (RFC 3492) that overflows, that is cut off, of nothing, of plain letters, of a capital letter.
            "xn--99999999.svc.example",
            "xn--p1ai.xn--p1ai.xn--p1ai.xn--p1ai.xn--p1ai",
            "xn--a.example",
            "xn--.example",
            "xn--abc-.example",
            "xn--bcher-Kva.a",
        ] {
            assert!(parse::<DnsName>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dns_names_have_bounds() {
        assert!(parse::<DnsName>(&"a".repeat(63)).is_ok());
        assert!(parse::<DnsName>(&"a".repeat(64)).is_err());
        let of_253 = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
        assert_eq!(of_253.len(), 253);
        assert!(parse::<DnsName>(&of_253).is_ok());
        let of_254 = format!("{of_253}b");
        assert_eq!(parse::<DnsName>(&of_254).unwrap_err().problem, Problem::TooLong { max: 253 });
    }

    #[test]
    fn a_name_splits_at_its_first_dot() {
        let split = |t: &str| parse::<DnsName>(t).map(|n| n.split_first().1.map(str::to_owned));
        assert_eq!(split("a.b.c").unwrap().as_deref(), Some("b.c"));
        assert_eq!(split("a").unwrap(), None);
    }
}
