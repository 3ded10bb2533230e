//! The trust bundle: read from the keeper, and watched.

use std::sync::Arc;

use proto::{
    door::{Recognise, Refused, ask::Ask},
    v1::{
        GetTrustBundleRequest, GetTrustBundleResponse, Reason, WatchTrustBundleRequest,
        WatchTrustBundleResponse, trust_service_server::TrustService,
    },
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    bundle::Bundle,
    call::{Call, Desk, pick},
    connection::stopped,
    status::{refused, status},
};

/// Time to recognise a watcher, whose own deadline is over long since.
const RECOGNISE: std::time::Duration = std::time::Duration::from_secs(10);

/// See `rootcellar.v1.TrustService`.
pub(super) struct Trust(pub(super) Desk);

type Sent = Result<WatchTrustBundleResponse, Status>;

#[tonic::async_trait]
impl TrustService for Trust {
    type WatchTrustBundleStream = ReceiverStream<Sent>;

    async fn get_trust_bundle(
        &self,
        request: Request<GetTrustBundleRequest>,
    ) -> Result<Response<GetTrustBundleResponse>, Status> {
        self.0.relay(request, Ask::GetTrustBundle, pick!(GetTrustBundle)).await
    }

    async fn watch_trust_bundle(
        &self,
        request: Request<WatchTrustBundleRequest>,
    ) -> Result<Response<Self::WatchTrustBundleStream>, Status> {
        let call = Call::of(request.extensions()).map_err(status)?;
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(watch(self.0.clone(), call, sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Sends until the watcher leaves, is no longer known, or its connection is to end.
async fn watch(desk: Desk, call: Call, watcher: mpsc::Sender<Sent>) {
    let (mut bundles, _watching) = (desk.keeper.bundles(), desk.metrics.watcher());
    let ended = tokio::select! {
        () = watcher.closed() => return,
        () = stopped(call.connection.closing.clone()) => refused(Reason::KeeperUnavailable, MOVE_ON),
        ended = send_each(&desk, &call, &mut bundles, &watcher) => ended,
    };
    // A watcher that does not read has left, or will see the connection's end.
    let _ = watcher.try_send(Err(status(ended)));
}

const MOVE_ON: &str = "this connection's time is over: connect and watch again";

/// Why it ended.
async fn send_each(
    desk: &Desk,
    call: &Call,
    bundles: &mut watch::Receiver<Option<Arc<Bundle>>>,
    watcher: &mpsc::Sender<Sent>,
) -> Refused {
    loop {
        let bundle = bundles.borrow_and_update().clone();
        if let Some(bundle) = bundle {
            // At each message: a watch outlives certificates and registrations.
            let now = Call { deadline: Instant::now() + RECOGNISE, ..call.clone() };
            if let Err(unknown) = desk.ask(&now, Ask::Recognise(Recognise {})).await {
                return unknown;
            }
            let response = WatchTrustBundleResponse { bundle: Some(bundle.wire().clone()) };
            if watcher.send(Ok(response)).await.is_err() {
                return Refused::default();
            }
        }
        if bundles.changed().await.is_err() {
            return refused(Reason::KeeperUnavailable, MOVE_ON);
        }
    }
}
