//! Callers who are known, and speak no HTTP/2 that anyone would want.

use proto::{
    door::answer,
    v1::{GetAgentRequest, GetAgentResponse},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use crate::{
    house::{House, Running},
    tls::{PREFACE, shake},
};

/// A frame (RFC 9113 §4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A connection of a caller who is known, its preface sent.
async fn begin(house: &House, front: &Running) -> TlsStream<TcpStream> {
    let mut config = house.pki.caller("/agent/odd").client(&house.pki.anchors());
    config.alpn_protocols = vec![b"h2".to_vec()];
    let mut stream = shake(front, config).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    stream
}

/// Everything that is said until the front closes; an error of the connection is an end too.
async fn read_to_end(stream: &mut TlsStream<TcpStream>) -> Vec<u8> {
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    said
}

/// The error code of a GOAWAY among these octets (RFC 9113 §6.8: type 7, on stream 0).
fn goaway(mut said: &[u8]) -> Option<u32> {
    while let [a, b, c, kind, _, rest @ ..] = said {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let payload = rest.get(4..4 + length)?;
        if *kind == 7 {
            return Some(u32::from_be_bytes(payload.get(4..8)?.try_into().unwrap()));
        }
        said = &rest[4 + length..];
    }
    None
}

/// Somebody else is served as ever.
async fn others_are_served(house: &House, front: &mut Running) {
    let client = front.connect(house, &house.pki.caller("/agent/a")).await;
    let asked =
        tokio::spawn(
            async move { client.agents().get_agent(GetAgentRequest { name: "agents/a".into() }).await },
        );
    let ask = front.asks.recv().await.unwrap();
    front.far.answer(ask.id, answer::Answer::GetAgent(GetAgentResponse::default()));
    asked.await.unwrap().unwrap();
}

#[tokio::test]
async fn nonsense_ends_the_connection() {
    let house = House::new();
    let mut front = house.start().await;
    // A frame beyond any size; DATA on a stream that is not open; SETTINGS of a wrong length (RFC 9113 §4.2, §6.1, §6.5).
    for nonsense in [vec![0xff; 64], frame(0, 0, 1, b"x"), frame(4, 0, 0, b"x")] {
        let mut stream = begin(&house, &front).await;
        stream.write_all(&nonsense).await.unwrap();
        let said = read_to_end(&mut stream).await;
        assert!(goaway(&said).is_some_and(|code| code != 0), "{nonsense:?}: {said:?}");
    }
    others_are_served(&house, &mut front).await;
    front.stop().await;
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let house = House::new();
    let mut front = house.start().await;
    let mut stream = begin(&house, &front).await;
    // POST https://x/ (RFC 7541 appendix A: 3, 7 and 4 of the static table, then :authority by 1), and its end at once.
    let request = [0x83, 0x87, 0x84, 0x01, 1, b'x'];
    let flood: Vec<u8> = (0..1000_u32)
        .flat_map(|number| {
            let id = 2 * number + 1;
            [frame(1, 4, id, &request), frame(3, 0, id, &8_u32.to_be_bytes())].concat()
        })
        .collect();
    stream.write_all(&flood).await.unwrap();
    // ENHANCE_YOUR_CALM (RFC 9113 §7).
    assert_eq!(goaway(&read_to_end(&mut stream).await), Some(11));
    others_are_served(&house, &mut front).await;
    front.stop().await;
}

/// SETTINGS, PING, PRIORITY, WINDOW_UPDATE and a kind that nobody knows (RFC 9113 §6.5, §6.7, §6.3, §6.9, §5.5): their answers are read.
#[tokio::test]
async fn a_flood_of_frames_without_a_request_ends_the_connection() {
    let house = House::new();
    let mut front = house.start().await;
    for one in [
        frame(4, 0, 0, &[]),
        frame(6, 0, 0, &[7; 8]),
        frame(2, 0, 1, &[0; 5]),
        frame(8, 0, 0, &[0, 0, 0, 1]),
        frame(0x55, 0, 0, b"x"),
    ] {
        let (mut reading, mut writing) = tokio::io::split(begin(&house, &front).await);
        let read = tokio::spawn(async move { tokio::io::copy(&mut reading, &mut tokio::io::sink()).await });
        let flood = one.repeat(100);
        while writing.write_all(&flood).await.is_ok() {}
        let _ = read.await.unwrap();
    }
    others_are_served(&house, &mut front).await;
    front.stop().await;
}
