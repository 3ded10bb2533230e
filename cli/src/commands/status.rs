//! `rootcellar status`: how the service is, and why.

use clap::Args;
use proto::v1::{BudgetLeft, GetStatusRequest, GetStatusResponse};
use serde::Serialize;

use super::view::{Moment, moment};
use crate::client::local;
use crate::error::{Exit, Failure};
use crate::output::{Page, Show};
use crate::session::Session;

/// Show how the service of this machine is, with reasons; exits with 75 while it does not issue
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar status --output json")]
pub(crate) struct Status {}

pub(super) fn run(session: &Session, _args: &Status) -> Result<(), Failure> {
    let status = session.block_on(async {
        let client = local::connect(session).await?;
        Ok(client.admin().get_status(GetStatusRequest {}).await?.into_inner())
    })?;
    let (ready, reasons) = (status.ready, status.reasons.join("; "));
    session.output().say(&Seen::from(status))?;
    if ready {
        return Ok(());
    }
    Err(Failure::new("NOT_READY", format!("the service does not issue: {reasons}")).ending(Exit::TryLater))
}

#[derive(Serialize)]
struct Seen {
    ready: bool,
    reasons: Vec<String>,
    /// What each of the reasons is, for programs.
    obstacles: Vec<&'static str>,
    cell: String,
    origin: String,
    tree_size: u64,
    checkpoint_size: u64,
    pending: u64,
    issuer_not_after: Option<Moment>,
    token: String,
    token_recoveries: u64,
    charter_revision: u64,
    bundle_number: u64,
    keeper_start: Option<Moment>,
    listen: String,
    frozen: bool,
    renewals_stopped_until: Option<Moment>,
    lost_certificates_until: Option<Moment>,
    revoked: u64,
    crl_number: u64,
    crl_next_update: Option<Moment>,
    /// Entry of the newest custody manifest.
    custody_index: u64,
    budgets: Vec<Budget>,
}

/// What a grant has left of this hour's budget.
#[derive(Serialize)]
struct Budget {
    controller: String,
    grant: String,
    per_hour: u32,
    left: u32,
}

impl From<GetStatusResponse> for Seen {
    fn from(status: GetStatusResponse) -> Self {
        Self {
            ready: status.ready,
            obstacles: status
                .obstacles()
                .map(|what| what.as_str_name().trim_start_matches("OBSTACLE_"))
                .collect(),
            reasons: status.reasons,
            cell: status.cell,
            origin: status.origin,
            tree_size: status.tree_size,
            checkpoint_size: status.checkpoint_size,
            pending: status.pending,
            issuer_not_after: moment(status.issuer_not_after),
            token: status.token,
            token_recoveries: status.token_recoveries,
            charter_revision: status.charter_revision,
            bundle_number: status.bundle_number,
            keeper_start: moment(status.keeper_start_time),
            listen: status.listen,
            frozen: status.frozen,
            renewals_stopped_until: moment(status.renewals_stopped_until),
            lost_certificates_until: moment(status.lost_certificates_until),
            revoked: status.revoked,
            crl_number: status.crl_number,
            crl_next_update: moment(status.crl_next_update),
            custody_index: status.custody_index,
            budgets: status.budgets.into_iter().map(Budget::from).collect(),
        }
    }
}

impl From<BudgetLeft> for Budget {
    fn from(budget: BudgetLeft) -> Self {
        let BudgetLeft { controller, grant, per_hour, left } = budget;
        Self { controller, grant, per_hour, left }
    }
}

impl Show for Seen {
    fn show(&self, page: &mut Page) {
        page.field("state", if self.ready { "ready" } else { "not ready" });
        for reason in &self.reasons {
            page.field("because", reason);
        }
        page.field("listens", &self.listen);
        page.field("cell", &self.cell);
        page.field("log", &self.origin);
        page.field("entries", format!("{} ({} below the checkpoint)", self.tree_size, self.checkpoint_size));
        page.field("pending", self.pending);
        if let Some(Moment(secs)) = self.issuer_not_after {
            page.moment("issuer expires", secs);
        }
        page.field("token", &self.token);
        page.field("recoveries", self.token_recoveries);
        page.field("charter", format!("revision {}", self.charter_revision));
        page.field("bundle", format!("number {}", self.bundle_number));
        if let Some(Moment(secs)) = self.keeper_start {
            page.moment("keeper since", secs);
        }
        if self.frozen {
            page.field("frozen", "no new identity, grant or controller (rootcellar thaw)");
        }
        if let Some(Moment(secs)) = self.lost_certificates_until {
            page.moment("lost certificates live until", secs);
        }
        if let Some(Moment(secs)) = self.renewals_stopped_until {
            page.moment("no renewals", secs);
        }
        page.field("revoked", format!("{}, in CRL number {}", self.revoked, self.crl_number));
        if let Some(Moment(secs)) = self.crl_next_update {
            page.moment("next CRL by", secs);
        }
        page.field("custody", format!("entry {} (rootcellar custody show)", self.custody_index));
        for budget in &self.budgets {
            let left = format!("{} of {} left in this hour", budget.left, budget.per_hour);
            page.field("budget", format!("{}, grant {}: {left}", budget.controller, budget.grant));
        }
    }
}
