//! `rootcellar lint`: what is issued is clean, and a certificate by OpenSSL is not.

use std::fs;

use rootcellar_softhsm_tests::Cell;
use rootcellar_softhsm_tests::judges::openssl;
use serde_json::Value;

use crate::support::{BINARY, House, issue};

/// PEM of one certificate.
fn pem(der: &[u8]) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE", der))
}

#[tokio::test]
async fn what_is_issued_is_clean() {
    let (house, client) = House::with_build().await;
    let chain = issue(&client, "build/a").await.chain;
    let dir = house.scratch();
    let (file, root, leaf) = (dir.join("chain.pem"), dir.join("root.pem"), dir.join("leaf.der"));
    fs::write(&file, chain.iter().map(|der| pem(der)).collect::<String>()).unwrap();
    fs::write(&root, house.anchors()).unwrap();
    fs::write(&leaf, &chain[0]).unwrap();
    let (file, root, leaf) = (file.to_str().unwrap(), root.to_str().unwrap(), leaf.to_str().unwrap());
    let report = house.cell.run(&["lint", file, "--issuer", root, "--output", "json"]).json();
    let kinds: Vec<_> = report["certificates"].as_array().unwrap().iter().map(|c| &c["kind"]).collect();
    assert_eq!(kinds, ["agent", "issuer"]);
    assert_eq!(report["certificates"][0]["identity"], "spiffe://cell.internal/agent/build/a");
    assert!(house.cell.run(&["lint", leaf]).ok().contains("its issuer is not known"));
    assert!(house.cell.run(&["lint", root]).ok().contains("root spiffe://cell.internal\nnothing was found"));
    let said = house.cell.run(&["lint", leaf, "--profile", "controller"]).fails(1);
    assert!(said.contains("finding"), "{said}");
    // An issuer that did not sign it.
    house.cell.run(&["lint", leaf, "--issuer", root]).fails(1);
}

#[test]
fn the_defects_of_another_makers_certificate() {
    let cell = Cell::empty(BINARY);
    let dir = cell.path("scratch");
    fs::create_dir_all(&dir).unwrap();
    let key = ["req", "-x509", "-newkey", "rsa:1024", "-nodes", "-keyout", "k.pem", "-subj", "/CN=a.example"];
    let rest = ["-days", "9999", "-addext", "subjectAltName=DNS:*.example", "-out", "bad.pem"];
    openssl(&dir, &[key.as_slice(), &rest].concat());
    let file = dir.join("bad.pem");
    let outcome = cell.run(&["lint", file.to_str().unwrap(), "--profile", "agent", "--output", "json"]);
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let findings = report["certificates"][0]["findings"].as_array().unwrap().clone();
    let found =
        |rule: &str| findings.iter().find(|finding| finding["rule"] == rule).cloned().unwrap_or_default();
    for (rule, section) in [
        ("public-key", "RFC 5280 §4.1.2.7"),
        ("signature-algorithm", "RFC 5280 §4.1.1.2"),
        ("validity-cap", "design §5"),
        ("san-uri", "X509-SVID §2"),
        ("san-names", "design §5"),
        ("subject", "RFC 5280 §4.1.2.6"),
        ("basic-constraints", "RFC 5280 §4.2.1.9, X509-SVID §4.1"),
        ("key-usage", "RFC 5280 §4.2.1.3, X509-SVID §4.3"),
    ] {
        assert_eq!(found(rule)["section"], section, "{rule}: {}", outcome.stdout);
    }
    assert!(found("public-key")["detail"].as_str().unwrap().contains("less than 2048 bits"));
    let table = cell.run(&["lint", file.to_str().unwrap()]);
    assert!(table.stdout.contains("RULE") && table.stdout.contains("san-uri"), "{}", table.stdout);
    assert!(cell.run(&["lint", "/dev/null"]).fails(1).contains("no certificate"));
}
