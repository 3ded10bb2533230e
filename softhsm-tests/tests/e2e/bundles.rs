//! The end of a rotation: a root, and a key of the log, that clients are to believe no more.

use std::fs;

use ledger::bundle::Contents;
use ledger::note::Note;
use rootcellar_softhsm_tests::Cell;
use rootcellar_softhsm_tests::judges::webpki_verifies;

use crate::kinds::{held, key};
use crate::officer::now_secs;
use crate::support::{BINARY, GRANT, Holder, House, STANDBY, eventually, still_issues};

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
    let (old_root, old_issuer) = (key(&founding, "root"), key(&founding, "issuer"));
    let plan = ["ceremony", "plan", "bundle", "--without-root", old_root, "--out"];
    let said = house.cell.run(&[plan.as_slice(), &["only"]].concat()).fails(2);
    assert!(said.contains("only root"), "{said}");
    held(&house, "root-2", &["root"]);
    // The client has the bundle with both, in time.
    house.cell.run(&["ca", "bundle", "--controller", "build"]).ok();
    let old_anchors = house.anchors();
    // As long as the active issuer leads to it alone, it stays.
    house.cell.run(&[plan.as_slice(), &["early"]].concat()).ok();
    house.cell.run(&["ceremony", "approve", "--yes", "early"]).ok();
    let said = house.cell.run(&["ceremony", "import", "early"]).fails(1);
    assert!(said.contains("leads to none of its anchors"), "{said}");

    let made = held(&house, "issuer-2", &["rotation", "--token", "issuing"]);
    house.cell.run(&["issuer", "activate", key(&made, "issuer")]).ok();
    eventually("the new issuer's keeper serves", async || {
        let request = crate::support::request("build/again", crate::support::csr());
        crate::support::ask(&client, request).await.ok()
    })
    .await;
    house.cell.run(&["issuer", "retire", old_issuer]).ok();
    // Whoever presents a certificate under the new root is believed when the old one is gone.
    let client = house.controller("late", GRANT).client().await;
    published(&house, "bundle-6", &["--without-root", old_root]);
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
    cell.configure(STANDBY);
    cell.run(&["init"]).ok();
    let house = House::of(cell);
    house.cell.run(&["ledger", "verify"]).ok();
    held(&house, "log-2", &["log-key", "--token", "standby"]);
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

/// The root of a stranger's cell, as a trust bundle holds it.
pub(crate) fn foreign_root() -> String {
    let stranger = Cell::founded(BINARY);
    let theirs = fs::read_to_string(stranger.officer_dir().join("bundle.note")).unwrap();
    let (begins, end) = (theirs.find("-----BEGIN").unwrap(), "-----END CERTIFICATE-----");
    theirs[begins..theirs.find(end).unwrap() + end.len()].to_owned()
}

/// Whoever carried the directory put a root into the bundle, and the new officers had none to compare it with.
#[test]
fn under_a_new_charter_nothing_else_changes() {
    let house = House::new();
    let alice = house.cell.path("alice").display().to_string();
    let as_alice =
        |arguments: &[&str]| house.cell.run(&[&["--officer-dir", alice.as_str()], arguments].concat());
    as_alice(&["officer", "create", "alice"]).ok();
    let key = as_alice(&["officer", "show", "--line"]).ok();
    let plan =
        ["ceremony", "plan", "charter", "--quorum", "1", "--officer", key.trim(), "--out", "charter-2"];
    house.cell.run(&plan).ok();
    house.cell.run(&["ceremony", "approve", "--yes", "charter-2/charter.note"]).ok();
    let bundle = house.cell.path("charter-2/bundle.note");
    let planned = fs::read_to_string(&bundle).unwrap();
    fs::write(&bundle, format!("{}\n{}\n", planned.trim_end(), foreign_root())).unwrap();
    let said = as_alice(&["ceremony", "approve", "--yes", "charter-2/bundle.note"]).ok();
    assert!(said.contains("no trust bundle to compare it with"), "{said}");
    let said = house.cell.run(&["ceremony", "import", "charter-2"]).fails(1);
    assert!(said.contains("something else than the one before"), "{said}");
    fs::write(&bundle, planned).unwrap();
    as_alice(&["ceremony", "approve", "--yes", "charter-2/bundle.note"]).ok();
    house.cell.run(&["ceremony", "import", "charter-2"]).ok();
    assert_eq!(contents(&house).anchors.len(), 1);
    // Apart from a charter, an officer without a copy has nothing to judge it by.
    fs::create_dir(house.cell.path("alone")).unwrap();
    fs::copy(&bundle, house.cell.path("alone/bundle.note")).unwrap();
    fs::copy(house.cell.officer_dir().join("charter.note"), house.cell.path("alice/charter.note")).unwrap();
    let text = fs::read_to_string(&bundle).unwrap();
    fs::write(
        house.cell.path("alone/bundle.note"),
        text.split("\n\n\u{2014}").next().unwrap().to_owned() + "\n",
    )
    .unwrap();
    let said = as_alice(&["ceremony", "approve", "--yes", "alone"]).fails(1);
    assert!(said.contains("no trust bundle under this charter"), "{said}");
}

#[test]
fn the_first_bundle_is_signed_beside_its_ceremony_alone() {
    let cell = Cell::empty(BINARY);
    cell.run(&["officer", "create", "alice"]).ok();
    let line = cell.run(&["officer", "show", "--line"]).ok();
    cell.run(&["ceremony", "plan", "found", "--quorum", "1", "--officer", line.trim(), "--out", "found"])
        .ok();
    cell.run(&["ceremony", "approve", "--yes", "found"]).ok();
    cell.run(&["ceremony", "execute", "found"]).ok();
    fs::create_dir(cell.path("less")).unwrap();
    for note in ["charter.note", "bundle.note"] {
        fs::copy(cell.path("found").join(note), cell.path("less").join(note)).unwrap();
    }
    let said = cell.run(&["ceremony", "approve", "--yes", "less"]).fails(1);
    assert!(said.contains("without the ceremony that founds it"), "{said}");
    cell.run(&["ceremony", "approve", "--yes", "found"]).ok();
    cell.run(&["ceremony", "import", "found"]).ok();
}
