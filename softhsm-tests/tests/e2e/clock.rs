//! A clock that is wrong: refused until it is right, and never the end of the cell.

use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{House, ask, csr, issue, refused, request, still_issues};

const HOUR_MS: i64 = 3_600_000;

#[tokio::test]
async fn jumped_forward_and_right_again() {
    let (house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    let before = house.entries().await.len();
    house.cell.jump_clock(0, 2 * HOUR_MS);
    let status = refused(ask(&client, request("build/b", csr())).await, Code::Unavailable, "CLOCK_WRONG");
    assert!(status.get_details_retry_info().is_some(), "it may be right again soon");
    assert!(house.cell.run(&["status"]).fails(75).contains("the clock jumped"));
    assert_eq!(house.entries().await.len(), before, "nothing of a time to come is recorded");
    house.cell.jump_clock(0, 0);
    still_issues(&client).await;
    // One that stays where it jumped to was set right: a virtual machine that was paused.
    house.cell.jump_clock(0, 2 * HOUR_MS);
    refused(ask(&client, request("build/b", csr())).await, Code::Unavailable, "CLOCK_WRONG");
    house.cell.jump_clock(11 * 60_000, 2 * HOUR_MS);
    still_issues(&client).await;
    house.cell.run(&["ledger", "verify"]).ok();
}

#[tokio::test]
async fn jumped_back() {
    let (house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    house.cell.jump_clock(0, -2 * 60_000);
    refused(ask(&client, request("build/b", csr())).await, Code::Unavailable, "CLOCK_WRONG");
    house.cell.jump_clock(0, 0);
    still_issues(&client).await;
}

#[tokio::test]
async fn entries_of_a_time_to_come() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    assert_eq!(house.stop().await, 0);
    // It starts with a clock that is wrong from the first: it is held against what was trusted before, in this start of the machine.
    house.cell.jump_clock(0, 6 * HOUR_MS);
    let house = House::of(house.cell);
    let size = house.entries().await.len();
    let client = house.credentials().client().await;
    refused(ask(&client, request("build/b", csr())).await, Code::Unavailable, "CLOCK_WRONG");
    assert_eq!(house.entries().await.len(), size, "nothing of a time to come");
    let mut house = house;
    drop(client);
    assert_eq!(house.stop().await, 0);
    // After another start of the machine there is nothing to hold it against.
    std::fs::remove_file(house.cell.data_dir().join("clock")).unwrap();
    let mut house = House::of(house.cell);
    issue(&house.credentials().client().await, "build/b").await;
    assert_eq!(house.stop().await, 0);
    house.cell.jump_clock(0, 0);
    let house = House::of(house.cell);
    let client = house.credentials().client().await;
    refused(ask(&client, request("build/c", csr())).await, Code::Unavailable, "CLOCK_WRONG");
    let said = house.cell.run(&["freeze"]).fails(75);
    assert!(said.contains("clock confirm"), "{said}");
    house.cell.run(&["clock", "confirm"]).ok();
    still_issues(&client).await;
    house.cell.run(&["status"]).ok();
    house.cell.run(&["ledger", "verify"]).ok();
}
