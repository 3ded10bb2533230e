//! A ready mTLS client: one channel, made once, cloned for every service.
//!
//! Does not: check the trust bundle's note; who pins a charter does that with the `ledger` crate.

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error, Identity};

use crate::v1::admin_service_client::AdminServiceClient;
use crate::v1::agent_service_client::AgentServiceClient;
use crate::v1::issuance_service_client::IssuanceServiceClient;
use crate::v1::ledger_service_client::LedgerServiceClient;
use crate::v1::trust_service_client::TrustServiceClient;

/// What a caller proves itself with, and whom it believes. All PEM.
pub struct Credentials<'a> {
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
}

impl Client {
    /// Connects to `uri` ("https://localhost:7443").
    ///
    /// # Errors
    /// The address, the credentials or the connection; its source says which.
    pub async fn connect(uri: &str, credentials: &Credentials<'_>) -> Result<Self, Error> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(credentials.anchors))
            .identity(Identity::from_pem(credentials.chain, credentials.key));
        let channel = Endpoint::from_shared(uri.to_owned())?.tls_config(tls)?.connect().await?;
        Ok(Self { channel })
    }

    /// Uses a channel that is already there, such as one over a local socket.
    pub fn over(channel: Channel) -> Self {
        Self { channel }
    }

    /// Certificates.
    pub fn issuance(&self) -> IssuanceServiceClient<Channel> {
        IssuanceServiceClient::new(self.channel.clone())
    }

    /// Agents.
    pub fn agents(&self) -> AgentServiceClient<Channel> {
        AgentServiceClient::new(self.channel.clone())
    }

    /// Trust bundles.
    pub fn trust(&self) -> TrustServiceClient<Channel> {
        TrustServiceClient::new(self.channel.clone())
    }

    /// Entries and proofs.
    pub fn ledger(&self) -> LedgerServiceClient<Channel> {
        LedgerServiceClient::new(self.channel.clone())
    }

    /// Administration.
    pub fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone())
    }
}
