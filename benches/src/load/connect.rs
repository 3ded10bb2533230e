//! A connection of a controller's, by the files that `rootcellar controller add` wrote.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use client::{Client, Signer};
use softhsm_tests::newest_log;
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

/// The same with a key that signs requests.
///
/// # Errors
/// As [`channel`], and the key's.
pub async fn connected(dir: &Path) -> Result<Client, Failed> {
    Ok(Client::over(channel(dir).await?).signing(signer(dir)?))
}

/// So many connections that sign together, as one controller's do.
pub(super) async fn all_connected(dir: &Path, count: usize) -> Result<Vec<Client>, Failed> {
    let signer = signer(dir)?;
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(Client::over(channel(dir).await?).signing(Arc::clone(&signer)));
    }
    Ok(clients)
}

fn signer(dir: &Path) -> Result<Arc<Signer>, Failed> {
    let read = |name: &str| std::fs::read_to_string(dir.join(name));
    let log = newest_log(&read("bundle.note")?);
    Ok(Signer::new(&read("chain.pem")?, &read("key.pem")?, &log, Arc::new(now_ms))?)
}

#[expect(clippy::disallowed_methods, reason = "the service is asked at the true time")]
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
