//! `rootcellar status`: how the service is, and why.

use clap::Args;
use proto::v1::{GetStatusRequest, GetStatusResponse};
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
        let client = local::connect(&session.config()?).await?;
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
}

impl From<GetStatusResponse> for Seen {
    fn from(status: GetStatusResponse) -> Self {
        Self {
            ready: status.ready,
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
        }
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
    }
}
