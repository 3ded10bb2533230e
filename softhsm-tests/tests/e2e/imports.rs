//! What an import leaves behind with the officer: copies that do not contradict each other, and go on.

use std::fs;

use ledger::bundle::Contents;
use ledger::charter::Charters;
use ledger::note::Note;
use rootcellar_softhsm_tests::Cell;

use crate::support::House;

fn number(cell: &Cell) -> (u64, u64) {
    let read = |name: &str| fs::read(cell.officer_dir().join(name)).unwrap();
    let contents = Contents::read(&Note::parse(&read("bundle.note")).unwrap()).unwrap();
    let charters = Charters::parse(&read("charter.note")).unwrap();
    (contents.number, charters.in_force().revision())
}

#[tokio::test]
async fn a_new_charter_is_the_officers_own_at_once() {
    let mut house = House::new();
    let cell = &house.cell;
    let alice = cell.path("alice").display().to_string();
    cell.run(&["--officer-dir", &alice, "officer", "create", "alice"]).ok();
    let keys = [
        ["officer", "show", "--output", "json"].as_slice(),
        &["--officer-dir", &alice, "officer", "show", "--output", "json"],
    ];
    let keys = keys.map(|show| cell.run(show).json()["officer"].as_str().unwrap().to_owned());
    let [own, other] = &keys;
    let plan =
        ["ceremony", "plan", "charter", "--quorum", "1", "--officer", own, "--officer", other, "--out"];
    cell.run(&[plan.as_slice(), &["charter-2"]].concat()).ok();
    cell.run(&["ceremony", "approve", "--yes", "charter-2"]).ok();
    let imported = cell.run(&["ceremony", "import", "charter-2", "--output", "json"]).json();
    assert!(imported["entry"].is_u64(), "{imported}");
    assert_eq!(number(cell), (2, 2), "bundle and charter belong together");
    cell.run(&["ceremony", "plan", "issuer", "--token", "issuing", "--out", "issuer-2"]).ok();
    // Again: all of it is in force, whether a keeper answers or not.
    let again = |cell: &Cell| {
        let said = cell.run(&["ceremony", "import", "charter-2"]).ok();
        assert!(said.contains("in force already"), "{said}");
        let said = cell.run(&["ceremony", "import", "charter-2", "--output", "json"]).json();
        assert!(said["entry"].is_null(), "{said}");
    };
    again(&house.cell);
    house.stop().await;
    again(&house.cell);
    assert_eq!(number(&house.cell), (2, 2));
    // Also where the journal takes the charter itself.
    house.cell.run(&[plan.as_slice(), &["charter-3"]].concat()).ok();
    house.cell.run(&["ceremony", "approve", "--yes", "charter-3"]).ok();
    house.cell.run(&["ceremony", "import", "charter-3"]).ok();
    assert_eq!(number(&house.cell), (3, 3));
}

#[tokio::test]
async fn a_ceremony_is_imported_with_the_bundle_that_follows_and_only_once() {
    let house = House::new();
    let run = |arguments: &[&str]| house.cell.run(arguments);
    let entries = async || house.entries().await.len();
    run(&["ceremony", "plan", "root", "--out", "root-2"]).ok();
    for command in ["approve", "execute", "approve"] {
        let yes = if command == "approve" { ["--yes"].as_slice() } else { &[] };
        run(&[&["ceremony", command, "root-2"], yes].concat()).ok();
    }
    fs::remove_file(house.cell.path("root-2/bundle.note")).unwrap();
    let before = entries().await;
    let said = run(&["ceremony", "import", "root-2"]).fails(1);
    assert!(said.contains("bundle.note is not there"), "{said}");
    assert_eq!(entries().await, before, "nothing was recorded");
    run(&["ceremony", "execute", "root-2"]).ok();
    run(&["ceremony", "approve", "--yes", "root-2"]).ok();
    run(&["ceremony", "import", "root-2"]).ok();
    assert_eq!(number(&house.cell), (2, 1));
    let after = entries().await;
    assert!(run(&["ceremony", "import", "root-2"]).ok().contains("in force already"));
    assert_eq!(entries().await, after, "nothing is recorded twice");
    // A ceremony that changes no bundle needs none. Of two roots it says which signs.
    let plan = ["ceremony", "plan", "root-crl", "--number", "1", "--out", "crl-1"];
    let said = run(&plan).fails(2);
    assert!(said.contains("several roots"), "{said}");
    let made = run(&["ceremony", "verify", "root-2/transcript.note", "--output", "json"]).json();
    let root = made["keys"][0]["sha256"].as_str().unwrap();
    run(&[&plan[..], &["--signer", root]].concat()).ok();
    for command in [["ceremony", "approve", "--yes", "crl-1"].as_slice(), &["ceremony", "execute", "crl-1"]] {
        run(command).ok();
    }
    run(&["ceremony", "approve", "--yes", "crl-1"]).ok();
    run(&["ceremony", "import", "crl-1"]).ok();
    assert!(run(&["ceremony", "import", "crl-1"]).ok().contains("in force already"));
}

#[test]
fn a_ceremonys_directory_says_what_is_next() {
    let cell = Cell::founded(crate::support::BINARY);
    let shown = || cell.run(&["ceremony", "show", "root-2"]).ok();
    cell.run(&["ceremony", "plan", "root", "--out", "root-2"]).ok();
    let before = fs::read_dir(cell.path("root-2")).unwrap().count();
    let said = shown();
    assert!(said.contains("signed by nobody; 1 needed") && said.contains("to be done"), "{said}");
    assert!(said.contains("Next: rootcellar ceremony approve root-2"), "{said}");
    assert_eq!(fs::read_dir(cell.path("root-2")).unwrap().count(), before, "nothing is changed");
    cell.run(&["ceremony", "approve", "--yes", "root-2"]).ok();
    assert!(shown().contains("Next: rootcellar ceremony execute root-2"));
    cell.run(&["ceremony", "execute", "root-2"]).ok();
    let said = shown();
    assert!(said.contains("key made, and proved") && said.contains("approve root-2"), "{said}");
    cell.run(&["ceremony", "approve", "--yes", "root-2"]).ok();
    let said = shown();
    assert!(said.contains("officer-1") && said.contains("Next: rootcellar ceremony import root-2"), "{said}");
}
