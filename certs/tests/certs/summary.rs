//! What a summary shows is what OpenSSL reads.

use certs::{
    ATTRIBUTES_OID, CertificateSummary,
    compose::LeafProfile,
    summary::{signature_of, tbs_of},
};

use crate::support::{Chain, NOW, TestKey, agent, openssl, write_pem};

#[test]
fn a_summary_of_an_agent_says_all_of_it() {
    let (chain, key) = (Chain::p256(), TestKey::ed25519().public());
    let certificate = chain.leaf(agent(), "spiffe://cell.example/agent/x", &key);
    let summary = CertificateSummary::parse(&certificate, ATTRIBUTES_OID).unwrap();
    let LeafProfile::Agent { attributes, .. } = agent() else { panic!("no agent") };
    assert_eq!(summary.uris, ["spiffe://cell.example/agent/x"]);
    assert_eq!(summary.dns_names, ["x.agents.example"]);
    assert_eq!(summary.attributes, attributes);
    assert_eq!((summary.key.as_str(), summary.algorithm.as_str()), ("Ed25519", "ECDSA P-256 SHA-256"));
    assert!(!summary.is_ca && summary.subject.is_empty() && summary.ip_addresses.is_empty());
    let now = i64::try_from(NOW).unwrap();
    assert_eq!((summary.not_before, summary.not_after), (now - 60, now + 3539));
    assert_eq!(summary.spki_sha256, data_encoding::HEXLOWER.encode(&key.spki_sha256()));
}

#[test]
fn openssl_agrees_with_the_summary() {
    let (chain, key, dir) = (Chain::p256(), TestKey::p256().public(), tempfile::tempdir().unwrap());
    let certificate = chain.leaf(LeafProfile::Controller, "spiffe://cell.example/controller/c", &key);
    let summary = CertificateSummary::parse(&certificate, ATTRIBUTES_OID).unwrap();
    write_pem(dir.path(), "c.pem", &certificate);
    let flags = [
        "-noout",
        "-serial",
        "-fingerprint",
        "-sha256",
        "-ext",
        "subjectKeyIdentifier,authorityKeyIdentifier",
    ];
    let said = openssl(dir.path(), &[["x509", "-in", "c.pem"].as_slice(), &flags].concat());
    let said = said.to_lowercase().replace(':', "");
    for value in
        [&summary.serial, &summary.sha256, &summary.key_identifier, &summary.authority_key_identifier]
    {
        assert!(!value.is_empty() && said.contains(value), "{value} is not in {said}");
    }
    let issuer = CertificateSummary::parse(chain.issuer.certificate_der(), ATTRIBUTES_OID).unwrap();
    assert!(issuer.is_ca);
    assert_eq!(issuer.subject, summary.issuer);
    assert_eq!(issuer.key_identifier, summary.authority_key_identifier);
}

#[test]
fn what_is_no_certificate_has_no_summary() {
    let (chain, key) = (Chain::p256(), TestKey::p256().public());
    let certificate = chain.leaf(agent(), "spiffe://cell.example/agent/x", &key);
    for cut in 0..certificate.len() {
        assert!(CertificateSummary::parse(&certificate[..cut], ATTRIBUTES_OID).is_err());
        assert!(tbs_of(&certificate[..cut]).is_err() && signature_of(&certificate[..cut]).is_err());
    }
    let longer = [certificate.as_slice(), &[0]].concat();
    assert!(CertificateSummary::parse(&longer, ATTRIBUTES_OID).is_err() && tbs_of(&longer).is_err());
    let other = "2.5.29.14".parse().unwrap();
    assert!(
        CertificateSummary::parse(&certificate, other).is_ok(),
        "a known extension is not read as another"
    );
}
