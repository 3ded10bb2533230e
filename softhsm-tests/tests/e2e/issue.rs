//! Certificates, as others judge them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use proto::v1::Certificate;
use rootcellar_softhsm_tests::Cell;
use rootcellar_softhsm_tests::judges::{
    openssl, openssl_csr, openssl_text, openssl_verifies, webpki_verifies,
};

use crate::officer::now_secs;
use crate::support::{BINARY, GRANT, House, ask, csr, issue, request};

/// OpenSSL, for both purposes and strictly, and webpki accept the chain.
pub(crate) fn judged(house: &House, certificate: &Certificate) {
    let (dir, anchors) = (house.scratch(), house.anchors());
    for purpose in ["sslclient", "sslserver"] {
        openssl_verifies(&dir, &anchors, &certificate.chain, purpose);
    }
    let now = u64::try_from(now_secs()).unwrap();
    webpki_verifies(&anchors, &certificate.chain, now).expect("webpki accepts it");
    webpki_verifies(&anchors, &certificate.chain, now + 3600).expect_err("not an hour later");
}

#[tokio::test]
async fn every_kind_of_key() {
    let (house, client) = House::with_build().await;
    let dir = house.scratch();
    for (name, kind) in [
        ("p256", &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"][..]),
        ("p384", &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        ("ed25519", &["ed25519"]),
        ("rsa2048", &["rsa:2048"]),
    ] {
        let csr = openssl_csr(&dir, name, kind, &[]);
        let certificate = ask(&client, request(&format!("build/{name}"), csr)).await.unwrap();
        judged(&house, &certificate);
        fs::write(dir.join("leaf.der"), &certificate.chain[0]).unwrap();
        let certified = openssl(&dir, &["x509", "-inform", "DER", "-in", "leaf.der", "-noout", "-pubkey"]);
        assert_eq!(certified, openssl(&dir, &["pkey", "-in", &format!("{name}.key"), "-pubout"]), "{name}");
    }
}

#[tokio::test]
async fn every_kind_of_issuer() {
    for (issuing, log) in [("p384", "p256"), ("ed25519", "ed25519"), ("rsa-2048", "ed25519")] {
        let cell = Cell::empty(BINARY);
        let keys = format!(
            "[token]\nissuing-key = \"{issuing}\"\nlog-key = \"{log}\"\n[root-token]\nkey = \"{issuing}\"\n"
        );
        cell.configure(&keys);
        cell.run(&["init"]).ok();
        let house = House::of(cell);
        let client = house.build().await;
        let certificate = issue(&client, "build/a").await;
        judged(&house, &certificate);
        house.cell.run(&["ledger", "verify"]).ok();
    }
}

#[tokio::test]
async fn what_a_certificate_says() {
    let (house, client) = House::with_build().await;
    let before = now_secs();
    let mut asked = request("build/logger-1", csr());
    let agent = asked.description.as_mut().unwrap();
    agent.tags = vec!["blue".into()];
    agent.dns_names = vec!["logger-1.mesh.internal".into()];
    let certificate = ask(&client, asked).await.unwrap();
    let text = openssl_text(&house.scratch(), &certificate.chain[0]);
    assert!(
        text.contains("DNS:logger-1.mesh.internal, URI:spiffe://cell.internal/agent/build/logger-1")
            || text.contains("URI:spiffe://cell.internal/agent/build/logger-1, DNS:logger-1.mesh.internal"),
        "{text}"
    );
    assert_eq!(text.matches("URI:").count(), 1, "SPIFFE X.509-SVID §2: exactly one URI\n{text}");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for (heading, value) in [
        ("X509v3 Key Usage: critical", "Digital Signature"),
        ("X509v3 Basic Constraints: critical", "CA:FALSE"),
    ] {
        let at =
            lines.iter().position(|line| *line == heading).unwrap_or_else(|| panic!("{heading}\n{text}"));
        assert_eq!(lines[at + 1], value);
    }
    let usage = lines.iter().position(|line| line.starts_with("X509v3 Extended Key Usage")).unwrap();
    assert!(
        lines[usage + 1].contains("TLS Web Server Authentication")
            && lines[usage + 1].contains("TLS Web Client Authentication")
    );
    assert!(
        text.contains("X509v3 Subject Key Identifier") && text.contains("X509v3 Authority Key Identifier")
    );
    assert!(!text.contains("CRL Distribution") && !text.contains("Authority Information Access"), "{text}");
    // SEQUENCE { SEQUENCE { "logger" }, SEQUENCE { "blue" } } under 1.3.6.1.4.1.32473.17.1, not critical.
    let extension = b"\x06\x0a\x2b\x06\x01\x04\x01\x81\xfd\x59\x11\x01\x04\x14\x30\x12\x30\x08\x0c\x06logger\x30\x06\x0c\x04blue";
    assert!(certificate.chain[0].windows(extension.len()).any(|window| window == extension), "{text}");

    let secs = |time: &Option<prost_types::Timestamp>| time.as_ref().unwrap().seconds;
    let (start, end) = (secs(&certificate.not_before), secs(&certificate.not_after));
    let (renew, lifetime) = (secs(&certificate.renew_after), end - start + 1);
    assert!((before - 61..=before).contains(&start), "a minute back");
    assert!((3240..=3600).contains(&lifetime), "an hour, up to a tenth less: {lifetime}");
    assert!((start + lifetime * 4 / 10..=start + lifetime * 6 / 10).contains(&renew), "about half");
}

#[tokio::test]
async fn from_the_command_line() {
    let house = House::new();
    house.controller("build", GRANT);
    let issue =
        ["issue", "build/logger-1", "--role", "logger", "--tag", "blue", "--ttl", "30m", "--output", "json"];
    let said = house.cell.run(&issue).json();
    assert_eq!(said["identity"], "spiffe://cell.internal/agent/build/logger-1");
    let file = |name: &str| house.cell.path(&format!("build-logger-1.{name}"));
    let mode = fs::metadata(file("key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let dir = house.scratch();
    fs::write(dir.join("anchors.pem"), house.anchors()).unwrap();
    let chain = file("chain.pem").display().to_string();
    let judge = ["verify", "-x509_strict", "-CAfile", "anchors.pem", "-untrusted", &chain, &chain];
    assert!(openssl(&dir, &judge).contains(": OK"));
    let certified = openssl(&dir, &["x509", "-in", &chain, "-noout", "-pubkey"]);
    assert_eq!(certified, openssl(&dir, &["pkey", "-in", &file("key.pem").display().to_string(), "-pubout"]));
    let verify = |more: &[&str]| {
        let arguments = [
            "ledger",
            "verify",
            "--proof",
            "build-logger-1.proof",
            "--certificate",
            "build-logger-1.chain.pem",
        ];
        house.cell.run(&[&arguments, more].concat())
    };
    verify(&[]).ok();
    verify(&["--controller", "build"]).ok();
}
