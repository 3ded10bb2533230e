//! What the private key of a CA must report of itself (invariant I1), as its token reports it or as someone wrote it down.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Attributes of a private key as its token reports them, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyAttributes(Vec<(String, String)>);

/// The token's: a key that is not generated there, sensitive, never extractable and sign-only.
#[derive(Debug, thiserror::Error)]
#[error(
    "the key is not fit for a CA (invariant I1): the token reports {found}, {wanted} is needed. It is not used"
)]
pub struct NotInCustody {
    found: String,
    wanted: String,
}

/// A claim about a key's origin that some tokens cannot report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// `CKA_LOCAL`.
    Local,
    /// `CKA_ALWAYS_SENSITIVE`.
    AlwaysSensitive,
    /// `CKA_NEVER_EXTRACTABLE`.
    NeverExtractable,
}

/// What the private key of a CA must report (PKCS#11 v3.1 §4.9, Table 25): name, value, and the exception that may excuse it.
pub const REQUIRED: [(&str, bool, Option<Provenance>); 12] = [
    ("CKA_TOKEN", true, None),
    ("CKA_PRIVATE", true, None),
    ("CKA_LOCAL", true, Some(Provenance::Local)),
    ("CKA_SENSITIVE", true, None),
    ("CKA_ALWAYS_SENSITIVE", true, Some(Provenance::AlwaysSensitive)),
    ("CKA_EXTRACTABLE", false, None),
    ("CKA_NEVER_EXTRACTABLE", true, Some(Provenance::NeverExtractable)),
    ("CKA_SIGN", true, None),
    ("CKA_SIGN_RECOVER", false, None),
    ("CKA_DECRYPT", false, None),
    ("CKA_UNWRAP", false, None),
    ("CKA_DERIVE", false, None),
];

impl Provenance {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Local, Self::AlwaysSensitive, Self::NeverExtractable];

    /// As a profile writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::AlwaysSensitive => "always-sensitive",
            Self::NeverExtractable => "never-extractable",
        }
    }
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl NotInCustody {
    /// What the token reports: "CKA_LOCAL = false".
    pub fn found(&self) -> &str {
        &self.found
    }
}

impl KeyAttributes {
    /// Attributes as someone reports them, by name.
    pub fn reported(attributes: BTreeMap<String, String>) -> Self {
        Self(attributes.into_iter().collect())
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Refuses a key that is not as a CA key must be. An attribute that is not reported fails too, unless it is named among the
    /// exceptions of the token's profile.
    ///
    /// # Errors
    /// The first attribute at fault.
    pub fn require(&self, exceptions: &[String]) -> Result<(), NotInCustody> {
        for (name, wanted, exception) in REQUIRED {
            let excused =
                exception.is_some_and(|exception| exceptions.iter().any(|named| named == exception.name()));
            let found = self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
            if !excused && found != Some(if wanted { "true" } else { "false" }) {
                let found = found.map_or_else(|| format!("no {name}"), |found| format!("{name} = {found}"));
                return Err(NotInCustody { found, wanted: format!("{name} = {wanted}") });
            }
        }
        Ok(())
    }
}
