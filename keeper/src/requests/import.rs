//! ImportCeremony: what officers did and signed elsewhere. As with proposals their signatures decide, not who hands it in.

use ledger::charter::CharterError;
use ledger::note::Note;
use ledger::plan::PlanError;
use ledger::transcript::TranscriptError;
use proto::v1::{ImportCeremonyRequest, Reason};

use super::proposal::officers;
use super::{Desk, Plan, Then};
use crate::ceremonies::{Import, ImportError, InForce, certificate_sha256};
use crate::journal::Reader;
use crate::refusal::Refusal;
use crate::{charters, trust};
use audit::ceremony::EvidenceError;

/// A signature to be kept beside an entry, and the SHA-256 of the certificate that it makes.
pub(crate) type Signed = (Vec<u8>, [u8; 32]);

pub(super) fn plan(desk: &mut Desk<'_>, import: &ImportCeremonyRequest) -> Result<Plan, Refusal> {
    let charter = note(&import.charter, "charter")?;
    let bundle = note(&import.bundle, "bundle")?;
    let transcript = (!import.transcript.is_empty()).then_some(import.transcript.as_bytes());
    let import = Import { charter: charter.as_ref(), transcript, bundle: bundle.as_ref() };
    // What costs little first: anyone may hand in anything, and old notes are in the ledger for all to read.
    if let Some(nonce) = import.approved(&charters::in_force(&desk.reader)?)?
        && let Some(index) = desk.reader.proposal(&nonce)?
    {
        let message = format!("the plan of this ceremony was carried out before, as entry {index}");
        return Err(Refusal::new(Reason::ProposalReplayed, message).on("transcript"));
    }
    let accepted =
        import.judge(&in_force(&desk.reader)?, &desk.settings.origin, desk.now_ms.div_euclid(1000))?;
    let active = accepted.active.filter(|active| *active != desk.issuer.spki_sha256());
    let (mut entries, mut signed) = (Vec::new(), Vec::new());
    for imported in accepted.entries {
        entries.push(desk.entry(officers(), imported.kind));
        signed.push(imported.signed.map(|(signature, der)| (signature, certificate_sha256(&der))));
    }
    let then = Then::Imported { signed, switches: active.is_some(), bundle: bundle.is_some() };
    Ok(Plan::Record { entries, certificate: None, then })
}

/// What is in force, for an import to be judged by.
pub(crate) fn in_force(reader: &Reader<'_>) -> Result<InForce, crate::journal::JournalError> {
    let (bundle, _) = charters::bundle(reader)?;
    Ok(InForce {
        charter: Some(charters::in_force(reader)?),
        bundle: Some(bundle),
        retired: charters::retired(reader)?,
        issuers: trust::issuers(reader)?,
        checkpoint: reader.checkpoint()?.map(|(_, note)| note),
    })
}

fn note(text: &str, field: &'static str) -> Result<Option<Note>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    Note::parse(text.as_bytes())
        .map(Some)
        .map_err(|error| Refusal::new(Reason::ProposalMalformed, format!("{field}: {error}")).on(field))
}

impl From<ImportError> for Refusal {
    fn from(error: ImportError) -> Self {
        let not_approved = matches!(
            &error,
            ImportError::Charter(CharterError::NotApproved(_))
                | ImportError::Bundle(ledger::bundle::BundleError::NotApproved(_))
                | ImportError::Evidence(
                    EvidenceError::Plan(PlanError::NotApproved(_))
                        | EvidenceError::Transcript(TranscriptError::NotApproved(_))
                )
        );
        let reason = if not_approved { Reason::ProposalNotApproved } else { Reason::ImportRefused };
        Self::new(reason, format!("nothing was recorded: {error}"))
    }
}
