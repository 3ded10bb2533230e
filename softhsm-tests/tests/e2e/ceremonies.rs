//! Ceremonies of several officers, on SoftHSM2: approved, refused, altered.

use std::fs;
use std::path::Path;

use ledger::bundle::Bundle;
use ledger::charter::Charters;
use ledger::note::Note;
use rootcellar_softhsm_tests::{Cell, Outcome};
use sha2::{Digest as _, Sha256};

use crate::support::{BINARY, House, issue, still_issues};

/// A cell's officers, each with a directory of their own.
pub(crate) struct Officers<'a> {
    pub(crate) cell: &'a Cell,
}

impl Officers<'_> {
    /// Makes alice's, bob's and carol's keys.
    pub(crate) fn of(cell: &Cell) -> Officers<'_> {
        let officers = Officers { cell };
        for name in ["alice", "bob", "carol"] {
            officers.run(name, &["officer", "create", name]).ok();
        }
        officers
    }

    /// Runs a command as one of them.
    pub(crate) fn run(&self, officer: &str, arguments: &[&str]) -> Outcome {
        let dir = self.cell.path(officer).display().to_string();
        let all: Vec<&str> = ["--officer-dir", &dir].into_iter().chain(arguments.iter().copied()).collect();
        self.cell.run(&all)
    }

    fn key(&self, officer: &str) -> String {
        let shown = self.run(officer, &["officer", "show", "--output", "json"]).json();
        shown["officer"].as_str().unwrap().to_owned()
    }

    /// Plans a cell of two of three.
    pub(crate) fn plan(&self) {
        let keys = ["alice", "bob", "carol"].map(|name| self.key(name));
        let mut arguments = vec!["ceremony", "plan", "found", "--quorum", "2", "--out", "found"];
        arguments.extend(keys.iter().flat_map(|key| ["--officer", key]));
        self.run("alice", &arguments).ok();
    }

    pub(crate) fn approve(&self, officer: &str) {
        self.run(officer, &["ceremony", "approve", "--yes", "found"]).ok();
    }

    /// The root's token is one that only the officers have: it lies in the directory of the one who executes.
    pub(crate) fn execute(&self) -> Outcome {
        self.run("alice", &["ceremony", "execute", "found"])
    }

    /// From nothing to a cell of two of three that may serve; every officer has a copy of the charter and of the trust bundle.
    pub(crate) fn found(&self) {
        self.plan();
        for officer in ["alice", "bob"] {
            self.approve(officer);
        }
        self.execute().ok();
        for officer in ["alice", "bob"] {
            self.approve(officer);
        }
        self.run("alice", &["ceremony", "import", "found"]).ok();
        for officer in ["bob", "carol"] {
            for note in ["charter.note", "bundle.note"] {
                fs::copy(self.cell.path("alice").join(note), self.cell.path(officer).join(note)).unwrap();
            }
        }
    }

    pub(crate) fn verify(&self, transcript: &str) -> Outcome {
        self.run("alice", &["ceremony", "verify", transcript])
    }
}

/// Key objects in the tokens: two for each pair.
pub(crate) fn objects(cell: &Cell) -> usize {
    let tokens = [cell.path("share/rootcellar/token/tokens"), cell.path("alice/token/tokens")];
    let objects = tokens.iter().filter(|dir| dir.exists()).flat_map(|dir| crate::support::files_below(dir));
    objects
        .filter(|path| path.extension().is_some_and(|extension| extension == "object"))
        .filter(|path| path.file_name().is_some_and(|name| name != "token.object"))
        .count()
}

#[tokio::test]
async fn two_of_three_found_a_cell_that_serves() {
    let cell = Cell::empty(BINARY);
    let officers = Officers::of(&cell);
    officers.plan();
    let rehearsed = officers.run("alice", &["ceremony", "execute", "--rehearse", "found"]).ok();
    assert!(rehearsed.contains("5 steps"), "{rehearsed}");
    assert_eq!(objects(&cell), 0, "a rehearsal leaves nothing");
    // At once, and neither takes the other's signature away.
    std::thread::scope(|scope| {
        for officer in ["alice", "bob", "carol"] {
            scope.spawn(|| officers.approve(officer));
        }
    });
    officers.execute().ok();
    let unsigned = officers.verify("found/transcript.note").fails(1);
    assert!(unsigned.contains("not signed") && unsigned.contains("ceremony approve"), "{unsigned}");
    // The transcript needs an officer who was present, the bundle a quorum.
    let said = officers.run("alice", &["ceremony", "import", "found"]).fails(1);
    assert!(said.contains("signed"), "{said}");
    officers.approve("alice");
    officers.approve("carol");
    let verified =
        officers.run("carol", &["ceremony", "verify", "found/transcript.note", "--output", "json"]).json();
    assert_eq!(verified["approved_by"].as_array().unwrap().len(), 3, "{verified}");
    assert_eq!(verified["keys"].as_array().unwrap().len(), 3);
    // With nothing but the file and the officers' public keys.
    let keys = ["alice", "bob", "carol"].map(|name| officers.key(name));
    let mut arguments = vec!["ceremony", "verify", "found/transcript.note", "--quorum", "2"];
    arguments.extend(keys.iter().flat_map(|key| ["--officer", key]));
    officers.run("nobody", &arguments).ok();
    arguments.truncate(arguments.len() - 2);
    officers.run("nobody", &arguments).fails(1);
    officers.run("alice", &["ceremony", "import", "found"]).ok();
    let again = officers.run("alice", &["ceremony", "import", "found"]).ok();
    assert!(again.contains("in force already"), "a cell that is founded is not founded again: {again}");

    let serving = cell.serve();
    let add = ["controller", "add", "build", "--grant", crate::support::GRANT, "--proposal-out", "add.note"];
    officers.run("alice", &add).ok();
    let said = officers.run("alice", &["proposal", "submit", "add.note"]).fails(1);
    assert!(said.contains("1 of 2 officers"), "{said}");
    officers.run("bob", &["ceremony", "approve", "--yes", "add.note"]).fails(1);
    fs::copy(cell.path("alice/charter.note"), cell.path("bob/charter.note")).unwrap();
    officers.run("bob", &["ceremony", "approve", "--yes", "add.note"]).ok();
    officers.run("alice", &["proposal", "submit", "add.note"]).ok();
    let client = cell.credentials(&serving, "build").client().await;
    issue(&client, "build/a").await;
    officers.run("alice", &["ledger", "verify"]).ok();
    let any = officers.run("carol", &["freeze"]).fails(1);
    assert!(any.contains("charter.note"), "{any}");
    fs::copy(cell.path("alice/charter.note"), cell.path("carol/charter.note")).unwrap();
    officers.run("carol", &["freeze"]).ok();
}

#[tokio::test]
async fn two_of_three_open_an_epoch_of_a_log_that_went_back() {
    let cell = Cell::empty(BINARY);
    let officers = Officers::of(&cell);
    officers.found();
    let house = House::of(cell);
    let backup = house.cell.path("old.sqlite").display().to_string();
    house.cell.run(&["journal", "backup", "--out", &backup]).ok();
    let officers = Officers { cell: &house.cell };
    officers.run("alice", &["freeze"]).ok();
    let mut house = house;
    assert_eq!(house.stop().await, 0);
    house.cell.run(&["journal", "restore", &backup, "--with-loss"]).ok();
    house.cell.try_serve().expect_err("a log that went back").fails(1);
    let officers = Officers { cell: &house.cell };
    let one = officers.run("alice", &["ledger", "open-epoch"]).fails(1);
    assert!(one.contains("1 of 2 officers") && one.contains("--out"), "{one}");
    officers.run("alice", &["ledger", "open-epoch", "--out", "epoch"]).ok();
    officers.run("alice", &["ledger", "open-epoch", "epoch"]).fails(1);
    officers.run("bob", &["ceremony", "approve", "--yes", "epoch"]).ok();
    // Each note by itself is not enough.
    let bundle = fs::read_to_string(house.cell.path("epoch/bundle.note")).unwrap();
    let (body, signatures) = bundle.split_once("\n\n").unwrap();
    let alone = format!("{body}\n\n{}\n", signatures.lines().next().unwrap());
    fs::write(house.cell.path("epoch/bundle.note"), alone).unwrap();
    officers.run("alice", &["ledger", "open-epoch", "epoch"]).fails(1);
    fs::write(house.cell.path("epoch/bundle.note"), bundle).unwrap();
    let opened = officers.run("alice", &["ledger", "open-epoch", "epoch", "--output", "json"]).json();
    assert_eq!(opened["log"], "cell.internal/log/2");
    let house = House::of(house.cell);
    Officers { cell: &house.cell }.run("alice", &["ledger", "verify"]).ok();
}

#[test]
fn one_of_three_is_refused_before_any_key_is_made() {
    let cell = Cell::empty(BINARY);
    let officers = Officers::of(&cell);
    officers.plan();
    let nobody = officers.execute().fails(1);
    assert!(nobody.contains("signed"), "{nobody}");
    officers.approve("alice");
    let said = officers.execute().fails(1);
    assert!(said.contains("1 of 2 officers have signed"), "{said}");
    // Signing twice makes no second officer, nor does a stranger.
    officers.approve("alice");
    officers.run("eve", &["officer", "create", "eve"]).ok();
    let stranger = officers.run("eve", &["ceremony", "approve", "--yes", "found"]).fails(1);
    assert!(stranger.contains("not an officer"), "{stranger}");
    officers.execute().fails(1);
    assert_eq!(objects(&cell), 0);
    assert!(!cell.path("found/record.jsonl").exists(), "nothing was begun");
}

#[test]
fn a_plan_that_cannot_be_makes_no_key() {
    let cell = Cell::empty(BINARY);
    let officers = Officers::of(&cell);
    officers.plan();
    let plan = fs::read_to_string(cell.path("found/plan.note")).unwrap();
    fs::write(cell.path("found/plan.note"), plan.replace("days: 365\n", "days: 3650\n")).unwrap();
    officers.approve("alice");
    officers.approve("bob");
    let said = officers.execute().fails(1);
    assert!(said.contains("step 5 of the plan"), "an issuer is valid for a year: {said}");
    assert_eq!(objects(&cell), 0);
}

/// Each byte of a file, changed in one bit; every so many of them.
fn flips(path: &Path, every: usize) -> impl Iterator<Item = (usize, Vec<u8>)> {
    let whole = fs::read(path).unwrap();
    (0..whole.len()).step_by(every).map(move |i| {
        let mut changed = whole.clone();
        changed[i] ^= 1;
        (i, changed)
    })
}

#[test]
fn an_altered_byte_is_caught_and_an_altered_record_is_not_believed() {
    let cell = Cell::empty(BINARY);
    let officers = Officers::of(&cell);
    officers.plan();
    officers.approve("alice");
    officers.approve("bob");
    // The plan: whatever is changed, there is no quorum for it.
    let plan = cell.path("found/plan.note");
    let kept = fs::read(&plan).unwrap();
    for (i, changed) in flips(&plan, 101) {
        fs::write(&plan, changed).unwrap();
        assert_ne!(officers.execute().code, 0, "byte {i} of the plan");
    }
    fs::write(&plan, kept).unwrap();
    assert_eq!(objects(&cell), 0);
    // The record: it began when its plan could be executed, and what it says was composed is not signed, whoever composed it.
    fs::write(cell.path("kill"), "ceremony composed").unwrap();
    officers.execute();
    let record = cell.path("found/record.jsonl");
    let text = fs::read_to_string(&record).unwrap();
    assert!(text.contains("\"composed\""), "it was cut short behind the first certificate's record");
    let (before, after) = text.split_once("\"at_ms\":").unwrap();
    for began in ["1", "4102444800000"] {
        let after = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
        fs::write(&record, format!("{before}\"at_ms\":{began}{after}")).unwrap();
        let said = officers.execute().fails(1);
        assert!(said.contains("look at the clocks"), "{said}");
    }
    fs::write(&record, &text).unwrap();
    officers.execute().ok();
    let told = fs::read_to_string(cell.path("found/transcript.note")).unwrap();
    let dictated = text.split_once("\"tbs\":\"").unwrap().1.split_once('"').unwrap().0;
    let dictated = data_encoding::HEXLOWER.decode(dictated.as_bytes()).unwrap();
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(&dictated));
    assert!(told.contains(&format!("tbs-sha256 {hash}, signed or not")), "it is accounted for: {told}");
    let certificate = told.lines().find_map(|line| line.strip_prefix("certificate: ")).unwrap();
    let certificate = data_encoding::BASE64.decode(certificate.as_bytes()).unwrap();
    assert!(!certificate.windows(dictated.len()).any(|part| part == dictated), "and not what was signed");
    officers.approve("alice");
    officers.approve("bob");
    officers.verify("found/transcript.note").ok();
    let transcript = cell.path("found/transcript.note");
    fs::copy(cell.path("found/charter.note"), cell.path("charter.note")).unwrap();
    for (i, changed) in flips(&transcript, 149) {
        fs::write(cell.path("altered.note"), changed).unwrap();
        assert_ne!(officers.verify("altered.note").code, 0, "byte {i} of the transcript");
    }
    let text = fs::read_to_string(&transcript).unwrap();
    fs::write(cell.path("altered.note"), text.replacen("CKA_EXTRACTABLE false", "CKA_EXTRACTABLE true", 1))
        .unwrap();
    let said = officers.verify("altered.note").fails(1);
    assert!(said.contains("(attribute)"), "the line is named: {said}");
}

#[tokio::test]
async fn a_cell_of_one_officer_moves_to_a_quorum() {
    let (mut house, client) = House::with_build().await;
    let charter = house.cell.officer_dir().join("charter.note");
    let first = fs::read_to_string(&charter).unwrap();
    let officers = Officers::of(&house.cell);
    let own = officers.cell.run(&["officer", "show", "--output", "json"]).json();
    let own = own["officer"].as_str().unwrap().to_owned();
    let keys = [own, officers.key("alice"), officers.key("bob")];
    let mut arguments = vec!["ceremony", "plan", "charter", "--quorum", "2", "--out", "charter-2"];
    arguments.extend(keys.iter().flat_map(|key| ["--officer", key]));
    house.cell.run(&arguments).ok();
    house.cell.run(&["ceremony", "approve", "--yes", "charter-2"]).ok();
    // The officer before approved the charter; the bundle under it needs two of the new ones.
    let said = house.cell.run(&["ceremony", "import", "charter-2"]).fails(1);
    assert!(said.contains("1 of 2 officers"), "{said}");
    officers.run("alice", &["ceremony", "approve", "--yes", "charter-2/bundle.note"]).ok();
    let mut watched =
        client.trust().watch_trust_bundle(proto::v1::WatchTrustBundleRequest {}).await.unwrap().into_inner();
    watched.message().await.unwrap().unwrap();
    house.cell.run(&["ceremony", "import", "charter-2"]).ok();
    let seen = watched.message().await.unwrap().unwrap().bundle.unwrap();
    assert_eq!((seen.number, seen.charters.len()), (2, 2), "whoever watches sees it, and how it follows");
    still_issues(&client).await;

    // One officer alone does nothing more that widens trust, nor does an older act.
    let said = house.cell.run(&["grant", "set", "build", "name=ci;agents=ci/*;roles=logger"]).fails(1);
    assert!(said.contains("1 of 2 officers"), "{said}");
    house.restart().await;
    house.cell.run(&["ledger", "verify"]).ok();
    // Its port is another now.
    house.credentials();
    house.cell.run(&["ca", "bundle", "--controller", "build"]).ok();
    let followed = Charters::parse(&fs::read(&charter).unwrap()).unwrap();
    assert_eq!(
        (followed.in_force().revision(), followed.in_force().quorum()),
        (2, 2),
        "the officer's copy follows"
    );
    // What was approved under the first counts under it.
    let founding = house.cell.officer_dir().join("ceremonies/found/transcript.note").display().to_string();
    house.cell.run(&["ceremony", "verify", &founding]).ok();
    house.cell.run(&["ceremony", "verify", &founding, "--charter", &charter.display().to_string()]).ok();
    // A service that says that nothing followed is not believed any more, by anyone who has seen it.
    let older = Bundle::open(
        &Note::parse(seen.note.as_bytes()).unwrap(),
        Charters::parse(first.as_bytes()).unwrap().in_force(),
    );
    older.expect_err("the new bundle is not the old charter's");
}

#[test]
fn an_officers_key_under_a_passphrase_or_in_a_token() {
    let cell = Cell::empty(BINARY);
    let secret = cell.path("passphrase");
    fs::write(&secret, "correct horse").unwrap();
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
    let configure = |secret: &Path| {
        let (secret, pin) = (secret.display(), cell.path("officer.pin"));
        cell.configure(&format!(
            "[officer]\npassphrase = \"file:{secret}\"\ntoken = \"pkcs11:token=bob\"\npin = \"file:{}\"\n",
            pin.display()
        ));
    };
    configure(&secret);
    let officers = Officers { cell: &cell };
    officers.run("alice", &["officer", "create", "alice", "--passphrase"]).ok();
    officers.run("bob", &["officer", "create", "bob", "--in-token"]).ok();
    officers.run("carol", &["officer", "create", "carol"]).ok();
    let sealed = fs::read_to_string(cell.path("alice/officer.key")).unwrap();
    assert!(sealed.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "{sealed}");
    // Another tool opens it, and finds the same public key.
    let opened = rootcellar_softhsm_tests::judges::openssl(
        &cell.path("."),
        &["pkey", "-in", "alice/officer.key", "-passin", "file:passphrase", "-noout", "-text"],
    );
    assert!(opened.contains("ED25519"), "{opened}");
    let held = fs::read_to_string(cell.path("bob/officer.key")).unwrap();
    assert!(held.contains("in a token") && !held.contains("PRIVATE"), "{held}");
    officers.plan();
    officers.approve("alice");
    officers.approve("bob");
    officers.execute().ok();
    officers.approve("bob");
    officers.approve("alice");
    officers.verify("found/transcript.note").ok();
    officers.run("alice", &["ceremony", "import", "found"]).ok();
    // Another passphrase opens nothing, and is not repeated.
    let wrong = cell.path("wrong");
    fs::write(&wrong, "wrong horse").unwrap();
    fs::set_permissions(&wrong, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
    configure(&wrong);
    let refused = officers.run("alice", &["ceremony", "approve", "--yes", "found"]).fails(1);
    assert!(refused.contains("passphrase") && !refused.contains("horse"), "{refused}");
}
