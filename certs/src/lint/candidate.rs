//! What the rules look at: the decoded bytes beside the expectation.

use data_encoding::HEXLOWER;
use x509_parser::{
    certificate::TbsCertificate,
    extensions::{GeneralName, SubjectAlternativeName, X509Extension},
    oid_registry::{OID_X509_EXT_SUBJECT_ALT_NAME, Oid},
    prelude::FromDer,
};

use super::Expected;
use crate::{algorithm::SignatureAlgorithm, key::PublicKey};

/// TBS bytes as x509-parser reads them, and what they are to be.
pub struct Candidate<'a> {
    /// All bytes that were given.
    pub(super) input: &'a [u8],
    /// What they say.
    pub(super) tbs: TbsCertificate<'a>,
    /// What they are to say.
    pub(super) expected: &'a Expected<'a>,
}

impl<'a> Candidate<'a> {
    /// Reads the bytes; whether all were read is a rule's matter.
    pub(super) fn decode(input: &'a [u8], expected: &'a Expected<'a>) -> Result<Self, String> {
        match TbsCertificate::from_der(input) {
            Ok((_rest, tbs)) => Ok(Self { input, tbs, expected }),
            Err(error) => Err(format!("the bytes are no TBSCertificate: {error}")),
        }
    }

    /// The key that is to sign it: the issuer's, or a root's own.
    pub(super) fn signer(&self) -> &'a PublicKey {
        self.expected.issuer.map_or(self.expected.public_key, |issuer| issuer.public_key())
    }

    /// The algorithm that this key signs with.
    pub(super) fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::of(self.signer().kind())
    }

    /// The first extension of this OID; a second one is a rule's matter.
    pub(super) fn extension(&self, oid: &Oid<'_>) -> Option<&X509Extension<'a>> {
        self.tbs.extensions().iter().find(|extension| extension.oid == *oid)
    }

    /// The subject alternative names; none without the extension.
    pub(super) fn alternative_names(&self) -> Result<Vec<GeneralName<'a>>, String> {
        let Some(extension) = self.extension(&OID_X509_EXT_SUBJECT_ALT_NAME) else { return Ok(Vec::new()) };
        match SubjectAlternativeName::from_der(extension.value) {
            Ok(([], names)) => Ok(names.general_names),
            _ => Err("the subject alternative names cannot be read".to_owned()),
        }
    }

    /// Whether the extension is there with this criticality and exactly this value.
    pub(super) fn demand_extension(&self, oid: &Oid<'_>, critical: bool, value: &[u8]) -> Result<(), String> {
        let Some(extension) = self.extension(oid) else { return Err("the extension is missing".to_owned()) };
        demand(extension.critical == critical, || format!("critical is {}", extension.critical))?;
        demand(extension.value == value, || {
            format!("the value is {}, not {}", HEXLOWER.encode(extension.value), HEXLOWER.encode(value))
        })
    }

    /// Whether the extension is not there.
    pub(super) fn demand_no_extension(&self, oid: &Oid<'_>) -> Result<(), String> {
        demand(self.extension(oid).is_none(), || "the extension is there".to_owned())
    }
}

/// Nothing when it holds, else what was found.
pub(crate) fn demand(holds: bool, found: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(found()) }
}
