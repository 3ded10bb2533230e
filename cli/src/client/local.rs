//! The keeper's own socket: who may open it may read all and hand in what officers signed. The front is not between.

use ca_service::connect_locally;
use client::{Client, endpoint};
use hyper_util::rt::TokioIo;
use tower::service_fn;

use crate::error::{Exit, Failure};
use crate::session::Session;

/// Connects to the keeper of this data directory.
///
/// # Errors
/// It does not listen there.
pub(crate) async fn connect(session: &Session) -> Result<Client, Failure> {
    let config = session.config()?;
    let not_there = |error: &dyn std::error::Error| {
        let socket = config.socket().display();
        Failure::new("NOT_RUNNING", format!("the service does not run: {socket}: {error}"))
            .ending(Exit::TryLater)
            .mended_by("rootcellar serve")
    };
    let stream =
        connect_locally(config.socket(), session.clock()).await.map_err(|error| not_there(&error))?;
    let mut stream = Some(stream);
    // There is one connection, and no other takes its place.
    let connector = service_fn(move |_| {
        let stream = stream.take().map(TokioIo::new);
        async move { stream.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::ConnectionReset)) }
    });
    // The name is never resolved: the connector knows where to go.
    let endpoint = endpoint("http://localhost").map_err(|error| not_there(&error))?;
    let channel = endpoint.connect_with_connector(connector).await;
    Ok(Client::over(channel.map_err(|error| not_there(&error))?))
}
