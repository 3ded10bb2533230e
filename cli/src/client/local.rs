//! The local operator's socket: who may open it may read all and hand in proposals.

use client::{Client, endpoint};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tower::service_fn;

use crate::config::Config;
use crate::error::{Exit, Failure};

/// Connects to the service of this data directory.
///
/// # Errors
/// Nothing answers there.
pub(crate) async fn connect(config: &Config) -> Result<Client, Failure> {
    let socket = config.socket().to_owned();
    // Tried by hand first: the channel would hide why.
    drop(UnixStream::connect(&socket).await.map_err(|error| not_there(config, &error))?);
    let connector = service_fn(move |_| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    // The name is never resolved: the connector knows where to go.
    let endpoint = endpoint("http://localhost").map_err(|error| not_there(config, &error))?;
    let channel = endpoint.connect_with_connector(connector).await;
    Ok(Client::over(channel.map_err(|error| not_there(config, &error))?))
}

fn not_there(config: &Config, error: &dyn std::error::Error) -> Failure {
    let socket = config.socket().display();
    Failure::new("NOT_RUNNING", format!("the service does not run: {socket}: {error}"))
        .ending(Exit::TryLater)
        .mended_by("rootcellar serve")
}
