//! Whether it is alive, ready, and what it serves.

use rootcellar_softhsm_tests::{Serving, Signal};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::{House, eventually, inner, issue};

const SERVICES: [&str; 5] =
    ["AdminService", "AgentService", "IssuanceService", "LedgerService", "TrustService"];

#[tokio::test]
async fn grpc_health() {
    let (house, _client) = House::with_build().await;
    let mut health = HealthClient::new(house.channel().await);
    let names = SERVICES.map(|service| format!("rootcellar.v1.{service}"));
    for service in names.into_iter().chain([String::new()]) {
        let answer = inner(health.check(HealthCheckRequest { service }).await);
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    let unknown = health.check(HealthCheckRequest { service: "rootcellar.v1.Other".into() }).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn operations_port() {
    let (house, _client) = House::with_build().await;
    let get = |path: &str| house.serving.ops_get(path);
    let status = |path: &str| get(path).0.split(' ').nth(1).map(ToOwned::to_owned).unwrap();
    assert_eq!(get("/livez"), ("HTTP/1.1 200 OK".to_owned(), "ok".to_owned()));
    eventually("it is ready", async || (status("/readyz") == "200").then_some(())).await;
    for path in ["/", "/metrics/x", "/readyz/more", "/../readyz"] {
        assert_eq!(status(path), "404", "{path}");
    }
    // Without a keeper it lives and is not ready.
    Serving::signal(house.serving.child("keeper"), Signal::STOP);
    eventually("it is not ready", async || (status("/readyz") == "503").then_some(())).await;
    assert_eq!(get("/readyz").1, "not ready", "without a detail");
    assert_eq!(status("/livez"), "200");
    Serving::signal(house.serving.child("keeper"), Signal::CONT);
    eventually("it is ready again", async || (status("/readyz") == "200").then_some(())).await;
    house.cell.run(&["status"]).ok();
}

#[tokio::test]
async fn reflection() {
    let (house, _client) = House::with_build().await;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(house.channel().await);
    let mut answers = inner(reflection.server_reflection_info(tokio_stream::iter([request])).await);
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(listed)) = answer else { panic!("{answer:?}") };
    let names: Vec<String> = listed.service.into_iter().map(|service| service.name).collect();
    for service in SERVICES {
        assert!(names.contains(&format!("rootcellar.v1.{service}")), "{names:?}");
    }
}

/// A log that nobody reads any more, as where its collector hangs: a pipe of one page, full before the service is ready.
#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_nobody() {
    let (mut house, client) = House::with_build().await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    let log = house.cell.path("serve.log");
    std::fs::remove_file(&log).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &log, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    let unread = rustix::fs::open(&log, flags, rustix::fs::Mode::empty()).unwrap();
    rustix::pipe::fcntl_setpipe_size(&unread, 4096).unwrap();
    house.serving = house.cell.serve();
    let client = house.credentials().client().await;
    for number in 0..40 {
        issue(&client, &format!("build/{number}")).await;
    }
    assert_eq!(house.serving.ops_get("/livez").1, "ok");
    drop(client);
    assert_eq!(house.stop().await, 0);
    drop(unread);
}
