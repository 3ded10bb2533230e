//! The token dies: the drill of docs/custody-drill.md. Keys cannot be copied out, so another issuer, in another token, stands ready.

use std::fs;

use proto::v1::WatchTrustBundleRequest;
use rootcellar_softhsm_tests::judges::webpki_verifies;
use rootcellar_softhsm_tests::{Cell, Faults, Serving, Signal};
use tokio::sync::mpsc;

use crate::officer::now_secs;
use crate::support::{
    BINARY, Holder, House, STANDBY, ask, csr, eventually, files_below, inner, request, still_issues,
};

fn now() -> u64 {
    u64::try_from(now_secs()).unwrap()
}

/// A cell whose second issuer stands ready: its SHA-256.
fn prepared(house: &House) -> String {
    house.cell.run(&["issuer", "prepare", "--out", "issuer-2"]).ok();
    let listed = house.cell.run(&["issuer", "list", "--output", "json"]).json();
    let issuers = listed["issuers"].as_array().unwrap();
    assert_eq!(issuers.len(), 2, "{listed}");
    let ready = issuers.iter().find(|issuer| issuer["state"] == "prepared").unwrap();
    ready["sha256"].as_str().unwrap().to_owned()
}

fn house() -> House {
    let cell = Cell::empty(BINARY);
    cell.configure(STANDBY);
    cell.run(&["init"]).ok();
    House::of(cell)
}

#[tokio::test]
async fn the_second_token_takes_over_when_the_first_is_destroyed_under_load() {
    let house = house();
    let client = house.build().await;
    let before = Holder::ask(&client, "build/before", |_| {}).await;
    let mut watched = inner(client.trust().watch_trust_bundle(WatchTrustBundleRequest {}).await);
    watched.message().await.unwrap().unwrap();
    let ready = prepared(&house);
    let seen = watched.message().await.unwrap().unwrap().bundle.unwrap();
    assert!(
        seen.note.contains(&format!("issuer: prepared {ready}")),
        "seen before it is needed: {}",
        seen.note
    );

    // Load goes on through all of it: until nobody takes what is granted.
    let (grants, mut granted) = mpsc::unbounded_channel();
    let load = tokio::spawn({
        let client = client.clone();
        async move {
            for n in 0.. {
                let asking = ask(&client, request(&format!("build/load-{n}"), csr()));
                tokio::select! {
                    answer = asking => answer.into_iter().for_each(|certificate| drop(grants.send(certificate))),
                    () = grants.closed() => break,
                }
            }
        }
    });
    let first = granted.recv().await.expect("the load runs");
    destroy(&house, "rootcellar-issuing");
    eventually("the first token is lost", async || ask(&client, request("build/lost", csr())).await.err())
        .await;
    // One command.
    house.cell.run(&["issuer", "activate", &ready[..8]]).ok();
    let after =
        eventually("the second token signs", async || ask(&client, request("build/after", csr())).await.ok())
            .await;
    granted.close();
    load.await.unwrap();
    let mut certificates = vec![before.certificate.clone(), first, after.clone()];
    while let Some(certificate) = granted.recv().await {
        certificates.push(certificate);
    }

    // Every agent still verifies, whoever signed it, and the log goes on under the second token's key.
    let anchors = house.anchors();
    for certificate in &certificates {
        webpki_verifies(&anchors, &certificate.chain, now()).expect("it verifies");
    }
    assert_ne!(before.certificate.chain[1], after.chain[1], "another issuer");
    before.client(&house).await;
    house.cell.run(&["ledger", "verify"]).ok();
    // A doctor looks at the token in use, and sees that the other one is gone.
    let report = house.cell.run(&["doctor", "--output", "json"]);
    assert_eq!(report.code, 1, "{}", report.stderr);
    for (check, told) in [("\"token.other\"", true), ("\"token.unreachable\"", false), ("\"capacity\"", true)]
    {
        assert_eq!(report.stdout.contains(check), told, "{check}: {}", report.stdout);
    }
    still_issues(&client).await;
}

/// Removes a token's files, as a dead device does.
fn destroy(house: &House, label: &str) {
    let tokens = house.cell.data_dir().join("token/tokens");
    let holds = |dir: &std::path::Path| {
        fs::read(dir.join("token.object"))
            .is_ok_and(|object| object.windows(label.len()).any(|bytes| bytes == label.as_bytes()))
    };
    let dirs = fs::read_dir(tokens).unwrap().map(|entry| entry.unwrap().path());
    let dir = dirs.into_iter().find(|dir| holds(dir)).expect("the token's directory");
    assert!(files_below(&dir).len() > 4, "keys are in it");
    // At once: files that are being opened would keep the directory.
    let gone = house.cell.path("gone");
    fs::rename(dir, &gone).unwrap();
    fs::remove_dir_all(gone).unwrap();
}

#[tokio::test]
async fn issuers_change_while_all_goes_on() {
    let mut house = house();
    let client = house.build().await;
    let before = Holder::ask(&client, "build/before", |_| {}).await;
    let ready = prepared(&house);
    let listed = house.cell.run(&["issuer", "list", "--output", "json"]).json();
    let active = listed["issuers"][0]["sha256"].as_str().unwrap().to_owned();
    house.cell.run(&["issuer", "retire", &active]).fails(2);
    house.cell.run(&["issuer", "activate", &ready]).ok();
    let after =
        eventually("the other issuer signs", async || ask(&client, request("build/after", csr())).await.ok())
            .await;
    assert_ne!(before.certificate.chain[1], after.chain[1]);
    webpki_verifies(&house.anchors(), &before.certificate.chain, now()).expect("it verifies");
    // Back again, and the other one is over.
    house.cell.run(&["issuer", "activate", &active]).ok();
    eventually("the first issuer signs again", async || {
        let asked = ask(&client, request("build/again", csr())).await.ok()?;
        (asked.chain[1] == before.certificate.chain[1]).then_some(())
    })
    .await;
    house.cell.run(&["issuer", "retire", &ready]).ok();
    house.cell.run(&["ledger", "verify"]).ok();
    // Its key is destroyed: looked for, and not found.
    house
        .cell
        .run(&["ceremony", "plan", "retirement", "--key", &ready, "--token", "standby", "--out", "retire"])
        .ok();
    house.cell.run(&["ceremony", "approve", "--yes", "retire"]).ok();
    house.cell.run(&["ceremony", "execute", "retire"]).ok();
    house.cell.run(&["ceremony", "approve", "--yes", "retire"]).ok();
    house.cell.run(&["ceremony", "verify", "retire/transcript.note"]).ok();
    house.cell.run(&["ceremony", "import", "retire"]).ok();
    // An issuer without a key would stop the cell.
    let said = house.cell.run(&["issuer", "activate", &ready]).fails(1);
    assert!(said.contains("is retired"), "{said}");
    house.restart().await;
    still_issues(&house.credentials().client().await).await;
    house.cell.run(&["ledger", "verify"]).ok();
}

/// A token can be listed and do nothing: its slot is there, and no session opens.
#[tokio::test]
async fn a_token_that_is_half_dead_stops_no_takeover() {
    let mut cell = Cell::empty(BINARY);
    let faults = Faults::between(&mut cell);
    let module = format!("module = \"{}\"\n", faults.module().display());
    cell.configure(&format!("[token]\n{module}{STANDBY}{module}"));
    cell.run(&["init"]).ok();
    let house = House::of(cell);
    let client = house.build().await;
    let ready = prepared(&house);
    faults.half_kill("rootcellar-issuing");
    Serving::signal(house.serving.child("keeper"), Signal::KILL);
    eventually("the first token is lost", async || ask(&client, request("build/lost", csr())).await.err())
        .await;
    house.cell.run(&["issuer", "activate", &ready]).ok();
    eventually("the second token signs", async || ask(&client, request("build/after", csr())).await.ok())
        .await;
    house.cell.run(&["ledger", "verify"]).ok();
}
