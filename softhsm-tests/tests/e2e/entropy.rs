//! Random numbers: one honest source is enough, and none is used that fails its tests.

use client::Client;
use tonic::Code;

use crate::support::{House, ask, csr, eventually, issue, refused, request, still_issues};

/// Asks until a block of the spoiled source is due: those drawn before are good and used up first.
async fn until_refused(client: &Client) -> String {
    eventually("it is refused", async || {
        let refusal = ask(client, request("build/b", csr())).await.err()?;
        Some(refused::<()>(Err(refusal), Code::Unavailable, "ENTROPY_FAILED").message().to_owned())
    })
    .await
}

#[tokio::test]
async fn a_source_that_fails_twice_stops_issuance() {
    for fault in ["stuck", "bias", "repeat"] {
        let (house, faults) = House::with_faults();
        let client = house.build().await;
        issue(&client, "build/a").await;
        faults.set_random(fault);
        let said = until_refused(&client).await;
        assert!(said.contains("of the token failed their health tests twice"), "{fault}: {said}");
        let status = house.cell.run(&["status"]).fails(75);
        assert!(status.contains("the token failed"), "{status}");
        let (_, metrics) = house.serving.ops_get("/metrics");
        for line in [
            "rootcellar_keeper_alarms_total{name=\"entropy_failed\"} 1",
            "rootcellar_keeper_entropy_discarded_total{name=\"token\"} 2",
            "rootcellar_keeper_entropy_discarded_total{name=\"system\"} 0",
        ] {
            assert!(metrics.contains(line), "{line}\n{metrics}");
        }
        // What needs no chance goes on, and so does reading.
        house.cell.run(&["cert", "revoke", "--agent", "build/a", "--reason", "superseded"]).ok();
        faults.set_random("");
        refused(ask(&client, request("build/c", csr())).await, Code::Unavailable, "ENTROPY_FAILED");
        let mut house = house;
        house.restart().await;
        still_issues(&house.credentials().client().await).await;
    }
}

#[tokio::test]
async fn one_failure_stops_nothing() {
    let (house, faults) = House::with_faults();
    let client = house.build().await;
    faults.set_random("once-stuck");
    eventually("the block is drawn", async || {
        issue(&client, "build/a").await;
        let (_, metrics) = house.serving.ops_get("/metrics");
        metrics.contains("rootcellar_keeper_entropy_discarded_total{name=\"token\"} 1").then_some(())
    })
    .await;
    eventually("the log says so", async || {
        house.serving.log().contains("the source is tested anew").then_some(())
    })
    .await;
    still_issues(&client).await;
    house.cell.run(&["status"]).ok();
}

#[tokio::test]
async fn the_operating_system_is_tested_too() {
    let house = House::new();
    let client = house.build().await;
    issue(&client, "build/a").await;
    std::fs::write(house.cell.path("random-stuck"), "").unwrap();
    let said = until_refused(&client).await;
    assert!(said.contains("of the operating system failed"), "{said}");
    let status = house.cell.run(&["status"]).fails(75);
    assert!(status.contains("the operating system failed"), "{status}");
}

#[test]
fn no_key_is_made_with_random_numbers_that_fail_their_tests() {
    let (house, faults) = House::with_faults();
    let plan = |dir: &str| {
        house.cell.run(&["ceremony", "plan", "rotation", "--token", "issuing", "--out", dir]).ok();
        house.cell.run(&["ceremony", "approve", "--yes", dir]).ok();
    };
    plan("by-the-token");
    let made = |dir: &str| {
        std::fs::read_to_string(house.cell.path(dir).join("record.jsonl")).unwrap().contains("\"made\"")
    };
    for fault in ["stuck", "bias", "repeat"] {
        faults.set_random(fault);
        let said = house.cell.run(&["ceremony", "execute", "by-the-token"]).fails(1);
        assert!(
            said.contains("pkcs11:token=rootcellar-issuing") && said.contains("not to be trusted"),
            "{said}"
        );
        assert!(!made("by-the-token"), "{fault}: no key");
    }
    faults.set_random("");
    std::fs::write(house.cell.path("random-stuck"), "").unwrap();
    let said = house.cell.run(&["ceremony", "execute", "by-the-token"]).fails(1);
    assert!(said.contains("random numbers of system are not to be trusted"), "{said}");
    assert!(!made("by-the-token"), "no key");
    std::fs::remove_file(house.cell.path("random-stuck")).unwrap();
    house.cell.run(&["ceremony", "execute", "by-the-token"]).ok();
    assert!(made("by-the-token"));
}
