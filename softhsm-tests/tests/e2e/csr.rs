//! Requests that are refused for their CSR.

use client::Client;
use rcgen::PublicKeyData as _;
use rcgen::{KeyPair, SanType};
use rootcellar_softhsm_tests::judges::{openssl, openssl_csr};
use sha2::{Digest as _, Sha256};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{House, ask, csr, csr_of, csr_with, refused, request, still_issues};

/// Asks with each CSR; every one is refused for this reason, on the field `csr`.
async fn each_refused(client: &Client, reason: &str, requests: impl IntoIterator<Item = Vec<u8>>) {
    for csr in requests {
        let status = refused(ask(client, request("build/a", csr)).await, Code::InvalidArgument, reason);
        let violations = status.get_details_bad_request().expect("the field at fault").field_violations;
        assert_eq!(violations[0].field, "csr", "{violations:?}");
    }
    still_issues(client).await;
}

fn pem_of(csr: Vec<u8>) -> String {
    pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", csr))
}

#[tokio::test]
async fn garbage_truncated_and_trailing_bytes() {
    let (_house, client) = House::with_build().await;
    let good = csr();
    let cases = [
        b"garbage".to_vec(),
        vec![0x30, 0x80],
        good[..good.len() - 1].to_vec(),
        [good.as_slice(), &[0]].concat(),
        [good.as_slice(), &good].concat(),
        format!("{}and more", pem_of(good.clone())).into_bytes(),
        pem_of(good.clone()).replace("REQUEST", "").into_bytes(),
    ];
    each_refused(&client, "CSR_MALFORMED", cases).await;
    ask(&client, request("build/pem", pem_of(good).into_bytes())).await.expect("one PEM block is good");
}

#[tokio::test]
async fn oversized() {
    let (_house, client) = House::with_build().await;
    let key = KeyPair::generate().unwrap();
    let names = (0..500)
        .map(|i| SanType::DnsName(format!("a-name-of-some-length-{i}.mesh.internal").try_into().unwrap()));
    let oversized = csr_with(&key, |params| params.subject_alt_names = names.collect());
    assert!(oversized.len() > 16 * 1024);
    each_refused(&client, "CSR_MALFORMED", [oversized, vec![0x30; 24_000]]).await;
}

#[tokio::test]
async fn wrong_signature() {
    let (_house, client) = House::with_build().await;
    let mut flipped = csr();
    *flipped.last_mut().unwrap() ^= 1;
    // Another's key in a request that its sender signed: no proof that the sender holds it.
    let (own, theirs) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let (point, other) = (rcgen::PublicKeyData::der_bytes(&own), rcgen::PublicKeyData::der_bytes(&theirs));
    let mut swapped = csr_of(&own);
    let at = swapped.windows(point.len()).position(|window| window == point).unwrap();
    swapped[at..at + point.len()].copy_from_slice(other);
    each_refused(&client, "CSR_SIGNATURE_INVALID", [flipped, swapped]).await;
}

#[tokio::test]
async fn unsupported_key() {
    let (house, client) = House::with_build().await;
    let dir = house.scratch();
    let made = ["ec_paramgen_curve:P-521", "ec_paramgen_curve:secp256k1"]
        .map(|curve| openssl_csr(&dir, "key", &["ec", "-pkeyopt", curve], &[]));
    each_refused(&client, "KEY_UNSUPPORTED", made).await;
}

#[tokio::test]
async fn weak_key() {
    let (house, client) = House::with_build().await;
    let dir = house.scratch();
    let short = openssl_csr(&dir, "key", &["rsa:1024"], &[]);
    let exponent = openssl_csr(&dir, "key", &["rsa:2048", "-pkeyopt", "rsa_keygen_pubexp:3"], &[]);
    each_refused(&client, "KEY_WEAK", [short, exponent]).await;
}

#[tokio::test]
async fn keys_that_can_be_factored() {
    let (house, client) = House::with_build().await;
    let dir = house.scratch();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/weak_keys.py");
    let made = std::process::Command::new("python3").arg(script).arg(&dir).status();
    assert!(made.expect("python3 runs").success());
    for name in ["close-primes", "roca", "exponent-one"] {
        let (key, csr) = (format!("{name}.der"), format!("{name}.csr"));
        let arguments = [
            "req", "-new", "-subj", "/CN=weak", "-keyform", "DER", "-key", &key, "-outform", "DER", "-out",
            &csr,
        ];
        openssl(&dir, &arguments);
        let status = refused(
            ask(&client, request("build/a", std::fs::read(dir.join(csr)).unwrap())).await,
            Code::InvalidArgument,
            "KEY_WEAK",
        );
        assert!(!status.message().contains("2048"), "{name}: {}", status.message());
    }
    still_issues(&client).await;
}

#[tokio::test]
async fn keys_on_the_list() {
    let cell = rootcellar_softhsm_tests::Cell::founded(crate::support::BINARY);
    let key = KeyPair::generate().unwrap();
    let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(key.subject_public_key_info()));
    let list = cell.path("weak-keys.txt");
    std::fs::write(&list, format!("# known to others\n{hash}\n")).unwrap();
    let section = |path: &str| format!("[certificates]\nweak-keys = \"{path}\"\n");
    cell.configure(&section("/nowhere.txt"));
    assert!(cell.run(&["config", "check"]).fails(78).contains("/nowhere.txt"));
    cell.configure(&section(&list.display().to_string()));
    let house = House::of(cell);
    let client = house.build().await;
    let listed = ask(&client, request("build/a", csr_of(&key))).await;
    refused(listed, Code::InvalidArgument, "KEY_WEAK");
    still_issues(&client).await;
}

#[tokio::test]
async fn other_names() {
    let (house, client) = House::with_build().await;
    let dir = house.scratch();
    let asks_for = |names: &str| {
        openssl_csr(&dir, "key", &["ed25519"], &["-addext", &format!("subjectAltName={names}")])
    };
    let refused_names = [
        "DNS:other.mesh.internal",
        "IP:192.0.2.1",
        "email:a@mesh.internal",
        "URI:spiffe://cell.internal/agent/build/b",
        "URI:spiffe://cell.internal/agent/build/a,DNS:other.mesh.internal",
    ];
    each_refused(&client, "CSR_NAME_NOT_ISSUED", refused_names.map(asks_for)).await;
    let own = asks_for("URI:spiffe://cell.internal/agent/build/a,DNS:a.mesh.internal");
    let mut granted = request("build/a", own);
    granted.description.as_mut().unwrap().dns_names = vec!["a.mesh.internal".into()];
    ask(&client, granted).await.expect("names that are issued may be asked for");
}

#[tokio::test]
async fn ca_and_other_extensions() {
    let (house, client) = House::with_build().await;
    let dir = house.scratch();
    let asks_for = |extension: &str| openssl_csr(&dir, "key", &["ed25519"], &["-addext", extension]);
    let refused_extensions = [
        "basicConstraints=critical,CA:TRUE",
        "keyUsage=digitalSignature,keyCertSign",
        "extendedKeyUsage=clientAuth,codeSigning",
        "nameConstraints=permitted;DNS:mesh.internal",
        "1.3.6.1.4.1.32473.17.1=ASN1:NULL",
    ];
    each_refused(&client, "CSR_EXTENSION_NOT_ALLOWED", refused_extensions.map(asks_for)).await;
    let within = asks_for("extendedKeyUsage=clientAuth,serverAuth");
    ask(&client, request("build/a", within)).await.expect("what every certificate has may be asked for");
}
