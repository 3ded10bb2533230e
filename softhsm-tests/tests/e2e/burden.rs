//! One controller asks for all it can. Officers, those who watch the service, and other callers go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proto::door::ask;
use proto::v1::{
    Agent, DeleteAgentBody, GetCharterRequest, GetStatusRequest, GetTrustBundleRequest, ListEntriesRequest,
    RevokeCertificateBody, UpdateAgentBody, revoke_certificate_body::Target,
};
use rootcellar_softhsm_tests::door::{Door, front};
use tokio::task::JoinSet;
use tonic::{Code, Request};

use crate::front::take;

use crate::support::{Holder, House, ask, csr, csr_of, inner, issue, refused, request};

/// The longest that anything here may take.
const BOUND: Duration = Duration::from_secs(10);
/// What the controller has under way all the time.
const EMPTY_REVOCATIONS: usize = 250;
const READS: usize = 800;
/// What one connection has in flight.
const A_CONNECTION: usize = 200;

fn revocation(agent: &str) -> RevokeCertificateBody {
    RevokeCertificateBody {
        target: Some(Target::Agent(format!("agents/{agent}"))),
        reason: 1,
        request_id: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_officer_freezes_while_one_controller_asks_for_all_it_can() {
    let house = House::new();
    // A budget that no flood of this test spends.
    let grant = "agents=build/*;roles=logger;ttl=1h;budget=10000000";
    let client = house.controller("build", grant).client().await;
    let other = house.controller("other", "agents=other/*;roles=logger").client().await;
    for _ in 0..200 {
        issue(&client, "build/a").await;
    }
    inner(client.issuance().revoke_certificate(revocation("build/a")).await);
    let mut clients = Vec::new();
    while clients.len() * A_CONNECTION < EMPTY_REVOCATIONS + READS {
        clients.push(house.credentials().client().await);
    }
    let (over, under_way, asked) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut flood = JoinSet::new();
    for i in 0..EMPTY_REVOCATIONS + READS {
        let client = clients[i % clients.len()].clone();
        let (over, under_way, asked) = (Arc::clone(&over), Arc::clone(&under_way), Arc::clone(&asked));
        flood.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                under_way.fetch_add(1, Ordering::Relaxed);
                asked.fetch_add(1, Ordering::Relaxed);
                // Refused or not: it asks again.
                if i < EMPTY_REVOCATIONS {
                    let _ = client.issuance().revoke_certificate(revocation("build/a")).await;
                } else {
                    let mut read = Request::new(ListEntriesRequest { start_index: 0, page_size: 500 });
                    read.set_timeout(Duration::from_secs(5));
                    let _ = client.ledger().list_entries(read).await;
                }
                under_way.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }
    crate::support::eventually("the flood is there", async || {
        let many = asked.load(Ordering::Relaxed) > 2 * (EMPTY_REVOCATIONS + READS);
        (many && under_way.load(Ordering::Relaxed) > A_CONNECTION).then_some(())
    })
    .await;
    let began = Instant::now();
    house.cell.run(&["freeze"]).ok();
    let took = began.elapsed();
    assert!(took < BOUND, "{took:?}");
    for path in ["/readyz", "/livez"] {
        let (status, _) = house.serving.ops_get(path);
        assert!(status.contains("200"), "{path}: {status}");
    }
    // The other controller is served meanwhile: here with the freeze's own answer.
    let began = Instant::now();
    refused(ask(&other, request("other/a", csr())).await, Code::FailedPrecondition, "FROZEN");
    assert!(began.elapsed() < BOUND);
    assert!(under_way.load(Ordering::Relaxed) > 0, "all this under the flood");
    over.store(true, Ordering::Relaxed);
    while flood.join_next().await.is_some() {}
    house.cell.run(&["thaw"]).ok();
    issue(&other, "other/a").await;
}

#[tokio::test]
async fn what_revokes_nothing_is_recorded_and_has_its_price() {
    let house = House::new();
    let client = house.controller("build", "agents=build/*;roles=logger;budget=20").client().await;
    let before = house.entries().await.len();
    let mut revoked = 0;
    let refused = loop {
        match client.issuance().revoke_certificate(revocation("build/a")).await {
            Ok(answer) => assert_eq!(answer.into_inner().revoked, 0),
            told => break refused(told, Code::ResourceExhausted, "BUDGET_EXHAUSTED"),
        }
        revoked += 1;
        assert!(revoked < 200, "the budget and its reserve");
    };
    assert!(refused.message().contains("is spent"), "{}", refused.message());
    assert_eq!(house.entries().await.len(), before + revoked, "each is an entry");
}

/// A thief with an agent's key, the shortest lifetime and all the time in the world.
#[tokio::test]
async fn a_thief_spends_its_share_and_its_owner_ends_it() {
    let cell = rootcellar_softhsm_tests::Cell::founded(crate::support::BINARY);
    cell.configure("[limits]\nrequests-per-agent = 1000\n");
    let house = House::of(cell);
    let client =
        house.controller("build", "agents=build/*;roles=logger,scanner;ttl=1h;budget=120").client().await;
    let honest = Holder::ask(&client, "build/honest", |_| {}).await;
    let brief = |request: &mut proto::v1::IssueCertificateBody| {
        request.lifetime = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    };
    let mut thief = Holder::ask(&client, "build/stolen", brief).await;
    let mut renewed = 0;
    let stopped = loop {
        let key = rcgen::KeyPair::generate().unwrap();
        let renewal = proto::v1::RenewCertificateBody { csr: csr_of(&key), ..Default::default() };
        match thief.client(&house).await.issuance().renew_certificate(renewal).await {
            Ok(answer) => thief = Holder { key, certificate: answer.into_inner().certificate.unwrap() },
            told => break refused(told, Code::ResourceExhausted, "BUDGET_EXHAUSTED"),
        }
        renewed += 1;
        assert!(renewed <= 12, "a tenth of the owner's budget");
    };
    assert!(stopped.message().contains("renews at most 12 times an hour"), "{}", stopped.message());
    // Another agent of the same owner is not the worse for it.
    let renewal = proto::v1::RenewCertificateBody { csr: csr(), ..Default::default() };
    inner(honest.client(&house).await.issuance().renew_certificate(renewal).await);
    // Nor is the owner where its budget is spent altogether: what takes away has a reserve.
    let spent = loop {
        match ask(&client, request("build/more", csr())).await {
            Ok(_) => {}
            told => break refused(told, Code::ResourceExhausted, "BUDGET_EXHAUSTED"),
        }
    };
    assert!(spent.message().contains("of 120 entries"), "{}", spent.message());
    let update = |agent: Agent, paths: &[&str]| UpdateAgentBody {
        agent: Some(agent),
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() }),
        ..UpdateAgentBody::default()
    };
    let stolen = |change: fn(&mut Agent)| {
        let mut agent = Agent { name: "agents/build/stolen".into(), ..Agent::default() };
        change(&mut agent);
        agent
    };
    let wider = update(stolen(|agent| agent.roles = vec!["logger".into(), "scanner".into()]), &["roles"]);
    refused(client.agents().update_agent(wider).await, Code::ResourceExhausted, "BUDGET_EXHAUSTED");
    inner(client.agents().update_agent(update(stolen(|_| {}), &["roles"])).await);
    assert!(inner(client.issuance().revoke_certificate(revocation("build/stolen")).await).revoked > 0);
    inner(client.agents().update_agent(update(stolen(|agent| agent.disabled = true), &["disabled"])).await);
    let delete = DeleteAgentBody { name: "agents/build/stolen".into(), ..DeleteAgentBody::default() };
    inner(client.agents().delete_agent(delete).await);
    house.cell.run(&["ledger", "verify"]).ok();
}

/// Bodies that are cheap to write and dear to read: each is refused before it costs the others their turn.
#[tokio::test]
async fn long_bodies_hold_up_nobody() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    let words = |count: usize| vec![String::new(); count];
    let update = UpdateAgentBody {
        agent: Some(Agent { name: "agents/build/a".into(), roles: words(8_000), ..Agent::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["roles".into(); 1_500] }),
        request_id: "mask".into(),
    };
    let few = UpdateAgentBody {
        agent: Some(Agent { name: "agents/build/a".into(), ..Agent::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["roles".into(); 2] }),
        request_id: "twice".into(),
    };
    let batch = [0x0a, 0].repeat(125_000);
    let build = taken.build.presents();
    for (method, body) in [
        ("AgentService/UpdateAgent", prost::Message::encode_to_vec(&update)),
        ("AgentService/UpdateAgent", prost::Message::encode_to_vec(&few)),
        ("AgentService/BatchCreateAgents", batch.clone()),
    ] {
        let signed = taken.build.signs(method, body).await;
        let began = Instant::now();
        let refused = taken.reason(build.clone(), ask::Ask::Signed(signed));
        assert_eq!(refused, Ok(proto::v1::Reason::RequestMalformed), "{method}");
        assert!(began.elapsed() < BOUND);
    }
    // Nothing of it is read where its caller may not ask so, or has not signed it.
    let by_agent = taken.agent.signs("AgentService/BatchCreateAgents", batch.clone()).await;
    let agent = taken.agent.presents();
    assert_eq!(taken.reason(agent, ask::Ask::Signed(by_agent)), Ok(proto::v1::Reason::CallerNotAllowed));
    let unsigned = proto::door::Signed {
        method: "/rootcellar.v1.AgentService/BatchCreateAgents".into(),
        body: batch,
        ..proto::door::Signed::default()
    };
    assert_eq!(taken.reason(build, ask::Ask::Signed(unsigned)), Ok(proto::v1::Reason::SignatureInvalid));
}

/// Code in the front fills what it may fill, and reads no answer. A program on this machine does the same at the keeper's own socket.
#[tokio::test]
async fn an_officer_waits_for_nobody_who_asks_and_does_not_read() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    let socket = taken.cell.data_dir().join("officer.sock");
    let list = || ask::Ask::ListEntries(ListEntriesRequest { start_index: 0, page_size: 500 });
    // More than its lanes, and the socket of its answers, hold: until the keeper reads no more from it.
    let asks = [
        (front(), ask::Ask::GetTrustBundle(GetTrustBundleRequest {})),
        (front(), ask::Ask::GetStatus(GetStatusRequest {})),
        (taken.build.presents(), list()),
    ];
    let mut asked = 0;
    while asked < 50_000 && asks.iter().all(|(by, ask)| taken.door.try_send(by.clone(), ask.clone())) {
        asked += 1;
    }
    assert!(asked < 50_000, "the keeper takes no more of one that reads nothing");
    let silent: Vec<Door> = (0..8)
        .map(|_| {
            let mut door = Door::local(&socket);
            // Its door is closed at last.
            while door.try_send(None, ask::Ask::GetCharter(GetCharterRequest {}))
                && door.try_send(None, list())
            {}
            door
        })
        .collect();
    let began = Instant::now();
    taken.cell.run(&["freeze"]).ok();
    assert!(taken.cell.run(&["status"]).ok().contains("frozen"));
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    drop(silent);
}

/// Certificates that wait for a slow token hold up neither the list of what officers revoke, also when the flood is over, nor the proof of their act.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_holds_up_no_list_and_no_proof() {
    let (house, faults) = House::with_faults();
    let grant = "agents=build/*;roles=logger;ttl=1h;budget=10000000";
    let client = house.controller("build", grant).client().await;
    for agent in ["build/first", "build/second"] {
        issue(&client, agent).await;
    }
    let listed = async |count: u64, began: Instant| {
        crate::support::eventually("they are on a list", async || {
            let list = inner(client.issuance().get_crl(proto::v1::GetCrlRequest::default()).await);
            let revoked = certs::crl::CrlSummary::parse(&list.crl).unwrap().revoked.len() as u64;
            (revoked >= count).then_some(())
        })
        .await;
        assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    };
    let revoke = |agent: &str| {
        house.cell.run(&["cert", "revoke", "--agent", agent, "--reason", "key-compromise"]).ok();
    };
    faults.set("delay=20");
    let mut flood = JoinSet::new();
    for i in 0..400 {
        let client = client.clone();
        flood.spawn(async move { ask(&client, request(&format!("build/{i}"), csr())).await.is_ok() });
    }
    crate::support::eventually("they wait for the token", async || {
        let status = house.cell.run(&["status", "--output", "json"]).ok();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        (status["pending"].as_u64().unwrap() > 100).then_some(())
    })
    .await;
    let began = Instant::now();
    // With the proof of it.
    revoke("build/first");
    assert!(began.elapsed() < BOUND);
    listed(1, began).await;
    while flood.join_next().await.is_some() {}
    let began = Instant::now();
    revoke("build/second");
    listed(2, began).await;
}
