//! A founding that is killed at every step, and goes on.

use std::fs;

use rootcellar_softhsm_tests::Cell;

use crate::ceremonies::{Officers, objects};
use crate::support::BINARY;

/// Everything that a ceremony writes down and that its tokens do, as the program under test tells it.
const STEPS: [&str; 15] = [
    "ceremony began",
    "ceremony token",
    "ceremony entropy",
    "ceremony intended",
    "ceremony made",
    "ceremony proved",
    "ceremony composed",
    "ceremony signed",
    "ceremony ended",
    "token initialised",
    "token given its PIN",
    "token opened",
    "token drew",
    "token made",
    "token signed",
];

#[test]
fn cut_short_at_every_step_it_goes_on() {
    let cell = Cell::empty(BINARY);
    let officers = Officers::of(&cell);
    officers.plan();
    officers.approve("alice");
    officers.approve("bob");
    let mut kills = 0;
    for step in STEPS {
        // At the first, the second, … time that a process comes by, until none does.
        for time in 1.. {
            afresh(&cell);
            fs::write(cell.path("kill"), format!("{step}#{time}")).unwrap();
            let outcome = officers.execute();
            if fs::remove_file(cell.path("kill")).is_ok() {
                outcome.ok();
                break;
            }
            kills += 1;
            assert_ne!(outcome.code, 0, "{step}#{time}: it was killed");
            officers.execute().ok();
            assert!(!cell.path("alice/token/so.pin").exists(), "{step}#{time}: no SO PIN is kept");
            assert_eq!(objects(&cell), 6, "{step}#{time}: three key pairs, and none that nobody knows of");
            let written = fs::read_to_string(cell.path("found/transcript.note")).unwrap();
            assert!(step == "ceremony ended" || written.contains("\nresumed: "), "{step}#{time}: it says so");
        }
    }
    assert!(kills >= 25, "{kills} kills");
    officers.approve("alice");
    officers.approve("bob");
    officers.verify("found/transcript.note").ok();
    officers.run("alice", &["ceremony", "import", "found"]).ok();
    let mut serving = cell.serve();
    assert_eq!(serving.stop(), 0);
}

/// As it was before the ceremony was first executed.
fn afresh(cell: &Cell) {
    for dir in ["share/rootcellar", "alice/token", "alice/carried-out"] {
        let _ = fs::remove_dir_all(cell.path(dir));
    }
    for file in ["found/record.jsonl", "found/transcript.note", "found/bundle.note", "alice/root.pin"] {
        let _ = fs::remove_file(cell.path(file));
    }
}
