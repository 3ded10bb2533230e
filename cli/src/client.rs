//! The service as commands use it: over the local socket, or as a controller over mutual TLS.
//!
//! What comes back is not believed: bundles are checked against a pinned charter, chains against the bundle.

pub(crate) mod caller;
pub(crate) mod local;
pub(crate) mod memory;
pub(crate) mod officer;
pub(crate) mod own;
pub(crate) mod pages;
pub(crate) mod recorded;
pub(crate) mod stopped;

use clap::Args;
use client::Client;

use crate::error::Failure;
use crate::session::Session;

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
/// As [`caller::connect`] and [`local::connect`].
pub(crate) async fn open(session: &Session, who: &As) -> Result<Client, Failure> {
    if who.is_given() {
        Ok(caller::connect(session, who).await?.client)
    } else {
        local::connect(session).await
    }
}

/// An idempotency key of no other request.
///
/// # Errors
/// The system has no random numbers.
pub(crate) fn request_id() -> Result<String, Failure> {
    ::client::request_id().map_err(|error| Failure::new("RANDOM", error))
}
