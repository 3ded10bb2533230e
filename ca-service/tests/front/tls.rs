//! The mTLS port's handshake.

use std::{process::Stdio, sync::Arc};

use ca_service::Limits;
use proto::v1::{GetAgentRequest, GetTrustBundleRequest};
use rustls::{AlertDescription, NamedGroup, ProtocolVersion, client::Resumption};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    house::{House, Running},
    pki::{Holder, Pki, anonymous},
};

/// The first bytes of an HTTP/2 connection and an empty SETTINGS frame (RFC 9113 §3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

pub(crate) async fn shake(
    front: &Running,
    config: rustls::ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(front.bound.mtls).await?;
    TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), stream).await
}

/// The alert with which the far end closed: the client of TLS 1.3 hears of it only when it reads.
async fn alert(front: &Running, config: rustls::ClientConfig) -> Option<AlertDescription> {
    let error = match shake(front, config).await {
        Ok(mut stream) => stream.read_u8().await.unwrap_err(),
        Err(error) => error,
    };
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        other => panic!("{other}"),
    }
}

fn reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().map(|info| info.reason).unwrap_or_default())
}

#[tokio::test]
async fn the_handshake_is_1_3_hybrid_h2_and_without_tickets() {
    let house = House::new();
    let front = house.start().await;
    let mut config = house.pki.caller("/agent/a").client(&house.pki.anchors());
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    config.resumption = Resumption::in_memory_sessions(8);
    let mut stream = shake(&front, config).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    // What the server sends first comes after the tickets, if it sends any.
    stream.read_u8().await.unwrap();
    let tls = stream.get_ref().1;
    assert_eq!(tls.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(tls.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
    assert_eq!((tls.alpn_protocol(), tls.tls13_tickets_received()), (Some(&b"h2"[..]), 0));
    drop(stream);
    front.stop().await;
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let house = House::new();
    let front = house.start().await;
    for (version, expected) in [("-tls1_3", true), ("-tls1_2", false)] {
        let output = Command::new("openssl")
            .args(["s_client", "-brief", version, "-connect", &front.bound.mtls.to_string()])
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.contains("CONNECTION ESTABLISHED"), expected, "{version}: {said}");
        assert_eq!(said.contains("alert protocol version"), !expected, "{version}: {said}");
    }
    front.stop().await;
}

#[tokio::test]
async fn whoever_shows_no_certificate_or_anothers_is_refused() {
    let house = House::new();
    let front = house.start().await;
    let anchors = house.pki.anchors();
    assert_eq!(alert(&front, anonymous(&anchors)).await, Some(AlertDescription::CertificateRequired));
    let stranger = Pki::new().caller("/agent/a").client(&anchors);
    let told = alert(&front, stranger).await;
    assert!(matches!(told, Some(AlertDescription::UnknownCA | AlertDescription::DecryptError)), "{told:?}");
    front.stop().await;
}

/// RFC 5280 §6.1: its chain was good in its last second. A stranger's would not have been.
#[tokio::test]
async fn an_expired_caller_hears_of_every_method_that_it_has_expired() {
    let limits = Limits { connections_per_caller: 1, ..Limits::default() };
    let house = House { limits, ..House::new() };
    let mut front = house.start().await;
    let caller = house.pki.caller_until("/agent/a", 60);
    let stranger = Pki::new().caller_until("/agent/a", 60);
    house.set_secs(61);
    let client = front.connect(&house, &caller).await;
    let told = client.agents().get_agent(GetAgentRequest { name: "agents/a".into() }).await.unwrap_err();
    assert_eq!(reason(&told), (Code::Unauthenticated, "CALLER_EXPIRED".into()));
    let told = client.trust().get_trust_bundle(GetTrustBundleRequest {}).await.unwrap_err();
    assert_eq!(reason(&told), (Code::Unauthenticated, "CALLER_EXPIRED".into()));
    assert!(front.asks.try_recv().is_err(), "nothing reaches the keeper");
    // Its connection takes no place of one with a newer certificate.
    let newer = front.connect(&house, &house.pki.caller("/agent/a")).await;
    assert!(newer.trust().get_trust_bundle(GetTrustBundleRequest {}).await.is_ok());
    let told = alert(&front, stranger.client(&house.pki.anchors())).await;
    assert!(matches!(told, Some(AlertDescription::UnknownCA | AlertDescription::DecryptError)), "{told:?}");
    front.stop().await;
}

#[tokio::test]
async fn a_chain_longer_than_any_of_ours_is_refused_unverified() {
    let house = House::new();
    let front = house.start().await;
    let caller = house.pki.caller("/agent/a");
    let anchors = house.pki.anchors();
    let padded = |more: usize| Holder {
        chain: caller.chain.clone() + &anchors.repeat(more),
        key: caller.key.clone(),
        der: caller.der.clone(),
    };
    assert!(alert_or_service(&front, padded(3).client(&anchors)).await);
    // Of a good chain with one more, and of a bad one, the same is said: nothing was verified.
    let told = alert(&front, padded(4).client(&anchors)).await;
    let stranger = Pki::new().caller("/agent/a");
    let long = Holder { chain: stranger.chain.clone() + &anchors.repeat(100), ..stranger };
    assert_eq!(told, alert(&front, long.client(&anchors)).await);
    assert_eq!(told, Some(AlertDescription::HandshakeFailure));
    front.stop().await;
}

#[tokio::test]
async fn a_certificate_of_another_cell_is_nobodys() {
    let house = House::new();
    let front = house.start().await;
    // Verified, and yet without a name of this cell: the connection ends before it serves.
    let nobody = house.pki.caller_in("spiffe://other.example/agent/a");
    let mut stream = shake(&front, nobody.client(&house.pki.anchors())).await.unwrap();
    assert!(stream.read_u8().await.is_err());
    front.stop().await;
}

#[tokio::test]
async fn new_anchors_hold_from_the_next_handshake_on() {
    let house = House::new();
    let front = house.start().await;
    let other = Pki::new();
    let stranger = other.caller("/agent/a");
    let both = house.pki.anchors() + &other.anchors();
    let mut bundles = house.watch(&front).await;
    assert_eq!(bundles.message().await.unwrap().unwrap().bundle.unwrap().number, 1);
    front.far.change_bundle(2, both);
    assert_eq!(bundles.message().await.unwrap().unwrap().bundle.unwrap().number, 2);
    assert!(alert_or_service(&front, stranger.client(&house.pki.anchors())).await);
    drop(bundles);
    front.stop().await;
}

/// Whether the handshake ends in service.
async fn alert_or_service(front: &Running, config: rustls::ClientConfig) -> bool {
    let mut config = config;
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut stream = shake(front, config).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    stream.read_u8().await.is_ok()
}
