//! What went wrong in a ceremony, or was another before a crash, stands in its transcript.

use std::fs;
use std::io::Write as _;

use rootcellar_softhsm_tests::{Cell, Outcome};

use crate::ceremonies::Officers;
use crate::kinds::objects;
use crate::support::{BINARY, House};

fn execute(house: &House) -> Outcome {
    house.cell.run(&["ceremony", "execute", "issuer-2"])
}

/// Runs it until it comes by this for the first time.
fn cut_short(house: &House, at: &str) {
    fs::write(house.cell.path("kill"), format!("{at}#1")).unwrap();
    assert_ne!(execute(house).code, 0, "{at}: it was killed");
    fs::remove_file(house.cell.path("kill")).expect_err("it was killed there");
}

/// The transcript, which its judge accepts.
fn told(house: &House) -> String {
    house.cell.run(&["ceremony", "approve", "--yes", "issuer-2"]).ok();
    house.cell.run(&["ceremony", "verify", "issuer-2/transcript.note"]).ok();
    fs::read_to_string(house.cell.path("issuer-2/transcript.note")).unwrap()
}

#[tokio::test]
async fn unfit_keys_and_failed_tests_are_told() {
    let (mut house, faults) = House::with_faults();
    house.cell.run(&["ceremony", "plan", "rotation", "--token", "issuing", "--out", "issuer-2"]).ok();
    house.cell.run(&["ceremony", "approve", "--yes", "issuer-2"]).ok();
    house.stop().await;
    let before = objects(&house);
    // One failure may be chance: it is tested again, and told.
    faults.set_random("once-stuck");
    cut_short(&house, "ceremony entropy-failed");
    // A key whose signature is not its own is destroyed, and that is written down before.
    faults.set("flip");
    for at in ["ceremony discarding", "token destroyed"] {
        cut_short(&house, at);
    }
    let said = execute(&house).fails(1);
    assert!(said.contains("not its key's"), "{said}");
    assert_eq!(objects(&house), before, "no unfit key is left");
    faults.set("");
    execute(&house).ok();
    assert_eq!(objects(&house), before + 2);
    let told = told(&house);
    assert!(told.contains("\nentropy-failed: pkcs11:token=rootcellar-issuing"), "{told}");
    assert!(told.lines().filter(|line| line.starts_with("discarded: ")).count() >= 2, "{told}");
    let made = told.lines().rfind(|line| line.starts_with("public-key-sha256: ")).unwrap();
    let made = made.trim_start_matches("public-key-sha256: ");
    assert!(!told.contains(&format!("discarded: {made}")), "the key that counts is another: {told}");
}

#[test]
fn a_module_that_was_replaced_in_between_is_told_with_the_key_that_it_made() {
    let cell = Cell::empty(BINARY);
    let module = cell.path("module.so");
    fs::copy("/usr/lib/softhsm/libsofthsm2.so", &module).unwrap();
    cell.configure(&format!("[token]\nmodule = \"{}\"\n", module.display()));
    let officers = Officers::of(&cell);
    officers.plan();
    officers.approve("alice");
    officers.approve("bob");
    // The root's key and the issuer's.
    fs::write(cell.path("kill"), "ceremony proved#2").unwrap();
    assert_ne!(officers.execute().code, 0);
    fs::remove_file(cell.path("kill")).expect_err("it was killed there");
    fs::OpenOptions::new().append(true).open(&module).unwrap().write_all(b"another").unwrap();
    officers.execute().ok();
    officers.approve("alice");
    officers.approve("bob");
    officers.verify("found/transcript.note").ok();
    let told = fs::read_to_string(cell.path("found/transcript.note")).unwrap();
    let after = |of: &str, key: &str| {
        let begins = told.find(of).unwrap_or_else(|| panic!("{of}: {told}"));
        told[begins..].lines().find_map(|line| line.strip_prefix(key)).unwrap().to_owned()
    };
    let modules = ["opening: 1", "opening: 2"].map(|opening| {
        after(&format!("rootcellar-issuing;model=SoftHSM%20v2\n{opening}\n"), "module-sha256: ")
    });
    assert_ne!(modules[0], modules[1]);
    assert_eq!(after("step: 2 make-key issuer", "opening: "), "1");
    assert_eq!(after("step: 3 make-key log", "opening: "), "2");
}
