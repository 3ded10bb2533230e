//! The book, followed word by word: what its sections say is run as it stands.

use std::fs;
use std::path::Path;

use rootcellar_softhsm_tests::Cell;

use crate::support::{BINARY, STANDBY, eventually};

/// The shell of a section of the book.
fn shell_of(file: &str, section: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(file);
    let text = fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once(&format!("\n## {section}\n")).expect("the section");
    let section = rest.split("\n## ").next().unwrap();
    section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap()).collect()
}

fn follow(cell: &Cell, file: &str, section: &str) {
    let config = cell.config_file();
    let script = shell_of(file, section);
    let function =
        format!("set -eu\nrootcellar() {{ '{BINARY}' --config '{}' \"$@\"; }}\n", config.display());
    let output = cell.command(&["bash", "-c", &format!("{function}{script}")]).output().unwrap();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// The how-to is followed word by word: what it says is run as it stands, and the cell serves.
#[tokio::test]
async fn the_how_to_for_a_security_team_is_followed_word_by_word() {
    let cell = Cell::empty(BINARY);
    let shell = shell_of("ceremonies.md", "Two of three found a cell");
    assert!(shell.lines().filter(|line| line.starts_with("rootcellar")).count() >= 15, "{shell}");
    let (before, after) = shell.split_once("rootcellar serve\n").expect("it serves");
    let config = cell.config_file();
    let run = |script: &str| {
        let function =
            format!("set -eu\nrootcellar() {{ '{BINARY}' --config '{}' \"$@\"; }}\n", config.display());
        let mut command = cell.command(&["bash", "-c", &format!("{function}{script}")]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    };
    run(before);
    let serving = cell.serve();
    // `issue` at the end asks at the port of the configuration, which is not this one's.
    let (acts, issue) = after.split_once("rootcellar issue").expect("it issues");
    run(acts);
    cell.credentials(&serving, "build");
    run(&format!("rootcellar issue{issue}"));
    assert!(cell.path("build-logger-1.chain.pem").exists());
}

#[tokio::test]
async fn from_one_officer_to_a_quorum_that_holds_the_drill() {
    let cell = Cell::empty(BINARY);
    cell.configure(STANDBY);
    cell.run(&["--officer-dir", "one", "init"]).ok();
    let serving = cell.serve();
    follow(&cell, "ceremonies.md", "From one officer to a quorum");
    let alone = ["--officer-dir", "alice", "controller", "add", "ci", "--grant", "agents=ci/*;roles=logger"];
    let said = cell.run(&alone).fails(1);
    assert!(said.contains("1 of 2 officers"), "{said}");
    follow(&cell, "custody-drill.md", "With several officers");
    let listed = eventually("the other issuer signs", async || {
        let listed = cell.run(&["--officer-dir", "carol", "issuer", "list", "--output", "json"]);
        let listed = (listed.code == 0).then(|| listed.json())?;
        // While the keeper starts anew, carol sees her own copy.
        (listed["bundle"] == 4).then_some(listed)
    })
    .await;
    let states: Vec<_> = listed["issuers"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["prepared", "active"]);
    // The one that stands ready now is the one before. Where no token holds it, it is not taken without its name.
    let pin = cell.data_dir().join("token/standby-pin");
    let pin = format!("pin = \"file:{}\"\n", pin.display());
    cell.configure(&format!("[token]\nuri = \"pkcs11:token=rootcellar-standby\"\n{pin}"));
    let unnamed = ["--officer-dir", "alice", "issuer", "activate", "--out", "back"];
    let said = cell.run(&unnamed).fails(1);
    assert!(said.contains("no such key") && !cell.path("back").exists(), "{said}");
    drop(serving);
}

#[tokio::test]
async fn no_issuer_signs_whose_token_is_not_here() {
    let cell = Cell::empty(BINARY);
    cell.configure(STANDBY);
    cell.run(&["init"]).ok();
    let _serving = cell.serve();
    cell.run(&["issuer", "prepare", "--out", "issuer-2"]).ok();
    let listed = cell.run(&["issuer", "list", "--output", "json"]).json();
    let ready = listed["issuers"][1]["sha256"].as_str().unwrap().to_owned();
    // A configuration without the token that holds it.
    cell.configure("");
    let said = cell.run(&["issuer", "activate", &ready]).fails(1);
    assert!(said.contains("no such key") && said.contains("--force"), "{said}");
    let listed = cell.run(&["issuer", "list", "--output", "json"]).json();
    assert_eq!(listed["bundle"], 2, "nothing was published");
    let carried = cell.run(&["issuer", "activate", &ready, "--out", "switch"]);
    assert!(carried.stderr.contains("no such key"), "{}", carried.stderr);
    carried.ok();
    // Forced, it is recorded; the keeper then has no key to start with, so that the proof comes only if it is quick.
    let forced = cell.run(&["issuer", "activate", &ready, "--force"]);
    assert!(forced.code == 0 || forced.stderr.contains("recorded as entry"), "{}", forced.stderr);
}

#[test]
fn an_officers_key_in_a_token_is_made_once() {
    let cell = Cell::empty(BINARY);
    cell.configure("[officer]\ntoken = \"pkcs11:token=bob\"\npin = \"file:bob.pin\"\n");
    let create = ["--officer-dir", "bob", "officer", "create", "bob", "--in-token"];
    let keys = |cell: &Cell| {
        let files = crate::support::files_below(&cell.path("bob"));
        files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "object")).count()
    };
    // Cut short behind the key: the same command finds it.
    fs::write(cell.path("kill"), "token made").unwrap();
    assert_ne!(cell.run(&create).code, 0, "it was killed");
    assert!(cell.path("bob/officer.key.intended").exists());
    let _ = fs::remove_file(cell.path("kill"));
    cell.run(&create).ok();
    let made = keys(&cell);
    let said = cell.run(&create).fails(1);
    assert!(said.contains("is there already"), "{said}");
    assert_eq!((keys(&cell), made), (made, 3), "one pair, and the token's own object");
    assert!(!cell.path("bob/officer.key.intended").exists());
    // Its public half as others name it.
    let shown = ["--officer-dir", "bob", "officer", "show"];
    let told = cell.run(&[&shown[..], &["--output", "json"]].concat()).json();
    let line = cell.run(&[&shown[..], &["--line"]].concat()).ok();
    assert_eq!(line.strip_suffix('\n'), told["officer"].as_str());
}
