//! The operations port and the local socket.

use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixListener,
    },
};

use ca_service::FrontError;
use client::Client;
use proto::{
    door::{answer, ask, caller},
    v1::{GetStatusRequest, GetStatusResponse},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::house::{House, Running, local};

/// The status line's code, and the body.
async fn ops(front: &Running, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(front.bound.ops).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: ops\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let code = response.split(' ').nth(1).unwrap().parse().unwrap();
    (code, response.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[tokio::test]
async fn the_operations_port_says_yes_or_no_and_no_more() {
    let house = House::new();
    let front = house.start().await;
    assert_eq!(ops(&front, "GET", "/livez").await, (200, "ok".into()));
    assert_eq!(ops(&front, "GET", "/readyz").await, (200, "ok".into()));
    assert_eq!(ops(&front, "POST", "/readyz").await, (405, String::new()));
    assert_eq!(ops(&front, "GET", "/metrics/../x").await, (404, String::new()));
    // The service's own certificate is over.
    house.set_secs(11 * 86_400);
    assert_eq!(ops(&front, "GET", "/readyz").await, (503, "not ready".into()));
    assert_eq!(ops(&front, "GET", "/livez").await, (200, "ok".into()));
    front.stop().await;
}

#[tokio::test]
async fn a_page_of_metrics_is_the_fronts_and_the_keepers_and_names_nobody() {
    let house = House::new();
    let mut front = house.start().await;
    let client = front.connect(&house, &house.pki.caller("/controller/build")).await;
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.admin().get_status(GetStatusRequest {}).await }
    });
    assert!(asked.await.unwrap().is_err());
    let watching = house.watch(&front).await;
    let (code, page) = ops(&front, "GET", "/metrics").await;
    assert_eq!((code, page.matches("# EOF").count()), (200, 1), "{page}");
    assert!(page.ends_with("rootcellar_keeper_entries 7\n# EOF\n"), "{page}");
    for line in [
        "rootcellar_keeper_up 1",
        "rootcellar_front_door_open 1",
        "rootcellar_front_requests_total{method=\"AdminService/GetStatus\",reason=\"CALLER_NOT_ALLOWED\"} 1",
        "rootcellar_front_requests_total{method=\"AdminService/GetStatus\",reason=\"OK\"} 0",
        "rootcellar_front_request_seconds_count{method=\"AdminService/GetStatus\"} 1",
        "rootcellar_front_requests_total{method=\"TrustService/WatchTrustBundle\",reason=\"OK\"} 1",
        "rootcellar_front_requests_in_flight 0",
        "rootcellar_front_handshakes_total{result=\"ok\"} 2",
        "rootcellar_front_connections{listener=\"mtls\"} 2",
        "rootcellar_front_watchers 1",
        "rootcellar_front_certificate_days_left 10.0",
    ] {
        assert!(page.lines().any(|said| said == line), "{line}\n{page}");
    }
    assert!(!page.contains("build") && !page.contains("watcher\""), "it names no caller: {page}");
    drop(watching);
    // Without the keeper it is the front's alone.
    front.door.abort();
    let presence = || async { ops(&front, "GET", "/metrics").await.1 };
    let page = loop {
        let page = presence().await;
        if page.contains("rootcellar_front_door_open 0") {
            break page;
        }
    };
    assert!(page.contains("rootcellar_keeper_up 0\n") && page.ends_with("# EOF\n"), "{page}");
    assert!(!page.contains("rootcellar_keeper_entries"), "{page}");
    assert!(front.asks.try_recv().is_err());
    front.stop().await;
}

#[tokio::test]
async fn without_a_keeper_nothing_is_ready_until_the_next_one() {
    let house = House::new();
    let front = house.start().await;
    let mut health = HealthClient::new(local(house.socket()).await);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    front.door.abort();
    while watch.message().await.unwrap().unwrap().status() != ServingStatus::NotServing {}
    assert_eq!(ops(&front, "GET", "/readyz").await, (503, "not ready".into()));
    assert_eq!(ops(&front, "GET", "/livez").await, (200, "ok".into()));

    let (near, _door) = front.far.open();
    front.doors.send(near).await.unwrap();
    while watch.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    assert_eq!(ops(&front, "GET", "/readyz").await, (200, "ok".into()));
    drop((watch, health));
    front.stop().await;
}

#[tokio::test]
async fn the_local_socket_is_for_user_and_group_and_knows_the_uid() {
    let house = House::new();
    let mut front = house.start().await;
    let file = fs::symlink_metadata(house.socket()).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o7777, 0o660);

    let client = Client::over(local(house.socket()).await);
    let asked = tokio::spawn(async move { client.admin().get_status(GetStatusRequest {}).await });
    let ask = front.asks.recv().await.unwrap();
    assert!(matches!(ask.ask, Some(ask::Ask::GetStatus(_))));
    let uid = rustix::process::getuid().as_raw();
    assert_eq!(ask.caller.unwrap().caller, Some(caller::Caller::LocalUid(uid)));
    let told = GetStatusResponse { ready: true, ..GetStatusResponse::default() };
    front.far.answer(ask.id, answer::Answer::GetStatus(told.clone()));
    // The front adds what it alone knows.
    let listen = front.bound.mtls.to_string();
    assert_eq!(asked.await.unwrap().unwrap().into_inner(), GetStatusResponse { listen, ..told });
    front.stop().await;
    assert!(!house.socket().exists());
}

#[tokio::test]
async fn a_socket_that_someone_serves_is_left_alone() {
    let house = House::new();
    let _other = UnixListener::bind(house.socket()).unwrap();
    assert!(matches!(house.fail(house.config()).await, FrontError::SocketInUse { .. }));
    assert!(UnixStream::connect(house.socket()).await.is_ok());
}

#[tokio::test]
async fn a_stale_socket_gives_way_and_a_file_does_not() {
    let house = House::new();
    drop(UnixListener::bind(house.socket()).unwrap());
    assert!(house.socket().exists());
    house.start().await.stop().await;

    fs::write(house.socket(), "precious").unwrap();
    assert!(matches!(house.fail(house.config()).await, FrontError::Socket { .. }));
    assert_eq!(fs::read_to_string(house.socket()).unwrap(), "precious");
}
