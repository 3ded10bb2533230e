//! Who the caller is.

use std::process::{Command, Stdio};

use proto::v1::{
    Agent, DeleteAgentBody, GetAgentRequest, GetStatusRequest, GetTrustBundleRequest, ListAgentsRequest,
    RenewCertificateBody, UpdateAgentBody,
};
use rootcellar_softhsm_tests::Cell;
use tonic::Code;

use crate::support::{BINARY, Holder, House, ask, csr, issue, refused, request, still_issues};
use crate::wire;

#[tokio::test]
async fn kinds() {
    let (house, client) = House::with_build().await;
    let holder = Holder::ask(&client, "build/a", |_| {}).await;
    let agent = holder.client(&house).await;
    // Who reaches the local socket with a controller's key is no controller there.
    let own = house.credentials();
    let local = house.local().await.signing(house.signer(&own.read("chain.pem"), &own.read("key.pem")));
    for caller in [&agent, &local] {
        refused(ask(caller, request("build/b", csr())).await, Code::PermissionDenied, "CALLER_NOT_ALLOWED");
    }
    let listed = agent.agents().list_agents(ListAgentsRequest::default()).await;
    refused(listed, Code::PermissionDenied, "CALLER_NOT_ALLOWED");
    let renewal = RenewCertificateBody { csr: csr(), ..RenewCertificateBody::default() };
    let renewed = local.issuance().renew_certificate(renewal).await;
    refused(renewed, Code::PermissionDenied, "CALLER_NOT_ALLOWED");
    let status = client.admin().get_status(GetStatusRequest {}).await;
    refused(status, Code::PermissionDenied, "CALLER_NOT_ALLOWED");
    still_issues(&client).await;
}

#[tokio::test]
async fn strangers() {
    let (house, client) = House::with_build().await;
    let anchors = house.anchors();
    let reaches = async |chain: &str, key: &str| -> bool {
        // In TLS 1.3 a client hears of the refusal with its first answer.
        match wire::connect(house.serving.port, [&anchors, chain, key], 0).await {
            Ok(mut wire) => {
                wire.get_certificate(proto::v1::GetCertificateRequest::default()).await.unwrap_err().code()
                    == Code::InvalidArgument
            }
            Err(_) => false,
        }
    };
    let own = house.credentials();
    assert!(reaches(&own.read("chain.pem"), &own.read("key.pem")).await, "the cell's controller is served");
    assert!(!reaches("", "").await, "without a certificate");
    let elsewhere = House::new();
    elsewhere.build().await;
    let others = elsewhere.credentials();
    assert!(!reaches(&others.read("chain.pem"), &others.read("key.pem")).await, "with another cell's");
    let connect = format!("127.0.0.1:{}", house.serving.port);
    for (version, accepted) in [("-tls1_3", true), ("-tls1_2", false)] {
        let mut client = Command::new("openssl");
        client.args(["s_client", "-brief", version, "-connect", &connect]).stdin(Stdio::null());
        let said = client.output().unwrap().stderr;
        let said = String::from_utf8_lossy(&said);
        assert_eq!(said.contains("CONNECTION ESTABLISHED"), accepted, "{version}: {said}");
    }
    still_issues(&client).await;
}

/// The service's directory at an earlier time, put back: it does not know what it issued since.
#[tokio::test]
async fn unknown() {
    let cell = Cell::founded(BINARY);
    let (data, backup) = (cell.data_dir(), cell.path("backup"));
    copy(&data, &backup);
    let mut house = House::of(cell);
    house.build().await;
    assert_eq!(house.stop().await, 0);
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    house.serving = house.cell.serve();
    let client = house.credentials().client().await;
    let bundle = client.trust().get_trust_bundle(GetTrustBundleRequest {}).await;
    refused(bundle, Code::Unauthenticated, "CALLER_UNKNOWN");
    refused(ask(&client, request("build/a", csr())).await, Code::Unauthenticated, "CALLER_UNKNOWN");
    let known = house.controller("known", "agents=build/*;roles=logger").client().await;
    still_issues(&known).await;
}

/// `cp --archive`: modes and all.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    let copied = Command::new("cp").arg("--archive").args([from, to]).status().expect("cp runs");
    assert!(copied.success());
}

#[tokio::test]
async fn expired() {
    let (house, client) = House::with_build().await;
    let short = |seconds| {
        move |request: &mut proto::v1::IssueCertificateBody| {
            request.lifetime = Some(prost_types::Duration { seconds, nanos: 0 });
        }
    };
    let holder = Holder::ask(&client, "build/a", short(600)).await;
    let agent = holder.client(&house).await;
    let myself = || GetAgentRequest { name: "agents/build/a".into() };
    agent.agents().get_agent(myself()).await.expect("it is valid now");
    house.cell.set_clock(601_000);
    refused(agent.agents().get_agent(myself()).await, Code::Unauthenticated, "CALLER_EXPIRED");
    // On a new connection, too.
    let again = holder.try_client(&house).await.expect("it may come in, to hear this");
    let bundle = again.trust().get_trust_bundle(GetTrustBundleRequest {}).await;
    refused(bundle, Code::Unauthenticated, "CALLER_EXPIRED");
    refused(again.agents().get_agent(myself()).await, Code::Unauthenticated, "CALLER_EXPIRED");
    let renewal = RenewCertificateBody { csr: csr(), request_id: "late".into(), ..Default::default() };
    refused(again.issuance().renew_certificate(renewal).await, Code::Unauthenticated, "CALLER_EXPIRED");
    still_issues(&client).await;
}

#[tokio::test]
async fn removed() {
    let (house, client) = House::with_build().await;
    let disabled = Holder::ask(&client, "build/disabled", |_| {}).await.client(&house).await;
    let holder = Holder::ask(&client, "build/deleted", |_| {}).await;
    let deleted = holder.client(&house).await;
    let change = Agent { name: "agents/build/disabled".into(), disabled: true, ..Agent::default() };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["disabled".into()] });
    let update = UpdateAgentBody { agent: Some(change), update_mask, ..UpdateAgentBody::default() };
    let delete = DeleteAgentBody { name: "agents/build/deleted".into(), ..DeleteAgentBody::default() };
    client.agents().update_agent(update).await.unwrap();
    client.agents().delete_agent(delete).await.unwrap();
    for (id, agent) in [("build/disabled", disabled), ("build/deleted", deleted)] {
        let myself = agent.agents().get_agent(GetAgentRequest { name: format!("agents/{id}") }).await;
        refused(myself, Code::Unauthenticated, "CALLER_REMOVED");
        let renewal = RenewCertificateBody { csr: csr(), ..RenewCertificateBody::default() };
        let renewed = agent.issuance().renew_certificate(renewal).await;
        refused(renewed, Code::Unauthenticated, "CALLER_REMOVED");
    }
    // An agent of the same name made anew does not bring the old certificate back.
    issue(&client, "build/deleted").await;
    let old = holder.client(&house).await;
    let myself = old.agents().get_agent(GetAgentRequest { name: "agents/build/deleted".into() }).await;
    refused(myself, Code::Unauthenticated, "CALLER_REMOVED");

    let other = house.controller("other", "agents=other/*;roles=logger").client().await;
    house.cell.run(&["controller", "remove", "build"]).ok();
    refused(ask(&client, request("build/a", csr())).await, Code::Unauthenticated, "CALLER_REMOVED");
    issue(&other, "other/a").await;
}
