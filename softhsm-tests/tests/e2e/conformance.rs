//! What `token conformance` finds: on SoftHSM2, and on a module that misbehaves.

use std::fs;

use rootcellar_softhsm_tests::{Cell, Faults, Outcome};
use serde_json::Value;

use crate::support::{BINARY, House, still_issues};

/// Examines the token that the cell's service has, through this module, with this PIN.
fn examine(cell: &Cell, module: &str, pin: &str, more: &[&str]) -> Outcome {
    let dir = cell.data_dir().join("token").display().to_string();
    let mut arguments = vec!["token", "conformance", module, "--token", "rootcellar-issuing", "--pin", pin];
    arguments.extend(["--profile", "softhsm2", "--dir", &dir, "--no-rates", "--output", "json"]);
    arguments.extend(more);
    cell.run(&arguments)
}

fn pin_of(cell: &Cell) -> String {
    format!("file:{}", cell.data_dir().join("token/pin").display())
}

/// How a check ended.
pub(crate) fn verdict<'a>(report: &'a Value, name: &str) -> &'a str {
    let checks = report["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["name"] == name);
    check.unwrap_or_else(|| panic!("no check {name}: {report}"))["verdict"].as_str().expect("a verdict")
}

const SOFTHSM2: &str = "/usr/lib/softhsm/libsofthsm2.so";

#[tokio::test]
async fn softhsm2_and_the_profile_made_of_it() {
    let cell = Cell::founded(BINARY);
    let keys = cell.run(&["token", "inspect", "--output", "json"]).json()["keys"].clone();
    let profile = cell.path("found.toml").display().to_string();
    let report = examine(&cell, SOFTHSM2, &pin_of(&cell), &["--write-profile", &profile]).json();
    assert_eq!((&report["failed"], &report["fit"]), (&0.into(), &true.into()), "{report}");
    for name in ["token information", "random", "ed25519 signature", "rsa-3072 custody", "data objects"] {
        assert_eq!(verdict(&report, name), "pass", "{report}");
    }
    assert_eq!(verdict(&report, "another process"), "pass", "{report}");
    assert_eq!(verdict(&report, "ml-dsa-65 key"), "unsupported");
    assert_eq!(report["log_keys"], serde_json::json!(["p256", "ed25519"]));
    // The cell's own keys are as they were, and nothing of the examination is left.
    assert_eq!(cell.run(&["token", "inspect", "--output", "json"]).json()["keys"], keys);
    cell.configure(&format!("[token]\nprofile = \"{profile}\"\n"));
    let house = House::of(cell);
    still_issues(&house.build().await).await;
}

#[test]
fn signatures_that_do_not_verify() {
    let mut cell = Cell::empty(BINARY);
    let faults = Faults::between(&mut cell);
    cell.run(&["init"]).ok();
    faults.set("flip");
    let module = rootcellar_softhsm_tests::built("librootcellar_fault_module.so").display().to_string();
    let outcome = examine(&cell, &module, &pin_of(&cell), &[]);
    let report: Value = serde_json::from_str(&outcome.stdout).expect("a report all the same");
    assert_eq!((&report["fit"], &report["issuing_keys"]), (&false.into(), &serde_json::json!([])));
    assert_eq!(verdict(&report, "p256 signature"), "fail", "{report}");
    assert!(outcome.fails(1).contains("TOKEN_UNFIT"));
}

#[test]
fn a_token_that_destroys_nothing_fails() {
    let mut cell = Cell::empty(BINARY);
    let faults = Faults::between(&mut cell);
    cell.run(&["init"]).ok();
    let module = faults.module().display().to_string();
    let good: Value = examine(&cell, &module, &pin_of(&cell), &[]).json();
    assert_eq!(verdict(&good, "after an error"), "pass", "{good}");
    faults.destroy_nothing();
    let outcome = examine(&cell, &module, &pin_of(&cell), &[]);
    let report: Value = serde_json::from_str(&outcome.stdout).expect("a report all the same");
    assert_eq!(verdict(&report, "after an error"), "fail", "{report}");
    assert!(outcome.stdout.contains("a key that was destroyed signs"));
    assert_eq!((&report["fit"], &report["issuing_keys"]), (&false.into(), &serde_json::json!([])));
    assert!(
        report["profile"].as_str().unwrap().contains("Keys that a cell can use there: none."),
        "{report}"
    );
    assert!(outcome.fails(1).contains("TOKEN_UNFIT"));
}

#[test]
fn a_key_that_can_be_read_and_poor_random_numbers_fail() {
    let mut cell = Cell::empty(BINARY);
    let faults = Faults::between(&mut cell);
    cell.run(&["init"]).ok();
    let module = faults.module().display().to_string();
    let unfit = |name: &str| {
        let outcome = examine(&cell, &module, &pin_of(&cell), &[]);
        let report: Value = serde_json::from_str(&outcome.stdout).expect("a report all the same");
        assert_eq!(verdict(&report, name), "fail", "{report}");
        assert_eq!((&report["fit"], &report["issuing_keys"]), (&false.into(), &serde_json::json!([])));
        outcome.fails(1);
    };
    faults.show_private_values(true);
    unfit("p256 private value");
    faults.show_private_values(false);
    faults.set_random("bias");
    unfit("random");
}

#[test]
fn a_wrong_pin_is_tried_once() {
    let mut cell = Cell::empty(BINARY);
    let faults = Faults::between(&mut cell);
    cell.run(&["init"]).ok();
    let module = rootcellar_softhsm_tests::built("librootcellar_fault_module.so").display().to_string();
    let wrong = cell.path("wrong");
    fs::write(&wrong, "12345678").unwrap();
    fs::set_permissions(&wrong, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
    let before = faults.logins();
    for _ in 0..3 {
        examine(&cell, &module, &format!("file:{}", wrong.display()), &[]).fails(77);
    }
    assert_eq!(faults.logins() - before, 1);
}
