//! The first look at an import: whether the officers of the charter in force signed every note of it. It costs no more than what was handed in,
//! so that a caller whom no officer sent makes the keeper read no ledger and build no certificate.
//!
//! Does not: judge what the notes say. [`Import::judge`] does.

use audit::ceremony::{Evidence, EvidenceError};
use ledger::bundle::Bundle;
use ledger::charter::Charter;
use ledger::plan::{Plan, PlanError};

use super::{Import, ImportError};

impl Import<'_> {
    /// Checks the signatures under every note, and gives the nonce of the ceremony's plan, where there is one.
    ///
    /// # Errors
    /// [`ImportError`].
    pub(crate) fn approved(&self, charter: &Charter) -> Result<Option<[u8; 16]>, ImportError> {
        let following = self.charter.map(|note| charter.succeed(note)).transpose()?;
        if let Some(note) = self.bundle {
            Bundle::open(note, following.as_ref().unwrap_or(charter))?;
        }
        self.transcript.map(|bytes| Ok(plan_of(bytes, charter)?)).transpose()
    }
}

/// The nonce of a transcript's plan: an officer signed the one, a quorum the other.
fn plan_of(bytes: &[u8], charter: &Charter) -> Result<[u8; 16], EvidenceError> {
    let (transcript, _) = Evidence::signed(bytes, charter)?;
    let plan = transcript.plan_note()?;
    charter.approvals(&plan).map_err(PlanError::from)?;
    Ok(Plan::read(&plan)?.nonce)
}
