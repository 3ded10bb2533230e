//! A program in another language, from the contract alone.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use rootcellar_softhsm_tests::judges::{openssl, openssl_csr, openssl_text};
use rootcellar_softhsm_tests::newest_log;

use crate::support::{GRANT, House};

/// Debian's, which python3-grpcio and python3-grpc-tools are for.
const PYTHON: &str = "/usr/bin/python3";

/// Runs it and returns what it printed.
fn python(dir: &Path, arguments: &[impl AsRef<OsStr>]) -> String {
    let output =
        Command::new(PYTHON).args(arguments).current_dir(dir).env("PYTHONPATH", dir.join("stubs")).output();
    let output = output.expect("python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test]
async fn a_program_from_the_contract_alone() {
    let house = House::new();
    let credentials = house.controller("build", GRANT);
    let dir = house.scratch();
    fs::create_dir_all(dir.join("stubs")).unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let contract = here.join("../proto");
    let contracts = fs::read_dir(contract.join("rootcellar/v1")).unwrap().map(|file| file.unwrap().path());
    let files: Vec<String> = contracts.map(|path| path.display().to_string()).collect();
    let include = format!("-I{}", contract.display());
    let mut generate =
        vec!["-m", "grpc_tools.protoc", &include, "--python_out=stubs", "--grpc_python_out=stubs"];
    generate.extend(files.iter().map(String::as_str));
    python(&dir, &generate);

    openssl_csr(&dir, "agent", &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], &[]);
    let program = here.join("tests/python/agent.py").display().to_string();
    let server = format!("localhost:{}", house.serving.port);
    let log = newest_log(&credentials.read("bundle.note"));
    let credentials = credentials.dir().display().to_string();
    let arguments =
        [&program, &server, &credentials, &log, "agents/build/python-1", "agent.csr", "chain.pem"];
    let said = python(&dir, &arguments);
    assert_eq!(said, "spiffe://cell.internal/agent/build/python-1");

    fs::write(dir.join("anchors.pem"), house.anchors()).unwrap();
    let judge = ["verify", "-x509_strict", "-CAfile", "anchors.pem", "-untrusted", "chain.pem", "chain.pem"];
    assert!(openssl(&dir, &judge).contains("chain.pem: OK"));
    let leaf = openssl(&dir, &["x509", "-in", "chain.pem", "-noout", "-pubkey"]);
    assert_eq!(leaf, openssl(&dir, &["pkey", "-in", "agent.key", "-pubout"]));
    openssl(&dir, &["x509", "-in", "chain.pem", "-outform", "DER", "-out", "leaf.der"]);
    let text = openssl_text(&dir, &fs::read(dir.join("leaf.der")).unwrap());
    assert!(text.contains("URI:spiffe://cell.internal/agent/build/python-1"), "{text}");
}
