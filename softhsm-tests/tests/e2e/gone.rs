//! A key that was gone before is not told as destroyed, whatever a ceremony's record says.

use std::fs;
use std::process::Command;

use rootcellar_softhsm_tests::Cell;

use crate::kinds::{held, key, objects};
use crate::support::{BINARY, House};

fn house() -> House {
    let cell = Cell::empty(BINARY);
    cell.run(&["init"]).ok();
    House::of(cell)
}

/// Plans and approves the end of a key.
fn retirement(house: &House, key: &str, dir: &str) {
    house
        .cell
        .run(&["ceremony", "plan", "retirement", "--key", key, "--token", "issuing", "--out", dir])
        .ok();
    house.cell.run(&["ceremony", "approve", "--yes", dir]).ok();
}

/// The first line of a ceremony's record that tells of such an event.
fn line(house: &House, dir: &str, event: &str) -> String {
    let record = fs::read_to_string(house.cell.path(dir).join("record.jsonl")).unwrap();
    let begins = format!("{{\"event\":\"{event}\"");
    record.lines().find(|line| line.starts_with(&begins)).unwrap().to_owned() + "\n"
}

fn cka_id(house: &House, dir: &str) -> String {
    let made: serde_json::Value = serde_json::from_str(&line(house, dir, "made")).unwrap();
    made["key"]["id"].as_str().unwrap().to_owned()
}

fn verified(house: &House, dir: &str) -> serde_json::Value {
    house.cell.run(&["ceremony", "verify", &format!("{dir}/transcript.note"), "--output", "json"]).json()
}

/// What somebody does in the issuing token, with its PIN.
fn in_the_token(house: &House, arguments: &[&str]) {
    let dir = house.cell.data_dir().join("token");
    let pin = fs::read_to_string(dir.join("pin")).unwrap();
    let ran = Command::new("pkcs11-tool")
        .env("SOFTHSM2_CONF", dir.join("softhsm2.conf"))
        .args(["--module", "/usr/lib/softhsm/libsofthsm2.so", "--token-label", "rootcellar-issuing"])
        .args(["--login", "--pin", pin.trim()])
        .args(arguments)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn a_forged_beginning_destroys_nothing_and_proves_nothing() {
    let house = house();
    let ends = held(&house, "issuer-1", &["rotation", "--token", "issuing"]);
    held(&house, "issuer-2", &["rotation", "--token", "issuing"]);
    let ends = key(&ends, "issuer");
    retirement(&house, ends, "end-1");
    retirement(&house, ends, "end-2");
    house.cell.run(&["ceremony", "execute", "end-1"]).ok();
    house.cell.run(&["ceremony", "approve", "--yes", "end-1"]).ok();
    let proven = verified(&house, "end-1");
    assert_eq!((&proven["destroyed"][0], proven["gone"].as_array().unwrap().len()), (&ends.into(), 0));
    // The other issuer's private key has lost its public half.
    let (own, other) = (cka_id(&house, "issuer-1"), cka_id(&house, "issuer-2"));
    in_the_token(&house, &["--delete-object", "--type", "pubkey", "--id", &other]);
    let before = objects(&house);
    let said = house.cell.run(&["ceremony", "execute", "end-2"]).fails(1);
    assert!(said.contains("holds no such key"), "{said}");
    // The record now says that the destruction had begun, in the words of the one that did, of what lies under the other's CKA_ID.
    let record = house.cell.path("end-2/record.jsonl");
    let begun = line(&house, "end-1", "destroying").replace(&own, &other);
    fs::write(&record, fs::read_to_string(&record).unwrap() + &begun).unwrap();
    house.cell.run(&["ceremony", "execute", "end-2"]).ok();
    assert_eq!(objects(&house), before, "nothing was destroyed");
    house.cell.run(&["ceremony", "approve", "--yes", "end-2"]).ok();
    let proven = verified(&house, "end-2");
    assert_eq!((&proven["gone"][0], proven["destroyed"].as_array().unwrap().len()), (&ends.into(), 0));
    let said = house.cell.run(&["ceremony", "verify", "end-2/transcript.note"]).ok();
    assert!(said.contains("may have been gone before"), "{said}");
    // Nor when it says that all of it was done.
    fs::remove_file(house.cell.path("end-2/transcript.note")).unwrap();
    house.cell.run(&["ceremony", "execute", "end-2"]).ok();
    let told = fs::read_to_string(house.cell.path("end-2/transcript.note")).unwrap();
    assert!(told.contains("\nproof: none"), "{told}");
}

#[test]
fn of_a_half_destroyed_key_the_other_half_is_destroyed() {
    let house = house();
    let ends = held(&house, "issuer-1", &["rotation", "--token", "issuing"]);
    let before = objects(&house);
    retirement(&house, key(&ends, "issuer"), "end");
    fs::write(house.cell.path("kill"), "ceremony destroying#1").unwrap();
    assert_ne!(house.cell.run(&["ceremony", "execute", "end"]).code, 0, "it was killed");
    let own = cka_id(&house, "issuer-1");
    in_the_token(&house, &["--delete-object", "--type", "privkey", "--id", &own]);
    house.cell.run(&["ceremony", "execute", "end"]).ok();
    assert_eq!(objects(&house), before - 2, "both halves are gone");
    house.cell.run(&["ceremony", "approve", "--yes", "end"]).ok();
    assert_eq!(
        verified(&house, "end")["destroyed"][0],
        key(&ends, "issuer"),
        "it had proved that it was there"
    );
}
