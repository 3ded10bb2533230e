//! The front's life: sockets, the keeper, a certificate of its own, service, an orderly end.

use std::{
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::PathBuf,
    pin::{Pin, pin},
    sync::Arc,
};

use cell::TrustDomain;
use rustls::ServerConfig;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    FrontError, Keeper, Limits,
    call::Desk,
    connection::{App, stopped},
    crl_site::{self, Site},
    crls::Crls,
    health::Health,
    listener,
    metrics::Metrics,
    mtls::{Mtls, Reception},
    ops::{self, Ops},
    own_certificate::{OwnCertificate, Store},
    places::Places,
    rate::{Callers, Rate},
    room::Lobby,
    scrape::Scrape,
    services,
    shares::Shares,
    tls::server_config,
};

/// Milliseconds since 1970. Given from outside, so that a test decides the time.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Told when a numbered step of a request is done, so that a test can end the process there. The product's does nothing.
pub type Probe = Arc<dyn Fn(&'static str) + Send + Sync>;

/// What the front is told at its start.
#[derive(Debug, Clone)]
pub struct FrontConfig {
    /// Address of the mTLS port; port 0 takes any.
    pub listen: SocketAddr,
    /// Address of the operations port; loopback alone.
    pub ops_listen: SocketAddr,
    /// Address where CRLs are handed out over plain HTTP; none where they are not.
    pub crl_listen: Option<SocketAddr>,
    /// Directory of the service's own key and chain, with mode 0700.
    pub state_dir: PathBuf,
    /// The cell whose callers are served.
    pub cell: TrustDomain,
    /// Every bound.
    pub limits: Limits,
    /// File descriptors that this process may have.
    pub descriptors: u64,
}

/// Where the front is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// The mTLS port.
    pub mtls: SocketAddr,
    /// The operations port.
    pub ops: SocketAddr,
    /// The port of CRLs, where there is one.
    pub crl: Option<SocketAddr>,
}

/// Runs the front until `stop` is done and what was in flight has ended.
///
/// `doors` brings an end of a socket pair each time that a keeper starts. The operations port answers from the beginning; `ready` is called when the mTLS port does, once the keeper has given anchors and a certificate.
///
/// # Errors
/// [`FrontError`]; after the start only [`FrontError::DoorLost`].
pub async fn run(
    config: FrontConfig,
    clock: Clock,
    probe: Probe,
    doors: mpsc::Receiver<UnixStream>,
    ready: impl FnOnce(Bound) + Send,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), FrontError> {
    enough_descriptors(&config)?;
    let sockets = Sockets::bind(&config).await?;
    let front = Front::new(config, clock, probe).await?;
    // Dropped last: what still runs then is ended.
    let mut background = JoinSet::new();
    let mut attending = JoinSet::new();
    attending.spawn(front.keeper.clone().attend(doors, front.app.limits.door_wait));
    let own = Arc::clone(&front.own);
    let bundles = front.keeper.bundles();
    background.spawn(async move { own.keep(bundles).await });
    let mut lost = false;
    let stop = async {
        tokio::select! {
            () = stop => {}
            _ = attending.join_next() => lost = true,
        }
    };
    front.serve(sockets, ready, pin!(stop)).await?;
    if lost { Err(FrontError::DoorLost) } else { Ok(()) }
}

/// Descriptors for all that is not a caller's connection: the operations port, files, the door, the runtime's own.
const OTHER_DESCRIPTORS: usize = 128;

/// A front that runs out of descriptors accepts nobody: it says so before.
fn enough_descriptors(config: &FrontConfig) -> Result<(), FrontError> {
    let FrontConfig { limits, crl_listen, descriptors: limit, .. } = config;
    let crl = if crl_listen.is_some() { 2 * crl_site::CONNECTIONS } else { 0 };
    let (limit, needed) = (*limit, [limits.connections, crl, OTHER_DESCRIPTORS]);
    let needed = needed.into_iter().fold(0_usize, usize::saturating_add) as u64;
    if needed <= limit { Ok(()) } else { Err(FrontError::TooFewDescriptors { needed, limit }) }
}

struct Sockets {
    mtls: TcpListener,
    ops: TcpListener,
    crl: Option<TcpListener>,
    bound: Bound,
}

impl Sockets {
    async fn bind(config: &FrontConfig) -> Result<Self, FrontError> {
        if !config.ops_listen.ip().is_loopback() {
            return Err(FrontError::OpsNotLoopback { addr: config.ops_listen });
        }
        let (mtls, mtls_addr) = listener::bind(config.listen, "listen").await?;
        let (ops, ops_addr) = listener::bind(config.ops_listen, "ops-listen").await?;
        let (crl, crl_addr) = match config.crl_listen {
            Some(addr) => {
                listener::bind(addr, "crl-listen").await.map(|(crl, addr)| (Some(crl), Some(addr)))?
            }
            None => (None, None),
        };
        let bound = Bound { mtls: mtls_addr, ops: ops_addr, crl: crl_addr };
        Ok(Self { mtls, ops, crl, bound })
    }
}

struct Front {
    keeper: Keeper,
    own: Arc<OwnCertificate>,
    health: Arc<Health>,
    app: Arc<App>,
    cell: Arc<TrustDomain>,
}

impl Front {
    async fn new(config: FrontConfig, clock: Clock, probe: Probe) -> Result<Self, FrontError> {
        let FrontConfig { cell, limits, state_dir, .. } = config;
        let store =
            Store::open(&state_dir).map_err(|source| FrontError::State { path: state_dir, source })?;
        let keeper = Keeper::new(limits.in_flight);
        let cell = Arc::new(cell);
        let own = OwnCertificate::new(store, keeper.clone(), Arc::clone(&clock), Arc::clone(&cell));
        let own = Arc::new(own);
        let (health, health_service) = Health::new(Arc::clone(&own)).await;
        let limits = Arc::new(limits);
        let desk = Desk {
            keeper: keeper.clone(),
            clock,
            probe,
            limits: Arc::clone(&limits),
            callers: Arc::new(Callers::new(&limits)),
            shares: Shares::new(&limits),
            looks: Arc::default(),
            gone: Arc::default(),
            metrics: Metrics::new(),
        };
        let routes = services::routes(&desk, health_service, limits.message_bytes)?;
        let app = Arc::new(App::new(desk, routes));
        Ok(Self { keeper, own, health, app, cell })
    }

    async fn serve(
        &self,
        sockets: Sockets,
        ready: impl FnOnce(Bound) + Send,
        mut stop: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Result<(), FrontError> {
        let Sockets { mtls, ops, crl, bound } = sockets;
        let stopping = watch::Sender::new(false);
        let mut serving = JoinSet::new();
        serving.spawn(ops::serve(ops, self.ops(), stopping.subscribe()));
        let (sums, stop_sums) = (Arc::clone(&self.app.sums), stopping.subscribe());
        serving.spawn(async move {
            tokio::select! { () = sums.keep() => {} () = stopped(stop_sums) => {} }
        });
        if let Some(crl) = crl {
            self.hand_out_crls(&mut serving, crl, &stopping);
        }
        let config = tokio::select! {
            config = self.anchored() => Some(config?),
            () = &mut stop => None,
        };
        if let Some(config) = config {
            self.watch_health(&mut serving, stopping.subscribe()).await;
            serving.spawn(self.mtls().serve(mtls, config, stopping.subscribe()));
            ready(bound);
            stop.await;
        }
        tracing::info!("stopping: what is in flight is finished");
        stopping.send_replace(true);
        while serving.join_next().await.is_some() {}
        self.app.sums.tell();
        Ok(())
    }

    /// The settings of the mTLS port, once there are anchors and a certificate of our own.
    async fn anchored(&self) -> Result<Arc<ServerConfig>, FrontError> {
        self.own.published().await;
        // A certificate was verified under a bundle, so that there is one.
        let bundle = self.keeper.bundles().borrow().clone();
        match bundle {
            Some(bundle) => Ok(server_config(&bundle, Arc::clone(&self.own) as _, &self.app.clock)?),
            None => std::future::pending().await,
        }
    }

    async fn watch_health(&self, serving: &mut JoinSet<()>, stop: watch::Receiver<bool>) {
        self.health.look(&self.keeper).await;
        let (health, keeper, interval) =
            (Arc::clone(&self.health), self.keeper.clone(), self.app.limits.probe);
        serving.spawn(async move { health.watch(&keeper, interval, stop).await });
    }

    fn hand_out_crls(
        &self,
        serving: &mut JoinSet<()>,
        listener: TcpListener,
        stopping: &watch::Sender<bool>,
    ) {
        let crls = Arc::new(Crls::default());
        let (keeper, kept, stop) = (self.keeper.clone(), Arc::clone(&crls), stopping.subscribe());
        serving.spawn(async move {
            tokio::select! { () = kept.keep(&keeper) => {} () = stopped(stop) => {} }
        });
        let (clock, metrics) = (Arc::clone(&self.app.clock), self.app.metrics.clone());
        let site = Arc::new(Site { crls, clock, metrics });
        serving.spawn(crl_site::serve(listener, site, stopping.subscribe()));
    }

    fn ops(&self) -> Arc<Ops> {
        let scrape = Scrape {
            metrics: self.app.metrics.clone(),
            keeper: self.keeper.clone(),
            own: Arc::clone(&self.own),
            clock: Arc::clone(&self.app.clock),
        };
        Arc::new(Ops { health: Arc::clone(&self.health), scrape })
    }

    fn mtls(&self) -> Mtls {
        let mut bundles = self.keeper.bundles();
        // One that came since the settings were made is not missed.
        bundles.mark_changed();
        let limits = &self.app.limits;
        let desk = Reception {
            app: Arc::clone(&self.app),
            cell: Arc::clone(&self.cell),
            lobby: Lobby::new(limits.handshakes, limits.handshakes_per_address, limits.patience),
            handshakes: Rate::new(limits.handshakes_per_second),
            callers: Places::new(limits.connections),
            agents: Places::new(limits.connections.div_ceil(2)),
        };
        Mtls { own: Arc::clone(&self.own), bundles, desk: Arc::new(desk) }
    }
}
