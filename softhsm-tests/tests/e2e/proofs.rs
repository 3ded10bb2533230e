//! The ledger: what was recorded can be proved, and what was proved does not change.

use std::fs;
use std::process::Command;

use client::Client;
use ledger::bundle::Bundle;
use ledger::checkpoint::Checkpoint;
use ledger::note::Note;
use ledger::proof::Proof;
use ledger::tree::verify_consistency;
use ledger::{Hash, leaf_hash};
use proto::v1::{
    Agent, GetCheckpointRequest, GetConsistencyProofRequest, GetInclusionProofRequest,
    ListCertificatesRequest, ListEntriesRequest, RenewCertificateBody, UpdateAgentBody,
};
use tonic::Code;

use crate::officer::Officer;
use crate::support::{Holder, House, csr, inner, issuance_of, issue, refused, still_issues};

/// The log's key, as the officers published it.
fn log_of(house: &House) -> ledger::bundle::Log {
    let bundle = fs::read(house.cell.officer_dir().join("bundle.note")).unwrap();
    let bundle = Bundle::open(&Note::parse(&bundle).unwrap(), &Officer::of(&house.cell).charter).unwrap();
    bundle.logs()[0].clone()
}

async fn checkpoint(client: &Client, house: &House, min_size: u64) -> Checkpoint {
    let note = inner(client.ledger().get_checkpoint(GetCheckpointRequest { min_size }).await).checkpoint;
    let log = log_of(house);
    Checkpoint::verify(note.as_bytes(), &log.keys, &log.origin).expect("the log's checkpoint")
}

#[tokio::test]
async fn every_entry_is_in_the_tree() {
    let (house, client) = House::with_build().await;
    let receipt = issue(&client, "build/a").await.receipt.unwrap();
    let log = log_of(&house);
    for entry in house.entries().await {
        let request = GetInclusionProofRequest { index: entry.index };
        let proof = inner(client.ledger().get_inclusion_proof(request).await).proof;
        let proof = Proof::parse(proof.as_bytes()).unwrap();
        assert_eq!(proof.index, entry.index);
        proof.verify(&entry.entry, &log.keys, &log.origin).expect("it is in the tree");
        let mut other = entry.entry.clone();
        *other.last_mut().unwrap() ^= 1;
        proof.verify(&other, &log.keys, &log.origin).expect_err("and no other");
        if entry.index == receipt.index {
            assert_eq!(leaf_hash(&entry.entry).as_bytes(), receipt.leaf_hash.as_slice());
        }
    }
    let beyond = GetInclusionProofRequest { index: 1_000_000 };
    refused(client.ledger().get_inclusion_proof(beyond).await, Code::NotFound, "NOT_FOUND");
}

#[tokio::test]
async fn the_whole_ledger_verifies_and_rebuilds() {
    let (mut house, client) = House::with_build().await;
    let agent = Holder::ask(&client, "build/a", |_| {}).await.client(&house).await;
    let renewal = RenewCertificateBody { csr: csr(), ..RenewCertificateBody::default() };
    inner(agent.issuance().renew_certificate(renewal).await);
    let change = Agent { name: "agents/build/a".into(), disabled: true, ..Agent::default() };
    let update = UpdateAgentBody { agent: Some(change), ..UpdateAgentBody::default() };
    inner(client.agents().update_agent(update).await);
    house.controller("other", "agents=other/*;roles=logger");
    house.cell.run(&["grant", "set", "other", "name=more;agents=more/*"]).ok();
    house.cell.run(&["controller", "remove", "other"]).ok();
    house.restart().await;
    let verified = house.cell.run(&["ledger", "verify", "--output", "json"]).json();
    assert_eq!(verified["ok"], true);
    assert_eq!(verified["entries"], house.entries().await.len());
    assert_eq!(verified["unsigned"], 0);
    assert_eq!(house.stop().await, 0);
    let rebuilt = house.cell.run(&["ledger", "rebuild", "--output", "json"]).json();
    assert_eq!(rebuilt["differing"], serde_json::json!([]), "{rebuilt}");
    house.serving = house.cell.serve();
    still_issues(&house.credentials().client().await).await;
}

#[tokio::test]
async fn the_log_only_grows() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    let old = checkpoint(&client, &house, 1).await;
    house.cell.run(&["ledger", "checkpoint"]).ok();
    house.restart().await;
    let client = house.credentials().client().await;
    issue(&client, "build/b").await;
    let request = GetConsistencyProofRequest { old_size: old.size };
    let grown = inner(client.ledger().get_consistency_proof(request).await);
    let log = log_of(&house);
    let new = Checkpoint::verify(grown.checkpoint.as_bytes(), &log.keys, &log.origin).unwrap();
    let hashes: Vec<Hash> = grown.hashes.iter().map(|hash| hash.as_slice().try_into().unwrap()).collect();
    verify_consistency(&old.head(), &new.head(), &hashes).expect("it begins with what it was");
    house.cell.run(&["ledger", "checkpoint"]).ok();
    let all = house.entries().await.len() as u64;
    assert!(checkpoint(&client, &house, all).await.size >= all, "one is made where one is needed");
    let beyond = GetCheckpointRequest { min_size: all + 1_000 };
    refused(client.ledger().get_checkpoint(beyond).await, Code::NotFound, "NOT_FOUND");
}

#[tokio::test]
async fn a_log_that_went_back_is_found_out() {
    let (mut house, client) = House::with_build().await;
    assert_eq!(house.stop().await, 0);
    drop(client);
    let (data, backup) = (house.cell.data_dir(), house.cell.path("backup"));
    let copied = |from, to| Command::new("cp").arg("--archive").args([from, to]).status().unwrap().success();
    assert!(copied(&data, &backup));
    house.serving = house.cell.serve();
    issue(&house.credentials().client().await, "build/a").await;
    house.cell.run(&["ledger", "verify"]).ok();
    assert_eq!(house.stop().await, 0);
    fs::remove_dir_all(&data).unwrap();
    assert!(copied(&backup, &data));
    house.serving = house.cell.serve();
    let said = house.cell.run(&["ledger", "verify"]).fails(1);
    assert!(said.contains("rolled back") || said.contains("changed"), "{said}");
}

#[tokio::test]
async fn a_controller_sees_its_own_entries() {
    let (house, client) = House::with_build().await;
    let theirs = issue(&client, "build/a").await;
    let other = house.controller("other", "agents=other/*;roles=logger").client().await;
    let own = issue(&other, "other/a").await;
    let request = ListEntriesRequest { start_index: 0, page_size: 500 };
    let page = inner(other.ledger().list_entries(request).await);
    let indexes: Vec<u64> = page.entries.iter().map(|entry| entry.index).collect();
    assert!(indexes.contains(&own.receipt.unwrap().index));
    assert!(!indexes.contains(&theirs.receipt.unwrap().index), "another's");
    let subjects = page.entries.iter().filter_map(issuance_of).map(|issuance| issuance.subject);
    assert!(
        subjects.into_iter().all(|subject| subject == "/agent/other/a" || subject == "/controller/other")
    );
    let listed = inner(other.issuance().list_certificates(ListCertificatesRequest::default()).await);
    assert!(listed.certificates.iter().all(|certificate| !certificate.spiffe_id.contains("build")));
    let get = proto::v1::GetCertificateRequest { name: theirs.name };
    refused(other.issuance().get_certificate(get).await, Code::NotFound, "NOT_FOUND");
}

/// Where grants overlap, an agent that one controller deleted is another's when that makes it again: its past is not.
#[tokio::test]
async fn an_agents_past_is_its_owners_of_then() {
    let house = House::new();
    let [client, other] = [
        house.controller("build", "agents=shared/*;roles=logger").client().await,
        house.controller("other", "agents=shared/*;roles=logger").client().await,
    ];
    let past = issue(&client, "shared/a").await;
    let delete = proto::v1::DeleteAgentBody { name: "agents/shared/a".into(), ..Default::default() };
    inner(client.agents().delete_agent(delete).await);
    let own = issue(&other, "shared/a").await.receipt.unwrap().index;
    let request = ListEntriesRequest { start_index: 0, page_size: 500 };
    let page = inner(other.ledger().list_entries(request).await);
    let of_agents = page.entries.iter().filter(|found| found.index < own && !found.request.is_empty());
    let before: Vec<u64> = of_agents.map(|found| found.index).collect();
    // Beside its own certificate's: the agent that it made.
    assert_eq!(before, [own - 1]);
    let list = ListCertificatesRequest { filter: "agent = \"agents/shared/a\"".into(), ..Default::default() };
    let listed = inner(other.issuance().list_certificates(list).await).certificates;
    assert_eq!(listed.iter().map(|one| one.receipt.as_ref().unwrap().index).collect::<Vec<_>>(), [own]);
    let get = proto::v1::GetCertificateRequest { name: past.name };
    refused(other.issuance().get_certificate(get).await, Code::NotFound, "NOT_FOUND");
}
