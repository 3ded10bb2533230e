//! What officers hand in beside proposals: a new trust bundle, a new charter with the bundle under it, the transcript of a ceremony. Judged
//! as a whole against what is in force, then recorded as a whole.

use audit::ceremony::{Certified, Evidence};
use ledger::bundle::Bundle;
use ledger::charter::Charter;
use ledger::entry::entry::Kind;
use ledger::entry::{self, CaCertificate, CaRole};
use ledger::note::Note;
use ledger::plan::CertifyAs;
use sha2::{Digest, Sha256};

use super::fitness;
use super::in_force::{ImportError, InForce};

/// The notes, as they were handed in; any may be absent, not all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Import<'a> {
    /// A charter: the first, or the one that follows.
    pub charter: Option<&'a Note>,
    /// The bytes of a transcript's note.
    pub transcript: Option<&'a [u8]>,
    /// A trust bundle.
    pub bundle: Option<&'a Note>,
}

/// One entry to be recorded, with the signature of the certificate that it holds and that certificate.
#[derive(Debug)]
pub(crate) struct Imported {
    pub(crate) kind: Kind,
    pub(crate) signed: Option<(Vec<u8>, Vec<u8>)>,
}

/// What an import leads to.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) entries: Vec<Imported>,
    /// The issuer that the new trust bundle names as the one that signs, where there is a new one and it names one.
    pub(crate) active: Option<[u8; 32]>,
}

impl Import<'_> {
    /// Judges what was handed in for the log of this origin, at this second since 1970.
    ///
    /// # Errors
    /// [`ImportError`].
    pub(crate) fn judge(
        &self,
        before: &InForce,
        origin: &str,
        now_secs: i64,
    ) -> Result<Accepted, ImportError> {
        let mut entries = Vec::new();
        let charter = match (self.charter, &before.charter) {
            (Some(note), Some(in_force)) => Some(in_force.succeed(note)?),
            (Some(note), None) => Some(Charter::found(note)?),
            (None, in_force) => in_force.clone(),
        };
        if let Some(note) = self.charter {
            if self.bundle.is_none() {
                return Err(ImportError::CharterAlone);
            }
            if before.charter.is_some() && self.transcript.is_some() {
                return Err(ImportError::CharterAndCeremony);
            }
            entries.push(plain(Kind::Charter(entry::Charter { note: note.to_string().into_bytes() })));
        }
        // A ceremony is approved by the charter in force when it was planned: before one that comes with it, but for a founding.
        let planned_under = before.charter.as_ref().or(charter.as_ref()).ok_or(ImportError::Nothing)?;
        let mut issuers = before.issuers.clone();
        let mut active = None;
        let mut evidence = None;
        if let Some(bytes) = self.transcript {
            let anchors = before.bundle.as_ref().map_or(&[][..], Bundle::anchors);
            let proven = Evidence::open(bytes, planned_under, anchors)?;
            proven.demand_over(now_secs)?;
            entries.push(plain(Kind::Ceremony(entry::Ceremony { transcript: bytes.to_vec() })));
            entries.extend(certificates(&proven)?);
            if before.charter.is_none() {
                entries.push(plain(Kind::Custody(proven.founding_manifest())));
            }
            let issuing = proven.certificates.iter().filter(|one| one.profile == CertifyAs::Issuer);
            issuers.extend(issuing.map(|one| one.issuer.clone()));
            evidence = Some(proven);
        }
        if let Some(note) = self.bundle {
            let under = charter.as_ref().unwrap_or(planned_under);
            let bundle = Bundle::open(note, under)?;
            let have = before.bundle.as_ref().map_or(0, Bundle::number);
            if bundle.number() != have + 1 {
                return Err(ImportError::NotNext { have, offered: bundle.number() });
            }
            fitness::demand_usable(&bundle, before, &issuers, origin)?;
            let bundles = (before.bundle.as_ref().map(Bundle::contents), bundle.contents());
            match (&evidence, self.charter) {
                (Some(evidence), _) => fitness::demand_following(evidence, under, bundles)?,
                (None, Some(_)) => fitness::demand_unchanged(bundles)?,
                (None, None) => {}
            }
            active = bundle.contents().active_issuer();
            entries.push(plain(Kind::Bundle(entry::Bundle { note: note.to_string().into_bytes() })));
        }
        if entries.is_empty() { Err(ImportError::Nothing) } else { Ok(Accepted { entries, active }) }
    }
}

fn plain(kind: Kind) -> Imported {
    Imported { kind, signed: None }
}

/// Every CA certificate of a ceremony, with its signature.
fn certificates(evidence: &Evidence) -> Result<Vec<Imported>, ImportError> {
    let one = |certified: &Certified| {
        let unusable = |error: certs::summary::NotACertificate| ImportError::Unusable(error.to_string());
        let tbs = certs::summary::tbs_of(&certified.der).map_err(unusable)?.to_vec();
        let signature = certs::summary::signature_of(&certified.der).map_err(unusable)?.to_vec();
        let role = match certified.profile {
            CertifyAs::Root => CaRole::Root,
            CertifyAs::Issuer => CaRole::Issuer,
            CertifyAs::Cross => CaRole::Cross,
        };
        let kind = Kind::CaCertificate(CaCertificate {
            role: role.into(),
            tbs,
            signer_spki_sha256: certified.signer_spki_sha256.to_vec(),
        });
        Ok(Imported { kind, signed: Some((signature, certified.der.clone())) })
    };
    evidence.certificates.iter().map(one).collect()
}

/// SHA-256 of a certificate, as signatures are kept beside it.
pub(crate) fn certificate_sha256(der: &[u8]) -> [u8; 32] {
    Sha256::digest(der).into()
}
