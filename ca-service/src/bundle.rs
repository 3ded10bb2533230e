//! The trust bundle as the front uses it: whom to believe on the mTLS port.
//!
//! Does not: check the officers' signatures; the keeper did, and clients that pin the charter do.

use std::sync::Arc;

use proto::v1::TrustBundle;
use rustls::{
    RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};

use crate::verifier::CallersVerifier;

/// A bundle whose anchors can be used.
#[derive(Debug)]
pub(crate) struct Bundle {
    wire: TrustBundle,
    roots: Arc<RootCertStore>,
    verifier: Arc<dyn ClientCertVerifier>,
}

/// Our bug, or the keeper's: it hands out only bundles that it checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnusableBundle {
    /// Not PEM certificates.
    #[error("the anchors are not PEM: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// Not certificates that can anchor a chain.
    #[error("an anchor is not a certificate: {0}")]
    Anchor(#[from] rustls::Error),
    /// None at all.
    #[error("no verifier can be made of the anchors: {0}")]
    Verifier(#[from] VerifierBuilderError),
}

impl TryFrom<TrustBundle> for Bundle {
    type Error = UnusableBundle;

    fn try_from(wire: TrustBundle) -> Result<Self, UnusableBundle> {
        let mut roots = RootCertStore::empty();
        for anchor in CertificateDer::pem_slice_iter(wire.pem.as_bytes()) {
            roots.add(anchor?)?;
        }
        let roots = Arc::new(roots);
        let provider = Arc::new(aws_lc_rs::default_provider());
        // A client certificate is required: the builder's default, said here because everything rests on it.
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider).build()?;
        Ok(Self { wire, roots, verifier: Arc::new(CallersVerifier(verifier)) })
    }
}

impl Bundle {
    /// As it came, for clients.
    pub(crate) fn wire(&self) -> &TrustBundle {
        &self.wire
    }

    /// The anchors, for a chain of our own.
    pub(crate) fn roots(&self) -> &RootCertStore {
        &self.roots
    }

    /// Who demands a certificate of each client, under these anchors.
    pub(crate) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }

    /// Whether this one takes the other's place: a lower number never does, whoever sends it; the same says nothing new.
    pub(crate) fn follows(&self, other: &Self) -> bool {
        self.wire.number > other.wire.number
    }
}
