//! How the keeper stands, for `rootcellar status`.

use std::sync::Arc;

use proto::v1::GetStatusResponse;

use crate::checkpoints::Checkpoints;
use crate::convert;
use crate::custody::Custody;
use crate::journal::{Journal, JournalError};
use crate::{Clock, charters};

/// What does not change, and whom to ask for what does.
pub(crate) struct Standing {
    pub(crate) custody: Arc<Custody>,
    pub(crate) issuer_validity: certs::compose::Validity,
    pub(crate) started_ms: i64,
    pub(crate) clock: Clock,
}

impl Standing {
    /// # Errors
    /// The journal cannot be read.
    pub(crate) fn answer(
        &self,
        journal: &Journal,
        checkpoints: &Checkpoints,
        pending: usize,
    ) -> Result<GetStatusResponse, JournalError> {
        let reader = journal.reader();
        let reasons = self.reasons();
        let token = self.custody.info();
        Ok(GetStatusResponse {
            ready: reasons.is_empty(),
            reasons,
            cell: journal.cell().to_owned(),
            origin: journal.origin().to_owned(),
            tree_size: journal.edge().size(),
            checkpoint_size: checkpoints.size(),
            issuer_not_after: i64::try_from(self.issuer_validity.not_after())
                .ok()
                .map(convert::timestamp_secs),
            token: format!("{} (serial {})", token.label, token.serial),
            charter_revision: charters::in_force(&reader)?.revision(),
            bundle_number: reader.bundle()?.map_or(0, |(number, _)| number),
            keeper_start_time: Some(convert::timestamp_ms(self.started_ms)),
            pending: pending as u64,
            token_recoveries: self.custody.recoveries(),
            // The front knows where it listens.
            listen: String::new(),
        })
    }

    fn reasons(&self) -> Vec<String> {
        let now = u64::try_from((self.clock)().div_euclid(1000)).unwrap_or_default();
        let mut reasons = Vec::new();
        if !self.issuer_validity.contains(now) {
            reasons.push(
                "the issuer's certificate is not valid now: check the clock, or activate another issuer"
                    .to_owned(),
            );
        }
        reasons
    }
}
