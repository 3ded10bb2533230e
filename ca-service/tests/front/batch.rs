//! A batch: items that are answered one by one, and clients that do not read, or leave.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ca_service::Limits;
use client::Client;
use prost::Message as _;
use proto::{
    door::{Ask, answer, ask},
    v1::{
        BatchIssueCertificatesRequest as Item, BatchIssueCertificatesResponse as Answer, Certificate,
        GetAgentRequest, GetAgentResponse, IssueCertificateBody, IssueCertificateRequest, ItemError, Reason,
        batch_issue_certificates_response::Result as Outcome,
    },
};
use rcgen::{CertificateParams, KeyPair};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt;

use crate::{
    far_end::{FarEnd, refusal},
    house::{House, Running},
};

/// Items of a stream that may be unanswered.
const IN_FLIGHT: usize = 128;

fn csr() -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    CertificateParams::default().serialize_request(&key).unwrap().der().to_vec()
}

/// A good item for the agent of its number.
fn item(number: u64, csr: &[u8]) -> Item {
    let agent = format!("agents/{number}");
    let body = IssueCertificateBody { agent, csr: csr.to_vec(), ..IssueCertificateBody::default() };
    let request =
        IssueCertificateRequest { body: body.encode_to_vec(), ..IssueCertificateRequest::default() };
    Item { item: number, request: Some(request), timeout: None }
}

fn certificate(name: &str) -> answer::Answer {
    answer::Answer::Certificate(Certificate { name: name.into(), ..Certificate::default() })
}

fn agent_of(ask: &Ask) -> String {
    let Some(ask::Ask::Signed(signed)) = &ask.ask else { panic!("{ask:?}") };
    IssueCertificateBody::decode(&*signed.body).unwrap().agent
}

fn error(answer: Answer) -> ItemError {
    match answer.result {
        Some(Outcome::Error(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn name(answer: Answer) -> String {
    match answer.result {
        Some(Outcome::Certificate(certificate)) => certificate.name,
        other => panic!("{other:?}"),
    }
}

/// Begins a batch.
async fn begin(client: &Client) -> (mpsc::Sender<Item>, Result<Streaming<Answer>, Status>) {
    let (items, stream) = mpsc::channel(1);
    let answers = client.issuance().batch_issue_certificates(ReceiverStream::new(stream)).await;
    (items, answers.map(tonic::Response::into_inner))
}

async fn next(answers: &mut Streaming<Answer>) -> Answer {
    answers.message().await.unwrap().unwrap()
}

fn reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().map(|info| info.reason).unwrap_or_default())
}

#[tokio::test]
async fn each_item_has_its_own_outcome_in_any_order() {
    let house = House::new();
    let mut front = house.start().await;
    let client = front.connect(&house, &house.pki.caller("/controller/build")).await;
    let (items, answers) = begin(&client).await;
    let (mut answers, csr) = (answers.unwrap(), csr());
    for number in [1, 2, 3] {
        items.send(item(number, &csr)).await.unwrap();
    }
    let mut asks = HashMap::new();
    for _ in 0..3 {
        let ask = front.asks.recv().await.unwrap();
        asks.insert(agent_of(&ask), ask.id);
    }
    front.far.answer(asks["agents/3"], certificate("certificates/3"));
    let third = next(&mut answers).await;
    assert_eq!((third.item, name(third).as_str()), (3, "certificates/3"));
    front.far.answer(asks["agents/1"], refusal(Reason::GrantDoesNotCover, "not yours"));
    let first = next(&mut answers).await;
    assert_eq!(first.item, 1);
    let told = error(first);
    assert_eq!(
        (told.code, told.message.as_str(), told.reason.as_str(), told.retry_after),
        (Code::PermissionDenied as i32, "not yours", "GRANT_DOES_NOT_COVER", None)
    );

    // What is wrong with an item is its own affair, and never reaches the keeper.
    let nonsense = Item { item: 4, request: Some(IssueCertificateRequest::default()), timeout: None };
    let empty = Item { item: 5, ..Item::default() };
    let before = prost_types::Duration { seconds: -1, nanos: 0 };
    let backwards = Item { timeout: Some(before), ..item(6, &csr) };
    for (bad, reason) in
        [(nonsense, "REQUEST_MALFORMED"), (empty, "REQUEST_MALFORMED"), (backwards, "REQUEST_MALFORMED")]
    {
        let number = bad.item;
        items.send(bad).await.unwrap();
        let told = next(&mut answers).await;
        assert_eq!(told.item, number);
        let told = error(told);
        assert_eq!((told.code, told.reason.as_str()), (Code::InvalidArgument as i32, reason));
    }
    assert!(front.asks.try_recv().is_err());

    // The client's end is not the end of what it asked for.
    drop(items);
    front.far.answer(asks["agents/2"], certificate("certificates/2"));
    assert_eq!(next(&mut answers).await.item, 2);
    assert!(answers.message().await.unwrap().is_none());
    front.stop().await;
}

#[tokio::test]
async fn two_items_of_one_id_are_two_items() {
    let house = House::new();
    let mut front = house.start().await;
    let client = front.connect(&house, &house.pki.caller("/controller/build")).await;
    let (items, answers) = begin(&client).await;
    let (mut answers, csr) = (answers.unwrap(), csr());
    for name in ["certificates/1", "certificates/2"] {
        items.send(item(7, &csr)).await.unwrap();
        let ask = front.asks.recv().await.unwrap();
        front.far.answer(ask.id, certificate(name));
        let told = next(&mut answers).await;
        assert_eq!((told.item, self::name(told).as_str()), (7, name));
    }
    drop((items, answers));
    front.stop().await;
}

#[tokio::test]
async fn an_item_has_a_deadline_of_its_own_within_the_streams() {
    let house = House::new();
    let mut front = house.start().await;
    let client = front.connect(&house, &house.pki.caller("/controller/build")).await;
    let (items, stream) = mpsc::channel(4);
    let mut request = Request::new(ReceiverStream::new(stream));
    request.set_timeout(Duration::from_secs(30));
    let mut answers = client.issuance().batch_issue_certificates(request).await.unwrap().into_inner();
    let csr = csr();
    let with = |number, seconds, nanos| Item {
        timeout: Some(prost_types::Duration { seconds, nanos }),
        ..item(number, &csr)
    };
    for (item, least, most) in [
        (with(1, 5, 0), 4_000, 5_000),
        (item(2, &csr), 9_000, 10_000),
        (with(3, 3_600, 0), 25_000, 30_000),
        (with(4, 0, 50_000_000), 0, 50),
    ] {
        items.send(item).await.unwrap();
        let time = front.asks.recv().await.unwrap().timeout_ms;
        assert!((least..=most).contains(&time), "{time} is not in {least}..={most}");
    }
    let told = next(&mut answers).await;
    assert_eq!(told.item, 4);
    let told = error(told);
    assert_eq!((told.code, told.reason.as_str()), (Code::DeadlineExceeded as i32, "DEADLINE_EXCEEDED"));
    // Whose time is over is not asked for at all.
    items.send(with(5, 0, 0)).await.unwrap();
    assert_eq!(error(next(&mut answers).await).reason, "DEADLINE_EXCEEDED");
    assert!(front.asks.try_recv().is_err());
    drop((items, answers));
    front.stop().await;
}

#[tokio::test]
async fn the_streams_deadline_ends_it_with_every_item_answered() {
    let house = House::new();
    let mut front = house.start().await;
    let client = front.connect(&house, &house.pki.caller("/controller/build")).await;
    let (items, stream) = mpsc::channel(4);
    let mut request = Request::new(ReceiverStream::new(stream));
    // The client itself looks at it only until the answer begins.
    request.metadata_mut().insert("grpc-timeout", "200m".parse().unwrap());
    let mut answers = client.issuance().batch_issue_certificates(request).await.unwrap().into_inner();
    items.send(item(1, &csr())).await.unwrap();
    front.asks.recv().await.unwrap();
    assert_eq!(error(next(&mut answers).await).reason, "DEADLINE_EXCEEDED");
    let told = answers.message().await.unwrap_err();
    assert_eq!(reason(&told), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".into()));
    front.stop().await;
}

/// Asks `times` as another caller, at once, and answers when all of these asks have come: as many places are free.
async fn others_are_served(times: usize, other: &Client, front: &mut Running) {
    let asking: Vec<_> = (0..times)
        .map(|_| {
            let mut agents = other.agents();
            tokio::spawn(async move {
                loop {
                    match agents.get_agent(GetAgentRequest { name: "agents/a".into() }).await {
                        // Whoever left has not been seen to leave yet.
                        Err(full) if full.code() == Code::ResourceExhausted => {}
                        answer => return answer.map(|_| ()),
                    }
                }
            })
        })
        .collect();
    let mut ids = Vec::new();
    while ids.len() < times {
        let ask = front.asks.recv().await.unwrap();
        assert!(matches!(ask.ask, Some(ask::Ask::GetAgent(_))), "{ask:?}");
        ids.push(ask.id);
    }
    for id in ids {
        front.far.answer(id, answer::Answer::GetAgent(GetAgentResponse::default()));
    }
    for asking in asking {
        asking.await.unwrap().unwrap();
    }
}

/// Answers the ask with a certificate of 16 KiB.
fn answer_long(far: &FarEnd, ask: &Ask) {
    let long = Certificate { chain: vec![vec![0; 16 * 1024]], ..Certificate::default() };
    far.answer(ask.id, answer::Answer::Certificate(long));
}

#[tokio::test]
async fn a_client_that_does_not_read_is_read_no_further_and_takes_nobodys_place() {
    const ITEMS: usize = 500;
    // Windows and buffers, in answers of 16 KiB: 64 KiB of the client's, less than 500 KiB of the front's.
    const UNDER_WAY: usize = 48;
    let limits = Limits { in_flight: IN_FLIGHT + 8, ..Limits::default() };
    let house = House { limits, ..House::new() };
    let mut front = house.start().await;
    let (client, other) = (
        front.connect(&house, &house.pki.caller("/controller/build")).await,
        front.connect(&house, &house.pki.caller("/controller/other")).await,
    );
    let (items, answers) = begin(&client).await;
    let mut answers = answers.unwrap();
    let sending = tokio::spawn(async move {
        let csr = csr();
        for number in 0..ITEMS {
            items.send(item(number as u64, &csr)).await.unwrap();
        }
    });
    // While none is answered, so many are asked for and no more.
    let mut unanswered = Vec::new();
    while unanswered.len() < IN_FLIGHT {
        unanswered.push(front.asks.recv().await.unwrap());
    }
    others_are_served(4, &other, &mut front).await;
    // Answered and not read by their client, they take no place that another could have.
    for ask in &unanswered {
        answer_long(&front.far, ask);
    }
    let far = front.far.clone();
    let mut asks = std::mem::replace(&mut front.asks, mpsc::unbounded_channel().1);
    let (more, seen) = mpsc::unbounded_channel();
    let certificates = Arc::new(AtomicUsize::new(IN_FLIGHT));
    let counted = Arc::clone(&certificates);
    let answering = tokio::spawn(async move {
        while let Some(ask) = asks.recv().await {
            if let Some(ask::Ask::Signed(_)) = ask.ask {
                counted.fetch_add(1, Ordering::SeqCst);
                answer_long(&far, &ask);
            } else {
                let _ = more.send(ask);
            }
        }
    });
    front.asks = seen;
    for _ in 0..10 {
        others_are_served(IN_FLIGHT, &other, &mut front).await;
    }
    let asked = certificates.load(Ordering::SeqCst);
    assert!(asked <= IN_FLIGHT + UNDER_WAY, "{asked}");
    // Once it reads it is served to the end.
    let mut seen = vec![false; ITEMS];
    while let Some(answer) = answers.message().await.unwrap() {
        assert!(!std::mem::replace(&mut seen[usize::try_from(answer.item).unwrap()], true), "twice");
    }
    assert!(seen.into_iter().all(|seen| seen), "each is answered");
    sending.await.unwrap();
    answering.abort();
    drop((client, other, answers));
    front.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_leaves_nothing_behind() {
    let limits = Limits { in_flight: IN_FLIGHT, ..Limits::default() };
    let house = House { limits, ..House::new() };
    let mut front = house.start().await;
    let other = front.connect(&house, &house.pki.caller("/controller/other")).await;
    let client = front.connect(&house, &house.pki.caller("/controller/build")).await;
    let (items, answers) = begin(&client).await;
    let csr = csr();
    for number in 0..100 {
        items.send(item(number, &csr)).await.unwrap();
        front.asks.recv().await.unwrap();
    }
    drop((items, answers, client));
    // Only with the places of those who left can so many wait at once.
    others_are_served(100, &other, &mut front).await;
    front.stop().await;
}

#[tokio::test]
async fn when_the_front_stops_what_was_read_is_answered_and_the_rest_told_to_come_back() {
    let house = House::new();
    let mut front = house.start().await;
    let client = front.connect(&house, &house.pki.caller("/controller/build")).await;
    let (items, answers) = begin(&client).await;
    let mut answers = answers.unwrap();
    items.send(item(1, &csr())).await.unwrap();
    let ask = front.asks.recv().await.unwrap();
    let (far, ended) = front.begin_stop();
    far.answer(ask.id, certificate("certificates/1"));
    assert_eq!(next(&mut answers).await.item, 1);
    let told = answers.message().await.unwrap_err();
    assert_eq!(reason(&told), (Code::Unavailable, "KEEPER_UNAVAILABLE".into()));
    drop(items);
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn one_batch_too_many_on_a_connection_is_refused() {
    let limits = Limits { batches_per_connection: 1, ..Limits::default() };
    let house = House { limits, ..House::new() };
    let front: Running = house.start().await;
    let client = front.connect(&house, &house.pki.caller("/controller/build")).await;
    let (items, answers) = begin(&client).await;
    let mut answers = answers.unwrap();
    let told = begin(&client).await.1.unwrap_err();
    assert_eq!(reason(&told), (Code::ResourceExhausted, "QUEUE_FULL".into()));
    assert!(told.get_details_retry_info().unwrap().retry_delay.is_some());
    // The end of one is the place of the next.
    drop(items);
    assert!(answers.message().await.unwrap().is_none());
    begin(&client).await.1.unwrap();
    drop(answers);
    front.stop().await;
}

#[tokio::test]
async fn an_item_waits_for_its_callers_turn_or_is_told_when_it_comes() {
    let limits = Limits { requests_per_controller: NonZeroU32::MIN, ..Limits::default() };
    let house = House { limits, ..House::new() };
    let mut front = house.start().await;
    let client = front.connect(&house, &house.pki.caller("/controller/build")).await;
    let (items, answers) = begin(&client).await;
    let (mut answers, csr) = (answers.unwrap(), csr());
    let short = prost_types::Duration { seconds: 0, nanos: 10_000_000 };
    let told = loop {
        items.send(Item { timeout: Some(short), ..item(1, &csr) }).await.unwrap();
        tokio::select! {
            ask = front.asks.recv() => {
                front.far.answer(ask.unwrap().id, certificate("certificates/1"));
                next(&mut answers).await;
            }
            told = next(&mut answers) => break error(told),
        }
    };
    assert_eq!((told.code, told.reason.as_str()), (Code::ResourceExhausted as i32, "RATE_LIMITED"));
    let wait = told.retry_after.unwrap();
    assert!(wait.seconds > 0 || wait.nanos > 1_000_000, "{wait:?}");
    items.send(item(2, &csr)).await.unwrap();
    let ask = front.asks.recv().await.unwrap();
    front.far.answer(ask.id, certificate("certificates/2"));
    assert_eq!(next(&mut answers).await.item, 2);
    drop((items, answers));
    front.stop().await;
}

#[tokio::test]
async fn an_expired_certificate_ends_the_items_of_a_stream_that_lives() {
    let house = House::new();
    let front = house.start().await;
    let client = front.connect(&house, &house.pki.caller_until("/controller/build", 60)).await;
    let (items, answers) = begin(&client).await;
    let mut answers = answers.unwrap();
    house.set_secs(61);
    items.send(item(1, &csr())).await.unwrap();
    let told = error(next(&mut answers).await);
    assert_eq!((told.code, told.reason.as_str()), (Code::Unauthenticated as i32, "CALLER_EXPIRED"));
    drop((items, answers));
    front.stop().await;
}
