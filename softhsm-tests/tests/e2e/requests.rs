//! Requests that are refused for themselves: their fields, their identities, their idempotency keys, their deadlines.

use std::sync::Arc;

use client::Signer;
use ledger::entry::entry::Kind;
use prost::Message as _;
use proto::v1::{
    Agent, BatchCreateAgentsBody, CreateAgentBody, GetCertificateRequest, GetConsistencyProofRequest,
    IssueCertificateBody, ListAgentsRequest, ListCertificatesRequest, UpdateAgentBody,
};
use rcgen::{KeyPair, PublicKeyData as _};
use rootcellar_softhsm_tests::newest_log;
use sha2::{Digest as _, Sha256};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt as _;

use crate::support::{
    House, ask, csr, csr_of, eventually, inner, issuance_of, issue, refused, request, still_issues,
};
use crate::wire;

/// A refusal for a field.
#[track_caller]
fn malformed<T>(answer: Result<T, Status>, field: &str) {
    let status = refused(answer, Code::InvalidArgument, "REQUEST_MALFORMED");
    let violations = status.get_details_bad_request().expect("the field at fault").field_violations;
    assert_eq!(violations[0].field, field, "{violations:?}");
}

fn with(change: impl FnOnce(&mut IssueCertificateBody)) -> IssueCertificateBody {
    let mut request = request("build/a", csr());
    change(&mut request);
    request
}

#[tokio::test]
async fn malformed_fields() {
    let (_house, client) = House::with_build().await;
    let lifetime =
        |seconds, nanos| with(|request| request.lifetime = Some(prost_types::Duration { seconds, nanos }));
    let id = |id: &str| with(|request| request.request_id = id.to_owned());
    let described = |agent| with(|request| request.description = Some(agent));
    let word = |word: &str| vec![word.to_owned()];
    for (request, field) in [
        (with(|request| request.csr.clear()), "csr"),
        (lifetime(9, 0), "lifetime"),
        (lifetime(86_401, 0), "lifetime"),
        (lifetime(-1, 0), "lifetime"),
        (lifetime(60, 1), "lifetime"),
        (id("two words"), "request_id"),
        (id(&"x".repeat(65)), "request_id"),
        (described(Agent { roles: word("UPPER"), ..Agent::default() }), "roles"),
        (described(Agent { tags: (0..17).map(|i| format!("t{i}")).collect(), ..Agent::default() }), "tags"),
        (described(Agent { dns_names: word("*.mesh.internal"), ..Agent::default() }), "dns_names"),
    ] {
        malformed(ask(&client, request).await, field);
    }
    let (mut agents, mut issuance) = (client.agents(), client.issuance());
    malformed(agents.create_agent(CreateAgentBody::default()).await, "agent");
    for count in [0, 101] {
        let named = (0..count).map(|i| agent(&format!("build/{i}"))).collect();
        let batch = BatchCreateAgentsBody { agents: named, ..BatchCreateAgentsBody::default() };
        malformed(agents.batch_create_agents(batch).await, "agents");
    }
    let twice =
        BatchCreateAgentsBody { agents: vec![agent("build/x"); 2], ..BatchCreateAgentsBody::default() };
    malformed(agents.batch_create_agents(twice).await, "agents");
    malformed(
        agents.list_agents(ListAgentsRequest { page_size: -1, ..ListAgentsRequest::default() }).await,
        "page_size",
    );
    issue(&client, "build/there").await;
    let update_mask = Some(prost_types::FieldMask { paths: word("owner") });
    let agent = Some(Agent { name: "agents/build/there".into(), ..Agent::default() });
    let update = UpdateAgentBody { agent, update_mask, ..UpdateAgentBody::default() };
    malformed(agents.update_agent(update).await, "update_mask");
    malformed(
        issuance.get_certificate(GetCertificateRequest { name: "certificates/x".into() }).await,
        "name",
    );
    let list = |page_token: &str, filter: &str| ListCertificatesRequest {
        page_token: page_token.into(),
        filter: filter.into(),
        ..ListCertificatesRequest::default()
    };
    malformed(issuance.list_certificates(list("x", "")).await, "page_token");
    malformed(issuance.list_certificates(list("", "serial = 1")).await, "filter");
    malformed(
        client.ledger().get_consistency_proof(GetConsistencyProofRequest { old_size: 0 }).await,
        "old_size",
    );
    still_issues(&client).await;
}

fn agent(id: &str) -> Agent {
    Agent { name: format!("agents/{id}"), ..Agent::default() }
}

fn create(id: &str) -> CreateAgentBody {
    CreateAgentBody { agent: Some(agent(id)), ..CreateAgentBody::default() }
}

#[tokio::test]
async fn malformed_and_reserved_identities() {
    let (_house, client) = House::with_build().await;
    let long = format!("build/{}", "x".repeat(200));
    let reserved = ["controller/build", "officer/a", "service/front", "auditor/a"];
    let malformed = [
        "",
        "build/",
        "/build",
        "build//a",
        "build/../a",
        "build/.",
        "build/ä",
        "build/a b",
        &long,
        "a/b/c/d/e/f/g/h/i",
    ];
    for id in reserved.into_iter().chain(malformed) {
        refused(ask(&client, request(id, csr())).await, Code::InvalidArgument, "IDENTITY_INVALID");
        let created = client.agents().create_agent(create(id)).await;
        refused(created, Code::InvalidArgument, "IDENTITY_INVALID");
    }
    let no_collection = with(|request| request.agent = "build/a".into());
    refused(ask(&client, no_collection).await, Code::InvalidArgument, "IDENTITY_INVALID");
    still_issues(&client).await;
}

#[tokio::test]
async fn request_id() {
    let (_house, client) = House::with_build().await;
    let key = KeyPair::generate().unwrap();
    let named = |id: &str, key: &KeyPair| {
        let mut request = request(id, csr_of(key));
        request.request_id = "once".into();
        request
    };
    let first = ask(&client, named("build/a", &key)).await.unwrap();
    // A CSR of the same key, signed anew: the same request.
    assert_eq!(ask(&client, named("build/a", &key)).await.unwrap(), first);
    let other_key = KeyPair::generate().unwrap();
    for other in [named("build/a", &other_key), named("build/b", &key)] {
        refused(ask(&client, other).await, Code::AlreadyExists, "REQUEST_ID_REUSED");
    }
    still_issues(&client).await;
}

#[tokio::test]
async fn key_in_use() {
    let (house, client) = House::with_build().await;
    let key = KeyPair::generate().unwrap();
    ask(&client, request("build/a", csr_of(&key))).await.unwrap();
    let cloned = ask(&client, request("build/b", csr_of(&key))).await;
    refused(cloned, Code::FailedPrecondition, "KEY_IN_USE");
    let clash = eventually("the ledger has both", async || {
        let kinds =
            house.entries().await.into_iter().map(|entry| ledger::entry::decode(&entry.entry).unwrap().kind);
        kinds.into_iter().find_map(|kind| match kind {
            Some(Kind::Refusals(refusals)) => refusals.key_clashes.into_iter().next(),
            _ => None,
        })
    })
    .await;
    assert_eq!((clash.holder.as_str(), clash.claimant.as_str()), ("/agent/build/a", "/agent/build/b"));
    assert_eq!((clash.spki_sha256, clash.count), (Sha256::digest(key.subject_public_key_info()).to_vec(), 1));
    eventually("the log says so", async || {
        house.serving.log().contains("key-of-two-identities").then_some(())
    })
    .await;
    // A flood of them is one line a minute.
    for n in 0..20 {
        let cloned = ask(&client, request(&format!("build/again-{n}"), csr_of(&key))).await;
        refused(cloned, Code::FailedPrecondition, "KEY_IN_USE");
    }
    let told = house.serving.log().matches("key-of-two-identities").count();
    assert!(told <= 2, "{told} lines");
    let controllers = KeyPair::from_pem(&house.credentials().read("key.pem")).unwrap();
    let borrowed = ask(&client, request("build/c", csr_of(&controllers))).await;
    refused(borrowed, Code::FailedPrecondition, "KEY_IN_USE");
    ask(&client, request("build/a", csr_of(&key))).await.expect("the same identity keeps its key");
}

/// Calls a method with what protobuf knows as a message of one bytes field.
async fn call(house: &House, path: &'static str, field: &[u8]) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(house.channel().await);
    grpc.ready().await.expect("the connection is there");
    let codec = ProstCodec::<Vec<u8>, Vec<u8>>::default();
    let path = http::uri::PathAndQuery::from_static(path);
    grpc.unary(Request::new(field.to_vec()), path, codec).await.map(drop)
}

#[tokio::test]
async fn not_served() {
    let (house, client) = House::with_build().await;
    for path in ["/rootcellar.v1.AgentService/Nothing", "/rootcellar.keeper.v1.Door/Ask", "/"] {
        refused(call(&house, path, b"").await, Code::Unimplemented, "NOT_SERVED");
    }
    still_issues(&client).await;
}

#[tokio::test]
async fn no_protobuf() {
    let (house, client) = House::with_build().await;
    // A name is UTF-8 (protobuf, "Scalar Value Types").
    let told = call(&house, "/rootcellar.v1.AgentService/GetAgent", &[0xff]).await;
    refused(told, Code::InvalidArgument, "REQUEST_MALFORMED");
    still_issues(&client).await;
}

#[tokio::test]
async fn deadline() {
    let (house, faults) = House::with_faults();
    let client = house.build().await;
    let mut wire = wire::Caller::build(&house).await;
    let (key, before) = (KeyPair::generate().unwrap(), house.entries().await.len());
    let mut slow = request("build/slow", csr_of(&key));
    slow.request_id = "slow".into();
    faults.set("delay=1500");
    for timeout in ["300m", "1n"] {
        let late = wire.issue(&slow, Some(timeout)).await;
        refused(late, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    }
    faults.set("");
    let certificate = inner(wire.issue(&slow, None).await).certificate.unwrap();
    assert!(!certificate.chain.is_empty());
    let made = house.entries().await.len() - before;
    assert_eq!(made, 2, "one agent, one certificate");
    still_issues(&client).await;
}

#[tokio::test]
async fn deadline_that_cannot_be_met() {
    let (house, faults) = House::with_faults();
    let client = house.build().await;
    let mut wire = wire::Caller::build(&house).await;
    // The token becomes slow, and the keeper learns it.
    faults.set("delay=400");
    for _ in 0..4 {
        still_issues(&client).await;
    }
    let waiting: Vec<_> = (0..24)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move { ask(&client, request(&format!("build/{number}"), csr())).await })
        })
        .collect();
    eventually("they wait for the token", async || {
        let status = house.local().await.admin().get_status(proto::v1::GetStatusRequest {}).await;
        (inner(status).pending >= 20).then_some(())
    })
    .await;
    let (before, signed) = (house.entries().await.len(), faults.signed().len());
    let mut late = request("build/late", csr());
    late.request_id = "late".into();
    let asked = std::time::Instant::now();
    let late = wire.issue(&late, Some("500m")).await;
    assert!(asked.elapsed().as_millis() < 450, "it is refused at once");
    let status = refused(late, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert!(status.message().contains("nothing was recorded"), "{}", status.message());
    let subjects = house
        .entries()
        .await
        .iter()
        .filter_map(issuance_of)
        .map(|issuance| issuance.subject)
        .collect::<Vec<_>>();
    assert!(!subjects.contains(&"/agent/build/late".to_owned()));
    assert!(house.entries().await.len() >= before && faults.signed().len() >= signed);
    faults.set("");
    for waited in waiting {
        waited.await.unwrap().expect("those before it are granted");
    }
}

/// A caller whose clock is wrong is told so, by a number.
#[tokio::test]
async fn signed_at_another_time() {
    let (house, client) = House::with_build().await;
    let credentials = house.credentials();
    let log = newest_log(&credentials.read("bundle.note"));
    for apart_ms in [-301_000, 302_000] {
        let clock = house.cell.clock();
        let signer = Signer::new(
            &credentials.read("chain.pem"),
            &credentials.read("key.pem"),
            &log,
            Arc::new(move || clock() + apart_ms),
        );
        let wrong = client.clone().signing(signer.unwrap());
        let told =
            refused(ask(&wrong, request("build/a", csr())).await, Code::Unauthenticated, "SIGNATURE_EXPIRED");
        assert!(told.message().contains("set the clock"), "{}", told.message());
    }
    still_issues(&client).await;
}

/// As where an older request arrives behind a later one.
#[tokio::test]
async fn signed_before_a_change() {
    let (house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    let update = |disabled, request_id: &str| UpdateAgentBody {
        agent: Some(Agent { name: "agents/build/a".into(), disabled, ..Agent::default() }),
        request_id: request_id.into(),
        ..UpdateAgentBody::default()
    };
    client.agents().update_agent(update(true, "disable")).await.expect("its owner disables it");
    let (credentials, behind) = (house.credentials(), Arc::new((-10_000).into()));
    let signer = house.signer_ahead(&credentials.read("chain.pem"), &credentials.read("key.pem"), &behind);
    let older = client.clone().signing(signer);
    let told = older.agents().update_agent(update(false, "enable")).await;
    let told = refused(told, Code::Unauthenticated, "SIGNATURE_EXPIRED");
    assert!(told.message().contains("sign anew"), "{}", told.message());
    client.agents().update_agent(update(false, "enable")).await.expect("signed anew");
    still_issues(&client).await;
}

/// Whatever octets a method is given, the fault is the caller's, and is named.
#[tokio::test]
async fn any_octets() {
    let (house, client) = House::with_build().await;
    let files = prost_types::FileDescriptorSet::decode(proto::DESCRIPTORS).unwrap().file;
    let services = files.iter().flat_map(|file| file.service.iter().map(move |service| (file, service)));
    let methods: Vec<&'static str> = services
        .flat_map(|(file, service)| {
            let unary = service.method.iter().filter(|method| !method.server_streaming());
            unary.map(move |method| format!("/{}.{}/{}", file.package(), service.name(), method.name()))
        })
        .map(|path| &*path.leak())
        .collect();
    assert!(methods.len() > 20, "{methods:?}");
    let mut grpc = tonic::client::Grpc::new(house.channel().await);
    let (mut asked, mut chance) = (0, 0x5EED_u64);
    for round in 0..25_u32 {
        for path in &methods {
            // Fields of one octet's key, of every wire type, cut anywhere.
            let mut octets = Vec::new();
            for _ in 0..round {
                chance =
                    chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                octets.extend_from_slice(&chance.to_be_bytes()[..usize::try_from(round % 4 + 1).unwrap()]);
            }
            grpc.ready().await.expect("the connection is there");
            let path = http::uri::PathAndQuery::from_static(path);
            let told = grpc.unary(Request::new(octets.clone()), path.clone(), wire::AsIs).await;
            asked += 1;
            let Err(status) = told else { continue };
            let reason = status.get_details_error_info().map(|info| info.reason);
            assert!(
                !matches!(status.code(), Code::Internal | Code::Unknown) && reason.is_some(),
                "{path} {octets:?}: {status:?}"
            );
        }
    }
    assert!(asked >= 500, "{asked}");
    still_issues(&client).await;
}
