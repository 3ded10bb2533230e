//! A cell's certificates for tests, made with rcgen.

use std::{sync::Arc, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, SubjectPublicKeyInfo, date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    time_provider::TimeProvider,
};

/// Seconds since 1970 at which every test begins: 2027-01-15T08:00:00Z.
pub(crate) const BEGIN_SECS: i64 = 1_800_000_000;

/// A cell's anchor, which issues all by itself.
pub(crate) struct Pki {
    root: CertifiedIssuer<'static, KeyPair>,
}

/// A key and its certificate, PEM.
pub(crate) struct Holder {
    pub(crate) chain: String,
    pub(crate) key: String,
    pub(crate) der: Vec<u8>,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let mut params = params(4_000);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self { root: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    pub(crate) fn anchors(&self) -> String {
        self.root.pem()
    }

    /// A caller of this SPIFFE path, for ten years.
    pub(crate) fn caller(&self, path: &str) -> Holder {
        self.caller_until(path, 3_650 * 86_400)
    }

    /// A certificate for this URI, whosever it is.
    pub(crate) fn caller_in(&self, uri: &str) -> Holder {
        self.holder(uri, 3_650 * 86_400)
    }

    /// A caller whose certificate has so many seconds to live, the last one included.
    pub(crate) fn caller_until(&self, path: &str, seconds: i64) -> Holder {
        self.holder(&format!("spiffe://cell.example{path}"), seconds)
    }

    fn holder(&self, uri: &str, seconds: i64) -> Holder {
        let mut params = params(0);
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(after(seconds));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.root).unwrap();
        Holder { chain: certificate.pem(), key: key.serialize_pem(), der: certificate.der().to_vec() }
    }

    /// What the keeper answers to `Serve`: a chain for the key of this CSR, ten days long.
    pub(crate) fn serve(&self, csr: &[u8]) -> Vec<Vec<u8>> {
        let mut params = params(10);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into().unwrap()),
            SanType::URI("spiffe://cell.example/service/ca".try_into().unwrap()),
        ];
        let csr = certs::csr::check(csr).unwrap();
        let key = SubjectPublicKeyInfo::from_der(csr.public_key().spki_der()).unwrap();
        vec![params.signed_by(&key, &self.root).unwrap().der().to_vec()]
    }
}

impl Holder {
    /// TLS settings of this caller at the beginning's time, with these protocol versions.
    pub(crate) fn client(&self, anchors: &str) -> ClientConfig {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        builder(anchors).with_client_auth_cert(chain, key).unwrap()
    }
}

/// Settings of a client that has no certificate.
pub(crate) fn anonymous(anchors: &str) -> ClientConfig {
    builder(anchors).with_no_client_auth()
}

fn builder(anchors: &str) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(anchors.as_bytes()).unwrap()).unwrap();
    ClientConfig::builder_with_details(Arc::new(aws_lc_rs::default_provider()), Arc::new(AtBeginning))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
}

#[derive(Debug)]
struct AtBeginning;

impl TimeProvider for AtBeginning {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(after(0))))
    }
}

/// From a minute before the beginning.
fn params(days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(after(-60));
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(after(days * 86_400));
    params
}

/// Seconds since 1970, so many after the beginning.
fn after(seconds: i64) -> u64 {
    (BEGIN_SECS + seconds).unsigned_abs()
}
