//! Cells whose root, issuing and log key are in tokens of Kryoptic's. `make tokens` runs these.

use rootcellar_softhsm_tests::judges::webpki_verifies;
use rootcellar_softhsm_tests::{Cell, kryoptic};

use crate::conformance::verdict;
use crate::issue::judged;
use crate::officer::now_secs;
use crate::support::{BINARY, House, chain_pem, issue, still_issues};

fn house(key: &str) -> House {
    let cell = Cell::empty(BINARY);
    kryoptic::configure(&cell, key);
    cell.run(&["init"]).ok();
    House::of(cell)
}

#[tokio::test]
#[ignore = "needs Kryoptic, which `make tokens` builds"]
async fn p256() {
    let mut house = house("p256");
    let client = house.build().await;
    judged(&house, &issue(&client, "build/a").await);
    house.cell.run(&["ledger", "verify"]).ok();
    house.restart().await;
    still_issues(&house.credentials().client().await).await;
    house.cell.run(&["ledger", "verify"]).ok();
}

#[test]
#[ignore = "needs Kryoptic, which `make tokens` builds"]
fn conformance() {
    let cell = Cell::empty(BINARY);
    kryoptic::configure(&cell, "p256");
    cell.run(&["init"]).ok();
    let (token, module) = (cell.data_dir().join("token"), kryoptic::module().display().to_string());
    let (dir, pin) = (token.display().to_string(), format!("file:{}", token.join("pin").display()));
    let mut arguments = vec!["token", "conformance", &module, "--token", "rootcellar-issuing", "--pin", &pin];
    arguments.extend(["--profile", "kryoptic", "--dir", &dir, "--no-rates", "--output", "json"]);
    let report = cell.run(&arguments).json();
    assert_eq!((&report["failed"], &report["unsupported"]), (&0.into(), &0.into()), "{report}");
    assert_eq!(verdict(&report, "ml-dsa-65 signature"), "pass", "{report}");
}

#[tokio::test]
#[ignore = "needs Kryoptic, which `make tokens` builds"]
async fn ml_dsa_65() {
    let mut house = house("ml-dsa-65");
    // The controller's own certificate is the issuer's too, and so is the service's: the handshakes verify both.
    let client = house.build().await;
    let certificate = issue(&client, "build/a").await;
    // webpki on AWS-LC shares no code with the module, which signs with OpenSSL. Debian's OpenSSL has no ML-DSA to judge with.
    let now = u64::try_from(now_secs()).unwrap();
    webpki_verifies(&house.anchors(), &certificate.chain, now).expect("webpki accepts it");
    let mut forged = certificate.chain.clone();
    *forged[0].last_mut().unwrap() ^= 1;
    webpki_verifies(&house.anchors(), &forged, now).expect_err("another signature");
    let id_ml_dsa_65 = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12";
    let named = |der: &[u8]| der.windows(id_ml_dsa_65.len()).filter(|octets| octets == id_ml_dsa_65).count();
    // RFC 9881 §2, 4: twice as what signed it, and in the issuer's once more as the key.
    let counts: Vec<usize> = certificate.chain.iter().map(|der| named(der)).collect();
    assert_eq!(counts, [2, 3]);
    let file = house.scratch().join("chain.pem");
    std::fs::write(&file, chain_pem(&certificate.chain)).unwrap();
    house.cell.run(&["lint", &file.display().to_string()]).ok();
    house.cell.run(&["cert", "revoke", "--agent", "build/a", "--reason", "superseded"]).ok();
    house.cell.run(&["ledger", "verify"]).ok();
    house.restart().await;
    still_issues(&house.credentials().client().await).await;
    house.cell.run(&["ledger", "verify"]).ok();
}
