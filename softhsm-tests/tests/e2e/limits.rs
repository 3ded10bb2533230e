//! Too much of everything, and those who ask in order meanwhile.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use client::MAX_MESSAGE;
use proto::v1::{CertificateState, GetAgentRequest, ListCertificatesRequest};
use rcgen::KeyPair;
use rootcellar_softhsm_tests::{Cell, Faults, Serving, Signal};
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{
    BINARY, House, ask, csr, csr_of, eventually, inner, issue, refused, request, still_issues,
};

/// A cell with these limits.
fn limited(limits: &str) -> House {
    let cell = Cell::founded(BINARY);
    cell.configure(&format!("[limits]\n{limits}\n"));
    House::of(cell)
}

#[tokio::test]
async fn too_often() {
    let house = limited("requests-per-controller = 10");
    let (client, other) =
        (house.build().await, house.controller("other", "agents=other/*;roles=logger").client().await);
    let name = "agents/build/a";
    let told = loop {
        let told = client.agents().get_agent(GetAgentRequest { name: name.into() }).await;
        if told.as_ref().is_err_and(|status| status.code() == Code::ResourceExhausted) {
            break told;
        }
    };
    let status = refused(told, Code::ResourceExhausted, "RATE_LIMITED");
    let wait = status.get_details_retry_info().and_then(|info| info.retry_delay).expect("when to come back");
    assert!(wait <= Duration::from_millis(101), "{wait:?}");
    issue(&other, "other/a").await;
    eventually("its turn comes", async || ask(&client, request("build/a", csr())).await.ok()).await;
}

#[tokio::test]
async fn queue_full() {
    const REQUESTS: usize = 60;
    let mut cell = Cell::empty(BINARY);
    let faults = Faults::between(&mut cell);
    let module = std::fs::read_to_string(cell.config_file()).unwrap();
    cell.configure(&format!("{module}[limits]\nin-flight = 16\n"));
    cell.run(&["init"]).ok();
    let house = House::of(cell);
    let client = house.build().await;
    faults.set("delay=1000");
    let mut asked = JoinSet::new();
    for i in 0..REQUESTS {
        let (client, request) = (client.clone(), request(&format!("build/{i}"), csr()));
        asked.spawn(async move { (i, ask(&client, request).await) });
    }
    let (mut refusals, mut certificates) = (0, 0);
    while let Some(told) = asked.join_next().await {
        match told.unwrap().1 {
            told @ Err(_) => {
                // At once: nothing that was begun has ended yet.
                assert_eq!(certificates, 0, "a refusal that was waited for");
                let status = refused(told, Code::ResourceExhausted, "QUEUE_FULL");
                assert!(status.get_details_retry_info().is_some(), "it says when to come back");
                refusals += 1;
                if refusals == REQUESTS - 16 {
                    faults.set("");
                }
            }
            Ok(_) => certificates += 1,
        }
    }
    assert!(certificates > 0 && refusals >= REQUESTS - 16, "{certificates} and {refusals}");
    still_issues(&client).await;
}

/// The keeper's own queue of reads, shorter than what the front lets through: filled while it stands still.
#[tokio::test(flavor = "multi_thread")]
async fn queue_of_the_keeper_full() {
    const READS: usize = 3000;
    let house = limited("request-timeout = \"40s\"\nin-flight-per-caller = 4096");
    let mut clients = vec![house.build().await];
    issue(&clients[0], "build/a").await;
    while clients.len() < READS.div_ceil(200) {
        clients.push(house.credentials().client().await);
    }
    Serving::signal(house.serving.child("keeper"), Signal::STOP);
    let mut asked = JoinSet::new();
    for i in 0..READS {
        let client = clients[i % clients.len()].clone();
        let get = GetAgentRequest { name: "agents/build/a".into() };
        asked.spawn(async move { client.agents().get_agent(get).await });
    }
    eventually("all wait", async || {
        let page = house.serving.ops_get("/metrics").1;
        let line = page.lines().find_map(|line| line.strip_prefix("rootcellar_front_asks_in_flight "))?;
        (line.parse::<usize>().ok()? >= READS).then_some(())
    })
    .await;
    Serving::signal(house.serving.child("keeper"), Signal::CONT);
    let (mut refusals, mut answers) = (0, 0);
    while let Some(told) = asked.join_next().await {
        match told.unwrap() {
            Ok(_) => answers += 1,
            told => {
                let status = refused(told, Code::ResourceExhausted, "QUEUE_FULL");
                assert!(status.get_details_retry_info().is_some(), "it says when to come back");
                refusals += 1;
            }
        }
    }
    assert!(refusals > 0 && answers >= 1000, "{refusals} and {answers}");
    still_issues(&clients[0]).await;
}

#[tokio::test]
async fn message_too_long() {
    let (_house, client) = House::with_build().await;
    let name = "x".repeat(MAX_MESSAGE);
    let told = client.agents().get_agent(GetAgentRequest { name }).await;
    refused(told, Code::ResourceExhausted, "MESSAGE_TOO_LONG");
    still_issues(&client).await;
}

#[tokio::test]
async fn silent_connections() {
    let house = limited("handshakes = 20\nhandshakes-per-address = 10");
    let before = house.build().await;
    let port = house.serving.port;
    // The beginning of a ClientHello (RFC 8446 §5.1), and no more.
    let begin = |_| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(&[22, 3, 1]).unwrap();
        stream
    };
    let silent: Vec<TcpStream> = (0..30).map(begin).collect();
    still_issues(&before).await;
    // They are closed, and their places free again.
    for mut stream in silent {
        let _ = stream.read(&mut [0]);
    }
    still_issues(&house.credentials().client().await).await;
}

#[tokio::test]
async fn connections_of_one_caller() {
    let house = limited("connections-per-caller = 2");
    let first = house.build().await;
    still_issues(&first).await;
    let second = house.credentials().client().await;
    still_issues(&second).await;
    // Closed once it is known whose it is: the client hears of it with its first request.
    if let Ok(third) = house.credentials().try_client().await {
        assert!(ask(&third, request("build/a", csr())).await.is_err(), "the third is closed");
    }
    let other = house.controller("other", "agents=other/*;roles=logger").client().await;
    issue(&other, "other/a").await;
    drop(second);
    eventually("a place is free", async || {
        let client = house.credentials().try_client().await.ok()?;
        ask(&client, request("build/a", csr())).await.ok()
    })
    .await;
}

#[tokio::test]
async fn client_gone_while_the_token_signs() {
    let (house, faults) = House::with_faults();
    let client = house.build().await;
    faults.set("delay=1500");
    let (key, signs) = (KeyPair::generate().unwrap(), faults.signed().len());
    let mut named = request("build/a", csr_of(&key));
    named.request_id = "once".into();
    let gone = house.credentials().client().await;
    let asking = tokio::spawn({
        let named = named.clone();
        async move { ask(&gone, named).await }
    });
    eventually("the token signs", async || (faults.signed().len() > signs).then_some(())).await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    faults.set("");
    let listed = eventually("it is signed", async || {
        let list = ListCertificatesRequest {
            filter: "agent = \"agents/build/a\"".into(),
            ..ListCertificatesRequest::default()
        };
        let listed = inner(client.issuance().list_certificates(list).await).certificates;
        listed.into_iter().find(|certificate| certificate.state() == CertificateState::Issued)
    })
    .await;
    let again = ask(&client, named).await.unwrap();
    assert_eq!(again.name, listed.name, "whoever asks again gets what was made");
    eventually("nothing of it is left", async || {
        let page = house.serving.ops_get("/metrics").1;
        ["requests_in_flight 0\n", "asks_in_flight 0\n"]
            .iter()
            .all(|gauge| page.contains(gauge))
            .then_some(())
    })
    .await;
    house.cell.run(&["ledger", "verify"]).ok();
}
