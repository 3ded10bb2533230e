//! Processes that are killed, and a token that goes away and comes back.

use std::fs;

use ledger::entry::entry::Kind;
use rcgen::KeyPair;
use rootcellar_softhsm_tests::{Serving, Signal};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{
    House, abandoned, ask, csr_of, eventually, issuance_of, issue, issued, lives, refused, request,
    still_issues,
};

#[tokio::test]
async fn keeper_killed() {
    let (house, faults) = House::with_faults();
    let client = house.build().await;
    let (before, keeper) = (house.entries().await.len(), house.serving.child("keeper"));
    let key = KeyPair::generate().unwrap();
    let mut named = request("build/a", csr_of(&key));
    named.request_id = "once".into();
    // Killed in C_Sign: the entry is durable, its certificate is not made yet.
    faults.set("delay=5000");
    let signs = faults.signed().len();
    let asking = tokio::spawn({
        let (client, named) = (client.clone(), named.clone());
        async move { ask(&client, named).await }
    });
    eventually("the token signs", async || (faults.signed().len() > signs).then_some(())).await;
    Serving::signal(keeper, Signal::KILL);
    let status = refused(asking.await.unwrap(), Code::Unavailable, "KEEPER_UNAVAILABLE");
    assert!(status.get_details_retry_info().is_some(), "it says when to come back");
    faults.set("");
    let certificate = eventually("it is granted", async || ask(&client, named.clone()).await.ok()).await;
    assert_eq!(ask(&client, named).await.unwrap(), certificate, "and stays the same");
    let made = house.entries().await.split_off(before);
    assert_eq!(
        [issued(&made), abandoned(&made), made.len()],
        [2, 1, 5],
        "an agent and a manifest beside them"
    );
    let reasons = made.iter().filter_map(|entry| match ledger::entry::decode(&entry.entry).unwrap().kind {
        Some(Kind::Abandonment(abandonment)) => Some(abandonment.reason),
        _ => None,
    });
    assert_eq!(reasons.collect::<Vec<_>>(), ["RESTARTED"]);
    let signed = made.iter().filter(|entry| issuance_of(entry).is_some() && !entry.signature.is_empty());
    assert_eq!(signed.count(), 1, "the one that was abandoned is signed by nobody");
    assert_ne!(house.serving.child("keeper"), keeper);
    house.cell.run(&["ledger", "verify"]).ok();
    still_issues(&client).await;
}

#[tokio::test]
async fn front_killed() {
    let (mut house, client) = House::with_build().await;
    let front = house.serving.child("front");
    Serving::signal(front, Signal::KILL);
    assert!(house.serving.next_ready(), "another front");
    assert_ne!(house.serving.child("front"), front);
    assert!(
        ask(&client, request("build/a", crate::support::csr())).await.is_err(),
        "the old connection is gone"
    );
    still_issues(&house.credentials().client().await).await;
    house.local().await;
}

#[tokio::test]
async fn supervisor_killed() {
    let (house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    let children = [house.serving.child("keeper"), house.serving.child("front")];
    Serving::signal(house.serving.pid(), Signal::KILL);
    eventually("its children end", async || (!children.into_iter().any(lives)).then_some(())).await;
    let House { cell, serving } = house;
    drop(serving);
    let house = House::of(cell);
    still_issues(&house.credentials().client().await).await;
}

#[tokio::test]
async fn token_lost() {
    let (house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    let (tokens, away) = (house.cell.data_dir().join("token/tokens"), house.cell.path("tokens-away"));
    fs::rename(&tokens, &away).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut named = request("build/b", csr_of(&key));
    named.request_id = "once".into();
    let lost = ask(&client, named.clone()).await;
    refused(lost, Code::Unavailable, "KEEPER_UNAVAILABLE");
    assert!(ask(&client, named.clone()).await.is_err(), "nothing is signed without it");
    fs::rename(&away, &tokens).unwrap();
    let certificate = eventually("it is granted", async || ask(&client, named.clone()).await.ok()).await;
    assert_eq!(certificate.chain.len(), 2);
    house.cell.run(&["status"]).ok();
    still_issues(&client).await;
}

#[tokio::test]
async fn keeper_hangs() {
    let (house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    let keeper = house.serving.child("keeper");
    // As a process does that waits for a disk or a module without end.
    Serving::signal(keeper, Signal::STOP);
    eventually("another keeper", async || house.serving.find_child("keeper").filter(|pid| *pid != keeper))
        .await;
    eventually("it is granted", async || ask(&client, request("build/b", crate::support::csr())).await.ok())
        .await;
    eventually("the log says so", async || {
        house.serving.log().contains("it says nothing any more").then_some(())
    })
    .await;
}

/// A module that does not come back, at a start after the first one: somebody is told, and the next start is tried.
#[tokio::test]
async fn module_hangs_at_a_start() {
    let (mut house, faults) = House::with_faults();
    assert_eq!(house.stop().await, 0);
    let config = fs::read_to_string(house.cell.config_file()).unwrap();
    house.cell.configure(&config.replace("[token]\n", "[token]\nstart-timeout = \"10s\"\n"));
    let house = House::of(house.cell);
    let client = house.build().await;
    let keeper = house.serving.child("keeper");
    faults.hang_logins(true);
    Serving::signal(keeper, Signal::KILL);
    eventually("it is said", async || house.serving.log().contains("module-hangs").then_some(())).await;
    faults.hang_logins(false);
    eventually("another start", async || ask(&client, request("build/a", crate::support::csr())).await.ok())
        .await;
}

/// The system has no descriptors left when a front is to be started again, and some a moment later.
#[tokio::test]
async fn front_not_started_at_once() {
    let (mut house, _client) = House::with_build().await;
    let supervisor = house.serving.pid().to_string();
    let limit = |most: &str| {
        let set = std::process::Command::new("prlimit").args(["--pid", &supervisor, most]).status();
        assert!(set.unwrap().success());
    };
    let soft = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1024);
    limit("--nofile=6:");
    let front = house.serving.child("front");
    Serving::signal(front, Signal::KILL);
    let said = async || house.serving.log().contains("it could not be started").then_some(());
    eventually("it is tried", said).await;
    limit(&format!("--nofile={soft}:"));
    assert!(house.serving.next_ready(), "the next front serves");
    assert_ne!(house.serving.child("front"), front);
    still_issues(&house.credentials().client().await).await;
}

/// Whoever has taken the front can shut, empty or fill what it writes to: that is nobody else's.
#[tokio::test]
async fn each_process_has_a_log_of_its_own() {
    let house = House::new();
    let log = |pid: u32| fs::read_link(format!("/proc/{pid}/fd/2")).unwrap();
    let [supervisor, keeper, front] =
        [house.serving.pid(), house.serving.child("keeper"), house.serving.child("front")].map(log);
    assert!(
        supervisor != keeper && keeper != front && front != supervisor,
        "{supervisor:?} {keeper:?} {front:?}"
    );
    let output = |role| fs::read_link(format!("/proc/{}/fd/1", house.serving.child(role))).unwrap();
    assert_eq!([output("keeper"), output("front")].map(|path| path.display().to_string()), ["/dev/null"; 2]);
    let said = house.serving.log();
    for of in ["\"rootcellar_keeper::", "\"ca_service::", "\"rootcellar_cli::processes::supervisor"] {
        assert!(said.contains(of), "{of}: {said}");
    }
}
