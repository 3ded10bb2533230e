//! How the keeper stands, for `rootcellar status`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use prost_types::Timestamp;
use proto::v1::{BudgetLeft, GetStatusResponse, Obstacle};

use crate::checkpoints::Checkpoints;
use crate::convert;
use crate::crls::Crls;
use crate::custody::Custody;
use crate::journal::{Journal, JournalError, Reader};
use crate::{Clock, HOUR_MS, charters};

/// Controllers whose budgets are told, by name.
const BUDGETS_MAX: u64 = 500;

const NOT_VALID: &str =
    "the issuer's certificate is not valid now: check the clock, or activate another issuer";

/// What does not change, and whom to ask for what does.
pub(crate) struct Standing {
    pub(crate) custody: Arc<Custody>,
    pub(crate) issuer_validity: certs::compose::Validity,
    /// Last second of the anchor that expires first.
    pub(crate) root_not_after: u64,
    pub(crate) started_ms: i64,
    pub(crate) clock: Clock,
    pub(crate) listens: Listens,
}

/// Where the front listens, as the supervisor says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listens(Arc<Mutex<Option<SocketAddr>>>);

impl Listens {
    pub(crate) fn at(&self, address: SocketAddr) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
    }

    fn shown(&self) -> String {
        let address = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        address.map(|address| address.to_string()).unwrap_or_default()
    }
}

impl Standing {
    /// Seconds until the issuer's and the root's certificate expire.
    pub(crate) fn secs_left(&self, now_secs: i64) -> (i64, i64) {
        let left = |not_after: u64| i64::try_from(not_after).unwrap_or(i64::MAX).saturating_sub(now_secs);
        (left(self.issuer_validity.not_after()), left(self.root_not_after))
    }

    /// # Errors
    /// The journal cannot be read.
    pub(crate) fn answer(
        &self,
        journal: &Journal,
        checkpoints: &Checkpoints,
        crls: &Crls,
        pending: usize,
    ) -> Result<GetStatusResponse, JournalError> {
        let reader = journal.reader();
        let (valid, freeze, now_ms) = (self.issuer_is_valid(), reader.freeze()?, (self.clock)());
        let over = (!valid).then_some((i32::from(Obstacle::IssuerNotValid), NOT_VALID.to_owned()));
        let (obstacles, reasons) = over.into_iter().unzip();
        let token = self.custody.info();
        Ok(GetStatusResponse {
            ready: valid,
            reasons,
            obstacles,
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
            listen: self.listens.shown(),
            frozen: freeze.frozen,
            renewals_stopped_until: stopped_until(freeze.stopped_until_ms, now_ms),
            revoked: reader.revoked_live(now_ms.div_euclid(1000))?,
            crl_number: crls.newest().map_or(0, |row| row.number),
            crl_next_update: crls.newest().map(|row| convert::timestamp_secs(row.next_update)),
            budgets: budgets(&reader, now_ms)?,
            custody_index: reader.newest_custody_index()?.unwrap_or_default(),
            lost_certificates_until: reader
                .lost_live_until()?
                .filter(|until| *until >= now_ms.div_euclid(1000))
                .map(convert::timestamp_secs),
        })
    }

    fn issuer_is_valid(&self) -> bool {
        let now = u64::try_from((self.clock)().div_euclid(1000)).unwrap_or_default();
        self.issuer_validity.contains(now)
    }
}

/// A stop without end is told as the last second that RFC 3339 can write.
fn stopped_until(until_ms: i64, now_ms: i64) -> Option<Timestamp> {
    const NEVER_SECS: i64 = 253_402_300_799;
    (until_ms > now_ms).then(|| convert::timestamp_secs(until_ms.div_euclid(1000).min(NEVER_SECS)))
}

fn budgets(reader: &Reader<'_>, now_ms: i64) -> Result<Vec<BudgetLeft>, JournalError> {
    let mut budgets = Vec::new();
    for controller in reader.controllers("", BUDGETS_MAX)? {
        for row in reader.grants(&controller.name)? {
            let (per_hour, grant) = (row.grant.budget_per_hour, row.grant.name);
            let spent = reader.spent(&controller.name, &grant, now_ms.div_euclid(HOUR_MS))?;
            let left = per_hour.saturating_sub(spent);
            budgets.push(BudgetLeft {
                controller: format!("controllers/{}", controller.name),
                grant,
                per_hour,
                left,
            });
        }
    }
    Ok(budgets)
}
