//! Many callers at once.

use std::collections::HashSet;

use ledger::leaf_hash;
use rcgen::KeyPair;
use tokio::task::JoinSet;

use crate::support::{House, ask, csr_of, issuance_of, request};

#[tokio::test]
async fn many_callers() {
    const CONNECTIONS: usize = 4;
    const EACH: usize = 50;
    let (house, first) = House::with_build().await;
    let mut clients = vec![first];
    for _ in 1..CONNECTIONS {
        clients.push(house.credentials().client().await);
    }
    let mut asked = JoinSet::new();
    for i in 0..CONNECTIONS * EACH {
        let client = clients[i % CONNECTIONS].clone();
        let request = request(&format!("build/{i}"), csr_of(&KeyPair::generate().unwrap()));
        asked.spawn(async move { ask(&client, request).await.unwrap() });
    }
    let certificates = asked.join_all().await;
    let serials: HashSet<&str> = certificates.iter().map(|certificate| certificate.serial.as_str()).collect();
    assert_eq!(serials.len(), CONNECTIONS * EACH);
    let entries = house.entries().await;
    for certificate in &certificates {
        let receipt = certificate.receipt.as_ref().unwrap();
        let entry = &entries[usize::try_from(receipt.index).unwrap()];
        assert_eq!(leaf_hash(&entry.entry).as_bytes(), receipt.leaf_hash.as_slice());
        let tbs = issuance_of(entry).unwrap().tbs;
        assert_eq!(certificate.chain[0][4..4 + tbs.len()], tbs, "each is what its entry says");
    }
    house.cell.run(&["ledger", "verify"]).ok();
}
