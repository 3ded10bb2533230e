//! A ceremony's directory is carried about, and anyone may have written into it: neither its record nor what else lies there is believed.

use std::fs;

use ceremony::officer::OfficerKey;
use ledger::note::Note;
use ledger::transcript::Transcript;
use rootcellar_softhsm_tests::{Cell, Outcome};

use crate::bundles::foreign_root;
use crate::kinds::{active, held, key, objects};
use crate::support::{BINARY, House, STANDBY};

fn house() -> House {
    let cell = Cell::empty(BINARY);
    cell.run(&["init"]).ok();
    House::of(cell)
}

/// Plans and approves.
fn approved(house: &House, dir: &str, plan: &[&str]) {
    let planned: Vec<&str> = ["ceremony", "plan"].iter().chain(plan).copied().chain(["--out", dir]).collect();
    house.cell.run(&planned).ok();
    house.cell.run(&["ceremony", "approve", "--yes", dir]).ok();
}

fn execute(house: &House, dir: &str) -> Outcome {
    house.cell.run(&["ceremony", "execute", dir])
}

/// Runs it until its record has an event of this kind.
fn cut_short(house: &House, dir: &str, at: &str) {
    fs::write(house.cell.path("kill"), format!("{at}#1")).unwrap();
    assert_ne!(execute(house, dir).code, 0, "{at}: it was killed");
    fs::remove_file(house.cell.path("kill")).expect_err("it was killed there");
}

/// Writes into a ceremony's record as a stranger may.
fn forge(house: &House, dir: &str, change: impl Fn(String) -> String) {
    let record = house.cell.path(dir).join("record.jsonl");
    let text = fs::read_to_string(&record).unwrap_or_default();
    fs::write(&record, change(text)).unwrap();
}

fn cka_id(house: &House, transcript: &str) -> String {
    let transcript = fs::read_to_string(house.cell.path(transcript).join("transcript.note")).unwrap();
    transcript.lines().find_map(|line| line.strip_prefix("cka-id: ")).unwrap().to_owned()
}

fn founding(house: &House) -> String {
    house.cell.officer_dir().join("ceremonies/found").display().to_string()
}

#[test]
fn an_altered_record_destroys_no_other_key() {
    let house = house();
    let ends = held(&house, "issuer-1", &["rotation", "--token", "issuing"]);
    held(&house, "issuer-2", &["rotation", "--token", "issuing"]);
    approved(&house, "end", &["retirement", "--key", key(&ends, "issuer"), "--token", "issuing"]);
    cut_short(&house, "end", "ceremony destroying");
    // The record now says that it was another's CKA_ID that was about to be destroyed.
    let (own, other) = (cka_id(&house, "issuer-1"), cka_id(&house, "issuer-2"));
    forge(&house, "end", |text| text.replace(&own, &other));
    let said = execute(&house, "end").fails(1);
    assert!(said.contains("not believed"), "{said}");
    assert_eq!(objects(&house), 8, "nothing was destroyed");
    // Nor that it was done already.
    forge(&house, "end", |text| {
        text.replace(&other, &own) + "{\"event\":\"destroyed\",\"step\":0,\"objects\":2}\n"
    });
    let said = execute(&house, "end").fails(1);
    assert!(said.contains("it is there"), "{said}");
    assert_eq!(objects(&house), 8, "nothing was destroyed");
}

#[test]
fn a_key_that_was_there_is_not_taken_for_a_new_one() {
    let house = house();
    approved(&house, "issuer-2", &["rotation", "--token", "issuing"]);
    let issuer = {
        let transcript =
            fs::read_to_string(house.cell.path(&founding(&house)).join("transcript.note")).unwrap();
        transcript.lines().filter_map(|line| line.strip_prefix("cka-id: ")).nth(1).unwrap().to_owned()
    };
    forge(&house, "issuer-2", |_| format!("{{\"event\":\"intended\",\"step\":0,\"id\":\"{issuer}\"}}\n"));
    execute(&house, "issuer-2").ok();
    assert_eq!(objects(&house), 6, "another key was made");
    assert_ne!(cka_id(&house, "issuer-2"), issuer);
    // The same plan from a copy of its directory, by another officer: its key is there, and this directory did not make it.
    fs::remove_dir_all(house.cell.officer_dir().join("carried-out")).unwrap();
    let copy = house.cell.path("copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(house.cell.path("issuer-2/plan.note"), copy.join("plan.note")).unwrap();
    let said = execute(&house, "copy").fails(1);
    assert!(said.contains("this plan alone uses"), "{said}");
    assert_eq!(objects(&house), 6, "no second key on one approval");
}

#[test]
fn an_end_that_the_tokens_do_not_bear_out_is_no_end() {
    let house = house();
    approved(&house, "root-2", &["root"]);
    execute(&house, "root-2").ok();
    fs::remove_file(house.cell.path("root-2/transcript.note")).unwrap();
    fs::remove_file(house.cell.path("root-2/bundle.note")).unwrap();
    // Another made the root, in a token of the same name, and brings the whole record of it.
    let token = house.cell.officer_dir().join("token");
    let aside = house.cell.path("aside");
    fs::rename(&token, &aside).unwrap();
    let said = execute(&house, "root-2").fails(1);
    assert!(said.contains("made on another machine"), "{said}");
    assert!(!token.exists(), "and no token is made for it");
    assert!(!house.cell.path("root-2/transcript.note").exists());
    fs::rename(&aside, &token).unwrap();
    execute(&house, "root-2").ok();
    // A plan that knows its token by its serial is not carried out in another, and none is made for it.
    approved(&house, "root-4", &["root"]);
    fs::rename(&token, &aside).unwrap();
    let waits = house.cell.run(&["ceremony", "execute", "root-4", "--output", "json"]).json();
    assert_eq!(waits["done"], false, "{waits}");
    assert!(!token.exists());
    fs::rename(&aside, &token).unwrap();
    // An end before its steps.
    approved(&house, "root-3", &["root"]);
    forge(&house, "root-3", |_| "{\"event\":\"ended\",\"at_ms\":1}\n".to_owned());
    let said = execute(&house, "root-3").fails(1);
    assert!(said.contains("not believed"), "{said}");
}

#[test]
fn a_strangers_charter_executes_nothing_and_verifies_nothing() {
    let house = house();
    let stranger = house.cell.path("mallory").display().to_string();
    let as_stranger = |arguments: &[&str]| {
        let all: Vec<&str> =
            ["--officer-dir", &stranger].into_iter().chain(arguments.iter().copied()).collect();
        house.cell.run(&all)
    };
    as_stranger(&["officer", "create", "mallory"]).ok();
    let shown = as_stranger(&["officer", "show", "--output", "json"]).json();
    let officer = shown["officer"].as_str().unwrap().to_owned();
    as_stranger(&["ceremony", "plan", "found", "--quorum", "1", "--officer", &officer, "--out", "evil"]).ok();
    as_stranger(&["ceremony", "approve", "--yes", "evil"]).ok();
    let before = objects(&house);
    for command in [["ceremony", "execute", "evil"], ["ceremony", "approve", "evil"]] {
        let said = house.cell.run(&command).fails(1);
        assert!(said.contains("founds a cell, and this officer has one"), "{said}");
    }
    // Nor with the stranger's own directory, on the machine of a cell.
    let said = as_stranger(&["ceremony", "execute", "evil"]).fails(1);
    assert!(said.contains("there is a cell"), "{said}");
    assert_eq!(objects(&house), before);
    assert!(!house.cell.path("evil/record.jsonl").exists());
}

#[test]
fn what_else_lies_in_a_directory_is_not_signed_along() {
    let house = house();
    approved(&house, "root-2", &["root"]);
    // A charter that makes one more officer, beside a plan.
    let shown = house.cell.run(&["officer", "show", "--output", "json"]).json();
    let officer = shown["officer"].as_str().unwrap().to_owned();
    house
        .cell
        .run(&["ceremony", "plan", "charter", "--quorum", "1", "--officer", &officer, "--out", "charter-2"])
        .ok();
    fs::copy(house.cell.path("charter-2/charter.note"), house.cell.path("root-2/charter.note")).unwrap();
    let said = house.cell.run(&["ceremony", "approve", "--yes", "root-2"]).fails(1);
    assert!(said.contains("beside a plan"), "{said}");
    fs::remove_file(house.cell.path("root-2/charter.note")).unwrap();
    // An act of administration.
    let act = ["controller", "add", "mallory", "--grant", "agents=build/*;roles=logger", "--proposal-out"];
    house.cell.run(&[&act[..], &["root-2/proposal.note"]].concat()).ok();
    let signed = fs::read_to_string(house.cell.path("root-2/proposal.note")).unwrap();
    let unsigned = signed.split("\n\n").next().unwrap().to_owned() + "\n";
    fs::write(house.cell.path("root-2/proposal.note"), unsigned).unwrap();
    let said = house.cell.run(&["ceremony", "approve", "--yes", "root-2"]).fails(1);
    assert!(said.contains("an act of administration lies beside a plan"), "{said}");
    fs::remove_file(house.cell.path("root-2/proposal.note")).unwrap();
    // A bundle before its ceremony.
    let own = fs::read_to_string(house.cell.officer_dir().join("bundle.note")).unwrap();
    let next = own.split("\n\n").next().unwrap().replace("number: 1", "number: 2") + "\n";
    fs::write(house.cell.path("root-2/bundle.note"), next).unwrap();
    let said = house.cell.run(&["ceremony", "approve", "--yes", "root-2"]).fails(1);
    assert!(said.contains("not carried out"), "{said}");
    fs::remove_file(house.cell.path("root-2/bundle.note")).unwrap();
    execute(&house, "root-2").ok();
    // A root more than the ceremony made.
    let bundle = house.cell.path("root-2/bundle.note");
    let follows = fs::read_to_string(&bundle).unwrap();
    fs::write(&bundle, format!("{}\n{}\n", follows.trim_end(), foreign_root())).unwrap();
    let said = house.cell.run(&["ceremony", "approve", "--yes", "root-2"]).fails(1);
    assert!(said.contains("is not the one that follows"), "{said}");
    fs::write(&bundle, follows).unwrap();
    // A transcript that does not prove what it says.
    let transcript = house.cell.path("root-2/transcript.note");
    let whole = fs::read_to_string(&transcript).unwrap();
    let serial = whole.lines().find(|line| line.starts_with("token-serial: ")).unwrap();
    fs::write(&transcript, whole.replace(serial, "token-serial: 0000000000000000")).unwrap();
    house.cell.run(&["ceremony", "approve", "--yes", "root-2"]).fails(1);
    fs::write(&transcript, &whole).unwrap();
    house.cell.run(&["ceremony", "approve", "--yes", "root-2"]).ok();
    house.cell.run(&["ceremony", "import", "root-2"]).ok();
}

/// One approval, one ceremony: whoever has a copy of the directory has no second certificate and no other transcript of it.
#[test]
fn a_plan_is_carried_out_once() {
    let house = house();
    approved(&house, "crl", &["root-crl", "--number", "1"]);
    fs::create_dir(house.cell.path("copy")).unwrap();
    fs::copy(house.cell.path("crl/plan.note"), house.cell.path("copy/plan.note")).unwrap();
    execute(&house, "crl").ok();
    let said = execute(&house, "copy").fails(1);
    assert!(said.contains("this plan was carried out"), "{said}");
    assert!(!house.cell.path("copy/record.jsonl").exists());
    // The same once more is the same.
    execute(&house, "crl").ok();
    // What the record says of the token, or the transcript, is not what was there.
    let kept = fs::read_to_string(house.cell.path("crl/record.jsonl")).unwrap();
    forge(&house, "crl", |record| {
        record.replace("\"attestation\":\"none\"", "\"attestation\":\"FIPS 140-3 level 3\"")
    });
    assert_ne!(fs::read_to_string(house.cell.path("crl/record.jsonl")).unwrap(), kept);
    let said = execute(&house, "crl").fails(1);
    assert!(said.contains("was carried out here"), "{said}");
    fs::write(house.cell.path("crl/record.jsonl"), kept).unwrap();
    let transcript = house.cell.path("crl/transcript.note");
    let whole = fs::read_to_string(&transcript).unwrap();
    let read = Transcript::read(&Note::unsigned(&whole).unwrap()).unwrap();
    let mut told = read.clone();
    for (name, value) in &mut told.fields {
        if name == "attestation" {
            "FIPS 140-3 level 3".clone_into(value);
        }
    }
    assert_ne!(told.fields, read.fields);
    fs::write(&transcript, told.draft().unwrap().text()).unwrap();
    let said = house.cell.run(&["ceremony", "approve", "--yes", "crl"]).fails(1);
    assert!(said.contains("was carried out here"), "{said}");
    fs::write(&transcript, &whole).unwrap();
    house.cell.run(&["ceremony", "approve", "--yes", "crl"]).ok();
    house.cell.run(&["ceremony", "import", "crl"]).ok();
}

/// `issuer prepare` asks nobody: it signs its own plan, and nothing that lay there before.
#[test]
fn what_prepares_an_issuer_signs_no_other_plan() {
    let cell = Cell::empty(BINARY);
    cell.configure(STANDBY);
    cell.run(&["init"]).ok();
    let house = House::of(cell);
    house.cell.run(&["ceremony", "plan", "root", "--out", "issuer-2"]).ok();
    let said = house.cell.run(&["issuer", "prepare", "--out", "issuer-2"]).fails(2);
    assert!(said.contains("another plan"), "{said}");
    let plan = fs::read_to_string(house.cell.path("issuer-2/plan.note")).unwrap();
    assert!(!plan.contains("\u{2014} "), "nobody signed it: {plan}");
    // Its own goes on, though its token now has the serial number that it had not when it was planned.
    let prepare = ["issuer", "prepare", "--out", "issuer-3"];
    fs::write(house.cell.path("kill"), "token made#1").unwrap();
    assert_ne!(house.cell.run(&prepare).code, 0);
    fs::remove_file(house.cell.path("kill")).expect_err("it was killed there");
    house.cell.run(&prepare).ok();
}

#[test]
fn what_cannot_be_is_found_when_it_is_planned() {
    let house = house();
    let too_long = ["ceremony", "plan", "rotation", "--token", "issuing", "--days", "5000", "--out", "no"];
    let said = house.cell.run(&too_long).fails(1);
    assert!(said.contains("step 2 of the plan cannot be done"), "{said}");
    assert!(!house.cell.path("no").exists());
    let another = "00".repeat(32);
    house
        .cell
        .run(&["ceremony", "plan", "root-crl", "--signer", &another, "--number", "1", "--out", "no"])
        .fails(2);
}

#[test]
fn a_key_that_the_cell_needs_is_not_destroyed() {
    let mut house = house();
    let made = held(&house, "issuer-2", &["rotation", "--token", "issuing"]);
    let (first, second) = (active(&house), key(&made, "issuer").to_owned());
    // Approved while it only stood ready, and active when it is carried out.
    approved(&house, "end", &["retirement", "--key", &second, "--token", "issuing"]);
    house.cell.run(&["issuer", "activate", &second]).ok();
    let offline = ["ceremony", "execute", "--offline", "end"];
    let said = house.cell.run(&offline).fails(1);
    assert!(said.contains("it is the issuer that signs"), "{said}");
    house.cell.run(&["issuer", "activate", &first]).ok();
    // What an officer's copy says is not what is in force, for as long as nobody says that it is.
    house.serving.stop();
    let said = execute(&house, "end").fails(1);
    assert!(said.contains("may be older") && said.contains("--offline"), "{said}");
    let listed = house.cell.run(&["token", "inspect"]).ok();
    assert!(listed.contains(&second[..16]), "the key is there: {listed}");
    let found = house
        .cell
        .run(&["ceremony", "verify", &format!("{}/transcript.note", founding(&house)), "--output", "json"])
        .json();
    for (name, token) in [("root", "root"), ("log", "issuing")] {
        let plan =
            ["ceremony", "plan", "retirement", "--key", key(&found, name), "--token", token, "--out", "no"];
        let said = house.cell.run(&plan).fails(2);
        assert!(said.contains("that the trust bundle names"), "{said}");
    }
}

/// docs/ceremonies.md, "On two machines": the root's token is on one, the service's on the other.
#[test]
fn a_ceremony_goes_from_machine_to_machine_until_it_ends() {
    let cell = Cell::empty(BINARY);
    let as_alice = |arguments: &[&str]| {
        let dir = cell.path("alice").display().to_string();
        let all: Vec<&str> = ["--officer-dir", &dir].into_iter().chain(arguments.iter().copied()).collect();
        cell.run(&all)
    };
    as_alice(&["officer", "create", "alice"]).ok();
    let shown = as_alice(&["officer", "show", "--output", "json"]).json();
    let officer = shown["officer"].as_str().unwrap();
    as_alice(&["ceremony", "plan", "found", "--quorum", "1", "--officer", officer, "--out", "found"]).ok();
    as_alice(&["ceremony", "approve", "--yes", "found"]).ok();
    let service = as_alice(&["ceremony", "execute", "--only", "issuing", "found", "--output", "json"]).json();
    assert_eq!(service["done"], false);
    let keys: Vec<&str> =
        service["keys"].as_array().unwrap().iter().map(|key| key["sha256"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), 2, "{service}");
    // The root's machine certifies nothing that nobody compared.
    let said = as_alice(&["ceremony", "execute", "--only", "root", "found"]).fails(1);
    assert!(said.contains("made on another machine"), "{said}");
    assert!(!keys.iter().any(|key| said.contains(key)), "the record's own word is not offered: {said}");
    let accepting =
        ["ceremony", "execute", "--only", "root", "found", "--accept", keys[0], "--accept", keys[1]];
    let root = as_alice(&[&accepting[..], &["--output", "json"]].concat()).json();
    assert_eq!(root["done"], true, "{root}");
    as_alice(&["ceremony", "approve", "--yes", "found"]).ok();
    as_alice(&["ceremony", "verify", "found/transcript.note"]).ok();
    as_alice(&["ceremony", "import", "found"]).ok();
    cell.serve();
}

/// The lines of a transcript, changed by one who may sign it.
fn retold(house: &House, change: impl Fn(&mut Vec<(String, String)>)) -> Outcome {
    let note = fs::read(house.cell.path(&founding(house)).join("transcript.note")).unwrap();
    let mut told = Transcript::read(&Note::parse(&note).unwrap()).unwrap();
    let before = told.fields.clone();
    change(&mut told.fields);
    assert_ne!(told.fields, before, "something is changed");
    let mut note = told.draft().unwrap();
    note.sign_with(&OfficerKey::load(&house.cell.officer_dir().join("officer.key")).unwrap()).unwrap();
    fs::write(house.cell.path("retold.note"), note.to_string()).unwrap();
    house.cell.run(&["ceremony", "verify", "retold.note"])
}

/// An officer's signature makes no line true.
#[test]
fn each_line_of_a_transcript_is_judged() {
    let house = house();
    let said = |key: &'static str, value: &'static str| {
        retold(&house, move |fields| {
            fields.iter_mut().find(|(of, _)| of == key).unwrap().1 = value.to_owned();
        })
    };
    retold(&house, |fields| {
        fields.iter_mut().find(|(of, _)| of == "tool").unwrap().1 = "rootcellar 9".to_owned();
    })
    .ok();
    // In which opening of its token a key was made.
    let said_of_none = retold(&house, |fields| fields.retain(|(key, _)| key != "opening")).fails(1);
    assert!(said_of_none.contains("opening: the line is missing"), "{said_of_none}");
    for (key, value) in [
        ("opening", "2"),
        ("began", "2020-01-01T00:00:00Z"),
        ("began", "2099-01-01T00:00:00Z"),
        ("ended", "2020-01-01T00:00:00Z"),
        ("composed", "2020-01-01T00:00:00Z"),
        ("composed", "2099-01-01T00:00:00Z"),
        ("token-label", "another"),
        ("token-model", "Luna K7"),
        ("cka-id", "00112233445566778899aabbccddeeff"),
        ("cka-label", "another"),
        ("algorithm", "p384"),
        ("public-key-sha256", "0000000000000000000000000000000000000000000000000000000000000000"),
        ("public-key", "AAAA"),
        ("csr", "AAAA"),
        ("certificate", "AAAA"),
        ("step", "1 destroy-key"),
    ] {
        said(key, value).fails(1);
    }
    for name in
        ["CKA_LOCAL true", "CKA_NEVER_EXTRACTABLE true", "CKA_ALWAYS_SENSITIVE true", "CKA_SENSITIVE true"]
    {
        retold(&house, |fields| {
            let line = fields.iter_mut().find(|(key, value)| key == "attribute" && value == name).unwrap();
            line.1 = name.replace("true", "false");
        })
        .fails(1);
        // And nobody but the plan excuses a key.
        retold(&house, |fields| {
            let line = fields.iter_mut().find(|(key, value)| key == "attribute" && value == name).unwrap();
            line.1 = name.replace("true", "false");
            let token = fields.iter().position(|(key, _)| key == "token-label").unwrap();
            for claim in ["local", "never-extractable", "always-sensitive"] {
                fields.insert(token, ("exception".to_owned(), claim.to_owned()));
            }
        })
        .fails(1);
    }
    retold(&house, |fields| {
        let at = fields.iter().position(|(key, _)| key == "attribute").unwrap();
        let (name, _) = fields[at].1.split_once(' ').unwrap();
        fields.insert(at, ("attribute".to_owned(), format!("{name} false")));
    })
    .fails(1);
    for key in [
        "tool",
        "binary-sha256",
        "system-entropy",
        "module",
        "module-sha256",
        "library",
        "attestation",
        "entropy",
    ] {
        retold(&house, |fields| {
            let at = fields.iter().position(|(of, _)| of == key).unwrap();
            fields.remove(at);
        })
        .fails(1);
    }
    // A step less, a key of one step in another.
    retold(&house, |fields| {
        let last = fields.iter().rposition(|(key, _)| key == "step").unwrap();
        fields.truncate(last);
    })
    .fails(1);
    retold(&house, |fields| {
        let keys: Vec<usize> = (0..fields.len()).filter(|i| fields[*i].0 == "csr").collect();
        fields[keys[1]].1 = fields[keys[2]].1.clone();
    })
    .fails(1);
}
