//! Requests: who asks, what goes to the keeper, what comes back.

use std::time::Duration;

use ca_service::Limits;
use client::Client;
use prost::Message as _;
use proto::{
    door::{answer, ask, caller},
    v1::{
        Certificate, GetAgentRequest, GetAgentResponse, GetStatusRequest, IssueCertificateBody,
        ListEntriesRequest, ListEntriesResponse, Reason, WatchTrustBundleRequest,
    },
};
use rcgen::{CertificateParams, KeyPair};
use sha2::{Digest, Sha256};
use tonic::{Code, Request, Status};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_types::StatusExt;

use crate::{far_end::refusal, house::House, pki::BEGIN_SECS};

fn reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().map(|info| info.reason).unwrap_or_default())
}

fn get_agent() -> GetAgentRequest {
    GetAgentRequest { name: "agents/a".into() }
}

#[tokio::test]
async fn an_issuance_goes_as_the_bytes_that_the_caller_signed() {
    let house = House::new();
    let mut front = house.start().await;
    let holder = house.pki.caller("/controller/build");
    let client = front.connect(&house, &holder).await;
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap();
    let body = IssueCertificateBody {
        agent: "agents/a".into(),
        csr: csr.pem().unwrap().into_bytes(),
        request_id: "once".into(),
        ..IssueCertificateBody::default()
    };
    let sent = body.clone();
    let asked = tokio::spawn(async move { client.issuance().issue_certificate(sent).await });

    let ask = front.asks.recv().await.unwrap();
    let Some(caller::Caller::Presented(presented)) = ask.caller.unwrap().caller else {
        panic!("not presented")
    };
    assert_eq!(presented.certificate_sha256, Sha256::digest(&holder.der).to_vec());
    let Some(ask::Ask::Signed(signed)) = ask.ask else { panic!("not signed") };
    assert_eq!(signed.method, "/rootcellar.v1.IssuanceService/IssueCertificate");
    assert_eq!(signed.body, body.encode_to_vec());
    assert_eq!(signed.signature.unwrap().time_unix_ms, BEGIN_SECS * 1000);
    let certificate = Certificate { name: "certificates/7".into(), ..Certificate::default() };
    front.far.answer(ask.id, answer::Answer::Certificate(certificate.clone()));
    assert_eq!(asked.await.unwrap().unwrap().into_inner().certificate, Some(certificate));
    front.stop().await;
}

#[tokio::test]
async fn a_csr_that_is_not_one_never_reaches_the_keeper() {
    let house = House::new();
    let mut front = house.start().await;
    let client = front.connect(&house, &house.pki.caller("/controller/build")).await;
    let body = IssueCertificateBody { csr: b"nonsense".to_vec(), ..IssueCertificateBody::default() };
    let told = client.issuance().issue_certificate(body).await.unwrap_err();
    assert_eq!(reason(&told), (Code::InvalidArgument, "CSR_MALFORMED".into()));
    assert_eq!(told.get_details_bad_request().unwrap().field_violations[0].field, "csr");
    assert!(front.asks.try_recv().is_err());
    front.stop().await;
}

/// gRPC over HTTP/2, "Requests" and "Responses": another method or content type is no request of gRPC, and gets an answer of HTTP.
#[tokio::test]
async fn what_is_no_grpc_gets_an_answer_of_http() {
    let house = House::new();
    let mut front = house.start().await;
    let caller = house.pki.caller("/controller/build");
    for (method, kind, code) in [
        ("GET", Some("application/grpc"), 405),
        ("PUT", Some("application/grpc"), 405),
        ("POST", Some("text/plain"), 415),
        ("POST", Some("application/grpcx"), 415),
        ("POST", None, 415),
        ("POST", Some("application/grpc;charset=utf-8"), 200),
        ("POST", Some("application/grpc+proto"), 200),
    ] {
        let mut request = http::Request::builder()
            .method(method)
            .uri("https://localhost/rootcellar.v1.AgentService/NoSuchMethod");
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        let answer = front.http2(&house, &caller, request.body(String::new()).unwrap()).await;
        assert_eq!(answer.status(), code, "{method} {kind:?}");
    }
    assert!(front.asks.try_recv().is_err());
    front.stop().await;
}

/// Requests that OpenSSL verifies: their keys are a prime of 2048 bits and a product with 31337, whose private halves follow from the public
/// ones; and the key of RFC 8032 §7.1, test 1.
#[tokio::test]
async fn a_key_whose_private_half_everybody_can_know_never_reaches_the_keeper() {
    let house = House::new();
    let mut front = house.start().await;
    let client = front.connect(&house, &house.pki.caller("/controller/build")).await;
    let seed = "302e020100300506032b657004220420\
                9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let pkcs8 = data_encoding::HEXLOWER.decode(seed.as_bytes()).unwrap();
    let printed = KeyPair::try_from(pkcs8).unwrap();
    let printed = CertificateParams::default().serialize_request(&printed).unwrap();
    let cases = [
        (include_str!("csr/prime-modulus.pem").to_owned(), "a prime or a power of one"),
        (include_str!("csr/factor-31337.pem").to_owned(), "a factor below 2^20"),
        (printed.pem().unwrap(), "a list of known weak keys"),
    ];
    for (csr, why) in cases {
        let body = IssueCertificateBody { csr: csr.into_bytes(), ..IssueCertificateBody::default() };
        let told = client.issuance().issue_certificate(body).await.unwrap_err();
        assert_eq!(reason(&told), (Code::InvalidArgument, "KEY_WEAK".into()));
        assert!(told.message().contains(why), "{}", told.message());
    }
    assert!(front.asks.try_recv().is_err());
    front.stop().await;
}

#[tokio::test]
async fn one_caller_has_its_share_of_what_is_under_way_and_no_more() {
    let limits = Limits { in_flight_per_caller: 2, scans_per_caller: 1, ..Limits::default() };
    let house = House { limits, ..House::new() };
    let mut front = house.start().await;
    let one = front.connect(&house, &house.pki.caller("/controller/one")).await;
    let other = front.connect(&house, &house.pki.caller("/controller/other")).await;
    let ask = |client: &Client| {
        let client = client.clone();
        tokio::spawn(async move { client.agents().get_agent(get_agent()).await })
    };
    let (first, second) = (ask(&one), ask(&one));
    let waiting = [front.asks.recv().await.unwrap(), front.asks.recv().await.unwrap()];
    let told = one.agents().get_agent(get_agent()).await.unwrap_err();
    assert_eq!(reason(&told), (Code::ResourceExhausted, "QUEUE_FULL".into()));
    // Another is not the worse for it.
    let others = ask(&other);
    let asked = front.asks.recv().await.unwrap();
    front.far.answer(asked.id, answer::Answer::GetAgent(GetAgentResponse::default()));
    assert!(others.await.unwrap().is_ok());
    for ask in waiting {
        front.far.answer(ask.id, answer::Answer::GetAgent(GetAgentResponse::default()));
    }
    assert!(first.await.unwrap().is_ok() && second.await.unwrap().is_ok());

    // A list takes its place until it has been read.
    let list = |client: &Client| {
        let client = client.clone();
        tokio::spawn(async move { client.ledger().list_entries(ListEntriesRequest::default()).await })
    };
    let listing = list(&one);
    let asked = front.asks.recv().await.unwrap();
    let told = list(&one).await.unwrap().unwrap_err();
    assert_eq!(reason(&told), (Code::ResourceExhausted, "QUEUE_FULL".into()));
    front.far.answer(asked.id, answer::Answer::ListEntries(ListEntriesResponse::default()));
    assert!(listing.await.unwrap().is_ok());
    let listing = list(&one);
    let asked = front.asks.recv().await.unwrap();
    front.far.answer(asked.id, answer::Answer::ListEntries(ListEntriesResponse::default()));
    assert!(listing.await.unwrap().is_ok());
    front.stop().await;
}

#[tokio::test]
async fn what_is_not_here_is_said_so() {
    let house = House::new();
    let front = house.start().await;
    let client = front.connect(&house, &house.pki.caller("/controller/build")).await;
    let told = client.admin().get_status(GetStatusRequest {}).await.unwrap_err();
    assert_eq!(reason(&told), (Code::PermissionDenied, "CALLER_NOT_ALLOWED".into()));
    front.stop().await;
}

#[tokio::test]
async fn the_keepers_refusal_and_the_request_id_come_back() {
    let house = House::new();
    let mut front = house.start().await;
    let client = front.connect(&house, &house.pki.caller("/agent/a")).await;
    let mut request = Request::new(get_agent());
    request.metadata_mut().insert("x-request-id", "trace-1".parse().unwrap());
    let asked = tokio::spawn(async move { client.agents().get_agent(request).await });
    let ask = front.asks.recv().await.unwrap();
    front.far.answer(ask.id, refusal(Reason::NotFound, "no such agent"));
    let told = asked.await.unwrap().unwrap_err();
    assert_eq!((reason(&told), told.message()), ((Code::NotFound, "NOT_FOUND".into()), "no such agent"));
    assert_eq!(told.metadata().get("x-request-id").unwrap(), "trace-1");
    front.stop().await;
}

#[tokio::test]
async fn a_certificate_that_expires_ends_the_requests_of_a_living_connection() {
    let house = House::new();
    let mut front = house.start().await;
    let client = front.connect(&house, &house.pki.caller_until("/agent/a", 60)).await;
    let agents = client.agents();
    house.set_secs(60);
    let asked = tokio::spawn({
        let mut agents = agents.clone();
        async move { agents.get_agent(get_agent()).await }
    });
    let ask = front.asks.recv().await.unwrap();
    front.far.answer(ask.id, answer::Answer::GetAgent(GetAgentResponse::default()));
    assert!(asked.await.unwrap().is_ok());

    house.set_secs(61);
    let told = client.agents().get_agent(get_agent()).await.unwrap_err();
    assert_eq!(reason(&told), (Code::Unauthenticated, "CALLER_EXPIRED".into()));
    assert!(front.asks.try_recv().is_err());
    front.stop().await;
}

#[tokio::test]
async fn a_deadline_goes_to_the_keeper_and_ends_the_waiting() {
    let limits = Limits { request_timeout: Duration::from_millis(50), ..Limits::default() };
    let house = House { limits, ..House::new() };
    let mut front = house.start().await;
    let client = front.connect(&house, &house.pki.caller("/agent/a")).await;
    // Its own limit ends it, since the far end never answers.
    let told = client.agents().get_agent(get_agent()).await.unwrap_err();
    assert_eq!(reason(&told), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".into()));
    assert!(front.asks.recv().await.unwrap().timeout_ms <= 50);

    let mut request = Request::new(get_agent());
    request.set_timeout(Duration::from_secs(30));
    let asked = tokio::spawn(async move { client.agents().get_agent(request).await });
    let ask = front.asks.recv().await.unwrap();
    assert!((25_000..=30_000).contains(&ask.timeout_ms), "{}", ask.timeout_ms);
    front.far.answer(ask.id, answer::Answer::GetAgent(GetAgentResponse::default()));
    assert!(asked.await.unwrap().is_ok());
    front.stop().await;
}

#[tokio::test]
async fn whoever_waits_when_the_keeper_dies_is_told_when_to_come_back() {
    let house = House::new();
    let mut front = house.start().await;
    let client = front.connect(&house, &house.pki.caller("/agent/a")).await;
    let asked = tokio::spawn(async move { client.agents().get_agent(get_agent()).await });
    front.asks.recv().await.unwrap();
    front.door.abort();
    let told = asked.await.unwrap().unwrap_err();
    assert_eq!(reason(&told), (Code::Unavailable, "KEEPER_UNAVAILABLE".into()));
    let retry = told.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(retry, Some(Duration::from_millis(500)));
    front.stop().await;
}

#[tokio::test]
async fn a_watcher_sees_each_bundle_until_it_is_forgotten() {
    let house = House::new();
    let front = house.start().await;
    let mut bundles = house.watch(&front).await;
    let mut next = async || bundles.message().await.map(|response| response.unwrap().bundle.unwrap().number);
    assert_eq!(next().await.unwrap(), 1);
    front.far.change_bundle(3, house.pki.anchors());
    assert_eq!(next().await.unwrap(), 3);
    // A lower number is nobody's news.
    front.far.change_bundle(2, house.pki.anchors());
    front.far.change_bundle(4, house.pki.anchors());
    assert_eq!(next().await.unwrap(), 4);
    front.far.forget_everyone();
    front.far.change_bundle(5, house.pki.anchors());
    assert_eq!(reason(&next().await.unwrap_err()), (Code::Unauthenticated, "CALLER_REMOVED".into()));
    front.stop().await;
}

#[tokio::test]
async fn what_is_in_flight_is_finished_when_the_front_stops() {
    let house = House::new();
    let mut front = house.start().await;
    let client = front.connect(&house, &house.pki.caller("/agent/a")).await;
    let mut watch = client.trust().watch_trust_bundle(WatchTrustBundleRequest {}).await.unwrap().into_inner();
    watch.message().await.unwrap();
    let asked = tokio::spawn(async move { client.agents().get_agent(get_agent()).await });
    let ask = front.asks.recv().await.unwrap();
    let (far, ended) = front.begin_stop();
    // The watch tells that the end has begun; the request is answered all the same.
    assert_eq!(watch.message().await.unwrap_err().code(), Code::Unavailable);
    far.answer(ask.id, answer::Answer::GetAgent(GetAgentResponse::default()));
    assert!(asked.await.unwrap().is_ok());
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn at_its_age_a_connection_ends_in_order() {
    let limits = Limits { connection_age: Duration::from_millis(50), ..Limits::default() };
    let house = House { limits, ..House::new() };
    let front = house.start().await;
    let mut bundles = house.watch(&front).await;
    let told = loop {
        match bundles.message().await {
            Ok(bundle) => assert!(bundle.is_some()),
            Err(told) => break told,
        }
    };
    assert_eq!(told.code(), Code::Unavailable, "{told}");
    front.stop().await;
}

#[tokio::test]
async fn reflection_names_every_service() {
    let house = House::new();
    let front = house.start().await;
    let request = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    let mut client = ServerReflectionClient::new(
        front.channel(house.pki.caller("/agent/a").client(&house.pki.anchors())).await.unwrap(),
    );
    let stream = client.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let response = stream.into_inner().message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = response else { panic!("{response:?}") };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for service in ["Admin", "Agent", "Issuance", "Ledger", "Trust"] {
        assert!(names.contains(&format!("rootcellar.v1.{service}Service")), "{service}: {names:?}");
    }
    assert!(names.iter().all(|name| !name.contains("keeper")), "the door is private: {names:?}");
    drop(client);
    front.stop().await;
}
