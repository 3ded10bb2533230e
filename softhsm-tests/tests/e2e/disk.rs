//! A disk that fails: the keeper ends, and tries no fsync a second time.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rcgen::KeyPair;
use rootcellar_softhsm_tests::Cell;
use tonic::Code;

use crate::support::{
    BINARY, House, abandoned, ask, csr_of, eventually, issue, issued, refused, request, still_issues,
};

/// A founded cell whose processes have the library before libc, and the file with its orders.
fn cell() -> (Cell, PathBuf) {
    let mut cell = Cell::founded(BINARY);
    let (library, order) = (cell.path("disk.so"), cell.path("disk-fault"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/disk.c");
    let built =
        Command::new("gcc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
    assert!(built.expect("gcc runs").success());
    cell.program().set("LD_PRELOAD", &library.display().to_string());
    cell.program().set("DISK_FAULT", &order.display().to_string());
    (cell, order)
}

/// While the fault lasts nothing is granted and the keeper ends; after it the same request is granted once.
async fn ends_and_comes_back(fault: &str) {
    let (cell, order) = cell();
    let house = House::of(cell);
    let client = house.build().await;
    issue(&client, "build/a").await;
    let (keeper, before) = (house.serving.child("keeper"), house.entries().await.len());
    let key = KeyPair::generate().unwrap();
    let named = || {
        let mut named = request("build/b", csr_of(&key));
        named.request_id = "once".into();
        named
    };
    fs::write(&order, fault).unwrap();
    refused(ask(&client, named()).await, Code::Unavailable, "KEEPER_UNAVAILABLE");
    eventually("the keeper ends", async || {
        (house.serving.find_child("keeper") != Some(keeper)).then_some(())
    })
    .await;
    fs::remove_file(&order).unwrap();
    let certificate = eventually("it is granted", async || ask(&client, named()).await.ok()).await;
    assert_eq!(ask(&client, named()).await.unwrap(), certificate);
    let made = house.entries().await.split_off(before);
    let made = [issued(&made), abandoned(&made), made.len()];
    // Where the entry of a certificate was written and its signature was not, the next keeper abandons it.
    assert!([[1, 0, 3], [2, 1, 5]].contains(&made), "{made:?}: one manifest, one agent, one certificate");
    house.cell.run(&["ledger", "verify"]).ok();
}

#[tokio::test]
async fn fsync_fails() {
    ends_and_comes_back("sync").await;
}

#[tokio::test]
async fn full() {
    ends_and_comes_back("write").await;
}

#[tokio::test]
async fn read_only() {
    let (cell, order) = cell();
    fs::write(&order, "open").unwrap();
    let said = cell.try_serve().expect_err("it cannot write").fails(1);
    assert!(said.contains("the journal"), "{said}");
    fs::remove_file(&order).unwrap();
    let house = House::of(cell);
    still_issues(&house.build().await).await;
}
