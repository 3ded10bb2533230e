//! Signs requests with the key of the certificate that the caller presents (`rootcellar.v1.RequestSignature`).
//!
//! A caller with few requests under way signs each alone and at once. One with many waits up to a millisecond and signs those that came
//! meanwhile together: the service then verifies one signature for all of them.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use certs::TbsFields;
use certs::summary::tbs_of;
use ledger::Hash;
use ledger::request::{SLACK_MS, TOGETHER_MAX, Terms, Together, leaf_of};
use proto::v1::RequestSignature;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// Requests under way from which on a caller waits for others to sign together with.
const BUSY: usize = 8;
/// How long it waits.
const WAIT: Duration = Duration::from_millis(1);
/// What the service verifies, by kind of key: P-256, P-384, Ed25519, RSA.
const SCHEMES: [SignatureScheme; 4] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA256,
];

/// Milliseconds since 1970-01-01T00:00:00Z. Passed in, so that a test decides the time.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Signs requests. Share it between connections that present the same certificate.
pub struct Signer {
    key: Arc<dyn SigningKey>,
    serial: Vec<u8>,
    origin: String,
    clock: Clock,
    /// The time of the newest signature.
    last_ms: AtomicI64,
    under_way: Arc<AtomicUsize>,
    /// Those that wait to be signed together.
    waiting: Arc<Mutex<Group>>,
}

/// A request is under way until this is dropped.
#[derive(Debug)]
pub struct UnderWay(Arc<AtomicUsize>);

/// Nothing to sign with.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The chain is no certificate.
    #[error("the chain does not begin with a certificate")]
    Chain,
    /// The key is none, or of a kind that signs no requests.
    #[error("the private key signs no requests: {0}")]
    Key(String),
}

#[derive(Default)]
struct Group {
    /// Counts the groups: one that was signed is not signed again.
    number: u64,
    leaves: Vec<Hash>,
    signed: Vec<oneshot::Sender<Result<RequestSignature, SignerError>>>,
}

impl Signer {
    /// For the certificate that begins this chain, PEM, with its key, PKCS#8 PEM, and the log of this origin ("prod.example/log/1", from
    /// the trust bundle).
    ///
    /// # Errors
    /// [`SignerError`].
    pub fn new(chain: &str, key: &str, origin: &str, clock: Clock) -> Result<Arc<Self>, SignerError> {
        let leaf = CertificateDer::from_pem_slice(chain.as_bytes()).map_err(|_| SignerError::Chain)?;
        let tbs = tbs_of(&leaf).map_err(|_| SignerError::Chain)?;
        let serial = TbsFields::parse(tbs).map_err(|_| SignerError::Chain)?.serial;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(failed)?;
        let key = any_supported_type(&key).map_err(failed)?;
        Ok(Arc::new(Self {
            key,
            serial,
            origin: origin.to_owned(),
            clock,
            last_ms: AtomicI64::new(i64::MIN),
            under_way: Arc::default(),
            waiting: Arc::default(),
        }))
    }

    /// Signs a request's body for a method ("/rootcellar.v1.IssuanceService/IssueCertificate").
    ///
    /// # Errors
    /// [`SignerError::Key`].
    pub async fn sign(
        self: &Arc<Self>,
        method: &str,
        body: &[u8],
    ) -> Result<(RequestSignature, UnderWay), SignerError> {
        let leaf = leaf_of(method, body);
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        let under_way = UnderWay(Arc::clone(&self.under_way));
        if before < BUSY {
            let alone = self.sign_together(vec![leaf])?.pop();
            return alone.map(|signature| (signature, under_way)).ok_or_else(unsigned);
        }
        let (sender, signed) = oneshot::channel();
        if let Some(full) = self.join(leaf, sender) {
            self.finish(full);
        }
        // The task that signs outlives every one that waits.
        signed.await.map_err(|_| unsigned())?.map(|signature| (signature, under_way))
    }

    /// Joins those that wait; the first has all of them signed in a moment. Gives back the group where it is full.
    fn join(
        self: &Arc<Self>,
        leaf: Hash,
        sender: oneshot::Sender<Result<RequestSignature, SignerError>>,
    ) -> Option<Group> {
        let mut group = self.lock();
        group.leaves.push(leaf);
        group.signed.push(sender);
        match group.leaves.len() {
            1 => {
                let (signer, number) = (Arc::clone(self), group.number);
                tokio::spawn(async move {
                    sleep(WAIT).await;
                    if let Some(waiting) = signer.take(number) {
                        signer.finish(waiting);
                    }
                });
                None
            }
            TOGETHER_MAX => Some(group.take()),
            _ => None,
        }
    }

    /// The group of this number, unless it was full before.
    fn take(&self, number: u64) -> Option<Group> {
        let mut group = self.lock();
        (group.number == number).then(|| group.take())
    }

    fn lock(&self) -> MutexGuard<'_, Group> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, group: Group) {
        match self.sign_together(group.leaves) {
            Ok(signatures) => {
                for (sender, signature) in group.signed.into_iter().zip(signatures) {
                    // One that has left needs no signature.
                    let _ = sender.send(Ok(signature));
                }
            }
            Err(error) => {
                for sender in group.signed {
                    let _ = sender.send(Err(SignerError::Key(error.to_string())));
                }
            }
        }
    }

    /// A time after that of every signature before: by their order the service tells what was held back. A clock that was set back by more than
    /// signatures are good for has its way.
    fn next_ms(&self) -> i64 {
        let now_ms = (self.clock)();
        let next = |last_ms: i64| match last_ms.saturating_sub(now_ms) {
            0..SLACK_MS => last_ms + 1,
            _ => now_ms,
        };
        let before = self.last_ms.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        next(before.unwrap_or_else(|last_ms| last_ms))
    }

    fn sign_together(&self, leaves: Vec<Hash>) -> Result<Vec<RequestSignature>, SignerError> {
        let (count, time_unix_ms) = (leaves.len(), self.next_ms());
        let together = Together::new(leaves).ok_or_else(unsigned)?;
        let terms = Terms { origin: &self.origin, serial: &self.serial, time_unix_ms };
        let signer = self.key.choose_scheme(&SCHEMES);
        let signer = signer
            .ok_or_else(|| SignerError::Key("of another kind than P-256, P-384, Ed25519 or RSA".into()))?;
        let signature = signer.sign(terms.text(&together.head()).as_bytes()).map_err(failed)?;
        let one = |index: usize| RequestSignature {
            time_unix_ms,
            size: u32::try_from(count).unwrap_or_default(),
            index: u32::try_from(index).unwrap_or_default(),
            path: together.path(index).iter().map(|hash| hash.as_bytes().to_vec()).collect(),
            signature: signature.clone(),
        };
        Ok((0..count).map(one).collect())
    }
}

impl Group {
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self { number: self.number + 1, ..Self::default() })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of every log.
        let Self { key: _, serial: _, origin, clock: _, last_ms: _, under_way, waiting: _ } = self;
        f.debug_struct("Signer").field("origin", origin).field("under_way", under_way).finish_non_exhaustive()
    }
}

fn unsigned() -> SignerError {
    failed("nothing was signed")
}

fn failed(error: impl fmt::Display) -> SignerError {
    SignerError::Key(error.to_string())
}

#[cfg(test)]
mod tests {
    use certs::{PublicKey, SignatureAlgorithm};
    use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, SerialNumber};

    use super::*;

    const METHOD: &str = "/rootcellar.v1.IssuanceService/IssueCertificate";
    const ORIGIN: &str = "cell.example/log/1";

    const NOW_MS: i64 = 1_700_000_000_123;

    fn signer(algorithm: &'static rcgen::SignatureAlgorithm) -> (Arc<Signer>, PublicKey) {
        signer_by(algorithm, Arc::new(|| NOW_MS))
    }

    fn signer_by(algorithm: &'static rcgen::SignatureAlgorithm, clock: Clock) -> (Arc<Signer>, PublicKey) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from_slice(&[0x0a, 0xbc]));
        let chain = params.self_signed(&key).unwrap().pem();
        let public_key = PublicKey::try_from(key.subject_public_key_info().as_slice()).unwrap();
        (Signer::new(&chain, &key.serialize_pem(), ORIGIN, clock).unwrap(), public_key)
    }

    /// Whether the service would take it.
    fn verifies(signature: &RequestSignature, body: &[u8], key: &PublicKey) -> bool {
        let terms = Terms { origin: ORIGIN, serial: &[0x0a, 0xbc], time_unix_ms: signature.time_unix_ms };
        let path: Vec<Hash> = signature.path.iter().map(|hash| hash.as_slice().try_into().unwrap()).collect();
        let text = terms.text_over(leaf_of(METHOD, body), signature.size, signature.index, &path).unwrap();
        SignatureAlgorithm::of(key.kind()).verify_by(key, text.as_bytes(), &signature.signature).is_ok()
    }

    #[tokio::test]
    async fn keys_of_every_kind_sign_what_the_service_verifies() {
        let kinds = [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ED25519,
            &rcgen::PKCS_RSA_SHA256,
        ];
        for kind in kinds {
            let (signer, key) = signer(kind);
            let (signature, _under_way) = signer.sign(METHOD, b"body").await.unwrap();
            assert_eq!((signature.size, signature.time_unix_ms), (1, NOW_MS));
            assert!(verifies(&signature, b"body", &key), "{kind:?}");
            assert!(!verifies(&signature, b"another", &key), "{kind:?}");
        }
    }

    #[tokio::test]
    async fn each_signature_is_later_than_the_one_before() {
        let clock_ms = Arc::new(AtomicI64::new(NOW_MS));
        let reads = Arc::clone(&clock_ms);
        let by = Arc::new(move || reads.load(Ordering::Relaxed));
        let (signer, _) = signer_by(&rcgen::PKCS_ED25519, by);
        let mut times = Vec::new();
        // It stands, goes on, is set back by two seconds, and by more than a signature is good for.
        for moved_ms in [0, 0, 1000, -2000, -SLACK_MS] {
            clock_ms.fetch_add(moved_ms, Ordering::Relaxed);
            times.push(signer.sign(METHOD, b"body").await.unwrap().0.time_unix_ms - NOW_MS);
        }
        assert_eq!(times, [0, 1, 1000, 1001, -1000 - SLACK_MS]);
    }

    #[tokio::test(start_paused = true)]
    async fn those_of_a_busy_caller_are_signed_together() {
        let (signer, key) = signer(&rcgen::PKCS_ECDSA_P256_SHA256);
        let mut under_way = Vec::new();
        for _ in 0..BUSY {
            under_way.push(signer.sign(METHOD, b"alone").await.unwrap());
        }
        let many: Vec<_> = (0..TOGETHER_MAX + 44)
            .map(|n| {
                let signer = Arc::clone(&signer);
                tokio::spawn(async move { (n, signer.sign(METHOD, &n.to_be_bytes()).await.unwrap()) })
            })
            .collect();
        let mut signatures = std::collections::BTreeSet::new();
        for one in many {
            let (n, (signature, way)) = one.await.unwrap();
            assert!(verifies(&signature, &n.to_be_bytes(), &key), "{n}");
            signatures.insert(signature.signature);
            under_way.push((RequestSignature::default(), way));
        }
        assert_eq!(signatures.len(), 2, "256 and 44 of them");
        drop(under_way);
        let (signature, _way) = signer.sign(METHOD, b"alone again").await.unwrap();
        assert_eq!(signature.size, 1);
    }
}
