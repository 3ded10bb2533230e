//! What an officer reads before signing, and that nothing is signed that was not read.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use rootcellar_softhsm_tests::{Cell, Outcome};

use crate::ceremonies::Officers;
use crate::kinds::{active, held, key};
use crate::support::{BINARY, House};

/// Runs `approve` on a terminal of its own (script(1) of util-linux), and types this.
fn on_a_terminal(cell: &Cell, dir: &str, typed: &str) -> (bool, String) {
    let approve = format!(
        "'{BINARY}' --config '{}' --officer-dir '{}' ceremony approve '{dir}'",
        cell.config_file().display(),
        cell.path("alice").display()
    );
    let mut command = cell.command(&["script", "--quiet", "--return", "--command", &approve, "/dev/null"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn signed(cell: &Cell, note: &str) -> bool {
    fs::read_to_string(cell.path(note)).unwrap().contains("\n\u{2014} ")
}

#[test]
fn on_a_terminal_nothing_is_signed_without_a_yes() {
    let cell = Cell::empty(BINARY);
    let officers = Officers::of(&cell);
    officers.plan();
    for typed in ["n\n", "\n", "yess\n", ""] {
        let (approved, said) = on_a_terminal(&cell, "found", typed);
        assert!(!approved && said.contains("Sign this as"), "{typed:?}: {said}");
        assert!(!signed(&cell, "found/charter.note") && !signed(&cell, "found/plan.note"), "{typed:?}");
    }
    // Each note is asked for by itself, its words before the question.
    let (approved, said) = on_a_terminal(&cell, "found", "y\nn\n");
    assert!(!approved, "{said}");
    assert!(signed(&cell, "found/charter.note") && !signed(&cell, "found/plan.note"), "{said}");
    let (words, question) = (said.find("any 2 of these 3 officers"), said.find("Sign this as"));
    assert!(words.is_some() && words < question, "{said}");
    let (approved, said) = on_a_terminal(&cell, "found", "y\n");
    assert!(approved && signed(&cell, "found/plan.note"), "{said}");
    // Where nobody can be asked, nobody has said yes.
    let unasked = officers.run("bob", &["ceremony", "approve", "found"]).fails(1);
    assert!(unasked.contains("nothing more was signed"), "{unasked}");
}

/// What is shown of a directory's notes, as one line.
fn shown(outcome: &Outcome) -> String {
    outcome.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn says(house: &House, path: &str, words: &[&str]) {
    let outcome = house.cell.run(&["ceremony", "approve", "--show", path]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    for word in words {
        assert!(shown(&outcome).contains(word), "{word}: {}", outcome.stdout);
    }
}

#[test]
fn each_kind_of_note_says_in_plain_words_what_it_allows() {
    let house = House::new();
    let plan = |kind: &[&str], dir: &str| {
        house.cell.run(&[&["ceremony", "plan"], kind, &["--out", dir]].concat()).ok();
    };
    plan(&["root"], "root-2");
    says(
        &house,
        "root-2",
        &[
            "A ceremony (root) of 2 steps for the cell cell.internal. It needs 1 officers of charter 1.",
            "A new p256 key \"root\" is made in pkcs11:token=rootcellar-root;serial=",
            "The key root signs a certificate for the key root: root, valid for 3650 days.",
        ],
    );
    // Claims from which officers excuse a token.
    let note = house.cell.path("root-2/plan.note");
    let text = fs::read_to_string(&note).unwrap();
    let attributes = text.lines().find(|line| line.starts_with("attributes: ")).unwrap();
    fs::write(&note, text.replacen(attributes, &format!("{attributes}\nexception: copyable"), 1)).unwrap();
    says(&house, "root-2", &["EXCUSED from these claims of custody: copyable."]);

    plan(&["root-crl", "--number", "7", "--revoke", "1a2b3c=key-compromise"], "crl");
    says(&house, "crl", &["signs CRL 7, good for", "none besides: 1a2b3c (key-compromise)."]);

    let made = held(&house, "issuer-2", &["rotation", "--token", "issuing"]);
    says(
        &house,
        "issuer-2",
        &[
            "You were present at this ceremony",
            &format!(
                "COMPARE: the key \"issuer\" is SHA-256 {}, made in rootcellar-issuing",
                key(&made, "issuer")
            ),
            "The issuer certificate is SHA-256",
        ],
    );
    says(&house, "issuer-2/bundle.note", &["COMPARE: the key \"issuer\" is SHA-256"]);
    plan(&["retirement", "--key", key(&made, "issuer"), "--token", "issuing"], "end");
    says(
        &house,
        "end",
        &[&format!("The key sha256:{} in pkcs11:", key(&made, "issuer")), "is DESTROYED, for ever."],
    );

    house.cell.run(&["issuer", "activate", key(&made, "issuer"), "--out", "switch"]).ok();
    says(
        &house,
        "switch",
        &[
            "every client that pins the charter believes exactly these roots",
            "Log cell.internal/log/1: checkpoints signed by cell.internal/log/1+",
            &format!("It ADDS issuer active {}.", key(&made, "issuer")),
            &format!("It TAKES AWAY issuer active {}.", active(&house)),
        ],
    );
    house
        .cell
        .run(&[
            "controller",
            "add",
            "ci",
            "--grant",
            "agents=ci/*;roles=logger",
            "--proposal-out",
            "add.note",
        ])
        .ok();
    says(
        &house,
        "add.note",
        &["A new controller may ask for certificates, within these grants: controller ci;"],
    );
}
