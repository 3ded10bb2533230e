//! A doctor finds what is broken on purpose, with evidence and the line that mends it.

use std::fs;
use std::path::Path;
use std::process::Command;

use rootcellar_softhsm_tests::Cell;
use serde_json::Value;

use crate::support::{BINARY, House, ask, csr, issue, request};

const SOFTHSM2: &str = "/usr/lib/softhsm/libsofthsm2.so";
const DAY_MS: i64 = 86_400_000;

/// The findings, each with evidence, numbered from 1; `code` is the exit code.
#[track_caller]
fn doctor(cell: &Cell, code: i32) -> Vec<Value> {
    let run = cell.run(&["doctor", "--output", "json"]);
    assert_eq!(run.code, code, "{}\n{}", run.stdout, run.stderr);
    let report: Value = serde_json::from_str(&run.stdout).expect("a report");
    let findings = report["findings"].as_array().expect("findings").clone();
    for (i, finding) in findings.iter().enumerate() {
        assert_eq!(finding["number"], i + 1);
        assert!(!finding["evidence"].as_str().expect("evidence").is_empty(), "{finding}");
        let fix = finding["fix"].as_str().unwrap_or_default();
        assert!(finding["severity"] == "info" || is_line(fix), "it says what to do: {finding}");
    }
    findings
}

/// Whether a text has a command or a line of the configuration to copy.
fn is_line(fix: &str) -> bool {
    ["rootcellar ", "systemctl ", "timedatectl ", "chmod ", "du ", "mv ", " = "]
        .iter()
        .any(|line| fix.contains(line))
}

/// The finding of this name, which is as severe as this.
#[track_caller]
fn found(cell: &Cell, severity: &str, check: &str) -> Value {
    let findings = doctor(cell, 1);
    let finding = findings.iter().find(|finding| finding["check"] == check);
    let finding = finding.unwrap_or_else(|| panic!("no {check} in {findings:#?}"));
    assert_eq!(finding["severity"], severity, "{finding}");
    finding.clone()
}

fn checks(findings: &[Value]) -> Vec<&str> {
    findings.iter().map(|finding| finding["check"].as_str().expect("a name")).collect()
}

fn copied(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("--archive").arg(from).arg(to).status().unwrap().success());
}

#[tokio::test]
async fn a_sound_cell_has_nothing_above_info() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    house.cell.run(&["journal", "backup"]).ok();
    fs::rename(house.cell.officer_dir(), house.cell.path("away")).unwrap();
    let findings = doctor(&house.cell, 0);
    assert_eq!(checks(&findings), ["token.attestation", "capacity", "issuer.second"], "{findings:#?}");
    let capacity = &findings[1];
    assert!(capacity["finding"].as_str().unwrap().contains("agents at 3600 s"), "{capacity}");
    assert!(capacity["evidence"].as_str().unwrap().contains("there are 1 agents"), "{capacity}");
    let said = house.cell.run(&["doctor"]).ok();
    assert!(said.contains("as it should be: ") && said.contains("log consistency"), "{said}");
    // And while nothing serves.
    assert_eq!(house.stop().await, 0);
    let findings = doctor(&house.cell, 1);
    assert_eq!(checks(&findings), ["service.stopped", "token.attestation", "capacity"], "{findings:#?}");
    house.cell.set_clock(30 * DAY_MS);
    found(&house.cell, "critical", "certificate.service");
}

#[test]
fn where_there_is_no_cell() {
    let cell = Cell::empty(BINARY);
    assert_eq!(found(&cell, "critical", "cell.missing")["fix"], "rootcellar init");
    found(&cell, "critical", "token.unreachable");
}

#[tokio::test]
async fn what_an_operator_left_undone() {
    let house = House::new();
    found(&house.cell, "warning", "backup.none");
    found(&house.cell, "warning", "officer.here");
    house.cell.run(&["journal", "backup"]).ok();
    house.cell.set_clock(2 * DAY_MS);
    let old = found(&house.cell, "warning", "backup.old");
    assert!(old["fix"].as_str().unwrap().starts_with("rootcellar journal backup"), "{old}");
    house.cell.set_clock(340 * DAY_MS);
    found(&house.cell, "warning", "certificate.issuer");
    house.cell.set_clock(362 * DAY_MS);
    found(&house.cell, "critical", "certificate.issuer");
    house.controller("brief", "agents=brief/*;ttl=60s");
    found(&house.cell, "warning", "certificate.backdate");
    house.cell.run(&["freeze"]).ok();
    assert_eq!(found(&house.cell, "warning", "cell.frozen")["fix"], "rootcellar thaw");
}

#[test]
fn a_token_that_is_too_slow() {
    let (house, faults) = House::with_faults();
    house.controller("build", "agents=build/*;budget=1000000");
    faults.set("lasts=20");
    found(&house.cell, "warning", "capacity.budgets");
}

/// Agents are counted to the last, however many there are.
#[tokio::test]
async fn more_agents_than_the_token_supports() {
    let (house, faults) = House::with_faults();
    let client = house.controller("brief", "agents=brief/*;ttl=60s;budget=100000").client().await;
    for batch in 0..6 {
        let agents = (0..100)
            .map(|n| proto::v1::Agent { name: format!("agents/brief/{batch}-{n}"), ..Default::default() });
        let batch = proto::v1::BatchCreateAgentsBody { agents: agents.collect(), ..Default::default() };
        client.agents().batch_create_agents(batch).await.expect("agents");
    }
    faults.set("lasts=200");
    let few = found(&house.cell, "critical", "capacity.agents");
    assert!(few["evidence"].as_str().unwrap().contains("600 agents"), "{few}");
}

#[tokio::test]
async fn bad_chance_and_a_bad_clock() {
    let (house, faults) = House::with_faults();
    let client = house.build().await;
    faults.set_random("bias");
    let biased = found(&house.cell, "critical", "entropy.token");
    assert!(biased["evidence"].as_str().unwrap().contains("SP 800-90B"), "{biased}");
    faults.set_random("");
    fs::write(house.cell.path("random-stuck"), "").unwrap();
    found(&house.cell, "critical", "entropy.system");
    ask(&client, request("build/a", csr())).await.unwrap_err();
    found(&house.cell, "critical", "entropy.failed");
    fs::remove_file(house.cell.path("random-stuck")).unwrap();
    house.cell.jump_clock(0, -DAY_MS);
    found(&house.cell, "critical", "clock.behind");
    found(&house.cell, "critical", "clock.wrong");
}

#[tokio::test]
async fn a_token_that_is_not_as_it_must_be() {
    let cell = Cell::founded(BINARY);
    let module = cell.path("module.so");
    fs::copy(SOFTHSM2, &module).unwrap();
    let with_module = format!("[token]\nmodule = \"{}\"\n", module.display());
    cell.configure(&with_module);
    let mut house = House::of(cell);
    let pin = fs::read_to_string(house.cell.data_dir().join("token/pin")).unwrap();
    // Another file in its place: the one that is loaded stays as it is.
    let mut bytes = fs::read(&module).unwrap();
    bytes.push(0);
    fs::remove_file(&module).unwrap();
    fs::write(&module, bytes).unwrap();
    found(&house.cell, "warning", "token.module");
    // A key that could be taken out.
    let conf = house.cell.data_dir().join("token/softhsm2.conf");
    let made = Command::new("pkcs11-tool")
        .env("SOFTHSM2_CONF", conf)
        .args(["--module", SOFTHSM2, "--token-label", "rootcellar-issuing", "--login", "--pin", pin.trim()])
        .args(["--keypairgen", "--key-type", "EC:prime256v1", "--label", "stranger", "--id", "77"])
        .args(["--extractable"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let stranger = found(&house.cell, "warning", "token.attributes");
    assert!(stranger["evidence"].as_str().unwrap().contains("stranger"), "{stranger}");
    found(&house.cell, "info", "token.other-keys");
    assert_eq!(house.stop().await, 0);
    for token in fs::read_dir(house.cell.officer_dir().join("token/tokens")).unwrap() {
        copied(&token.unwrap().path(), &house.cell.data_dir().join("token/tokens"));
    }
    found(&house.cell, "critical", "token.root-visible");
    house.cell.configure("[token]\nuri = \"pkcs11:token=elsewhere\"\n");
    let lost = found(&house.cell, "critical", "token.unreachable");
    assert!(
        lost["evidence"].as_str().unwrap().contains("rootcellar-issuing"),
        "it says what there is: {lost}"
    );
    // One try, which is remembered; the token tells of it too.
    house.cell.configure("");
    fs::write(house.cell.data_dir().join("token/pin"), "0000").unwrap();
    found(&house.cell, "critical", "token.login");
    found(&house.cell, "warning", "token.pin");
}

#[test]
fn an_algorithm_that_common_clients_refuse() {
    let cell = Cell::empty(BINARY);
    cell.configure("[token]\nissuing-key = \"ed25519\"\n");
    cell.run(&["init"]).ok();
    let refused = found(&cell, "warning", "algorithm.clients");
    let evidence = refused["evidence"].as_str().unwrap();
    assert!(evidence.contains("browsers") && evidence.contains("Java before 15"), "{refused}");
    // The key that issues is judged, and not what the configuration has for the next one.
    let serving = cell.serve();
    cell.configure("");
    found(&cell, "warning", "algorithm.clients");
    drop(serving);
    let cell = Cell::founded(BINARY);
    let _serving = cell.serve();
    cell.configure("[token]\nissuing-key = \"ed25519\"\n[root-token]\nkey = \"ed25519\"\n");
    let findings = doctor(&cell, 1);
    assert!(!checks(&findings).contains(&"algorithm.clients"), "{findings:?}");
}

#[tokio::test]
async fn a_log_that_does_not_follow() {
    let (mut house, client) = House::with_build().await;
    assert_eq!(house.stop().await, 0);
    drop(client);
    let (data, kept) = (house.cell.data_dir(), house.cell.path("kept"));
    copied(&data, &kept);
    house.serving = house.cell.serve();
    issue(&house.credentials().client().await, "build/a").await;
    house.cell.run(&["ledger", "verify"]).ok();
    assert_eq!(house.stop().await, 0);
    fs::remove_dir_all(&data).unwrap();
    copied(&kept, &data);
    house.serving = house.cell.serve();
    found(&house.cell, "critical", "log.inconsistent");
}

/// The front is another process, and may have left a pipe in the place of its chain: nobody writes into it.
#[test]
fn a_pipe_in_the_fronts_directory_is_not_waited_for() {
    let cell = Cell::founded(BINARY);
    let front = cell.data_dir().join("front");
    fs::create_dir_all(&front).unwrap();
    let made = Command::new("mkfifo").arg(front.join("chain.pem")).status();
    assert!(made.unwrap().success());
    let said = cell.run(&["doctor"]).stdout;
    assert!(said.contains("rootcellar serve"), "the service does not run, and that is said: {said}");
}
