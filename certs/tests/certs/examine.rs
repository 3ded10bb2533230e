//! Certificates for which there is no order: ours are clean, and OpenSSL makes those that are not.

use std::path::Path;

use certs::{
    ATTRIBUTES_OID, Issuer, Profile,
    compose::LeafProfile,
    lint::{Examined, Given, examine},
};

use crate::support::{Chain, NOW, TestKey, agent, openssl};

fn given(issuer: Option<&Issuer>) -> Given<'_> {
    Given { profile: None, issuer, attributes_oid: ATTRIBUTES_OID, now: NOW }
}

fn rules(examined: &Examined) -> Vec<&'static str> {
    examined.findings.iter().map(|finding| finding.rule).collect()
}

#[test]
fn ours_are_clean_as_what_they_are() {
    let (chain, key) = (Chain::p256(), TestKey::p256().public());
    let addresses = vec!["127.0.0.1".parse().unwrap()];
    let service = LeafProfile::Service { dns_names: vec![].try_into().unwrap(), ip_addresses: addresses };
    let leaf = |profile, uri| chain.leaf(profile, uri, &key);
    let (root, issuer) = (&chain.root, &chain.issuer);
    for (der, signer, profile) in [
        (leaf(agent(), "spiffe://cell.example/agent/x"), issuer, Profile::Agent),
        (leaf(LeafProfile::Controller, "spiffe://cell.example/controller/x"), issuer, Profile::Controller),
        (leaf(service.clone(), "spiffe://cell.example/service/x"), issuer, Profile::Service),
        // Paths of other cells: the rest of the shape tells.
        (leaf(agent(), "spiffe://cell.example/ns/x"), issuer, Profile::Agent),
        (leaf(service, "spiffe://cell.example/ns/x"), issuer, Profile::Service),
        (issuer.certificate_der().to_vec(), root, Profile::Issuer),
        (root.certificate_der().to_vec(), root, Profile::Root),
    ] {
        for signer in [Some(signer), None] {
            let examined = examine(&der, &given(signer));
            assert_eq!(
                (rules(&examined), examined.profile),
                (vec![], Some(profile)),
                "{:?}",
                examined.findings
            );
        }
        let other = Chain::p256();
        let examined = examine(&der, &given(Some(&other.issuer)));
        let by_another = ["signature", "issuer-name", "authority-key-identifier"];
        let expected: &[_] = if profile == Profile::Root { &[] } else { &by_another };
        assert_eq!(rules(&examined), expected, "{profile:?}");
    }
}

#[test]
fn a_kind_that_is_named_is_held_to() {
    let (chain, key) = (Chain::p256(), TestKey::p256().public());
    let der = chain.leaf(agent(), "spiffe://cell.example/agent/x", &key);
    let as_controller = Given { profile: Some(Profile::Controller), ..given(Some(&chain.issuer)) };
    let examined = examine(&der, &as_controller);
    assert_eq!(rules(&examined), ["san-names", "attributes"]);
    let later = Given { now: NOW + 3600, ..given(Some(&chain.issuer)) };
    assert_eq!(rules(&examine(&der, &later)), ["validity-now"]);
}

#[test]
fn what_is_no_certificate_is_a_finding() {
    let chain = Chain::p256();
    let der = chain.root.certificate_der();
    for cut in 0..der.len() {
        assert_eq!(rules(&examine(&der[..cut], &given(None))), ["decodes"], "{cut}");
    }
    let longer = [der, &[0]].concat();
    assert_eq!(examine(&longer, &given(None)).profile, None);
    for at in 0..der.len() {
        let mut flipped = der.to_vec();
        flipped[at] ^= 1 << (at % 8);
        assert!(!examine(&flipped, &given(None)).findings.is_empty(), "bit {} of byte {at}", at % 8);
    }
}

/// A self-signed certificate of OpenSSL, by a key of this kind, with these extensions.
fn made(dir: &Path, key: &[&str], extensions: &str) -> Vec<u8> {
    std::fs::write(dir.join("x.cnf"), format!("[req]\ndistinguished_name=dn\n[dn]\n[x]\n{extensions}"))
        .unwrap();
    let args =
        ["req", "-x509", "-nodes", "-keyout", "k.pem", "-subj", "/CN=x", "-days", "3651", "-outform", "DER"];
    let files = ["-config", "x.cnf", "-extensions", "x", "-out", "c.der"];
    openssl(dir, &[args.as_slice(), &files, key].concat());
    std::fs::read(dir.join("c.der")).unwrap()
}

#[test]
fn the_defects_of_a_certificate_by_openssl_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let p256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let leaf = made(
        dir.path(),
        &p256,
        "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth\n\
         subjectAltName=DNS:*.example,URI:https://x.example,email:a@b.example\nauthorityKeyIdentifier=none\n\
         crlDistributionPoints=URI:http://x.example/crl",
    );
    let examined = examine(&leaf, &given(None));
    assert_eq!(examined.profile, Some(Profile::Agent));
    for rule in [
        "san-uri",
        "authority-key-identifier",
        "validity-now",
        "validity-cap",
        "subject",
        "san-names",
        "key-usage",
        "extended-key-usage",
        "basic-constraints",
        "subject-key-identifier",
        "extensions-known",
    ] {
        assert!(rules(&examined).contains(&rule), "{rule} is not in {:?}", rules(&examined));
    }
    assert_eq!(examined.findings.len(), 11, "{:?}", examined.findings);
}

#[test]
fn a_key_that_is_not_taken_hides_no_other_finding() {
    let dir = tempfile::tempdir().unwrap();
    let examined =
        examine(&made(dir.path(), &["-newkey", "rsa:1024"], "basicConstraints=CA:TRUE"), &given(None));
    assert_eq!(examined.profile, Some(Profile::Root));
    let found = rules(&examined);
    for rule in ["public-key", "signature-algorithm", "san-uri", "basic-constraints", "key-usage"] {
        assert!(found.contains(&rule), "{rule} is not in {found:?}");
    }
    let key = examined.findings.iter().find(|finding| finding.rule == "public-key").unwrap();
    assert!(key.detail.contains("less than 2048 bits"), "{key}");
    assert!(!found.contains(&"subject-key-identifier"), "nothing is said of what cannot be looked at");
}
