//! A connection of a controller's, by the files that `rootcellar controller add` wrote.

use std::path::Path;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use crate::Failed;

/// Connects to the service that the credentials in `dir` name.
///
/// # Errors
/// The files', the address's or the connection's.
pub async fn channel(dir: &Path) -> Result<Channel, Failed> {
    let read = |name: &str| std::fs::read_to_string(dir.join(name));
    let (anchors, chain, key) = (read("bundle.pem")?, read("chain.pem")?, read("key.pem")?);
    let place: toml::Table = read("client.toml")?.parse()?;
    let server = place.get("server").and_then(toml::Value::as_str).ok_or("client.toml names no server")?;
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(anchors))
        .identity(Identity::from_pem(chain, key));
    Ok(client::endpoint(server)?.tls_config(tls)?.connect().await?)
}
