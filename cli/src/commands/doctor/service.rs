//! What the running service says of itself.

use certs::{Issuer, KeyKind};
use client::{Client, fetch_charters, fetch_trust};
use data_encoding::HEXLOWER;
use hsm_config::KeyAlgorithm;
use ledger::bundle::{Bundle, IssuerState};
use ledger::custody::UNKNOWN;
use ledger::entry::entry::Kind;
use ledger::entry::{self, Custody};
use proto::v1::{
    GetCheckpointRequest, GetStatusRequest, GetStatusResponse, Grant, ListAgentsRequest,
    ListControllersRequest, ListEntriesRequest,
};

use crate::client::local;
use crate::client::own::CHARTER;
use crate::client::own::charters;
use crate::client::pages::{PAGE, Pages};
use crate::commands::ledger::follow;
use crate::config::Config;
use crate::error::Failure;
use crate::files;
use crate::session::Session;
use crate::tokens::Which;

/// What it says.
pub(super) struct Service {
    pub(super) status: GetStatusResponse,
    /// The newest custody manifest, and its time in milliseconds since 1970.
    pub(super) custody: Option<(Custody, i64)>,
    pub(super) grants: Vec<Grant>,
    /// Agents that the ledger has, each of which must be renewed.
    pub(super) agents: usize,
    /// Last second of the anchor that expires first; `None` where the bundle does not verify.
    pub(super) root_not_after: Option<i64>,
    /// Kinds of the anchors' keys; none where the bundle does not verify.
    pub(super) roots: Vec<KeyAlgorithm>,
    /// Issuers that stand ready, as the bundle says.
    pub(super) prepared_issuers: usize,
    /// Why its log does not follow from what was seen before, or its bundle does not verify.
    pub(super) inconsistent: Option<Failure>,
}

impl Service {
    /// Asks everything. `None` where no service runs.
    ///
    /// # Errors
    /// It runs, and does not answer.
    pub(super) async fn ask(session: &Session, config: &Config) -> Result<Option<Self>, Failure> {
        let Ok(client) = local::connect(session).await else { return Ok(None) };
        let status = client.admin().get_status(GetStatusRequest {}).await?.into_inner();
        let consistent = consistent(session, config, &client, &status).await;
        let anchors = consistent.as_ref().ok().map(|bundle| {
            bundle.anchors().iter().filter_map(|anchor| Issuer::parse(anchor).ok()).collect::<Vec<_>>()
        });
        let root_not_after = anchors.as_ref().map(|anchors| {
            let first = anchors.iter().map(|anchor| anchor.validity().not_after()).min().unwrap_or_default();
            i64::try_from(first).unwrap_or(i64::MAX)
        });
        let roots = anchors.iter().flatten().map(|anchor| algorithm(anchor.public_key().kind())).collect();
        let ready = |bundle: &Bundle| {
            bundle.issuers().iter().filter(|line| line.state == IssuerState::Prepared).count()
        };
        let (custody, grants, agents) = match more(&client, &status).await {
            // Of a service that says why it does not issue, that is what counts: a damaged journal answers little else.
            Err(_) if !status.reasons.is_empty() => Default::default(),
            more => more?,
        };
        Ok(Some(Self {
            custody,
            grants,
            agents,
            root_not_after,
            roots,
            prepared_issuers: consistent.as_ref().map(ready).unwrap_or_default(),
            inconsistent: consistent.err(),
            status,
        }))
    }

    /// The token that the keeper uses: the one that the newest manifest names, where the configuration has two.
    pub(super) fn token(&self, config: &Config) -> Which {
        let used = self.custody.iter().flat_map(|(custody, _)| &custody.tokens).next();
        let is = |which: Which| {
            let token = which.config(config).zip(used);
            token.is_some_and(|(token, used)| token.uri.matches(&used.label, &used.serial, &used.model))
        };
        if is(Which::Standby) && !is(Which::Issuing) { Which::Standby } else { Which::Issuing }
    }

    /// The key that signs for this purpose ("issuer", "log"), SHA-256 in hexadecimal: the newest manifest begins with those in use.
    pub(super) fn key_in_use(&self, purpose: &str) -> Option<String> {
        let (custody, _) = self.custody.as_ref()?;
        let key = custody.keys.iter().find(|key| key.purpose == purpose)?;
        Some(HEXLOWER.encode(&key.spki_sha256))
    }

    /// Public keys of the newest manifest that the ledger knows, SHA-256 in hexadecimal.
    pub(super) fn keys(&self) -> Option<Vec<String>> {
        let (custody, _) = self.custody.as_ref()?;
        let known = custody.keys.iter().filter(|key| key.purpose != UNKNOWN);
        Some(known.map(|key| HEXLOWER.encode(&key.spki_sha256)).collect())
    }
}

type More = (Option<(Custody, i64)>, Vec<Grant>, usize);

/// The newest custody manifest with its time, the grants, and how many agents there are.
async fn more(client: &Client, status: &GetStatusResponse) -> Result<More, Failure> {
    let custody = custody(client, status.custody_index).await?;
    Ok((custody, grants(client).await?, agents(client).await?))
}

/// The trust bundle, once it is verified and the newest checkpoint follows from the one that was seen last.
async fn consistent(
    session: &Session,
    config: &Config,
    client: &Client,
    status: &GetStatusResponse,
) -> Result<Bundle, Failure> {
    let path = config.officer_dir().join(CHARTER);
    let pinned = if path.exists() { Some(charters(&files::read(&path)?)?) } else { None };
    let (trust, _) = fetch_trust(client, &fetch_charters(client, pinned.as_ref()).await?).await?;
    let log = trust.bundle().log(&status.origin);
    let log = log.ok_or_else(|| Failure::unverified("the log", "the bundle does not name it"))?;
    let request = GetCheckpointRequest { min_size: 0 };
    let note = client.ledger().get_checkpoint(request).await?.into_inner().checkpoint;
    follow(session, client, log, note).await?;
    Ok(trust.bundle().clone())
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
    let (mut grants, mut pages) = (Vec::new(), Pages::default());
    loop {
        let request = ListControllersRequest { page_size: PAGE, page_token: pages.token() };
        let page = client.admin().list_controllers(request).await?.into_inner();
        let live = page.controllers.into_iter().filter(|controller| !controller.removed);
        grants.extend(live.flat_map(|controller| controller.grants));
        if !pages.turn(page.next_page_token)? {
            return Ok(grants);
        }
    }
}

async fn agents(client: &Client) -> Result<usize, Failure> {
    let (mut agents, mut pages) = (0, Pages::default());
    loop {
        let request = ListAgentsRequest { page_size: PAGE, page_token: pages.token() };
        let page = client.agents().list_agents(request).await?.into_inner();
        agents += page.agents.len();
        if !pages.turn(page.next_page_token)? {
            return Ok(agents);
        }
    }
}

/// The kind of a certificate's key, as a token names it.
fn algorithm(kind: KeyKind) -> KeyAlgorithm {
    match kind {
        KeyKind::P256 => KeyAlgorithm::EcdsaP256,
        KeyKind::P384 => KeyAlgorithm::EcdsaP384,
        KeyKind::Ed25519 => KeyAlgorithm::Ed25519,
        // 4,096 at the most.
        KeyKind::Rsa { bits } => KeyAlgorithm::RsaPss(u16::try_from(bits).unwrap_or(u16::MAX)),
        KeyKind::MlDsa65 => KeyAlgorithm::MlDsa65,
    }
}
