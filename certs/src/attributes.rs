//! The certificate extension that carries an agent's roles and tags.
//!
//! ```text
//! CellAttributes ::= SEQUENCE { roles SEQUENCE OF UTF8String, tags SEQUENCE OF UTF8String }
//! ```
//!
//! It is not critical: a peer that does not know it authenticates the agent all the same, and authorises by name.

use std::fmt::Display;

use cell::{Roles, Tags};
use const_oid::ObjectIdentifier;
use der::{Decode, Encode, Sequence};

/// The extension's OID unless configured: under the documentation arc (RFC 5612 §2) until a number is assigned.
/// Every arc is below 2^31, which Go and const-oid need.
pub const ATTRIBUTES_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.17.1");

/// The longest value, in bytes of DER: 16 roles and 16 tags of 63 bytes take 2092.
const MAX_BYTES: usize = 2200;

/// An agent's roles and tags, as a certificate carries them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// What it does.
    pub roles: Roles,
    /// What it belongs to.
    pub tags: Tags,
}

/// The issuer's fault: an extension that is not what its OID says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the roles and tags are not in canonical form")]
pub struct AttributesError;

#[derive(Sequence)]
struct CellAttributes {
    roles: Vec<String>,
    tags: Vec<String>,
}

impl Attributes {
    /// Whether there is nothing to carry; then there is no extension.
    pub fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.tags.is_empty()
    }

    /// The extension's value, DER.
    ///
    /// # Errors
    /// None in practice: the bounds of roles and tags keep it small.
    pub fn to_der(&self) -> Result<Vec<u8>, der::Error> {
        let texts = CellAttributes { roles: texts(&self.roles), tags: texts(&self.tags) };
        texts.to_der()
    }

    /// The roles and tags of an extension's value: DER, within the bounds of both, sorted, without repetition.
    ///
    /// # Errors
    /// [`AttributesError`] for anything that [`Attributes::to_der`] would not have written.
    pub fn from_der(der: &[u8]) -> Result<Self, AttributesError> {
        if der.len() > MAX_BYTES {
            return Err(AttributesError);
        }
        let texts = CellAttributes::from_der(der).map_err(|_| AttributesError)?;
        let attributes = Self { roles: values(&texts.roles)?, tags: values(&texts.tags)? };
        match attributes.to_der() {
            Ok(canonical) if canonical == der => Ok(attributes),
            _ => Err(AttributesError),
        }
    }
}

fn texts<'a, T: Display + 'a>(values: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    values.into_iter().map(ToString::to_string).collect()
}

fn values<T: std::str::FromStr, S: TryFrom<Vec<T>>>(texts: &[String]) -> Result<S, AttributesError> {
    let values: Vec<T> =
        texts.iter().map(|t| t.parse()).collect::<Result<_, _>>().map_err(|_| AttributesError)?;
    S::try_from(values).map_err(|_| AttributesError)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(roles: &[&str], tags: &[&str]) -> Attributes {
        Attributes {
            roles: roles.iter().map(|t| t.parse().unwrap()).collect::<Vec<_>>().try_into().unwrap(),
            tags: tags.iter().map(|t| t.parse().unwrap()).collect::<Vec<_>>().try_into().unwrap(),
        }
    }

    #[test]
    fn the_encoding_is_the_one_of_the_module_text() {
        let der = attributes(&["b", "a"], &["t"]).to_der().unwrap();
        assert_eq!(der, b"\x30\x0d\x30\x06\x0c\x01a\x0c\x01b\x30\x03\x0c\x01t");
        assert_eq!(Attributes::from_der(&der).unwrap(), attributes(&["a", "b"], &["t"]));
        assert_eq!(Attributes::default().to_der().unwrap(), b"\x30\x04\x30\x00\x30\x00");
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        for bad in [
            b"".as_slice(),
            b"\x30\x00",
            b"\x30\x04\x30\x00\x30\x00\x00",
            b"\x30\x06\x30\x00\x30\x00\x05\x00",
            b"\x30\x0a\x30\x06\x0c\x01b\x0c\x01a\x30\x00",
            b"\x30\x0a\x30\x06\x0c\x01a\x0c\x01a\x30\x00",
            b"\x30\x07\x30\x03\x0c\x01A\x30\x00",
            b"\x30\x07\x30\x03\x13\x01a\x30\x00",
            b"\x30\x81\x04\x30\x00\x30\x00",
        ] {
            assert_eq!(Attributes::from_der(bad), Err(AttributesError), "{bad:x?}");
        }
    }

    #[test]
    fn the_largest_fits_and_one_more_does_not() {
        let names: Vec<String> = (10..26).map(|i| format!("{}{i}", "r".repeat(61))).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let der = attributes(&names, &names).to_der().unwrap();
        assert!(der.len() <= MAX_BYTES, "{}", der.len());
        assert!(Attributes::from_der(&der).is_ok());
        let texts: Vec<String> = (10..27).map(|i| format!("r{i}")).collect();
        let seventeen = CellAttributes { roles: texts, tags: Vec::new() }.to_der().unwrap();
        assert_eq!(Attributes::from_der(&seventeen), Err(AttributesError));
    }
}
