//! Custody manifests: written at every start and every hour, proved offline, and whatever differs is an alarm.

use std::fs;
use std::path::Path;
use std::process::Command;

use rootcellar_softhsm_tests::Cell;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::{BINARY, House, eventually};

const SOFTHSM2: &str = "/usr/lib/softhsm/libsofthsm2.so";
const HOUR_MS: i64 = 3_600_000;

fn show(house: &House) -> Value {
    house.cell.run(&["custody", "show", "--output", "json"]).json()
}

fn alarms(house: &House, name: &str) -> String {
    let (_, metrics) = house.serving.ops_get("/metrics");
    let prefix = format!("rootcellar_keeper_alarms_total{{name=\"{name}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&prefix)).expect("told from the start").to_owned()
}

fn copied(from: &Path, to: &Path) {
    let copy = Command::new("cp").arg("--archive").arg(from).arg(to).status();
    assert!(copy.unwrap().success());
}

#[tokio::test]
async fn a_start_writes_what_the_token_says() {
    let mut house = House::new();
    let first = show(&house);
    let purposes: Vec<&Value> = first["keys"].as_array().unwrap().iter().map(|key| &key["purpose"]).collect();
    assert_eq!(purposes, ["issuer", "log"]);
    for key in first["keys"].as_array().unwrap() {
        assert_eq!(
            (&key["state"], &key["attestation"], &key["flaw"]),
            (&json!("active"), &json!("none"), &Value::Null)
        );
        for (name, value) in [
            ("CKA_LOCAL", "true"),
            ("CKA_SENSITIVE", "true"),
            ("CKA_ALWAYS_SENSITIVE", "true"),
            ("CKA_EXTRACTABLE", "false"),
            ("CKA_NEVER_EXTRACTABLE", "true"),
            ("CKA_SIGN", "true"),
            ("CKA_DECRYPT", "false"),
            ("CKA_UNWRAP", "false"),
            ("CKA_DERIVE", "false"),
            ("CKA_ALWAYS_AUTHENTICATE", "false"),
        ] {
            assert_eq!(key["attributes"][name], value, "{name}");
        }
        for name in ["CKA_MODIFIABLE", "CKA_COPYABLE", "CKA_DESTROYABLE", "CKA_ALLOWED_MECHANISMS"] {
            assert!(key["attributes"][name].is_string(), "{name}");
        }
    }
    let file = Sha256::digest(fs::read(SOFTHSM2).unwrap());
    assert_eq!(first["module"]["sha256"], data_encoding::HEXLOWER.encode(&file));
    assert_eq!(first["root_tokens"][0]["label"], "rootcellar-root");
    assert_eq!(first["root_tokens"][0]["visible"], false);
    assert_eq!(first["differences"], json!([]), "the keys are as they were founded");
    house.restart().await;
    let second = show(&house);
    assert_eq!((&second["previous"], &second["differences"]), (&first["entry"], &json!([])));
    assert!(house.cell.run(&["custody", "diff"]).ok().contains("Nothing differs"));
    house.cell.run(&["ledger", "verify"]).ok();
}

/// Whatever lies in the token is told: keys of no use here, with and without a public half, and those that stand ready.
#[tokio::test]
async fn every_private_key_in_the_token_is_told() {
    let mut house = House::new();
    house.cell.run(&["ceremony", "plan", "rotation", "--token", "issuing", "--out", "issuer-2"]).ok();
    for act in [&["approve", "--yes"][..], &["execute"], &["approve", "--yes"], &["import"]] {
        house.cell.run(&[&["ceremony"], act, &["issuer-2"]].concat()).ok();
    }
    let pin = fs::read_to_string(house.cell.data_dir().join("token/pin")).unwrap();
    let conf = house.cell.data_dir().join("token/softhsm2.conf");
    let tool = |arguments: &[&str]| {
        let ran = Command::new("pkcs11-tool")
            .env("SOFTHSM2_CONF", &conf)
            .args([
                "--module",
                SOFTHSM2,
                "--token-label",
                "rootcellar-issuing",
                "--login",
                "--pin",
                pin.trim(),
            ])
            .args(arguments)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    for (label, id) in [("stranger", "77"), ("half", "88")] {
        tool(&["--keypairgen", "--key-type", "EC:prime256v1", "--label", label, "--id", id]);
    }
    tool(&["--delete-object", "--type", "pubkey", "--id", "88"]);
    house.restart().await;
    let shown = show(&house);
    let mut told: Vec<String> = shown["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| format!("{} {}", key["purpose"].as_str().unwrap(), key["state"].as_str().unwrap()))
        .collect();
    told.sort();
    assert_eq!(told, ["issuer active", "issuer pre-activation", "log active", "unknown ", "unknown "]);
    let ids: Vec<&str> = shown["keys"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|key| key["purpose"] == "unknown")
        .map(|key| key["cka_id"].as_str().unwrap())
        .collect();
    assert!(ids.contains(&"77") && ids.contains(&"88"), "{ids:?}");
    assert_eq!(alarms(&house, "custody_differs"), "1");
    let said = house.cell.run(&["doctor"]);
    assert!(said.stdout.contains("[custody.unknown-keys]"), "{}", said.stdout);
    house.cell.run(&["ledger", "verify"]).ok();
}

/// Another root that officers publish is looked for as the first is.
#[tokio::test]
async fn every_root_of_the_bundle_must_be_absent() {
    let mut house = House::new();
    house.cell.run(&["ceremony", "plan", "root", "--out", "root-2"]).ok();
    for act in [&["approve", "--yes"][..], &["execute"], &["approve", "--yes"], &["import"]] {
        house.cell.run(&[&["ceremony"], act, &["root-2"]].concat()).ok();
    }
    house.restart().await;
    let shown = show(&house);
    let roots = shown["root_tokens"].as_array().unwrap();
    assert_eq!(roots.len(), 2, "{shown}");
    assert!(roots.iter().all(|root| root["visible"] == false), "{shown}");
    assert_ne!(roots[0]["spki_sha256"], roots[1]["spki_sha256"]);
}

#[tokio::test]
async fn an_hour_brings_the_next() {
    let house = House::new();
    let first = show(&house);
    house.cell.set_clock(HOUR_MS);
    let next = eventually("another manifest", async || {
        Some(show(&house)).filter(|next| next["entry"] != first["entry"])
    })
    .await;
    assert_eq!((&next["previous"], &next["differences"]), (&first["entry"], &json!([])));
    assert_eq!(next["keys"], first["keys"], "each is whole");
    house.cell.run(&["ledger", "verify"]).ok();
}

#[tokio::test]
async fn another_module_file_is_an_alarm() {
    let cell = Cell::founded(BINARY);
    let module = cell.path("module.so");
    fs::copy(SOFTHSM2, &module).unwrap();
    cell.configure(&format!("[token]\nmodule = \"{}\"\n", module.display()));
    let mut house = House::of(cell);
    assert_eq!(alarms(&house, "custody_differs"), "0");
    assert_eq!(house.stop().await, 0);
    // What comes after the sections of an ELF file is not loaded: the module is another, and works.
    let mut bytes = fs::read(&module).unwrap();
    bytes.push(0);
    fs::write(&module, bytes).unwrap();
    house.serving = house.cell.serve();
    eventually("the log says so", async || house.serving.log().contains("module-changed").then_some(()))
        .await;
    let shown = show(&house);
    assert_eq!(shown["differences"].as_array().unwrap().len(), 1, "{shown}");
    assert_eq!(shown["differences"][0]["subject"], "module: sha256");
    assert_eq!(alarms(&house, "custody_differs"), "1");
    let said = house.cell.run(&["custody", "diff"]);
    assert!(said.stdout.contains("module: sha256"), "{}", said.stdout);
    said.fails(1);
    house.cell.run(&["ledger", "verify"]).ok();
}

#[tokio::test]
async fn the_roots_token_must_not_be_seen() {
    let mut house = House::new();
    assert_eq!(house.stop().await, 0);
    let tokens = house.cell.data_dir().join("token/tokens");
    for token in fs::read_dir(house.cell.officer_dir().join("token/tokens")).unwrap() {
        copied(&token.unwrap().path(), &tokens);
    }
    house.serving = house.cell.serve();
    assert_eq!(show(&house)["root_tokens"][0]["visible"], true);
    assert_eq!(alarms(&house, "root_token_visible"), "1");
    eventually("the log says so", async || house.serving.log().contains("root-token-visible").then_some(()))
        .await;
    let file = house.cell.path("custody.proof").display().to_string();
    house.cell.run(&["custody", "export", "--out", &file]).ok();
    let said = house.cell.run(&["custody", "verify", &file]).fails(1);
    assert!(said.contains("could see the root's token"), "{said}");
}

#[tokio::test]
async fn an_exported_manifest_is_verified_offline() {
    let mut house = House::new();
    let path = house.cell.path("custody.proof");
    let file = path.display().to_string();
    house.cell.run(&["custody", "export", "--out", &file]).ok();
    let shown = show(&house);
    assert_eq!(house.stop().await, 0);
    let verified = house.cell.run(&["custody", "verify", &file, "--output", "json"]).json();
    assert_eq!((&verified["verified"], &verified["keys"]), (&json!(true), &shown["keys"]));
    assert!(verified["age_secs"].as_i64().unwrap() < 3600, "{verified}");
    house.cell.set_clock(5 * HOUR_MS);
    let old = house.cell.run(&["custody", "verify", &file]).ok();
    assert!(old.contains("5 h: NOT the newest"), "{old}");
    house.cell.set_clock(0);
    // Every byte is flipped where the proof is checked (cli/src/verify/custody.rs); here the program is.
    let good = fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(good.len() / 12) {
        let mut altered = good.clone();
        altered[at] ^= 1;
        fs::write(&path, altered).unwrap();
        house.cell.run(&["custody", "verify", &file]).fails(1);
    }
    let other = Cell::founded(BINARY);
    fs::write(&path, good).unwrap();
    let bundle = other.officer_dir().join("bundle.note").display().to_string();
    let charter = other.officer_dir().join("charter.note").display().to_string();
    house.cell.run(&["custody", "verify", &file, "--bundle", &bundle, "--charter", &charter]).fails(1);
}
