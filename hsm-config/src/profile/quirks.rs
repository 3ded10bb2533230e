//! Where tokens differ from each other and from the standard, as a profile names it.

use cryptoki::object::AttributeType;
use serde::Deserialize;

/// An attribute that some tokens refuse in the template of a new key, and set by themselves. What a CA's key must report is read back
/// all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Omitted {
    /// Of the public key.
    #[serde(rename = "CKA_VERIFY")]
    Verify,
    /// Of the public key.
    #[serde(rename = "CKA_ENCRYPT")]
    Encrypt,
    /// Of the public key.
    #[serde(rename = "CKA_WRAP")]
    Wrap,
    /// Of the private key.
    #[serde(rename = "CKA_SIGN_RECOVER")]
    SignRecover,
    /// Of the private key.
    #[serde(rename = "CKA_DECRYPT")]
    Decrypt,
    /// Of the private key.
    #[serde(rename = "CKA_UNWRAP")]
    Unwrap,
    /// Of the private key.
    #[serde(rename = "CKA_DERIVE")]
    Derive,
    /// Of both.
    #[serde(rename = "CKA_MODIFIABLE")]
    Modifiable,
    /// Of the private key.
    #[serde(rename = "CKA_COPYABLE")]
    Copyable,
    /// Of the private key.
    #[serde(rename = "CKA_ALLOWED_MECHANISMS")]
    AllowedMechanisms,
}

impl Omitted {
    /// Every one.
    pub(crate) const ALL: [Self; 10] = [
        Self::Verify,
        Self::Encrypt,
        Self::Wrap,
        Self::SignRecover,
        Self::Decrypt,
        Self::Unwrap,
        Self::Derive,
        Self::Modifiable,
        Self::Copyable,
        Self::AllowedMechanisms,
    ];

    /// The attribute's number.
    pub(crate) fn kind(self) -> AttributeType {
        match self {
            Self::Verify => AttributeType::Verify,
            Self::Encrypt => AttributeType::Encrypt,
            Self::Wrap => AttributeType::Wrap,
            Self::SignRecover => AttributeType::SignRecover,
            Self::Decrypt => AttributeType::Decrypt,
            Self::Unwrap => AttributeType::Unwrap,
            Self::Derive => AttributeType::Derive,
            Self::Modifiable => AttributeType::Modifiable,
            Self::Copyable => AttributeType::Copyable,
            Self::AllowedMechanisms => AttributeType::AllowedMechanisms,
        }
    }

    /// As the standard and a profile write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Verify => "CKA_VERIFY",
            Self::Encrypt => "CKA_ENCRYPT",
            Self::Wrap => "CKA_WRAP",
            Self::SignRecover => "CKA_SIGN_RECOVER",
            Self::Decrypt => "CKA_DECRYPT",
            Self::Unwrap => "CKA_UNWRAP",
            Self::Derive => "CKA_DERIVE",
            Self::Modifiable => "CKA_MODIFIABLE",
            Self::Copyable => "CKA_COPYABLE",
            Self::AllowedMechanisms => "CKA_ALLOWED_MECHANISMS",
        }
    }
}
