//! The operations port, and the services over the keeper's own socket.

use std::{io, net::SocketAddr, os::unix::net::UnixListener, sync::Arc};

use ca_service::connect_locally;
use client::Client;
use hyper_util::rt::TokioIo;
use proto::{
    door::{answer, ask},
    v1::{GetStatusRequest, GetStatusResponse},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::transport::{Endpoint, Uri};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    far_end::FarEnd,
    house::{House, Running},
};

/// The status line's code, and the body.
pub(crate) async fn ops(front: &Running, method: &str, path: &str) -> (u16, String) {
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

/// Connections that begin to ask and go no further, more than there are places.
async fn idle(to: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut idle = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect(to).await.unwrap();
        // Whoever had to go at once is told when it reads.
        let _ = stream.write_all(b"G").await;
        idle.push(stream);
    }
    idle
}

fn is_open(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

#[tokio::test]
async fn idle_connections_to_the_operations_port_make_room() {
    let house = House::new();
    let front = house.start().await;
    let idle = idle(front.bound.ops, 32).await;
    // While none of them has been there for long, a newcomer is closed.
    while !lives(&front).await {}
    let open: Vec<bool> = idle.iter().map(is_open).collect();
    assert!(
        !open[0] && open[16..].iter().all(|open| *open),
        "the oldest go, and no more than must: {open:?}"
    );
    front.stop().await;
}

async fn lives(front: &Running) -> bool {
    let mut stream = TcpStream::connect(front.bound.ops).await.unwrap();
    let mut said = Vec::new();
    let asked = stream.write_all(b"GET /livez HTTP/1.1\r\nhost: ops\r\n\r\n").await;
    asked.is_ok() && stream.read_to_end(&mut said).await.is_ok() && said.starts_with(b"HTTP/1.1 200 ")
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
        "rootcellar_front_connections 2",
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
    let mut health = HealthClient::new(
        front.channel(house.pki.caller("/agent/a").client(&house.pki.anchors())).await.unwrap(),
    );
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
async fn over_the_keepers_own_socket_the_services_answer_in_this_process() {
    let house = House::new();
    let socket = house.dir.path().join("keeper.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let (far, mut asks) = FarEnd::new(Arc::clone(&house.pki));
    let stream = connect_locally(&socket, house.clock()).await.unwrap();
    let _door = far.serve(listener.accept().unwrap().0);
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: Uri| {
        let stream = stream.take().ok_or_else(|| io::Error::other("one connection"));
        async move { stream }
    });
    let channel = Endpoint::from_static("http://local").connect_with_connector(connector).await.unwrap();
    let client = Client::over(channel);
    let asked = tokio::spawn(async move { client.admin().get_status(GetStatusRequest {}).await });
    let ask = asks.recv().await.unwrap();
    assert!(matches!(ask.ask, Some(ask::Ask::GetStatus(_))));
    assert_eq!(ask.caller.unwrap().caller, None, "the kernel names it to the keeper");
    let told = GetStatusResponse { ready: true, ..GetStatusResponse::default() };
    far.answer(ask.id, answer::Answer::GetStatus(told.clone()));
    assert_eq!(asked.await.unwrap().unwrap().into_inner(), told);
}
