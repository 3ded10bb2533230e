//! The channel, and the clients of each service over it.

use std::sync::Arc;
use std::time::Duration;

use proto::v1::admin_service_client::AdminServiceClient;
use proto::v1::agent_service_client::AgentServiceClient;
use proto::v1::issuance_service_client::IssuanceServiceClient;
use proto::v1::ledger_service_client::LedgerServiceClient;
use proto::v1::trust_service_client::TrustServiceClient;
use tokio::time::timeout;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error, Identity};

use crate::services::{Agents, Issuance};
use crate::signer::Signer;

/// Longest message that is taken, in bytes: a page is below 1 MiB, a CRL of a million certificates below this.
pub const MAX_MESSAGE: usize = 64 * 1024 * 1024;

/// How long a TCP connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long it may take until the service has shaken hands: one that listens and has no certificate of its own takes nobody in.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer may take to begin. The service refuses earlier what it cannot do in time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection may be silent before it is probed (RFC 9113 §6.7), and how long the probe may take.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// What a caller proves itself with on a connection, and whom it believes. All PEM.
pub struct Presented<'a> {
    /// Trust anchors of the cell.
    pub anchors: &'a str,
    /// The caller's certificate, then its issuers.
    pub chain: &'a str,
    /// The caller's private key, PKCS#8.
    pub key: &'a str,
}

/// Clients of every service over one connection. Clone it: clones share the channel.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    signer: Option<Arc<Signer>>,
}

/// There is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address, the credentials or the connection; its source says which.
    #[error(transparent)]
    Transport(#[from] Error),
    /// The operator's: it listens, and answers nobody.
    #[error(
        "it listens and does not answer: it may have no certificate of its own, since its clock, its token or its keeper hold it up"
    )]
    Silent,
}

/// An endpoint with this client's time limits, for a channel of one's own making.
///
/// # Errors
/// `uri` is none.
pub fn endpoint(uri: &str) -> Result<Endpoint, Error> {
    let (interval, timeout) = KEEP_ALIVE;
    Ok(Endpoint::from_shared(uri.to_owned())?
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(ANSWER_TIMEOUT)
        .http2_keep_alive_interval(interval)
        .keep_alive_timeout(timeout)
        .tcp_nodelay(true))
}

impl Client {
    /// Connects to `uri` ("https://localhost:7443").
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(uri: &str, credentials: &Presented<'_>) -> Result<Self, ConnectError> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(credentials.anchors))
            .identity(Identity::from_pem(credentials.chain, credentials.key));
        let endpoint = endpoint(uri)?.tls_config(tls)?;
        let connected = timeout(HANDSHAKE_TIMEOUT, endpoint.connect()).await;
        Ok(Self::over(connected.map_err(|_elapsed| ConnectError::Silent)??))
    }

    /// Uses a channel that is already there, such as one over a local socket.
    pub fn over(channel: Channel) -> Self {
        Self { channel, signer: None }
    }

    /// Signs requests that change state. Without a signer they fail here.
    #[must_use]
    pub fn signing(self, signer: Arc<Signer>) -> Self {
        Self { signer: Some(signer), ..self }
    }

    /// Certificates.
    pub fn issuance(&self) -> Issuance {
        let service = IssuanceServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        Issuance::new(service, self.signer.clone())
    }

    /// Agents.
    pub fn agents(&self) -> Agents {
        let service = AgentServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        Agents::new(service, self.signer.clone())
    }

    /// Trust bundles.
    pub fn trust(&self) -> TrustServiceClient<Channel> {
        TrustServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// Entries and proofs.
    pub fn ledger(&self) -> LedgerServiceClient<Channel> {
        LedgerServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE)
    }

    /// Administration.
    pub fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE)
    }
}
