//! Whether the front can do its work: the keeper answers, and the service's own certificate is valid.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use proto::v1::{
    admin_service_server::SERVICE_NAME as ADMIN, agent_service_server::SERVICE_NAME as AGENTS,
    issuance_service_server::SERVICE_NAME as ISSUANCE, ledger_service_server::SERVICE_NAME as LEDGER,
    trust_service_server::SERVICE_NAME as TRUST,
};
use tokio::{sync::watch, time::timeout};
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health as Service, HealthServer},
    server::HealthReporter,
};

use crate::{Keeper, connection::stopped, own_certificate::OwnCertificate};

/// What grpc.health.v1 can be asked for: the whole, and each service.
const NAMES: [&str; 6] = ["", ADMIN, AGENTS, ISSUANCE, LEDGER, TRUST];

/// Who knows.
pub(crate) struct Health {
    reporter: HealthReporter,
    keeper_answers: AtomicBool,
    own: Arc<OwnCertificate>,
}

impl Health {
    /// Not ready yet; with the service of grpc.health.v1 that tells it.
    pub(crate) async fn new(own: Arc<OwnCertificate>) -> (Arc<Self>, HealthServer<impl Service>) {
        let (reporter, service) = tonic_health::server::health_reporter();
        let health = Arc::new(Self { reporter, keeper_answers: AtomicBool::new(false), own });
        health.report().await;
        (health, service)
    }

    /// Whether the keeper answered when last asked, and the certificate is valid now.
    pub(crate) fn is_ready(&self) -> bool {
        self.keeper_answers.load(Ordering::Relaxed) && self.own.is_valid()
    }

    /// Asks the keeper now and tells what came of it.
    pub(crate) async fn look(&self, keeper: &Keeper) {
        let answers = keeper.answers().await;
        self.keeper_answers.store(answers, Ordering::Relaxed);
        self.report().await;
    }

    /// Looks again at every interval, and at once when a door opens or closes. When the front stops, tells so and returns.
    pub(crate) async fn watch(&self, keeper: &Keeper, interval: Duration, stop: watch::Receiver<bool>) {
        let mut presence = keeper.presence();
        tokio::select! {
            () = stopped(stop) => {}
            () = async {
                loop {
                    self.look(keeper).await;
                    // The time is over, or the door changed: either way it is time to look.
                    let _ = timeout(interval, presence.changed()).await;
                }
            } => {}
        }
        self.keeper_answers.store(false, Ordering::Relaxed);
        self.report().await;
    }

    async fn report(&self) {
        let status = if self.is_ready() { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in NAMES {
            self.reporter.set_service_status(name, status).await;
        }
    }
}
