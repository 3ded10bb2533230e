//! A second look at a CRL's bytes before they are signed: another decoder reads them, small rules compare.

use x509_parser::{prelude::FromDer, revocation_list::TbsCertList};

use super::{Crl, TbsCrl, rules::RULES};
use crate::{issuer::Issuer, lint::Finding};

/// The bytes as x509-parser reads them, and what they are to be.
pub struct CrlCandidate<'a> {
    /// All bytes that were given.
    pub(super) input: &'a [u8],
    /// What they say.
    pub(super) tbs: TbsCertList<'a>,
    /// Who is to sign them.
    pub(super) issuer: &'a Issuer,
    /// What they are to say.
    pub(super) expected: &'a Crl<'a>,
}

/// One rule: a name, where it comes from, and the look at a CRL.
pub struct CrlRule {
    /// Its name.
    pub name: &'static str,
    /// The section that demands it.
    pub section: &'static str,
    /// What is wrong, if something is.
    pub check: fn(&CrlCandidate<'_>) -> Result<(), String>,
}

/// Proof that every rule held for these TBS bytes, which it owns. Only [`check`] makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct LintedCrl(TbsCrl);

impl LintedCrl {
    /// The bytes that every rule held for.
    pub fn tbs(&self) -> &TbsCrl {
        &self.0
    }

    /// The same, given up.
    pub fn into_tbs(self) -> TbsCrl {
        self.0
    }
}

/// Every rule, in the order of the fields.
pub fn rules() -> impl Iterator<Item = &'static CrlRule> {
    RULES.iter()
}

/// Applies every rule to the bytes: they are to be this CRL of this issuer.
///
/// # Errors
/// All findings; at least one.
pub fn check(tbs: TbsCrl, issuer: &Issuer, expected: &Crl<'_>) -> Result<LintedCrl, Vec<Finding>> {
    let findings = findings(tbs.as_bytes(), issuer, expected);
    if findings.is_empty() { Ok(LintedCrl(tbs)) } else { Err(findings) }
}

/// What every rule finds in these bytes; nothing when all hold.
pub fn findings(tbs: &[u8], issuer: &Issuer, expected: &Crl<'_>) -> Vec<Finding> {
    let candidate = match TbsCertList::from_der(tbs) {
        Ok((_rest, read)) => CrlCandidate { input: tbs, tbs: read, issuer, expected },
        Err(error) => {
            let detail = format!("the bytes are no TBSCertList: {error}");
            return vec![Finding { rule: "crl-decodes", section: "RFC 5280 §5.1", detail }];
        }
    };
    rules()
        .filter_map(|rule| match (rule.check)(&candidate) {
            Ok(()) => None,
            Err(detail) => Some(Finding { rule: rule.name, section: rule.section, detail }),
        })
        .collect()
}
