//! Revocations and CRLs: who ended what, and that the lists follow one another.
//!
//! Does not: hold the lists against the revocations. That needs every certificate, and nothing does it yet.

use std::collections::BTreeMap;

use cell::{RevocationReason, RevocationTarget};
use ledger::entry::revocation::Target;
use ledger::entry::{Crl, Revocation};

use super::Flaw;

/// What officers approved and is to follow, and the newest CRL of each issuer.
#[derive(Default)]
pub(super) struct Revocations {
    /// By the index of the act.
    approved: BTreeMap<u64, (RevocationTarget, RevocationReason)>,
    /// By SHA-256 of the issuer's public key: its number.
    crls: BTreeMap<Vec<u8>, u64>,
}

impl Revocations {
    /// Officers approved it.
    pub(super) fn approve(&mut self, index: u64, target: RevocationTarget, reason: RevocationReason) {
        self.approved.insert(index, (target, reason));
    }

    /// A revocation on officers' word says what the act just before it says, once.
    ///
    /// # Errors
    /// [`Flaw::Revocation`].
    pub(super) fn by_officers(&mut self, index: u64, revocation: &Revocation) -> Result<(), Flaw> {
        let approval = revocation.approval.as_ref().map(|approval| approval.index);
        let act = approval.filter(|act| act + 1 == index).and_then(|act| self.approved.remove(&act));
        let (target, reason) = act.ok_or(Flaw::Unapproved)?;
        let same = match (&target, revocation.target.as_ref().ok_or(Flaw::Revocation)?) {
            (RevocationTarget::Entry(approved), Target::Certificate(certificate)) => {
                *approved == certificate.index
            }
            // Which entry has that serial number, the record of the certificate says.
            (RevocationTarget::Serial(_), Target::Certificate(_)) => true,
            (RevocationTarget::Agent(approved), Target::Agent(id)) => approved.as_str() == id,
            (RevocationTarget::IssuedSince { controller, since }, Target::IssuedSince(issued)) => {
                controller.as_str() == issued.controller && since.as_millisecond() == issued.since_unix_ms
            }
            _ => false,
        };
        if same && i32::from(reason.code()) == revocation.reason { Ok(()) } else { Err(Flaw::Revocation) }
    }

    /// A CRL follows the one before of its issuer, and is of what was recorded before it.
    ///
    /// # Errors
    /// [`Flaw::Crl`].
    pub(super) fn crl(&mut self, index: u64, crl: &Crl) -> Result<(), Flaw> {
        let number = self.crls.get(&crl.issuer_spki_sha256).copied().unwrap_or(0);
        // RFC 5280 §5.2.3: it increases; after a loss it leaps.
        let follows = crl.number > number
            && crl.next_update_unix > crl.this_update_unix
            && crl.tbs_sha256.len() == 32
            && crl.covers <= index;
        if !follows {
            return Err(Flaw::Crl);
        }
        self.crls.insert(crl.issuer_spki_sha256.clone(), crl.number);
        Ok(())
    }
}
