//! The certificate with which the front proves itself: loaded, asked for, renewed at half of its life.
//!
//! Its names are the keeper's to decide. A lost token does not lock callers out: the certificate lives for a day, and outlives
//! restarts in a file.

mod proven;
mod store;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use cell::{ServiceName, SpiffeId, TrustDomain};
use proto::{
    door::{self, Serve, answer, ask},
    v1::Reason,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, SanType};
use rustls::{
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use zeroize::Zeroizing;

use crate::{Clock, bundle::Bundle, chance, keeper::Keeper};

use proven::{Proven, Unproven};
pub(crate) use store::Store;

/// Time for the keeper to issue it.
const SERVE_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest sleep before the clock is looked at again: it may have been set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The first pause after a failure; it doubles with each further one, up to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between attempts.
const LAST_PAUSE: Duration = Duration::from_secs(300);

/// The certificate in use, and what is needed to get the next.
pub(crate) struct OwnCertificate {
    /// Written by [`Self::publish`] alone.
    current: ArcSwapOption<Proven>,
    /// Whether there has been one.
    there: watch::Sender<bool>,
    store: Store,
    keeper: Keeper,
    clock: Clock,
    cell: Arc<TrustDomain>,
    /// A key that was asked for, until its certificate is in use: asked again, it is given the same certificate.
    asked: Mutex<Option<Arc<KeyPair>>>,
    /// The keeper said that the current one was revoked.
    revoked: AtomicBool,
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
enum NotRenewed {
    /// The keeper refused, or is not there.
    #[error("{0}")]
    Refused(String),
    /// Our bug: front and keeper differ in age.
    #[error("the keeper answered another question")]
    OtherAnswer,
    /// The chain is not good under the anchors, or not for our key.
    #[error(transparent)]
    Unproven(#[from] Unproven),
    /// The keeper's clock, or ours, is wrong.
    #[error(
        "half of the new certificate's life is over already: the clocks of this machine's processes differ"
    )]
    HalfOver,
    /// The key could not be made.
    #[error("no key: {0}")]
    Key(#[from] rcgen::Error),
}

impl OwnCertificate {
    /// None yet.
    pub(crate) fn new(store: Store, keeper: Keeper, clock: Clock, cell: Arc<TrustDomain>) -> Self {
        Self {
            current: ArcSwapOption::empty(),
            there: watch::Sender::new(false),
            store,
            keeper,
            clock,
            cell,
            asked: Mutex::default(),
            revoked: AtomicBool::new(false),
        }
    }

    /// Whether there is one that is valid now.
    pub(crate) fn is_valid(&self) -> bool {
        self.current.load().as_ref().is_some_and(|proven| proven.is_valid((self.clock)()))
    }

    /// Seconds until it expires; none where there is none.
    pub(crate) fn secs_left(&self, now_ms: i64) -> Option<i64> {
        self.current.load().as_ref().map(|proven| proven.not_after() - now_ms.div_euclid(1000))
    }

    /// Returns once there is one.
    pub(crate) async fn published(&self) {
        // The sender lives as long as `self`.
        let _ = self.there.subscribe().wait_for(|there| *there).await;
    }

    /// Uses the stored one if it is good, then sees to it that there always is a good one. Never returns.
    pub(crate) async fn keep(&self, mut bundles: watch::Receiver<Option<Arc<Bundle>>>) {
        let mut pause = FIRST_PAUSE;
        let mut looked = false;
        loop {
            let Some(bundle) = bundles.borrow_and_update().clone() else {
                if bundles.changed().await.is_err() {
                    return;
                }
                continue;
            };
            if !std::mem::replace(&mut looked, true) {
                self.load(&bundle).await;
            }
            let due = self.due_in(&bundle);
            if !due.is_zero() {
                // Due, under other anchors, or revoked by whoever was the front before.
                let _ = timeout(due.min(LOOK_AGAIN), bundles.changed()).await;
                self.look_again().await;
            } else if let Err(error) = self.renew(&bundle).await {
                tracing::warn!(%error, "no new certificate for the service itself: trying again");
                sleep(chance::shortened(pause, 0.5)).await;
                pause = LAST_PAUSE.min(pause * 2);
            } else {
                pause = FIRST_PAUSE;
            }
        }
    }

    async fn load(&self, bundle: &Bundle) {
        match self.store.load() {
            Ok(Some((key, chain))) => match Proven::new(key, chain, bundle, (self.name(), (self.clock)())) {
                Ok(proven) if self.is_revoked(&proven).await => {
                    tracing::warn!(
                        "the stored certificate was revoked: whoever was the front before asked for others"
                    );
                }
                Ok(proven) => self.publish(proven),
                Err(why) => tracing::info!(%why, "the stored certificate is not used"),
            },
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the stored certificate cannot be read: asking for another"),
        }
    }

    /// Asks whether the certificate in use still counts; where it does not, the next one is due.
    async fn look_again(&self) {
        let current = self.current.load_full();
        if let Some(current) = current
            && self.is_revoked(&current).await
        {
            tracing::warn!("the service's certificate was revoked: asking for another");
            self.revoked.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the keeper says that this certificate of ours was revoked, or is none. That the service is no caller is no word against it.
    async fn is_revoked(&self, proven: &Proven) -> bool {
        let Some(presented) = proven.presented() else { return true };
        let caller = door::Caller { caller: Some(door::caller::Caller::Presented(presented)) };
        let told = self.keeper.ask(caller, SERVE_TIMEOUT, ask::Ask::Recognise(door::Recognise {})).await;
        told.is_err_and(|no| matches!(no.reason(), Reason::CallerRevoked | Reason::CallerUnknown))
    }

    /// Zero when a new one is to be asked for now.
    fn due_in(&self, bundle: &Bundle) -> Duration {
        let now_ms = (self.clock)();
        match self.current.load().as_ref() {
            Some(_) if self.revoked.load(Ordering::Relaxed) => Duration::ZERO,
            Some(proven) if proven.stands(bundle, now_ms) => proven.half_life_in(now_ms),
            _ => Duration::ZERO,
        }
    }

    /// A new key and a certificate for it: asked for, verified as a peer would, written down, used.
    async fn renew(&self, bundle: &Bundle) -> Result<(), NotRenewed> {
        let key = self.key()?;
        let csr = request_for(&key, &self.name())?;
        let ask = ask::Ask::Serve(Serve { csr });
        let answer = self.keeper.ask_as_front(SERVE_TIMEOUT, ask).await;
        let answer = answer.map_err(|refused| NotRenewed::Refused(refused.message))?;
        let answer::Answer::Certificate(certificate) = answer else { return Err(NotRenewed::OtherAnswer) };
        let chain: Vec<_> = certificate.chain.into_iter().map(CertificateDer::from).collect();
        let pkcs8 = PrivatePkcs8KeyDer::from(key.serialize_der());
        let now_ms = (self.clock)();
        let proven = Proven::new(pkcs8.into(), chain.clone(), bundle, (self.name(), now_ms))
            .inspect_err(|_| *self.asked() = None)?;
        if proven.half_life_in(now_ms).is_zero() {
            // Its successor would be asked for at once, without end.
            *self.asked() = None;
            return Err(NotRenewed::HalfOver);
        }
        // A crash between key and chain leaves two that do not match: the next start sees it and asks anew.
        if let Err(error) = self.store.save(&Zeroizing::new(key.serialize_pem()), &chain) {
            tracing::warn!(%error, "the service's new certificate is in use, but not stored: the next start asks for another");
        }
        self.publish(proven);
        self.revoked.store(false, Ordering::Relaxed);
        *self.asked() = None;
        Ok(())
    }

    /// The service's own.
    fn name(&self) -> SpiffeId {
        ServiceName::ca().spiffe_id(&self.cell)
    }

    /// The key to ask for.
    fn key(&self) -> Result<Arc<KeyPair>, NotRenewed> {
        let mut asked = self.asked();
        if let Some(key) = &*asked {
            return Ok(Arc::clone(key));
        }
        let key = Arc::new(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?);
        *asked = Some(Arc::clone(&key));
        Ok(key)
    }

    fn asked(&self) -> MutexGuard<'_, Option<Arc<KeyPair>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, proven: Proven) {
        tracing::info!(not_after = proven.not_after(), "the service's own certificate");
        self.current.store(Some(Arc::new(proven)));
        self.there.send_replace(true);
    }
}

/// The CSR for the service's certificate, DER.
fn request_for(key: &KeyPair, name: &SpiffeId) -> Result<Vec<u8>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(name.to_string().try_into()?)];
    Ok(params.serialize_request(key)?.der().to_vec())
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load().as_ref().map(|proven| proven.key())
    }
}

impl fmt::Debug for OwnCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of every log.
        let Self { current: _, there, store, keeper: _, clock: _, cell: _, asked: _, revoked: _ } = self;
        f.debug_struct("OwnCertificate")
            .field("there", &*there.borrow())
            .field("store", store)
            .finish_non_exhaustive()
    }
}
