//! What the running service says of itself.

use certs::Issuer;
use data_encoding::HEXLOWER;
use ledger::entry::entry::Kind;
use ledger::entry::{self, Custody, KeyState};
use proto::client::Client;
use proto::v1::{
    GetCharterRequest, GetCheckpointRequest, GetStatusRequest, GetStatusResponse, Grant, ListAgentsRequest,
    ListControllersRequest, ListEntriesRequest,
};

use crate::client::officer::CHARTER;
use crate::client::{charter, fetch_trust, local};
use crate::commands::ledger::follow;
use crate::config::Config;
use crate::error::Failure;
use crate::files;
use crate::session::Session;

/// Agents that are counted, at most.
const AGENTS_MAX: usize = 10_000;
/// Entries of one page.
const PAGE: i32 = 500;

/// What it says.
pub(super) struct Service {
    pub(super) status: GetStatusResponse,
    /// The newest custody manifest, and its time in milliseconds since 1970.
    pub(super) custody: Option<(Custody, i64)>,
    pub(super) grants: Vec<Grant>,
    /// Agents, up to [`AGENTS_MAX`].
    pub(super) agents: usize,
    /// Last second of the anchor that expires first; `None` where the bundle does not verify.
    pub(super) root_not_after: Option<i64>,
    /// Why its log does not follow from what was seen before, or its bundle does not verify.
    pub(super) inconsistent: Option<Failure>,
}

impl Service {
    /// Asks everything. `None` where no service runs.
    ///
    /// # Errors
    /// It runs, and does not answer.
    pub(super) async fn ask(session: &Session, config: &Config) -> Result<Option<Self>, Failure> {
        let Ok(client) = local::connect(config).await else { return Ok(None) };
        let status = client.admin().get_status(GetStatusRequest {}).await?.into_inner();
        let (root_not_after, inconsistent) = match consistent(session, config, &client, &status).await {
            Ok(root_not_after) => (Some(root_not_after), None),
            Err(failure) => (None, Some(failure)),
        };
        Ok(Some(Self {
            custody: custody(&client, status.custody_index).await?,
            grants: grants(&client).await?,
            agents: agents(&client).await?,
            root_not_after,
            inconsistent,
            status,
        }))
    }

    /// Public keys of the newest manifest, SHA-256 in hexadecimal.
    pub(super) fn keys(&self) -> Option<Vec<String>> {
        let (custody, _) = self.custody.as_ref()?;
        Some(custody.keys.iter().map(|key| HEXLOWER.encode(&key.spki_sha256)).collect())
    }

    /// Issuers that are prepared and sign nothing yet (SP 800-57 part 1 §7: pre-activation).
    pub(super) fn prepared_issuers(&self) -> usize {
        let keys = self.custody.iter().flat_map(|(custody, _)| &custody.keys);
        keys.filter(|key| key.purpose == "issuer" && key.state() == KeyState::PreActivation).count()
    }
}

/// The last second of the anchor that expires first, once the bundle is verified and the newest checkpoint follows from the one that was seen
/// last.
async fn consistent(
    session: &Session,
    config: &Config,
    client: &Client,
    status: &GetStatusResponse,
) -> Result<i64, Failure> {
    let served = client.admin().get_charter(GetCharterRequest {}).await?.into_inner().charter;
    let pinned = config.officer_dir().join(CHARTER);
    let believed = if pinned.exists() { files::read_text(&pinned)? } else { served.clone() };
    if charter(&served)? != charter(&believed)? {
        return Err(Failure::unverified("the service's charter", "it is another than the officer's"));
    }
    let (trust, _) = fetch_trust(client, &believed).await?;
    let log = trust.bundle().logs().iter().find(|log| log.origin == *status.origin.as_str());
    let log = log.ok_or_else(|| Failure::unverified("the log", "the bundle does not name it"))?;
    let request = GetCheckpointRequest { min_size: 0 };
    let note = client.ledger().get_checkpoint(request).await?.into_inner().checkpoint;
    follow(session, client, log, note).await?;
    let ends = trust.bundle().anchors().iter().filter_map(|anchor| Issuer::parse(anchor).ok());
    let first = ends.map(|anchor| anchor.validity().not_after()).min().unwrap_or_default();
    Ok(i64::try_from(first).unwrap_or(i64::MAX))
}

async fn custody(client: &Client, index: u64) -> Result<Option<(Custody, i64)>, Failure> {
    let request = ListEntriesRequest { start_index: index, page_size: 1 };
    let page = client.ledger().list_entries(request).await?.into_inner();
    let Some(found) = page.entries.into_iter().find(|entry| entry.index == index && index > 0) else {
        return Ok(None);
    };
    let entry = entry::decode(&found.entry).map_err(|error| Failure::unverified("the entry", error))?;
    Ok(match entry.kind {
        Some(Kind::Custody(custody)) => Some((custody, entry.time_unix_ms)),
        _ => None,
    })
}

async fn grants(client: &Client) -> Result<Vec<Grant>, Failure> {
    let (mut grants, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListControllersRequest { page_size: PAGE, page_token };
        let page = client.admin().list_controllers(request).await?.into_inner();
        let live = page.controllers.into_iter().filter(|controller| !controller.removed);
        grants.extend(live.flat_map(|controller| controller.grants));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(grants);
        }
    }
}

async fn agents(client: &Client) -> Result<usize, Failure> {
    let (mut agents, mut page_token) = (0, String::new());
    while agents < AGENTS_MAX {
        let request = ListAgentsRequest { page_size: PAGE, page_token };
        let page = client.agents().list_agents(request).await?.into_inner();
        agents += page.agents.len();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(agents)
}
