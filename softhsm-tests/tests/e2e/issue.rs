//! Certificates, as others judge them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use prost::Message as _;
use proto::v1::{Agent, Certificate, IssueCertificateBody};
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
        issues_what_is_judged_good(cell).await;
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

/// What the command line makes a request for names the agent: whoever sees it cannot have it certified for another.
#[tokio::test]
async fn a_request_of_the_command_line_is_of_one_agent() {
    let (house, client) = House::with_build().await;
    let issued = ["issue", "build/a", "--role", "logger", "--controller", "build", "--out", "a"];
    house.cell.run(&issued).ok();
    let entry =
        house.entries().await.into_iter().rev().find(|found| crate::support::issuance_of(found).is_some());
    let journal = rusqlite::Connection::open(house.cell.data_dir().join("journal.sqlite")).unwrap();
    let sql = "SELECT body FROM signed_request WHERE idx <= ?1 ORDER BY idx DESC LIMIT 1";
    let body: Vec<u8> = journal.query_row(sql, [entry.unwrap().index], |row| row.get(0)).unwrap();
    let seen = IssueCertificateBody::decode(&*body).unwrap();
    let stolen = IssueCertificateBody {
        agent: "agents/build/other".into(),
        request_id: String::new(),
        description: Some(Agent { roles: vec!["logger".into()], ..Agent::default() }),
        allow_missing: true,
        ..seen
    };
    crate::support::refused(ask(&client, stolen).await, tonic::Code::InvalidArgument, "CSR_NAME_NOT_ISSUED");
}

/// Each refusal's way out is a grant of its own: the second takes nothing of the first away.
#[tokio::test]
async fn remedies_do_not_undo_each_other() {
    let (house, _client) = House::with_build().await;
    let issue = |agent| ["issue", agent, "--role", "logger", "--controller", "build", "--out", "a"];
    for agent in ["zone1/x", "zone2/y"] {
        let said = house.cell.run(&issue(agent)).fails(1);
        let remedy = said.lines().find_map(|line| line.trim().strip_prefix("try: rootcellar ")).unwrap();
        let words: Vec<&str> = remedy.split(' ').map(|word| word.trim_matches('\'')).collect();
        house.cell.run(&words).ok();
    }
    for agent in ["zone1/x", "zone2/y"] {
        house.cell.run(&issue(agent)).ok();
    }
}

#[tokio::test]
async fn what_was_revoked_or_has_expired_is_said() {
    let (house, client) = House::with_build().await;
    let name = issue(&client, "build/a").await.name;
    let show = ["cert", "show", &name, "--controller", "build"];
    assert!(!house.cell.run(&show).ok().contains("revoked"));
    let revoke = ["cert", "revoke", &name, "--reason", "key-compromise", "--controller", "build"];
    house.cell.run(&revoke).ok();
    let said = house.cell.run(&show).ok();
    assert!(said.contains("revoked") && said.contains("key-compromise, by entry"), "{said}");
    issue(&client, "build/b").await;
    house.cell.set_clock(2 * 3_600_000);
    let listed = house.cell.run(&["cert", "list", "--controller", "build"]).ok();
    assert!(listed.contains("expired"), "{listed}");
}

/// A service that listens, and takes nobody in: the command line gives up, and says where to look.
#[tokio::test]
async fn a_service_that_answers_nobody_is_not_waited_for() {
    let (mut house, client) = House::with_build().await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    house.cell.credentials_at(&format!("https://localhost:{port}"), "build");
    let said = house.cell.run(&["agent", "list", "--controller", "build"]).fails(75);
    assert!(said.contains("it listens and does not answer"), "{said}");
    assert!(said.contains("try: rootcellar status"), "{said}");
}

#[tokio::test]
async fn a_cell_with_the_longest_name() {
    let name = format!("{}.internal", "a".repeat(255 - ".internal".len()));
    let cell = Cell::empty(BINARY);
    cell.configure(&format!(
        "cell = \"{name}\"\n[service]\nlisten = \"127.0.0.1:0\"\nops-listen = \"127.0.0.1:0\"\n"
    ));
    cell.run(&["init"]).ok();
    issues_what_is_judged_good(cell).await;
}

/// It issues, and OpenSSL and the auditor take what it issued.
async fn issues_what_is_judged_good(cell: Cell) {
    let house = House::of(cell);
    let client = house.build().await;
    let certificate = issue(&client, "build/a").await;
    judged(&house, &certificate);
    house.cell.run(&["ledger", "verify"]).ok();
}
