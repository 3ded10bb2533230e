//! A running front with all that it needs, in a directory of its own.

use std::{
    net::SocketAddr,
    os::unix::net::UnixStream as StdUnixStream,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use ca_service::{Bound, Clock, FrontConfig, FrontError, Limits, run};
use client::{Client, Signer};
use hyper_util::rt::{TokioExecutor, TokioIo};
use proto::{
    door::Ask,
    v1::{WatchTrustBundleRequest, WatchTrustBundleResponse},
};
use rustls::ClientConfig;
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_rustls::TlsConnector;
use tonic::{
    Streaming,
    transport::{Channel, Endpoint, Uri},
};

use crate::{
    far_end::FarEnd,
    pki::{BEGIN_SECS, Holder, Pki},
    tls::shake,
};

/// What a front is started with; it outlives the front, as the machine does.
pub(crate) struct House {
    pub(crate) dir: TempDir,
    pub(crate) pki: Arc<Pki>,
    pub(crate) limits: Limits,
    pub(crate) now_ms: Arc<AtomicI64>,
}

/// A front that is ready.
pub(crate) struct Running {
    pub(crate) bound: Bound,
    pub(crate) far: FarEnd,
    pub(crate) asks: mpsc::UnboundedReceiver<Ask>,
    pub(crate) doors: mpsc::Sender<StdUnixStream>,
    pub(crate) door: JoinHandle<()>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), FrontError>>,
}

impl House {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            pki: Arc::new(Pki::new()),
            limits: Limits::default(),
            now_ms: Arc::new(AtomicI64::new(BEGIN_SECS * 1000)),
        }
    }

    pub(crate) fn config(&self) -> FrontConfig {
        FrontConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            crl_listen: Some("127.0.0.1:0".parse().unwrap()),
            ops_listen: "127.0.0.1:0".parse().unwrap(),
            state_dir: self.state_dir(),
            cell: "cell.example".parse().unwrap(),
            limits: self.limits.clone(),
            descriptors: 100_000,
        }
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn clock(&self) -> Clock {
        let now_ms = Arc::clone(&self.now_ms);
        Arc::new(move || now_ms.load(Ordering::SeqCst))
    }

    /// Moves the clock to so many seconds after the beginning.
    pub(crate) fn set_secs(&self, after: i64) {
        self.now_ms.store((BEGIN_SECS + after) * 1000, Ordering::SeqCst);
    }

    /// Starts a front with these settings that is to fail.
    pub(crate) async fn fail(&self, config: FrontConfig) -> FrontError {
        let (_doors, incoming) = mpsc::channel(1);
        run(config, self.clock(), Arc::new(|_step| {}), incoming, |_| panic!("ready"), std::future::pending())
            .await
            .unwrap_err()
    }

    /// The bundles that an agent sees.
    pub(crate) async fn watch(&self, front: &Running) -> Streaming<WatchTrustBundleResponse> {
        let client = front.connect(self, &self.pki.caller("/agent/watcher")).await;
        client.trust().watch_trust_bundle(WatchTrustBundleRequest {}).await.unwrap().into_inner()
    }

    pub(crate) async fn start(&self) -> Running {
        let (far, asks) = FarEnd::new(Arc::clone(&self.pki));
        let (doors, incoming) = mpsc::channel(1);
        let (near, door) = far.open();
        doors.send(near).await.unwrap();
        let (ready, bound) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let ready = |bound| ready.send(bound).unwrap();
        let ended =
            tokio::spawn(run(self.config(), self.clock(), Arc::new(|_step| {}), incoming, ready, async {
                let _ = stopped.await;
            }));
        Running { bound: bound.await.unwrap(), far, asks, doors, door, stop, ended }
    }
}

impl Running {
    /// Connects as this caller.
    pub(crate) async fn connect(&self, house: &House, caller: &Holder) -> Client {
        let signer = Signer::new(&caller.chain, &caller.key, "cell.example/log/1", house.clock()).unwrap();
        Client::over(self.channel(caller.client(&house.pki.anchors())).await.unwrap()).signing(signer)
    }

    /// Connects with these settings.
    pub(crate) async fn channel(&self, tls: ClientConfig) -> Result<Channel, tonic::transport::Error> {
        channel(self.bound.mtls, tls).await
    }

    /// Sends one request of HTTP/2, whatever it is, and gives the answer.
    pub(crate) async fn http2(
        &self,
        house: &House,
        caller: &Holder,
        request: http::Request<String>,
    ) -> http::Response<hyper::body::Incoming> {
        let mut config = caller.client(&house.pki.anchors());
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TokioIo::new(shake(self, config).await.unwrap());
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    }

    /// Ends the front in order.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap().unwrap();
    }

    /// Closes its door, brings no other, and waits for its end.
    pub(crate) async fn lose_its_door(self) -> Result<(), FrontError> {
        self.door.abort();
        self.ended.await.unwrap()
    }

    /// Begins its end; the rest goes on.
    pub(crate) fn begin_stop(self) -> (FarEnd, JoinHandle<Result<(), FrontError>>) {
        self.stop.send(()).unwrap();
        (self.far, self.ended)
    }
}

/// A channel to this port with these settings.
pub(crate) async fn channel(
    addr: SocketAddr,
    mut tls: ClientConfig,
) -> Result<Channel, tonic::transport::Error> {
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let tls = TlsConnector::from(Arc::new(tls));
    let connect = tower::service_fn(move |_: Uri| {
        let tls = tls.clone();
        async move {
            let stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            tls.connect("localhost".try_into().unwrap(), stream).await.map(TokioIo::new)
        }
    });
    // RFC 9113 §6.9.2's own window, so that a client that does not read is full soon.
    let endpoint = Endpoint::from_static("http://localhost").initial_stream_window_size(65_535);
    endpoint.connect_with_connector(connect).await
}
