//! Accept loops.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

use crate::{FrontError, connection::stopped};

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

/// Serves every connection in a task of its own, at most `most` at a time, and tells `closed` of each that is closed therefore; when
/// the front stops, takes no more and returns once all have ended.
pub(crate) async fn accept_all<L: Listen, F: Future<Output = ()> + Send + 'static>(
    listener: L,
    most: usize,
    mut closed: impl FnMut() + Send,
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
                Ok(_closed_by_drop) => {
                    closed();
                    if !std::mem::replace(&mut full, true) {
                        tracing::warn!(most, "as many connections as are allowed: further ones are closed");
                    }
                }
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
