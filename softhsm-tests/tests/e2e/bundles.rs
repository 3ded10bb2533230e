//! The end of a rotation: a root, and a key of the log, that clients are to believe no more.

use std::fs;

use ledger::bundle::Contents;
use ledger::note::Note;
use rootcellar_softhsm_tests::Cell;
use rootcellar_softhsm_tests::judges::webpki_verifies;

use crate::officer::now_secs;
use crate::support::{BINARY, GRANT, Holder, House, eventually, still_issues};

/// A ceremony of one officer, from its plan to the ledger: SHA-256 of the keys that it made, by name.
fn held(house: &House, dir: &str, plan: &[&str]) -> impl Fn(&str) -> String + use<> {
    let run = |arguments: &[&str]| house.cell.run(arguments).ok();
    run(&[&["ceremony", "plan"], plan, &["--out", dir]].concat());
    for command in [["approve", "--yes"].as_slice(), &["execute"], &["approve", "--yes"]] {
        run(&[&["ceremony"], command, &[dir]].concat());
    }
    run(&["ceremony", "import", dir]);
    let transcript = format!("{dir}/transcript.note");
    let verified = house.cell.run(&["ceremony", "verify", &transcript, "--output", "json"]).json();
    move |name| {
        let keys = verified["keys"].as_array().unwrap();
        keys.iter().find(|key| key["name"] == name).unwrap()["sha256"].as_str().unwrap().to_owned()
    }
}

/// A bundle planned with these options, approved and imported.
fn published(house: &House, dir: &str, without: &[&str]) {
    house.cell.run(&[&["ceremony", "plan", "bundle"], without, &["--out", dir]].concat()).ok();
    house.cell.run(&["ceremony", "approve", "--yes", dir]).ok();
    house.cell.run(&["ceremony", "import", dir]).ok();
}

fn contents(house: &House) -> Contents {
    let note = fs::read(house.cell.officer_dir().join("bundle.note")).unwrap();
    Contents::read(&Note::parse(&note).unwrap()).unwrap()
}

#[tokio::test]
async fn a_root_is_rotated_to_the_end() {
    let house = House::new();
    let client = house.build().await;
    let founding = house.cell.officer_dir().join("ceremonies/found/transcript.note").display().to_string();
    let founding = house.cell.run(&["ceremony", "verify", &founding, "--output", "json"]).json();
    let key = |name: &str| {
        let keys = founding["keys"].as_array().unwrap();
        keys.iter().find(|key| key["name"] == name).unwrap()["sha256"].as_str().unwrap().to_owned()
    };
    let (old_root, old_issuer) = (key("root"), key("issuer"));
    let plan = ["ceremony", "plan", "bundle", "--without-root", &old_root, "--out"];
    let said = house.cell.run(&[plan.as_slice(), &["only"]].concat()).fails(2);
    assert!(said.contains("only root"), "{said}");
    let _ = held(&house, "root-2", &["root"]);
    // The client has the bundle with both, in time.
    house.cell.run(&["ca", "bundle", "--controller", "build"]).ok();
    let old_anchors = house.anchors();
    // As long as the active issuer leads to it alone, it stays.
    house.cell.run(&[plan.as_slice(), &["early"]].concat()).ok();
    house.cell.run(&["ceremony", "approve", "--yes", "early"]).ok();
    let said = house.cell.run(&["ceremony", "import", "early"]).fails(1);
    assert!(said.contains("leads to none of its anchors"), "{said}");

    let new_issuer = held(&house, "issuer-2", &["rotation", "--token", "issuing"])("issuer");
    house.cell.run(&["issuer", "activate", &new_issuer]).ok();
    eventually("the new issuer's keeper serves", async || {
        let request = crate::support::request("build/again", crate::support::csr());
        crate::support::ask(&client, request).await.ok()
    })
    .await;
    house.cell.run(&["issuer", "retire", &old_issuer]).ok();
    // Whoever presents a certificate under the new root is believed when the old one is gone.
    let client = house.controller("late", GRANT).client().await;
    published(&house, "bundle-6", &["--without-root", &old_root]);
    assert_eq!(contents(&house).anchors.len(), 1);
    let holder = Holder::ask(&client, "build/after", |_| {}).await;
    let now = u64::try_from(now_secs()).unwrap();
    webpki_verifies(&house.anchors(), &holder.certificate.chain, now).expect("under the new root alone");
    assert_ne!(house.anchors(), old_anchors);
    let unknown = house.cell.run(&[plan.as_slice(), &["again"]].concat()).fails(2);
    assert!(unknown.contains("names no root"), "{unknown}");
    // So is the service's own.
    for _ in 0..2 {
        house.cell.run(&["ca", "bundle", "--controller", "late"]).ok();
    }
    house.cell.run(&["ledger", "verify"]).ok();
    still_issues(&client).await;
}

#[tokio::test]
async fn a_key_of_the_log_is_taken_back() {
    let cell = Cell::empty(BINARY);
    cell.configure("[standby-token]\nuri = \"pkcs11:token=rootcellar-standby\"\n");
    cell.run(&["init"]).ok();
    let house = House::of(cell);
    house.cell.run(&["ledger", "verify"]).ok();
    let _ = held(&house, "log-2", &["log-key", "--token", "standby"]);
    let keys = contents(&house).logs[0].keys.clone();
    let [first, second] = keys.as_slice() else { panic!("two keys") };
    let named = |key: &ledger::note::VerifierKey| format!("{}+{:08x}", key.name(), key.id());
    // The one that signs the checkpoints is not taken back.
    let plan = ["ceremony", "plan", "bundle", "--out", "early", "--without-log-key"];
    house.cell.run(&[plan.as_slice(), &[&named(first)]].concat()).ok();
    house.cell.run(&["ceremony", "approve", "--yes", "early"]).ok();
    let said = house.cell.run(&["ceremony", "import", "early"]).fails(1);
    assert!(said.contains("signs the checkpoints"), "{said}");
    published(&house, "bundle-3", &["--without-log-key", &named(second)]);
    assert_eq!(contents(&house).logs[0].keys, std::slice::from_ref(first));
    house.cell.run(&["ledger", "verify"]).ok();
    let plan = ["ceremony", "plan", "bundle", "--out", "last", "--without-log-key", &named(first)];
    assert!(house.cell.run(&plan).fails(2).contains("only key"));
}
