//! The mTLS port: a place, a turn, a handshake, and then service.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, LazyLock},
};

use cell::TrustDomain;
use rustls::{ServerConfig, server::Acceptor};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use crate::{
    bundle::Bundle,
    connection::{App, stopped},
    listener::accept_all,
    metrics::{Handshake, Limit},
    own_certificate::OwnCertificate,
    places::Places,
    rate::{EXPIRED, Rate},
    room::{Guest, Lobby},
    steps::{Caller, NotACaller},
    tls::server_config,
};

/// In whose name handshakes that were refused are summed.
static STRANGERS: LazyLock<Arc<str>> = LazyLock::new(|| "strangers".into());

/// Who shares the places of agents.
const AGENTS: &str = "agents";

/// What the mTLS port needs of the front.
pub(crate) struct Mtls {
    /// With what the front proves itself.
    pub(crate) own: Arc<OwnCertificate>,
    /// Whom it believes.
    pub(crate) bundles: watch::Receiver<Option<Arc<Bundle>>>,
    /// What each connection needs.
    pub(crate) desk: Arc<Reception>,
}

/// Where those who come are made known.
pub(crate) struct Reception {
    /// What is served.
    pub(crate) app: Arc<App>,
    /// Whose callers are served.
    pub(crate) cell: Arc<TrustDomain>,
    /// Where those wait who are not known yet.
    pub(crate) lobby: Arc<Lobby>,
    /// The rate of handshakes.
    pub(crate) handshakes: Rate,
    /// The places of those who are.
    pub(crate) callers: Arc<Places<Arc<str>>>,
    /// Of these, the places of agents.
    pub(crate) agents: Arc<Places<&'static str>>,
}

impl Mtls {
    /// Serves the port until the front stops.
    pub(crate) async fn serve(
        mut self,
        listener: TcpListener,
        mut config: Arc<ServerConfig>,
        stop: watch::Receiver<bool>,
    ) {
        let app = Arc::clone(&self.desk.app);
        let (most, stopping) = (app.limits.connections, stop.clone());
        let full = || app.metrics.closed(Limit::Connections);
        accept_all(listener, most, full, stop, move |stream| {
            if self.bundles.has_changed().unwrap_or(false) {
                self.follow(&mut config);
            }
            let from = stream.peer_addr().ok();
            let guest = from.and_then(|from| Some((from, self.desk.lobby.enter(from.ip())?)));
            Arc::clone(&self.desk).receive(stream, guest, Arc::clone(&config), stopping.clone())
        })
        .await;
    }

    /// The anchors changed: the next handshake knows the new ones.
    fn follow(&mut self, config: &mut Arc<ServerConfig>) {
        let Some(bundle) = self.bundles.borrow_and_update().clone() else { return };
        match server_config(&bundle, Arc::clone(&self.own) as _, &self.desk.app.clock) {
            Ok(new) => *config = new,
            Err(error) => tracing::error!(%error, "the new anchors cannot be used: those before stay"),
        }
    }
}

impl Reception {
    /// One connection, from its beginning to its end.
    async fn receive(
        self: Arc<Self>,
        stream: TcpStream,
        guest: Option<(SocketAddr, Guest)>,
        config: Arc<ServerConfig>,
        stop: watch::Receiver<bool>,
    ) {
        let Some((from, guest)) = guest else { return self.app.metrics.closed(Limit::Handshakes) };
        let shaken = tokio::select! {
            shaken = self.shake(config, stream, guest) => shaken,
            () = stopped(stop.clone()) => return,
        };
        if matches!(shaken, Err(NoHandshake::MadeRoom)) {
            return self.app.metrics.closed(Limit::Handshakes);
        }
        self.app.metrics.handshake(Handshake::of(&shaken));
        match shaken {
            Ok((stream, caller)) => {
                // Who stole a key that has expired, or was revoked, takes no place of whom it was stolen from, and is no acquaintance.
                self.app.recogniser.look(&caller).await;
                let is_over = caller.at((self.app.clock)()).is_err() || self.app.gone.has(&caller);
                if !is_over {
                    self.lobby.meet(from.ip());
                }
                let who = if is_over { EXPIRED.into() } else { Arc::clone(caller.name()) };
                let limits = &self.app.limits;
                let of_agent = if caller.is_agent() { limits.connections_per_agent } else { usize::MAX };
                let most = limits.connections_per_caller.min(of_agent);
                // Agents are as many as a controller makes: half of the places are not for them.
                let of_agents = caller.is_agent().then(|| self.agents.take(AGENTS, usize::MAX));
                let place = self.callers.take(who, most).filter(|_| !matches!(of_agents, Some(None)));
                match place {
                    Some(_place) => Arc::clone(&self.app).serve(stream, (caller, Some(from)), stop).await,
                    None => self.app.metrics.closed(Limit::OfOneCaller),
                }
            }
            Err(error) if self.app.sums.takes(&STRANGERS, true) => {
                tracing::info!(peer = %from, %error, "handshake refused");
            }
            Err(_summed) => {}
        }
    }

    /// # Errors
    /// It did not come to its end, was too slow, or had to make room for another.
    async fn shake(
        &self,
        config: Arc<ServerConfig>,
        stream: TcpStream,
        guest: Guest,
    ) -> Result<(TlsStream<TcpStream>, Caller), NoHandshake> {
        let _shaking = self.app.metrics.shaking();
        tokio::select! {
            shaken = timeout(self.app.limits.handshake_timeout, self.handshake(config, stream, &guest)) => {
                shaken.map_err(|_elapsed| NoHandshake::TooLong)?
            }
            () = guest.sent_away() => Err(NoHandshake::MadeRoom),
        }
    }

    /// Step 1 begins here: the stream and the caller come together or not at all.
    async fn handshake(
        &self,
        config: Arc<ServerConfig>,
        stream: TcpStream,
        guest: &Guest,
    ) -> Result<(TlsStream<TcpStream>, Caller), NoHandshake> {
        let spoke = timeout(self.app.limits.first_octet, stream.readable()).await;
        spoke.map_err(|_elapsed| NoHandshake::Silent)??;
        // Silence costs no turn: it is taken once the ClientHello is there.
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        guest.heard();
        self.handshakes.turn().await;
        guest.answered();
        let stream = hello.into_stream(config).await?;
        let caller = Caller::from_handshake(stream.get_ref().1, &self.cell)?;
        Ok((stream, caller))
    }
}

/// Why a handshake was refused.
#[derive(Debug, thiserror::Error)]
enum NoHandshake {
    #[error(transparent)]
    Tls(#[from] io::Error),
    #[error(transparent)]
    Nobody(#[from] NotACaller),
    #[error("it took too long")]
    TooLong,
    #[error("it said nothing")]
    Silent,
    #[error("it had to make room for another")]
    MadeRoom,
}

impl Handshake {
    fn of<T>(shaken: &Result<T, NoHandshake>) -> Self {
        match shaken {
            Ok(_) => Self::Done,
            Err(NoHandshake::Tls(_)) => Self::Tls,
            Err(NoHandshake::Nobody(_)) => Self::Nobody,
            Err(NoHandshake::TooLong | NoHandshake::Silent | NoHandshake::MadeRoom) => Self::Timeout,
        }
    }
}
