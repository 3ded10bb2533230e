//! A connection without a mind of its own: certificates are judged at the cell's time, not at the machine's, and nothing but the service
//! looks at a deadline.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use client::Signer;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use prost::bytes::{Buf as _, BufMut as _};
use proto::v1::issuance_service_client::IssuanceServiceClient;
use proto::v1::{
    IssueCertificateBody, IssueCertificateRequest, IssueCertificateResponse, RenewCertificateBody,
    RenewCertificateRequest, RenewCertificateResponse, RequestSignature,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Response, Status};

use crate::support::House;

/// A caller on such a connection, who signs its requests.
pub(crate) struct Caller {
    service: IssuanceServiceClient<Wire>,
    signer: Arc<Signer>,
}

impl Caller {
    /// A controller or agent by its chain and key (PEM), `moved_secs` from the true time.
    ///
    /// # Errors
    /// The handshake's.
    pub(crate) async fn connect(
        house: &House,
        chain: &str,
        key: &str,
        moved_secs: i64,
    ) -> std::io::Result<Self> {
        let service = connect(house.serving.port, [&house.anchors(), chain, key], moved_secs).await?;
        Ok(Self { service, signer: house.signer(chain, key) })
    }

    /// The controller "build".
    pub(crate) async fn build(house: &House) -> Self {
        let credentials = house.credentials();
        let (chain, key) = (credentials.read("chain.pem"), credentials.read("key.pem"));
        Self::connect(house, &chain, &key, 0).await.expect("a connection")
    }

    /// Asks for a certificate; `timeout` as in gRPC's header ("300m").
    pub(crate) async fn issue(
        &mut self,
        body: &IssueCertificateBody,
        timeout: Option<&'static str>,
    ) -> Result<Response<IssueCertificateResponse>, Status> {
        let (body, signature) = self.signed("IssueCertificate", body).await;
        let mut request = Request::new(IssueCertificateRequest { body, signature });
        timeout.map(|timeout| {
            request.metadata_mut().insert("grpc-timeout", timeout.parse().expect("a timeout"))
        });
        self.service.issue_certificate(request).await
    }

    /// Renews the certificate that it presents.
    pub(crate) async fn renew(
        &mut self,
        body: &RenewCertificateBody,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        let (body, signature) = self.signed("RenewCertificate", body).await;
        self.service.renew_certificate(RenewCertificateRequest { body, signature }).await
    }

    async fn signed(&self, method: &str, body: &impl Message) -> (Vec<u8>, Option<RequestSignature>) {
        let (body, method) = (body.encode_to_vec(), format!("/rootcellar.v1.IssuanceService/{method}"));
        let (signature, _under_way) = self.signer.sign(&method, &body).await.expect("a signature");
        (body, Some(signature))
    }
}

/// Requests over one HTTP/2 connection.
#[derive(Clone)]
pub(crate) struct Wire(SendRequest<Body>);

impl tower::Service<http::Request<Body>> for Wire {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// The machine's time, moved.
#[derive(Debug)]
struct Moved(i64);

impl TimeProvider for Moved {
    fn current_time(&self) -> Option<UnixTime> {
        let now = UnixTime::now().as_secs().checked_add_signed(self.0)?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(now)))
    }
}

/// Connects to a port of this machine with a chain and a key (PEM), `moved_secs` from the true time.
///
/// # Errors
/// The handshake's.
pub(crate) async fn connect(
    port: u16,
    [anchors, chain, key]: [&str; 3],
    moved_secs: i64,
) -> std::io::Result<IssuanceServiceClient<Wire>> {
    let config = client_config([anchors, chain, key], moved_secs);
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = "localhost".try_into().expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (sender, connection) = handshake.map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    let origin = http::Uri::from_static("https://localhost");
    Ok(IssuanceServiceClient::with_origin(Wire(sender), origin))
}

/// TLS as that connection has it.
pub(crate) fn client_config([anchors, chain, key]: [&str; 3], moved_secs: i64) -> ClientConfig {
    let certificates = |pem: &str| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().expect("PEM")
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(anchors));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(Moved(moved_secs)));
    let builder =
        builder.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
    let mut config = if chain.is_empty() {
        builder.with_no_client_auth()
    } else {
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        builder.with_client_auth_cert(certificates(chain), key).expect("chain and key")
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Octets as they are, in the place of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsIs;

impl Codec for AsIs {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for AsIs {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, octets: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&octets);
        Ok(())
    }
}

impl Decoder for AsIs {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}
