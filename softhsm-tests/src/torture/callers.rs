//! Callers that ask without end and keep what they were given.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::Client;
use proto::v1::{Agent, Certificate, IssueCertificateBody};
use rcgen::{CertificateParams, KeyPair};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Credentials;

/// The pause of a caller that was refused.
const PAUSE: Duration = Duration::from_millis(20);
/// How long an answer is waited for: a killed front may leave a connection that nobody closes.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a caller was given.
#[derive(Clone, Debug)]
pub(super) struct Acknowledged {
    /// The idempotency key.
    pub(super) request_id: String,
    /// The certificate.
    pub(super) certificate: Certificate,
}

/// The callers, at work.
pub(super) struct Callers {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    given: Mutex<Vec<Acknowledged>>,
    stopping: AtomicBool,
    granted: AtomicU64,
    /// Grants before the newest kill.
    before: AtomicU64,
    progress: Notify,
}

impl Callers {
    /// Starts them.
    pub(super) fn start(credentials: &Credentials, callers: usize) -> Self {
        let (shared, mut tasks) = (Arc::new(Shared::default()), JoinSet::new());
        for number in 0..callers {
            tasks.spawn(call(credentials.clone(), number, Arc::clone(&shared)));
        }
        Self { shared, tasks }
    }

    /// What is granted from now on is progress.
    pub(super) fn forget_progress(&self) {
        self.shared.before.store(self.shared.granted.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Returns once every caller could have been granted something since.
    pub(super) async fn progress(&self) {
        let wanted = self.tasks.len() as u64;
        loop {
            let progress = self.shared.progress.notified();
            let (granted, before) =
                (self.shared.granted.load(Ordering::SeqCst), self.shared.before.load(Ordering::SeqCst));
            if granted >= before + wanted {
                return;
            }
            progress.await;
        }
    }

    /// Has each finish its request, and gives what they were given.
    pub(super) async fn stop(mut self) -> Vec<Acknowledged> {
        self.shared.stopping.store(true, Ordering::SeqCst);
        while self.tasks.join_next().await.is_some() {}
        std::mem::take(&mut *self.shared.given.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn call(credentials: Credentials, number: usize, shared: Arc<Shared>) {
    let key = KeyPair::generate().expect("a key");
    let csr = CertificateParams::default().serialize_request(&key).expect("a CSR").der().to_vec();
    let mut client = None;
    for count in 0_u64.. {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let request_id = format!("{number}-{count}");
        let request = IssueCertificateBody {
            agent: format!("agents/torture/{number}"),
            csr: csr.clone(),
            description: Some(Agent::default()),
            allow_missing: true,
            request_id: request_id.clone(),
            ..IssueCertificateBody::default()
        };
        let certificate = granted(&credentials, &mut client, request).await;
        let given = Acknowledged { request_id, certificate };
        shared.given.lock().unwrap_or_else(PoisonError::into_inner).push(given);
        shared.granted.fetch_add(1, Ordering::SeqCst);
        shared.progress.notify_waiters();
    }
}

/// Tries, over another connection where one fails, until it is granted.
async fn granted(
    credentials: &Credentials,
    client: &mut Option<Client>,
    request: IssueCertificateBody,
) -> Certificate {
    loop {
        if client.is_none() {
            *client = credentials.try_client().await.ok();
        }
        if let Some(connected) = client.as_ref() {
            let answer = timeout(PATIENCE, connected.issuance().issue_certificate(request.clone())).await;
            if let Ok(Ok(answer)) = answer {
                return answer.into_inner().certificate.expect("a certificate in the answer");
            }
            *client = None;
        }
        sleep(PAUSE).await;
    }
}
