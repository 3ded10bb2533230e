//! Accept loops, and the mTLS port.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use cell::TrustDomain;
use rustls::{ServerConfig, server::Acceptor};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use crate::{
    FrontError,
    bundle::Bundle,
    connection::{App, stopped},
    own_certificate::OwnCertificate,
    rate::Rate,
    steps::{Caller, NotACaller},
    strangers::Strangers,
    tls::server_config,
};

/// The pause after an accept that failed, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that takes connections.
pub(crate) trait Listen: Send {
    /// One of them.
    type Stream: Send + 'static;

    /// The next one.
    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listen for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.accept().await?;
        // Answers are small and awaited.
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Takes a TCP address.
///
/// # Errors
/// [`FrontError::Listen`].
pub(crate) async fn bind(
    addr: SocketAddr,
    key: &'static str,
) -> Result<(TcpListener, SocketAddr), FrontError> {
    let failed = |source| FrontError::Listen { addr, key, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves every connection in a task of its own, at most `most` at a time; when the front stops, takes no more and returns
/// once all have ended.
pub(crate) async fn accept_all<L: Listen, F: Future<Output = ()> + Send + 'static>(
    listener: L,
    most: usize,
    stop: watch::Receiver<bool>,
    mut serve: impl FnMut(L::Stream) -> F + Send,
) {
    let mut connections = JoinSet::new();
    let mut full = false;
    loop {
        tokio::select! {
            () = stopped(stop.clone()) => break,
            Some(_ended) = connections.join_next() => {}
            accepted = listener.next() => match accepted {
                Ok(stream) if connections.len() < most => {
                    full = false;
                    connections.spawn(serve(stream));
                }
                Ok(_closed_by_drop) if std::mem::replace(&mut full, true) => {}
                Ok(_closed_by_drop) => tracing::warn!(most, "as many connections as are allowed: further ones are closed"),
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// What the mTLS port needs of the front.
pub(crate) struct Mtls {
    /// What is served.
    pub(crate) app: Arc<App>,
    /// Whose callers are served.
    pub(crate) cell: Arc<TrustDomain>,
    /// With what the front proves itself.
    pub(crate) own: Arc<OwnCertificate>,
    /// Whom it believes.
    pub(crate) bundles: watch::Receiver<Option<Arc<Bundle>>>,
    /// The places of those who are not known yet.
    pub(crate) strangers: Arc<Strangers>,
    /// The rate of handshakes.
    pub(crate) handshakes: Arc<Rate>,
}

impl Mtls {
    /// Serves the port until the front stops.
    pub(crate) async fn serve(
        mut self,
        listener: TcpListener,
        mut config: Arc<ServerConfig>,
        stop: watch::Receiver<bool>,
    ) {
        let most = self.app.limits.connections;
        let stopping = stop.clone();
        accept_all(listener, most, stop, move |stream| {
            if self.bundles.has_changed().unwrap_or(false) {
                self.follow(&mut config);
            }
            let place = stream.peer_addr().ok().and_then(|peer| self.strangers.enter(peer.ip()));
            let (app, cell) = (Arc::clone(&self.app), Arc::clone(&self.cell));
            let (handshakes, config, stop) =
                (Arc::clone(&self.handshakes), Arc::clone(&config), stopping.clone());
            async move {
                let Some(place) = place else {
                    tracing::debug!("too many whose handshake is not over: one more is closed");
                    return;
                };
                let limit = app.limits.handshake_timeout;
                let shaken = tokio::select! {
                    shaken = timeout(limit, handshake(&handshakes, config, stream, &cell)) => shaken,
                    () = stopped(stop.clone()) => return,
                };
                drop(place);
                match shaken {
                    Ok(Ok((stream, caller))) => app.serve(stream, caller, stop).await,
                    Ok(Err(error)) => tracing::info!(%error, "handshake refused"),
                    Err(_elapsed) => tracing::info!("handshake took too long"),
                }
            }
        })
        .await;
    }

    /// The anchors changed: the next handshake knows the new ones.
    fn follow(&mut self, config: &mut Arc<ServerConfig>) {
        let Some(bundle) = self.bundles.borrow_and_update().clone() else { return };
        match server_config(&bundle, Arc::clone(&self.own) as _, &self.app.clock) {
            Ok(new) => *config = new,
            Err(error) => tracing::error!(%error, "the new anchors cannot be used: those before stay"),
        }
    }
}

/// Why a handshake was refused.
#[derive(Debug, thiserror::Error)]
enum NoHandshake {
    #[error(transparent)]
    Tls(#[from] io::Error),
    #[error(transparent)]
    Nobody(#[from] NotACaller),
}

/// Step 1 begins here: the stream and the caller come together or not at all.
async fn handshake(
    handshakes: &Rate,
    config: Arc<ServerConfig>,
    stream: TcpStream,
    cell: &TrustDomain,
) -> Result<(TlsStream<TcpStream>, Caller), NoHandshake> {
    // Silence costs no turn: it is taken once the ClientHello is there. Waiting for it counts towards the timeout.
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    handshakes.turn().await;
    let stream = hello.into_stream(config).await?;
    let caller = Caller::from_handshake(stream.get_ref().1, cell)?;
    Ok((stream, caller))
}
