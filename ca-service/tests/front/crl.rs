//! CRLs over plain HTTP.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::house::{House, Running};

/// An answer: its status, its head in lower case, its body.
async fn http(front: &Running, method: &str, path: &str, more: &str) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(front.bound.crl.unwrap()).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: crl\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    let end = said.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(said[..end].to_ascii_lowercase()).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head, said[end..].to_vec())
}

/// Asks until the answer has this body.
async fn until(front: &Running, body: &[u8]) -> String {
    loop {
        let (_, head, said) = http(front, "GET", "/crl/0a.crl", "").await;
        if said == body {
            return head;
        }
    }
}

fn value<'a>(head: &'a str, name: &str) -> &'a str {
    let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name}: {head}"))
}

#[tokio::test]
async fn a_list_is_handed_out_with_what_caches_need() {
    let house = House::new();
    let front = house.start().await;
    let (code, head, _) = http(&front, "GET", "/crl/0a.crl", "").await;
    assert_eq!((code, value(&head, "retry-after")), (503, "1"), "none yet");
    front.far.change_crl(1, b"first");
    let head = until(&front, b"first").await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert_eq!(value(&head, "content-type"), "application/pkix-crl");
    assert_eq!(value(&head, "last-modified"), "fri, 15 jan 2027 08:00:00 gmt");
    assert_eq!(value(&head, "cache-control"), "public, max-age=300");
    assert_eq!(value(&head, "content-length"), "5");
    let tag = value(&head, "etag").to_owned();

    let (code, same, body) = http(&front, "HEAD", "/crl/0a.crl", "").await;
    assert_eq!((code, body.len()), (200, 0));
    for name in ["content-type", "content-length", "etag", "last-modified", "cache-control"] {
        assert_eq!(value(&same, name), value(&head, name));
    }
    let (code, known, body) = http(&front, "GET", "/crl/0a.crl", &format!("if-none-match: {tag}\r\n")).await;
    assert_eq!((code, body.len(), value(&known, "etag")), (304, 0, &*tag));

    // A newer one, another tag.
    front.far.change_crl(2, b"second");
    let head = until(&front, b"second").await;
    assert_ne!(value(&head, "etag"), tag);
    let asked = format!("if-none-match: {tag}\r\n");
    assert_eq!(http(&front, "GET", "/crl/0a.crl", &asked).await.0, 200);
    // No cache keeps it beyond its time.
    house.set_secs(86_400 - 7);
    let (_, head, _) = http(&front, "GET", "/crl/0a.crl", "").await;
    assert_eq!(value(&head, "cache-control"), "public, max-age=7");
    front.stop().await;
}

#[tokio::test]
async fn nothing_else_is_answered() {
    let house = House::new();
    let front = house.start().await;
    front.far.change_crl(1, b"first");
    until(&front, b"first").await;
    for path in
        ["/", "/crl/", "/crl/.crl", "/crl/0b.crl", "/crl/0a", "/crl/0A.crl", "/crl/x/../0a.crl", "/metrics"]
    {
        assert_eq!(http(&front, "GET", path, "").await.0, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let (code, head, _) = http(&front, method, "/crl/0a.crl", "").await;
        assert_eq!((code, value(&head, "allow")), (405, "get, head"), "{method}");
    }
    front.stop().await;
}

#[tokio::test]
async fn a_flood_costs_the_keeper_nothing_and_its_absence_is_not_seen() {
    let house = House::new();
    let front = house.start().await;
    front.far.change_crl(1, b"first");
    until(&front, b"first").await;
    let asked = front.far.count("crl");
    for path in ["/crl/0a.crl", "/crl/0b.crl"] {
        for _ in 0..50 {
            http(&front, "GET", path, "").await;
        }
    }
    assert!(front.far.count("crl") <= asked + 1, "{}", front.far.count("crl"));
    front.door.abort();
    assert_eq!(http(&front, "GET", "/crl/0a.crl", "").await.2, b"first");
    // The next keeper's is asked for when its door opens.
    let asked = front.far.count("crl");
    let (near, _door) = front.far.open();
    front.doors.send(near).await.unwrap();
    front.far.asked("crl", asked + 1).await;
    front.stop().await;
}

/// Nine addresses of which each has as many half requests as it may have, which are more than there are places.
#[tokio::test]
async fn half_requests_keep_nobody_from_a_list() {
    let house = House::new();
    let front = house.start().await;
    front.far.change_crl(1, b"first");
    until(&front, b"first").await;
    let mut half = Vec::new();
    for number in 0..9 * 32_u16 {
        let socket = TcpSocket::new_v4().unwrap();
        let [_, from] = (number % 9 + 2).to_be_bytes();
        socket.bind(SocketAddr::from(([127, 0, 0, from], 0))).unwrap();
        let mut stream = socket.connect(front.bound.crl.unwrap()).await.unwrap();
        let _ = stream.write_all(b"GET /crl/").await;
        half.push(stream);
    }
    while !is_served(&front).await {}
    let still_open = |stream: &TcpStream| matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
    assert!(!still_open(&half[0]) && still_open(&half[250]), "the oldest go, and no more than must");
    front.stop().await;
}

async fn is_served(front: &Running) -> bool {
    let mut stream = TcpStream::connect(front.bound.crl.unwrap()).await.unwrap();
    let mut said = Vec::new();
    let asked = stream.write_all(b"GET /crl/0a.crl HTTP/1.1\r\nhost: crl\r\n\r\n").await;
    asked.is_ok() && stream.read_to_end(&mut said).await.is_ok() && said.starts_with(b"HTTP/1.1 200 ")
}
