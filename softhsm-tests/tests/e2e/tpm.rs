//! A cell whose issuing and log key are in a TPM 2.0.

use client::Client;
use rootcellar_softhsm_tests::{Cell, Serving, Signal, Tpm};

use crate::ceremonies::Officers;
use crate::conformance::verdict;
use crate::issue::judged;
use crate::support::{BINARY, House, ask, csr, eventually, issue, request};

/// A cell in a TPM, its service and a controller of it. The TPM is dropped last.
async fn house() -> (House, Client, Tpm) {
    let mut cell = Cell::empty(BINARY);
    let tpm = Tpm::of(&mut cell);
    cell.run(&["init"]).ok();
    let house = House::of(cell);
    let client = house.build().await;
    (house, client, tpm)
}

#[tokio::test]
async fn issues_and_comes_back() {
    let (mut house, client, _tpm) = house().await;
    judged(&house, &issue(&client, "build/a").await);
    house.cell.run(&["ledger", "verify"]).ok();
    // Another process logs in to the token while the keeper has it.
    let inspected = house.cell.run(&["token", "inspect", "--output", "json"]).json();
    let keys = inspected["keys"].as_array().expect("keys");
    assert_eq!(keys.len(), 2, "{inspected}");
    for key in keys {
        assert_eq!(key["flaw"], serde_json::Value::Null, "{key}");
        assert_eq!(key["algorithm"], "p256");
    }
    house.restart().await;
    let client = house.credentials().client().await;
    judged(&house, &issue(&client, "build/b").await);
    house.cell.run(&["ledger", "verify"]).ok();
}

#[tokio::test]
async fn keeps_the_newest_checkpoint() {
    let (mut house, client, _tpm) = house().await;
    let copy = house.cell.path("old.sqlite").display().to_string();
    house.cell.run(&["journal", "backup", "--out", &copy]).ok();
    issue(&client, "build/lost").await;
    assert_eq!(house.stop().await, 0);
    let said = house.cell.run(&["journal", "restore", &copy]).fails(1);
    assert!(said.contains("would be lost"), "{said}");
    house.cell.run(&["journal", "restore", &copy, "--with-loss"]).ok();
    let said = house.cell.try_serve().expect_err("a log that went back").fails(1);
    assert!(said.contains("the log went back"), "{said}");
}

#[tokio::test]
async fn killed_in_the_middle() {
    let (house, client, _tpm) = house().await;
    issue(&client, "build/a").await;
    // What a killed process had loaded must not stay in the TPM, which has room for three objects.
    for _ in 0..3 {
        let killed = house.serving.child("keeper");
        Serving::signal(killed, Signal::KILL);
        eventually("another keeper issues", async || {
            house.serving.find_child("keeper").filter(|pid| *pid != killed)?;
            ask(&client, request("build/b", csr())).await.ok()
        })
        .await;
    }
}

#[tokio::test]
async fn loses_its_power() {
    let (house, client, mut tpm) = house().await;
    issue(&client, "build/a").await;
    let before = house.serving.child("keeper");
    tpm.reset();
    // Only a new process heals it (docs/decisions/002-ladder.md): the first request finds out.
    let certificate = eventually("another keeper issues", async || {
        let issued = ask(&client, request("build/b", csr())).await.ok()?;
        (house.serving.find_child("keeper")? != before).then_some(issued)
    });
    judged(&house, &certificate.await);
    house.cell.run(&["ledger", "verify"]).ok();
}

#[tokio::test]
async fn conformance() {
    let (house, _client, _tpm) = house().await;
    let token = house.cell.data_dir().join("token");
    let (dir, pin) = (token.display().to_string(), format!("file:{}", token.join("pin").display()));
    let written = house.cell.path("found.toml").display().to_string();
    let mut arguments =
        vec!["token", "conformance", Tpm::module(), "--token", "rootcellar-issuing", "--pin", &pin];
    arguments.extend(["--profile", "tpm2", "--dir", &dir, "--no-rates", "--output", "json"]);
    arguments.extend(["--write-profile", &written]);
    let report = house.cell.run(&arguments).json();
    assert_eq!(report["log_keys"], serde_json::json!(["p256"]), "{report}");
    assert_eq!(verdict(&report, "ed25519 key"), "unsupported", "{report}");
    // Its attributes can be set by whoever is logged in: they are no proof, and this is where one learns of it.
    assert_eq!(verdict(&report, "p256 fixed attributes"), "fail", "{report}");
    assert_eq!(verdict(&report, "another process"), "pass", "{report}");
    let written = std::fs::read_to_string(written).unwrap();
    let omits =
        |text: &str| text.lines().find(|line| line.starts_with("generation_omits")).map(str::to_owned);
    assert!(omits(&written).expect("a line").contains("\"CKA_VERIFY\", \"CKA_ENCRYPT\""), "{written}");
}

#[tokio::test]
async fn two_of_three_found_a_cell() {
    let mut cell = Cell::empty(BINARY);
    let _tpm = Tpm::of(&mut cell);
    let officers = Officers::of(&cell);
    officers.found();
    let transcript = std::fs::read_to_string(cell.path("found/transcript.note")).unwrap();
    let model = transcript.lines().filter(|line| line.starts_with("token-model: ")).collect::<Vec<_>>();
    assert!(model.iter().any(|model| model.contains("TPM")), "{model:?}");
    // What the module cannot report truthfully, the officers have read in the plan.
    let plan = std::fs::read_to_string(cell.path("found/plan.note")).unwrap();
    let excused = plan.lines().filter(|line| line.starts_with("exception: ")).count();
    let verified =
        officers.run("carol", &["ceremony", "verify", "found/transcript.note", "--output", "json"]).json();
    assert_eq!(verified["keys"][1]["exceptions"].as_array().unwrap().len() * 2, excused, "{verified}");
    let house = House::of(cell);
    Officers { cell: &house.cell }.run("alice", &["ledger", "verify"]).ok();
}
