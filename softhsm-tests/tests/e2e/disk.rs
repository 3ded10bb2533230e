//! A disk that fails: the keeper ends, and tries no fsync a second time.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use proto::v1::revoke_certificate_body::Target;
use proto::v1::{
    Agent, CreateAgentBody, DeleteAgentBody, RenewCertificateBody, RevokeCertificateBody, UpdateAgentBody,
};
use rcgen::KeyPair;
use rootcellar_softhsm_tests::Cell;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{
    BINARY, Holder, House, abandoned, ask, csr, csr_of, eventually, issue, issued, refused, request,
    still_issues,
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

/// What is free for the cell's directory, in mebibytes.
fn free_mib(house: &House) -> u64 {
    let disk = rustix::fs::statvfs(house.cell.data_dir()).unwrap();
    (disk.f_bavail * disk.f_frsize) >> 20
}

/// A disk that fills up: what is new stops first, then what is renewed; what takes away goes on.
#[tokio::test]
async fn nearly_full() {
    let (mut house, client) = House::with_build().await;
    let holders =
        [Holder::ask(&client, "build/a", |_| {}).await, Holder::ask(&client, "build/d", |_| {}).await];
    let renew = || RenewCertificateBody { csr: csr(), ..RenewCertificateBody::default() };
    let keep = |house: &House, mebibytes: u64| {
        house.cell.configure(&format!("[journal]\nkeep-free-mib = {mebibytes}\n"));
    };
    let free = free_mib(&house);
    // Half of the floor is free, and no more than the floor; then not half, and a quarter.
    for (holder, (floor, renews)) in holders.iter().zip([(free + free / 2, true), (free * 3, false)]) {
        keep(&house, floor);
        house.restart().await;
        let client = house.credentials().client().await;
        let told =
            refused(ask(&client, request("build/b", csr())).await, Code::ResourceExhausted, "DISK_LOW");
        assert!(told.get_details_retry_info().is_some(), "{told:?}");
        let create = CreateAgentBody {
            agent: Some(Agent { name: "agents/build/c".into(), ..Agent::default() }),
            ..CreateAgentBody::default()
        };
        refused(client.agents().create_agent(create).await, Code::ResourceExhausted, "DISK_LOW");
        let renewed = holder.client(&house).await.issuance().renew_certificate(renew()).await;
        if renews {
            renewed.expect("there is room for it");
        } else {
            refused(renewed, Code::ResourceExhausted, "DISK_LOW");
        }
        assert!(house.cell.run(&["status"]).stdout.contains("MiB are free"), "it says why");
    }
    let client = house.credentials().client().await;
    let revoke = RevokeCertificateBody {
        target: Some(Target::Agent("agents/build/a".into())),
        reason: 1,
        ..RevokeCertificateBody::default()
    };
    client.issuance().revoke_certificate(revoke.clone()).await.expect("it takes away");
    // Of a change that changes nothing as many could be made as of any other.
    let nothing = UpdateAgentBody {
        agent: Some(Agent { name: "agents/build/a".into(), ..Agent::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["disabled".into()] }),
        ..UpdateAgentBody::default()
    };
    refused(client.agents().update_agent(nothing).await, Code::ResourceExhausted, "DISK_LOW");
    // Not a quarter: what is left is for officers.
    keep(&house, free * 8);
    house.restart().await;
    let client = house.credentials().client().await;
    refused(client.issuance().revoke_certificate(revoke).await, Code::ResourceExhausted, "DISK_LOW");
    let delete = DeleteAgentBody { name: "agents/build/a".into(), ..DeleteAgentBody::default() };
    refused(client.agents().delete_agent(delete).await, Code::ResourceExhausted, "DISK_LOW");
    house.cell.run(&["cert", "revoke", "--agent", "build/d", "--reason", "key-compromise"]).ok();
    house.cell.run(&["freeze"]).ok();
    house.cell.run(&["ledger", "verify"]).ok();
    house.cell.run(&["thaw"]).ok();
    keep(&house, 0);
    house.restart().await;
    still_issues(&house.credentials().client().await).await;
}
