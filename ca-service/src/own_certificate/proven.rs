//! A key and a chain that a peer would accept.

use std::{sync::Arc, time::Duration};

use cell::SpiffeId;
use proto::door::Presented;
use rustls::{
    RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::{bundle::Bundle, steps, tls::time_of};

/// A key, and a chain for it that was good under the anchors. Only [`Self::new`] makes one.
pub(super) struct Proven {
    key: Arc<CertifiedKey>,
    /// Seconds since 1970, inclusive.
    not_before: i64,
    /// Seconds since 1970, inclusive.
    not_after: i64,
}

/// Why a chain is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unproven {
    /// The chain is empty or not of certificates.
    #[error("the chain does not begin with a certificate")]
    NoLeaf,
    /// The clock is before 1970.
    #[error("the clock is before 1970")]
    Clock,
    /// It is somebody else's.
    #[error("the certificate is not for {0} alone")]
    OtherName(SpiffeId),
    /// A peer would refuse it.
    #[error("the chain is not good under the trust bundle, or not for this key: {0}")]
    Refused(#[from] rustls::Error),
}

impl Proven {
    /// Checks that the leaf is for this name, the key the leaf's, and the chain good at this time, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`Unproven`].
    pub(super) fn new(
        key: PrivateKeyDer<'static>,
        chain: Vec<CertificateDer<'static>>,
        bundle: &Bundle,
        (name, now_ms): (SpiffeId, i64),
    ) -> Result<Self, Unproven> {
        let leaf = chain.first().ok_or(Unproven::NoLeaf)?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| Unproven::NoLeaf)?;
        let (not_before, not_after) =
            (parsed.validity().not_before.timestamp(), parsed.validity().not_after.timestamp());
        // X509-SVID §4.2: it has one. Who wrote the stored one, nobody knows.
        if steps::only_uri(&parsed).ok() != Some(&*name.to_string()) {
            return Err(Unproven::OtherName(name));
        }
        verify(&chain, bundle.roots(), now_ms)?;
        let key = Arc::new(CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?);
        Ok(Self { key, not_before, not_after })
    }

    /// Whether it is good under these anchors, now.
    pub(super) fn stands(&self, bundle: &Bundle, now_ms: i64) -> bool {
        verify(&self.key.cert, bundle.roots(), now_ms).is_ok()
    }

    /// Whether its time has come and is not over (RFC 5280 §4.1.2.5: both seconds inclusive).
    pub(super) fn is_valid(&self, now_ms: i64) -> bool {
        (self.not_before..=self.not_after).contains(&now_ms.div_euclid(1000))
    }

    /// Until half of its life is over; zero when it is.
    pub(super) fn half_life_in(&self, now_ms: i64) -> Duration {
        let half = self.not_before.midpoint(self.not_after).saturating_mul(1000);
        Duration::from_millis(u64::try_from(half.saturating_sub(now_ms)).unwrap_or(0))
    }

    /// Its last second, inclusive, since 1970.
    pub(super) fn not_after(&self) -> i64 {
        self.not_after
    }

    /// The leaf, as one who presents it.
    pub(super) fn presented(&self) -> Option<Presented> {
        let leaf = self.key.cert.first()?;
        let (_, parsed) = X509Certificate::from_der(leaf).ok()?;
        Some(steps::presented(leaf, &parsed))
    }

    /// For handshakes.
    pub(super) fn key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.key)
    }
}

/// As a client would (RFC 5280 §6.1), but for the name: which names it is reached by, each client knows for itself.
fn verify(chain: &[CertificateDer<'_>], roots: &RootCertStore, now_ms: i64) -> Result<(), Unproven> {
    let (leaf, issuers) = chain.split_first().ok_or(Unproven::NoLeaf)?;
    let leaf = ParsedCertificate::try_from(leaf)?;
    let now = time_of(now_ms).ok_or(Unproven::Clock)?;
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    Ok(verify_server_cert_signed_by_trust_anchor(&leaf, roots, issuers, now, algorithms.all)?)
}
