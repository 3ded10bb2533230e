//! The service as commands use it: over the local socket, or as a controller over mutual TLS.
//!
//! What comes back is not believed: bundles are checked against a pinned charter, chains against the bundle.

pub(crate) mod caller;
pub(crate) mod credentials;
pub(crate) mod local;
pub(crate) mod memory;
pub(crate) mod officer;
pub(crate) mod pending;

use clap::Args;
use ledger::bundle::Bundle;
use ledger::charter::Charter;
use ledger::note::Note;
use proto::client::Client;
use proto::v1::GetTrustBundleRequest;

use crate::error::Failure;
use crate::session::Session;
use crate::verify::evidence::Trust;

/// Where to ask: as a controller, or over the local socket.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct As {
    /// Ask as this controller, with the credentials that `controller add` wrote
    #[arg(long, value_name = "NAME", conflicts_with = "credentials")]
    pub(crate) controller: Option<cell::ControllerName>,
    /// Ask with the credentials in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) credentials: Option<std::path::PathBuf>,
}

impl As {
    /// Whether a controller was named.
    pub(crate) fn is_given(&self) -> bool {
        self.controller.is_some() || self.credentials.is_some()
    }
}

/// Connects as the controller that was named, or over the local socket where none was.
///
/// # Errors
/// As [`caller::Caller::connect`] and [`local::connect`].
pub(crate) async fn open(session: &Session, who: &As) -> Result<Client, Failure> {
    if who.is_given() {
        Ok(caller::Caller::connect(session, who).await?.client)
    } else {
        local::connect(&session.config()?).await
    }
}

/// Fetches the trust bundle and checks that the officers of this charter published it.
///
/// # Errors
/// The service refuses, or its bundle does not verify.
pub(crate) async fn fetch_trust(client: &Client, charter_note: &str) -> Result<(Trust, String), Failure> {
    let answer = client.trust().get_trust_bundle(GetTrustBundleRequest {}).await?.into_inner();
    let note = answer.bundle.ok_or_else(|| Failure::incomplete("bundle"))?.note;
    let trust = Trust::open(charter_note.as_bytes(), note.as_bytes());
    Ok((trust.map_err(|error| Failure::unverified("the trust bundle", error))?, note))
}

/// Reads a charter's note.
///
/// # Errors
/// It is none, or its officers did not sign it.
pub(crate) fn charter(note: &str) -> Result<Charter, Failure> {
    let parsed = Note::parse(note.as_bytes()).map_err(|error| Failure::unverified("the charter", error))?;
    Charter::found(&parsed).map_err(|error| Failure::unverified("the charter", error))
}

/// Refuses a bundle that is older than one that was seen before, or another of the same number.
///
/// # Errors
/// [`ledger::bundle::NotNewer`], as a failure.
pub(crate) fn not_older(offered: &Bundle, seen: &Bundle) -> Result<(), Failure> {
    offered.supersedes(seen).map_err(|error| Failure::unverified("the trust bundle", error))
}
