//! Programs in other languages, from the contract alone: what they call, what they sign, what they get.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rootcellar_softhsm_tests::judges::{openssl, openssl_csr, openssl_text};
use rootcellar_softhsm_tests::newest_log;

use crate::support::{GRANT, House};

/// Debian's, which python3-grpcio and python3-grpc-tools are for.
const PYTHON: &str = "/usr/bin/python3";
/// Debian's, which golang-google-grpc-dev is for.
const GO: &str = "/usr/bin/go";
/// Where Debian's Go packages are.
const GO_PACKAGES: &str = "/usr/share/gocode";

/// Runs a program and returns what it printed.
fn printed(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The files of the contract, below `proto`.
fn contract() -> (PathBuf, Vec<String>) {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let files = fs::read_dir(proto.join("rootcellar/v1")).unwrap();
    let files = files.map(|file| format!("rootcellar/v1/{}", file.unwrap().file_name().display()));
    (proto, files.collect())
}

/// Has a program register the agent "build/NAME", ask for its certificate and write the chain, and judges what it got.
fn judged(house: &House, name: &str, program: &mut Command) {
    let dir = house.scratch();
    let credentials = house.controller("build", GRANT);
    openssl_csr(&dir, "agent", &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], &[]);
    program.current_dir(&dir).arg(format!("localhost:{}", house.serving.port)).arg(credentials.dir());
    program.arg(newest_log(&credentials.read("bundle.note"))).arg(format!("agents/build/{name}"));
    let said = printed(program.args(["agent.csr", "chain.pem"]));
    assert_eq!(said, format!("spiffe://cell.internal/agent/build/{name}"));

    fs::write(dir.join("anchors.pem"), house.anchors()).unwrap();
    let judge = ["verify", "-x509_strict", "-CAfile", "anchors.pem", "-untrusted", "chain.pem", "chain.pem"];
    assert!(openssl(&dir, &judge).contains("chain.pem: OK"));
    let leaf = openssl(&dir, &["x509", "-in", "chain.pem", "-noout", "-pubkey"]);
    assert_eq!(leaf, openssl(&dir, &["pkey", "-in", "agent.key", "-pubout"]));
    openssl(&dir, &["x509", "-in", "chain.pem", "-outform", "DER", "-out", "leaf.der"]);
    let text = openssl_text(&dir, &fs::read(dir.join("leaf.der")).unwrap());
    assert!(text.contains(&format!("URI:spiffe://cell.internal/agent/build/{name}")), "{text}");
    house.cell.run(&["ledger", "verify"]).ok();
}

#[tokio::test]
async fn python() {
    let house = House::new();
    let (proto, files) = contract();
    let stubs = house.scratch().join("stubs");
    fs::create_dir_all(&stubs).unwrap();
    let mut generate = Command::new(PYTHON);
    generate.args(["-m", "grpc_tools.protoc", "-I."]).current_dir(proto).args(files);
    for option in ["--python_out", "--grpc_python_out"] {
        generate.arg(format!("{option}={}", stubs.display()));
    }
    printed(&mut generate);
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/agent.py");
    judged(&house, "python-1", Command::new(PYTHON).env("PYTHONPATH", stubs).arg(program));
}

#[tokio::test]
async fn go() {
    let house = House::new();
    let (proto, files) = contract();
    let dir = house.scratch();
    let source = dir.join("go/src");
    fs::create_dir_all(source.join("agent")).unwrap();
    let mut generate = Command::new("protoc");
    generate.arg("-I.").current_dir(proto).args(&files);
    for plugin in ["go", "go-grpc"] {
        generate.arg(format!("--{plugin}_out={}", source.display()));
        generate.args(files.iter().map(|file| format!("--{plugin}_opt=M{file}=rootcellar/v1")));
    }
    printed(&mut generate);
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), source.join("agent").join(file.file_name())).unwrap();
    }
    let packages = format!("{}:{GO_PACKAGES}", dir.join("go").display());
    // The packages are compiled once for all runs.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    let mut build = Command::new(GO);
    build.args(["build", "-o", "go/agent.bin", "agent"]).current_dir(&dir);
    build.env("GO111MODULE", "off").env("GOPATH", packages).env("GOCACHE", cache).env("CGO_ENABLED", "0");
    build.env_remove("GOROOT").env_remove("GOFLAGS");
    printed(&mut build);
    judged(&house, "go-1", &mut Command::new(dir.join("go/agent.bin")));
}
