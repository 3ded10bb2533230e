//! Secrets stay where they belong.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use rootcellar_softhsm_tests::Cell;

use crate::support::{BINARY, GRANT, House, eventually, files_below, issue, request, still_issues};

/// The secret parts of a PEM or note key: its longest lines.
fn parts(text: &str) -> Vec<String> {
    let secret = |line: &&str| !line.starts_with("-----") && line.len() >= 20;
    // The third line of a P-256 key in PKCS#8 is part of its public key (RFC 5915 §3), which is no secret.
    text.lines().filter(secret).take(2).map(ToOwned::to_owned).collect()
}

fn has(octets: &[u8], text: &str) -> bool {
    octets.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn nothing_leaks() {
    let house = House::new();
    let House { mut serving, cell } = house;
    assert_eq!(serving.stop(), 0);
    cell.configure("[log]\nlevel = \"trace\"\n");
    let mut house = House::of(cell);
    let mut said = house.cell.run(&["controller", "add", "build", "--grant", GRANT, "-vvv"]);
    let client = house.credentials().client().await;
    issue(&client, "build/a").await;
    assert!(crate::support::ask(&client, request("prod/a", b"garbage".to_vec())).await.is_err());
    for command in [
        &["issue", "build/b", "-vvv"][..],
        &["token", "inspect", "-vvv"],
        &["token", "list", "--root", "-vvv"],
        &["status", "-vvv"],
        &["config", "show"],
        &["ledger", "verify", "-vvv"],
    ] {
        let outcome = house.cell.run(command);
        assert_eq!(outcome.code, 0, "{command:?}: {}", outcome.stderr);
        said.stdout += &outcome.stdout;
        said.stderr += &outcome.stderr;
    }

    let (data, officer) = (house.cell.data_dir(), house.cell.officer_dir());
    let own: [(PathBuf, bool); 5] = [
        (data.join("token/pin"), true),
        (officer.join("root.pin"), true),
        (officer.join("officer.key"), false),
        (house.credentials().dir().join("key.pem"), false),
        (house.cell.path("build-b.key.pem"), false),
    ];
    let front = files_below(&data.join("front")).into_iter().map(|path| (path, false));
    let keys =
        front.filter(|(path, _)| fs::read_to_string(path).is_ok_and(|text| text.contains("PRIVATE KEY")));
    let own: Vec<(PathBuf, bool)> = own.into_iter().chain(keys).collect();
    assert_eq!(own.len(), 6, "the service's own key is one of them");

    let mut places = vec![
        ("what commands said".to_owned(), (said.stdout + &said.stderr).into_bytes()),
        ("the log".to_owned(), house.serving.log().into_bytes()),
    ];
    for pid in [house.serving.pid(), house.serving.child("keeper"), house.serving.child("front")] {
        for file in ["cmdline", "environ"] {
            let path = format!("/proc/{pid}/{file}");
            // A process that is not dumpable shows its environment to root alone.
            places.push((path.clone(), fs::read(path).unwrap_or_default()));
        }
    }
    assert_eq!(house.stop().await, 0);
    let files = files_below(house.cell.path("").as_path());
    let files = files.into_iter().filter(|path| !own.iter().any(|(own, _)| own == path) && path.is_file());
    places.extend(files.map(|path| (path.display().to_string(), fs::read(path).unwrap())));
    let seen = |text: &str| places.iter().filter(|(_, octets)| has(octets, text)).count();
    assert!(seen("cell.internal") > 5, "what is no secret is found in many places");
    for (file, is_pin) in &own {
        let text = fs::read_to_string(file).unwrap();
        let secrets = if *is_pin { vec![text.trim().to_owned()] } else { parts(&text) };
        assert!(!secrets.is_empty(), "{}", file.display());
        for secret in &secrets {
            for (place, octets) in &places {
                assert!(!has(octets, secret), "{} stands in {place}", file.display());
            }
        }
    }
    house.serving = house.cell.serve();
    still_issues(&house.credentials().client().await).await;
}

/// Runs a program as one that may trace its own user's processes and no others: root may read all, unless it gave that up (capabilities(7)).
const NO_TRACER: [&str; 3] = ["setpriv", "--bounding-set", "-sys_ptrace,-perfmon,-sys_admin"];

/// Another process of the same user reads what only a tracer may (ptrace(2), "Ptrace access mode checking"): of a process that anybody of the
/// user may trace, and of each of the service's.
#[tokio::test]
async fn no_process_of_the_service_can_be_traced() {
    let mut cell = Cell::founded(BINARY);
    let is_root = rustix::process::geteuid().is_root();
    let wrapper: &[&str] = if is_root { &NO_TRACER } else { &[] };
    cell.program().wrap(wrapper);
    let mut house = House::of(cell);
    let may_read = |pid: u32| {
        let environment = format!("/proc/{pid}/environ");
        let arguments = [wrapper, &["cat", &environment]].concat();
        let read = house.cell.command(&arguments).output().unwrap();
        let denied = String::from_utf8_lossy(&read.stderr).contains("Permission denied");
        assert_ne!(read.status.success(), denied, "{read:?}");
        !denied
    };
    let arguments = [wrapper, &["cat"]].concat();
    let mut other = house.cell.command(&arguments).stdin(Stdio::piped()).spawn().unwrap();
    eventually("one that may be traced is", async || may_read(other.id()).then_some(())).await;
    for pid in [house.serving.pid(), house.serving.child("keeper"), house.serving.child("front")] {
        assert!(!may_read(pid));
        // What it starts has no more rights than it has, so that its supervisor can end it (prctl(2), PR_SET_NO_NEW_PRIVS).
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
    }
    drop(other.stdin.take());
    other.wait().unwrap();
    assert_eq!(house.stop().await, 0);
}
