//! Chains composed here, signed by keys of another library, judged by OpenSSL.

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use certs::{
    BadSignature, Issuer, IssuerError, SignatureAlgorithm,
    compose::{self, Ca, LeafProfile, Validity, join},
    ecdsa_der,
    summary::{signature_of, tbs_of},
};

use crate::support::{Chain, NOW, TestKey, agent, openssl, serial, try_openssl, write_pem};

fn service() -> LeafProfile {
    LeafProfile::Service {
        dns_names: vec!["localhost".parse().unwrap()].try_into().unwrap(),
        ip_addresses: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
    }
}

/// `openssl verify` of a leaf under the chain: strictly, for this purpose, at this time.
fn verify(chain: &Chain, leaf: &[u8], purpose: &str, at: u64) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    write_pem(dir.path(), "root.pem", chain.root.certificate_der());
    write_pem(dir.path(), "issuer.pem", chain.issuer.certificate_der());
    write_pem(dir.path(), "leaf.pem", leaf);
    let at = at.to_string();
    let args = ["verify", "-x509_strict", "-purpose", purpose, "-attime", &at, "-CAfile", "root.pem"];
    try_openssl(dir.path(), &[args.as_slice(), &["-untrusted", "issuer.pem", "leaf.pem"]].concat())
}

/// `openssl x509 -text` of a certificate.
fn text(certificate: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    write_pem(dir.path(), "c.pem", certificate);
    openssl(dir.path(), &["x509", "-in", "c.pem", "-noout", "-text"])
}

#[test]
fn openssl_accepts_the_chain_in_every_algorithm() {
    let keys = [TestKey::p256, TestKey::p384, TestKey::ed25519, TestKey::rsa];
    for (root, issuer) in keys.iter().zip(keys.iter().cycle().skip(1)) {
        let chain = Chain::new(&root(), issuer());
        let key = TestKey::p256().public();
        for purpose in ["sslclient", "sslserver"] {
            let leaf = chain.leaf(agent(), "spiffe://cell.example/agent/build/x", &key);
            let (accepted, said) = verify(&chain, &leaf, purpose, NOW);
            assert!(accepted, "{}: {said}", chain.issuer.algorithm());
        }
    }
}

#[test]
fn openssl_accepts_a_controller_and_a_service_as_both_ends() {
    let (chain, key) = (Chain::p256(), TestKey::p256().public());
    let controller = chain.leaf(LeafProfile::Controller, "spiffe://cell.example/controller/c", &key);
    let service = chain.leaf(service(), "spiffe://cell.example/service/front", &key);
    for (leaf, purpose) in [(&controller, "sslclient"), (&controller, "sslserver"), (&service, "sslserver")] {
        assert!(verify(&chain, leaf, purpose, NOW).0, "{purpose}");
        // Nothing else.
        assert!(!verify(&chain, leaf, "codesign", NOW).0 && !verify(&chain, leaf, "smimesign", NOW).0);
    }
}

#[test]
fn validity_starts_and_ends_when_it_says() {
    let (chain, key) = (Chain::p256(), TestKey::p256().public());
    let leaf = chain.leaf(LeafProfile::Controller, "spiffe://cell.example/controller/c", &key);
    let (start, end) = (NOW - 60, NOW - 60 + 3600 - 1);
    // The last second itself is not asked for: RFC 5280 §4.1.2.5 includes it, OpenSSL's X509_cmp_time does not.
    for (at, valid) in [(start - 1, false), (start, true), (end - 1, true), (end + 1, false)] {
        assert_eq!(verify(&chain, &leaf, "sslclient", at).0, valid, "{at}");
    }
}

#[test]
fn openssl_reads_what_an_agent_is_to_have() {
    let (chain, key) = (Chain::p256(), TestKey::p256().public());
    let text = text(&chain.leaf(agent(), "spiffe://cell.example/agent/build/x", &key));
    for line in [
        "Version: 3 (0x2)",
        "Subject: \n",
        "X509v3 Subject Alternative Name: critical\n",
        "URI:spiffe://cell.example/agent/build/x, DNS:x.agents.example",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "X509v3 Basic Constraints: critical\n                CA:FALSE\n",
        "X509v3 Subject Key Identifier:",
        "X509v3 Authority Key Identifier:",
        "1.3.6.1.4.1.32473.17.1: \n",
        "Not Before: May 31 23:59:00 2025 GMT",
        "Not After : Jun  1 00:58:59 2025 GMT",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
}

#[test]
fn openssl_reads_what_a_service_and_a_controller_are_to_have() {
    let (chain, key) = (Chain::p256(), TestKey::p256().public());
    let service = text(&chain.leaf(service(), "spiffe://cell.example/service/front", &key));
    let names = "URI:spiffe://cell.example/service/front, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1";
    assert!(service.contains(names) && !service.contains("32473"), "{service}");
    let controller = text(&chain.leaf(LeafProfile::Controller, "spiffe://cell.example/controller/c", &key));
    assert!(
        controller.contains("TLS Web Server Authentication, TLS Web Client Authentication"),
        "{controller}"
    );
    assert!(!controller.contains("32473"), "{controller}");
}

#[test]
fn openssl_reads_what_a_root_and_an_issuer_are_to_have() {
    let chain = Chain::p256();
    let id = |issuer: &Issuer| data_encoding::HEXLOWER.encode(&issuer.key_identifier()[..4]);
    let (root, issuer) = (text(chain.root.certificate_der()), text(chain.issuer.certificate_der()));
    assert!(root.contains(&format!("Subject: CN = cell.example root {}\n", id(&chain.root))), "{root}");
    assert!(
        issuer.contains(&format!("Subject: CN = cell.example issuer {}\n", id(&chain.issuer))),
        "{issuer}"
    );
    for text in [&root, &issuer] {
        assert!(
            text.contains("X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign\n"),
            "{text}"
        );
        assert!(text.contains("URI:spiffe://cell.example\n"), "{text}");
        assert!(text.contains(&format!("Issuer: CN = cell.example root {}\n", id(&chain.root))), "{text}");
    }
    assert!(root.contains("X509v3 Basic Constraints: critical\n                CA:TRUE\n"), "{root}");
    assert!(!root.contains("Authority Key Identifier"), "{root}");
    assert!(
        issuer.contains("X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0\n"),
        "{issuer}"
    );
    assert!(issuer.contains("X509v3 Authority Key Identifier:"), "{issuer}");
}

#[test]
fn a_long_cell_still_fits_a_common_name() {
    let (cell, key) = ("a".repeat(255).parse().unwrap(), TestKey::p256());
    let public_key = key.public();
    let validity = Validity::for_root(NOW).unwrap();
    let tbs =
        compose::root(&Ca { cell: &cell, public_key: &public_key, serial: serial(1), validity }).unwrap();
    let text = text(&key.certify(&tbs));
    let name = text.split("Subject: CN = ").nth(1).unwrap().lines().next().unwrap();
    assert_eq!(name.len(), 64, "{name}");
    assert!(name.ends_with(&data_encoding::HEXLOWER.encode(&public_key.key_identifier()[..4])));
}

#[test]
fn the_certificate_is_joined_from_the_bytes_that_were_signed() {
    let (chain, key) = (Chain::p256(), TestKey::p256().public());
    let tbs = chain.tbs(agent(), "spiffe://cell.example/agent/x", &key);
    let signature = chain.issuer_key.sign(tbs.as_bytes());
    let certificate = join(tbs.as_bytes(), chain.issuer.algorithm(), &signature);
    assert_eq!(tbs_of(&certificate).unwrap(), tbs.as_bytes());
    assert_eq!(signature_of(&certificate).unwrap(), signature);
    let again =
        der::Encode::to_der(&<x509_cert::Certificate as der::Decode>::from_der(&certificate).unwrap());
    assert_eq!(again.unwrap(), certificate);
}

#[test]
fn a_raw_token_signature_becomes_one_that_verifies() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let spki = pair.public_key().as_der().unwrap();
    // Often enough for halves with leading zeros and with a set top bit.
    for message in 0_u8..32 {
        let raw = pair.sign(&SystemRandom::new(), &[message]).unwrap();
        let der = ecdsa_der(raw.as_ref()).unwrap();
        SignatureAlgorithm::EcdsaP256Sha256.verify(spki.as_ref(), &[message], &der).unwrap();
    }
}

#[test]
fn a_signature_verifies_over_its_bytes_by_its_key_only() {
    for key in [TestKey::p256(), TestKey::p384(), TestKey::ed25519(), TestKey::rsa()] {
        let (public, other) = (key.public(), TestKey::p256().public());
        let algorithm = SignatureAlgorithm::of(public.kind());
        let mut signature = key.sign(b"message");
        assert_eq!(algorithm.verify(public.spki_der(), b"message", &signature), Ok(()));
        assert_eq!(algorithm.verify(public.spki_der(), b"massage", &signature), Err(BadSignature));
        assert_eq!(algorithm.verify(other.spki_der(), b"message", &signature), Err(BadSignature));
        assert_eq!(algorithm.verify(b"no key", b"message", &signature), Err(BadSignature));
        *signature.last_mut().unwrap() ^= 1;
        assert_eq!(algorithm.verify(public.spki_der(), b"message", &signature), Err(BadSignature));
        assert_eq!(algorithm.verify(public.spki_der(), b"message", &[]), Err(BadSignature));
    }
}

#[test]
fn an_issuer_knows_its_own_certificates() {
    let (chain, key) = (Chain::p256(), TestKey::p256().public());
    let leaf = chain.leaf(agent(), "spiffe://cell.example/agent/x", &key);
    assert_eq!(chain.issuer.verify_certificate(&leaf), Ok(()));
    assert_eq!(chain.root.verify_certificate(&leaf), Err(BadSignature));
    assert_eq!(chain.root.verify_certificate(chain.issuer.certificate_der()), Ok(()));
    assert_eq!(chain.root.verify_certificate(chain.root.certificate_der()), Ok(()));
    assert_eq!(chain.issuer.verify_certificate(b""), Err(BadSignature));
}

#[test]
fn what_is_no_ca_certificate_is_no_issuer() {
    let (chain, key) = (Chain::p256(), TestKey::p256().public());
    let refused = |der: &[u8]| Issuer::parse(der).map(drop).unwrap_err();
    assert_eq!(refused(&chain.leaf(agent(), "spiffe://cell.example/agent/x", &key)), IssuerError::NoSubject);
    assert_eq!(refused(b""), IssuerError::Malformed);
    let certificate = chain.issuer.certificate_der();
    assert_eq!(refused(&[certificate, &[0]].concat()), IssuerError::Malformed);
    // basicConstraints { cA TRUE, pathLen 0 } loses cA; keyUsage keeps cRLSign only.
    for (from, to) in
        [(&[1, 1, 0xff, 2, 1, 0], &[1, 1, 0, 2, 1, 0]), (&[4, 4, 3, 2, 1, 6], &[4, 4, 3, 2, 1, 2])]
    {
        let at = certificate.windows(6).position(|w| w == from.as_slice()).unwrap();
        let mut no_ca = certificate.to_vec();
        no_ca[at..at + 6].copy_from_slice(to);
        assert_eq!(refused(&no_ca), IssuerError::NotCa);
    }
}

#[test]
fn the_key_identifier_is_that_of_rfc_7093() {
    let dir = tempfile::tempdir().unwrap();
    let key = TestKey::p256().public();
    std::fs::write(dir.path().join("k.der"), key.spki_der()).unwrap();
    // The point is the last 65 bytes of a P-256 SubjectPublicKeyInfo.
    std::fs::write(dir.path().join("point"), &key.spki_der()[26..]).unwrap();
    let digest = openssl(dir.path(), &["dgst", "-sha256", "-r", "point"]);
    assert_eq!(data_encoding::HEXLOWER.encode(&key.key_identifier()), digest[..40]);
    let digest = openssl(dir.path(), &["dgst", "-sha256", "-r", "k.der"]);
    assert_eq!(data_encoding::HEXLOWER.encode(&key.spki_sha256()), digest[..64]);
}
