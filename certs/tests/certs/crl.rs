//! CRLs composed here, judged by OpenSSL and by webpki.

use std::collections::BTreeSet;

use certs::{
    ATTRIBUTES_OID, BadSignature, Issuer, SignatureAlgorithm,
    compose::{self, Leaf, Serial, Validity, join},
    crl::{self, Crl, CrlError, CrlSummary, Reason, Revoked, TbsCrl},
};
use der::{
    Any, Decode, Encode, Sequence, Tag,
    asn1::{Ia5String, OctetString},
};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, EndEntityCert, KeyUsage, OwnedCertRevocationList,
    RevocationCheckDepth, RevocationOptionsBuilder, anchor_from_trusted_cert,
};
use x509_cert::ext::Extension;

use crate::support::{Chain, NOW, TestKey, agent, openssl, try_openssl, write_pem};

const DAY: u64 = 86_400;

fn revoked(serial: &[u8], reason: Reason) -> Revoked {
    Revoked { serial: serial.to_vec(), revoked_at: NOW - 10, reason }
}

/// The CRL number 7 of these entries, for a day.
fn of(revoked: &[Revoked]) -> Crl<'_> {
    Crl { number: 7, this_update: NOW, next_update: NOW + DAY, revoked }
}

/// One entry of every reason, out of order, one of them with a set top bit.
fn of_every_reason() -> Vec<Revoked> {
    let entries = Reason::ALL.into_iter().map(|(reason, ..)| reason).enumerate();
    let entries = entries.map(|(i, reason)| revoked(&[0x7f - u8::try_from(i).unwrap(); 20], reason));
    entries.chain([revoked(&[0x81], Reason::Superseded)]).collect()
}

/// Composed, linted and signed.
fn issue(chain: &Chain, crl: &Crl<'_>) -> Vec<u8> {
    let tbs = crl::compose(&chain.issuer, crl).unwrap();
    let linted = crl::check(tbs, &chain.issuer, crl).unwrap();
    let tbs = linted.tbs().as_bytes();
    join(tbs, chain.issuer.algorithm(), &chain.issuer_key.sign(tbs))
}

fn leaf(chain: &Chain, serial: [u8; 20]) -> Vec<u8> {
    let (key, uri) = (TestKey::p256().public(), "spiffe://cell.example/agent/x".parse().unwrap());
    let leaf = Leaf {
        profile: agent(),
        uri: &uri,
        public_key: &key,
        serial: Serial::try_from(serial).unwrap(),
        validity: Validity::for_lifetime(NOW, 3600, chain.issuer.validity()).unwrap(),
    };
    chain.issuer_key.certify(&compose::leaf(&chain.issuer, &leaf, ATTRIBUTES_OID).unwrap())
}

fn write_crl(dir: &std::path::Path, crl: &[u8]) {
    let pem = der::pem::encode_string("X509 CRL", der::pem::LineEnding::LF, crl).unwrap();
    std::fs::write(dir.join("crl.pem"), pem).unwrap();
}

#[test]
fn openssl_verifies_it_in_every_algorithm() {
    for key in [TestKey::p256(), TestKey::p384(), TestKey::ed25519(), TestKey::rsa()] {
        let (chain, dir) = (Chain::new(&TestKey::p256(), key), tempfile::tempdir().unwrap());
        let crl = issue(&chain, &of(&of_every_reason()));
        assert_eq!(chain.issuer.verify_crl(&crl), Ok(()));
        assert_eq!(chain.root.verify_crl(&crl), Err(BadSignature));
        write_crl(dir.path(), &crl);
        write_pem(dir.path(), "issuer.pem", chain.issuer.certificate_der());
        let args = ["crl", "-in", "crl.pem", "-verify", "-CAfile", "issuer.pem", "-noout"];
        let said = openssl(dir.path(), &args);
        assert!(said.contains("verify OK"), "{}: {said}", chain.issuer.algorithm());
    }
}

#[test]
fn openssl_refuses_the_revoked_leaf_and_no_other() {
    let (chain, dir) = (Chain::p256(), tempfile::tempdir().unwrap());
    write_pem(dir.path(), "root.pem", chain.root.certificate_der());
    write_pem(dir.path(), "issuer.pem", chain.issuer.certificate_der());
    write_pem(dir.path(), "revoked.pem", &leaf(&chain, [0x70; 20]));
    write_pem(dir.path(), "good.pem", &leaf(&chain, [0x71; 20]));
    let at = NOW.to_string();
    let verify = |leaf| {
        let args = ["verify", "-x509_strict", "-crl_check", "-attime", &at, "-CAfile", "root.pem"];
        let files = ["-untrusted", "issuer.pem", "-CRLfile", "crl.pem", leaf];
        try_openssl(dir.path(), &[args.as_slice(), &files].concat())
    };
    write_crl(dir.path(), &issue(&chain, &of(&[revoked(&[0x70; 20], Reason::KeyCompromise)])));
    let (accepted, said) = verify("revoked.pem");
    assert!(!accepted && said.contains("certificate revoked"), "{said}");
    let (accepted, said) = verify("good.pem");
    assert!(accepted, "{said}");
    write_crl(dir.path(), &issue(&chain, &of(&[])));
    assert!(verify("revoked.pem").0, "an empty list revokes nothing");
}

#[test]
fn openssl_reads_what_was_asked_for() {
    let (chain, dir) = (Chain::p256(), tempfile::tempdir().unwrap());
    // 2049-12-31T23:59:59Z and a second more: UTCTime and GeneralizedTime.
    let times = Crl { this_update: 2_524_607_999, next_update: 2_524_608_000, ..of(&[]) };
    write_crl(dir.path(), &issue(&chain, &times));
    let text = openssl(dir.path(), &["crl", "-in", "crl.pem", "-noout", "-text"]);
    for line in [
        "Version 2 (0x1)",
        "Last Update: Dec 31 23:59:59 2049 GMT",
        "Next Update: Jan  1 00:00:00 2050 GMT",
        "X509v3 CRL Number: \n                7\n",
        "X509v3 Authority Key Identifier: \n",
        "No Revoked Certificates.",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
    write_crl(dir.path(), &issue(&chain, &Crl { number: u64::MAX, ..of(&of_every_reason()) }));
    let text = openssl(dir.path(), &["crl", "-in", "crl.pem", "-noout", "-text"]);
    let serials: Vec<&str> =
        text.lines().filter_map(|line| line.trim().strip_prefix("Serial Number: ")).collect();
    assert_eq!(serials.len(), 9);
    assert!(serials[1..].is_sorted() && serials[0] == "81" && serials[8] == "7F".repeat(20), "{serials:?}");
    for line in
        ["18446744073709551615", "Key Compromise", "CA Compromise", "Affiliation Changed", "Superseded"]
    {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
    let reasons = text.matches("X509v3 CRL Reason Code: \n").count();
    assert_eq!(reasons, 8, "unspecified is left out: {text}");
    assert!(text.contains("Cessation Of Operation") && text.contains("Privilege Withdrawn"), "{text}");
    assert!(
        text.contains("AA Compromise") && text.contains("Revocation Date: May 31 23:59:50 2025 GMT"),
        "{text}"
    );
}

#[test]
fn webpki_finds_what_is_revoked() {
    let (chain, entries) = (Chain::p256(), of_every_reason());
    let der = issue(&chain, &of(&entries));
    let borrowed = BorrowedCertRevocationList::from_der(&der).unwrap();
    let lists: [CertRevocationList<'_>; 2] =
        [OwnedCertRevocationList::from_der(&der).unwrap().into(), borrowed.into()];
    for list in lists {
        assert_eq!(list.issuer(), &chain.issuer.subject_der()[2..], "without the header");
        for entry in &entries {
            // webpki compares the octets of the INTEGER, the one of the sign included.
            let sign: &[u8] = if entry.serial[0] >= 0x80 { &[0] } else { &[] };
            let found = list.find_serial(&[sign, &entry.serial].concat()).unwrap().unwrap();
            assert_eq!(
                found.revocation_date,
                UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW - 10))
            );
            let reason = found.reason_code.map_or(0, |reason| reason as u8);
            assert_eq!(reason, entry.reason.code());
        }
        assert!(list.find_serial(&[0x55; 20]).unwrap().is_none());
    }
}

#[test]
fn webpki_refuses_the_revoked_leaf_and_no_other() {
    let chain = Chain::p256();
    let der = issue(&chain, &of(&[revoked(&[0x70; 20], Reason::Unspecified)]));
    let list: CertRevocationList<'_> = OwnedCertRevocationList::from_der(&der).unwrap().into();
    let verify = |serial| {
        let root = CertificateDer::from(chain.root.certificate_der());
        let issuer = CertificateDer::from(chain.issuer.certificate_der());
        let leaf = CertificateDer::from(leaf(&chain, serial));
        let lists = [&list];
        let revocation = RevocationOptionsBuilder::new(&lists).unwrap();
        let revocation = revocation.with_depth(RevocationCheckDepth::EndEntity).build();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(NOW));
        EndEntityCert::try_from(&leaf)
            .unwrap()
            .verify_for_usage(
                webpki::ALL_VERIFICATION_ALGS,
                &[anchor_from_trusted_cert(&root).unwrap()],
                &[issuer],
                now,
                KeyUsage::client_auth(),
                Some(revocation),
                None,
            )
            .map(drop)
    };
    assert_eq!(verify([0x70; 20]), Err(webpki::Error::CertRevoked));
    assert_eq!(verify([0x71; 20]), Ok(()));
}

#[test]
fn what_cannot_be_listed_is_not_composed() {
    let chain = Chain::p256();
    let refused = |crl: &Crl<'_>| crl::compose(&chain.issuer, crl).map(drop).unwrap_err();
    for serial in [&[][..], &[0, 1], &[1; 21], &[0x80; 20]] {
        let entries = [revoked(serial, Reason::Unspecified)];
        assert!(matches!(refused(&of(&entries)), CrlError::Serial(found) if found == serial));
    }
    let twice = [revoked(&[1], Reason::Unspecified), revoked(&[2], Reason::Unspecified)];
    let twice = [&twice[..], &[revoked(&[1], Reason::Superseded)]].concat();
    assert!(matches!(refused(&of(&twice)), CrlError::Twice));
    assert!(matches!(refused(&Crl { next_update: NOW, ..of(&[]) }), CrlError::Times { .. }));
    assert!(matches!(refused(&Crl { next_update: u64::MAX, ..of(&[]) }), CrlError::Encoding(_)));
    // keyUsage keeps keyCertSign only.
    let certificate = chain.issuer.certificate_der();
    let at = certificate.windows(6).position(|w| w == [4, 4, 3, 2, 1, 6]).unwrap();
    let mut no_crls = certificate.to_vec();
    no_crls[at..at + 6].copy_from_slice(&[4, 4, 3, 2, 2, 4]);
    let no_crls = Issuer::parse(&no_crls).unwrap();
    assert!(matches!(crl::compose(&no_crls, &of(&[])), Err(CrlError::NotCrlSigner)));
}

#[test]
fn a_summary_says_all_of_it() {
    let (chain, dir, mut entries) = (Chain::p256(), tempfile::tempdir().unwrap(), of_every_reason());
    let der = issue(&chain, &of(&entries));
    let summary = CrlSummary::parse(&der).unwrap();
    entries.sort_by_key(|entry| (entry.serial.len(), entry.serial.clone()));
    assert_eq!(summary.revoked, entries);
    assert_eq!((summary.number, summary.this_update, summary.next_update), (7, NOW, NOW + DAY));
    assert_eq!(summary.algorithm, "ECDSA P-256 SHA-256");
    let identifier = data_encoding::HEXLOWER.encode(&chain.issuer.key_identifier());
    assert_eq!(summary.authority_key_identifier, identifier);
    write_crl(dir.path(), &der);
    let said =
        openssl(dir.path(), &["crl", "-in", "crl.pem", "-noout", "-fingerprint", "-sha256", "-issuer"]);
    assert!(said.to_lowercase().replace(':', "").contains(&summary.sha256), "{said}");
    assert!(said.replace(" = ", "=").contains(&summary.issuer), "{said} {}", summary.issuer);
    for cut in 0..der.len() {
        assert!(CrlSummary::parse(&der[..cut]).is_err(), "{cut}");
    }
    assert!(CrlSummary::parse(&[der.as_slice(), &[0]].concat()).is_err());
    assert!(CrlSummary::parse(&leaf(&chain, [0x70; 20])).is_err());
    // Reasons that do not last are refused, not shown as something else.
    let reason = der.windows(3).position(|w| w == [10, 1, 9]).unwrap() + 2;
    for code in [6, 8, 11] {
        let mut other = der.clone();
        other[reason] = code;
        assert!(CrlSummary::parse(&other).is_err(), "{code}");
    }
}

/// A TBSCertList in which everything can be wrong (RFC 5280 §5.1).
#[derive(Sequence)]
struct RawCrl {
    version: Any,
    signature: Any,
    issuer: Any,
    this_update: Any,
    next_update: Any,
    revoked: Vec<RawEntry>,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

#[derive(Clone, Sequence)]
struct RawEntry {
    serial: Any,
    revoked_at: Any,
    #[asn1(optional = "true")]
    extensions: Option<Vec<Extension>>,
    #[asn1(optional = "true")]
    more: Option<Ia5String>,
}

impl RawCrl {
    fn reason(&mut self) -> &mut Extension {
        &mut self.revoked[0].extensions.as_mut().unwrap()[0]
    }
}

fn any(der: &[u8]) -> Any {
    Any::from_der(der).unwrap()
}

fn time(tag: Tag, text: &str) -> Any {
    Any::new(tag, text.as_bytes()).unwrap()
}

fn value(der: &[u8]) -> OctetString {
    OctetString::new(der).unwrap()
}

type Change = fn(&mut RawCrl);

/// Each change breaks the rules it stands beside, and no other.
const CHANGES: &[(&[&str], Change)] = &[
    (&["crl-version-2"], |c| c.version = any(b"\x02\x01\x00")),
    (&["crl-signature-algorithm"], |c| {
        c.signature = any(b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03");
    }),
    (&["crl-issuer-name"], |c| c.issuer = any(b"\x30\x00")),
    (&["crl-this-update"], |c| c.this_update = time(Tag::UtcTime, "250531235959Z")),
    (&["crl-next-update"], |c| c.next_update = time(Tag::UtcTime, "250531235959Z")),
    (&["crl-time-encoding"], |c| c.this_update = time(Tag::GeneralizedTime, "20250601000000Z")),
    (&["crl-time-encoding"], |c| c.revoked[1].revoked_at = time(Tag::GeneralizedTime, "20250531235950Z")),
    (&["crl-entries"], |c| drop(c.revoked.pop())),
    (&["crl-entries"], |c| c.revoked[1].serial = any(b"\x02\x01\x07")),
    (&["crl-entries"], |c| c.revoked[0].revoked_at = time(Tag::UtcTime, "250531235951Z")),
    (&["crl-entries"], |c| c.reason().extn_value = value(b"\x0a\x01\x01")),
    (&["crl-entries"], |c| c.revoked[0].extensions = None),
    (&["crl-entries", "crl-entries-once"], |c| c.revoked.swap(0, 1)),
    (&["crl-entries", "crl-entries-once"], |c| c.revoked[1] = c.revoked[0].clone()),
    (&["crl-entries", "crl-reasons"], |c| c.reason().extn_value = value(b"\x0a\x01\x06")),
    (&["crl-entries", "crl-reasons"], |c| c.reason().extn_value = value(b"\x0a\x01\x08")),
    (&["crl-entries", "crl-reasons"], |c| c.reason().extn_value = value(b"\x0a\x01\x00")),
    (&["crl-reasons"], |c| c.reason().critical = true),
    (&["crl-reasons"], |c| {
        let extn_id = "2.5.29.24".parse().unwrap();
        let extn_value = value(b"\x18\x0f20250531235950Z");
        c.revoked[1].extensions = Some(vec![Extension { extn_id, critical: false, extn_value }]);
    }),
    (&["crl-form"], |c| c.revoked[0].more = Some(Ia5String::new("more").unwrap())),
    (&["crl-authority-key-identifier"], |c| c.extensions[0].critical = true),
    (&["crl-authority-key-identifier"], |c| {
        c.extensions[0].extn_value = value(&[[0x30, 22, 0x80, 20].as_slice(), &[7; 20]].concat());
    }),
    (&["crl-authority-key-identifier", "crl-extensions"], |c| drop(c.extensions.remove(0))),
    (&["crl-number"], |c| c.extensions[1].critical = true),
    (&["crl-number"], |c| c.extensions[1].extn_value = value(b"\x02\x01\x08")),
    (&["crl-number"], |c| c.extensions[1].extn_value = value(b"\x02\x09\x01\0\0\0\0\0\0\0\x07")),
    (&["crl-number", "crl-extensions"], |c| drop(c.extensions.pop())),
    (&["crl-extensions"], |c| {
        let extn_id = "2.5.29.28".parse().unwrap();
        c.extensions.push(Extension { extn_id, critical: true, extn_value: value(b"\x30\x00") });
    }),
];

fn found(tbs: &[u8], chain: &Chain, expected: &Crl<'_>) -> Vec<&'static str> {
    crl::findings(tbs, &chain.issuer, expected).into_iter().map(|finding| finding.rule).collect()
}

#[test]
fn each_change_breaks_its_rules() {
    let chain = Chain::p256();
    let entries = [revoked(&[1], Reason::Superseded), revoked(&[2], Reason::Unspecified)];
    let expected = of(&entries);
    let tbs = crl::compose(&chain.issuer, &expected).unwrap();
    for (i, (rules, change)) in CHANGES.iter().enumerate() {
        let mut raw = RawCrl::from_der(tbs.as_bytes()).unwrap();
        change(&mut raw);
        assert_eq!(found(&raw.to_der().unwrap(), &chain, &expected), *rules, "change {i}");
    }
}

#[test]
fn every_rule_is_broken_by_something() {
    let chain = Chain::p256();
    let longer = [crl::compose(&chain.issuer, &of(&[])).unwrap().as_bytes(), b"\x05\x00"].concat();
    let elsewhere = found(&longer, &chain, &of(&[]));
    let broken: BTreeSet<_> =
        CHANGES.iter().flat_map(|(rules, _)| *rules).copied().chain(elsewhere).collect();
    let rules: BTreeSet<_> = crl::rules().map(|rule| rule.name).collect();
    assert_eq!(broken, rules, "a rule without something here that breaks it");
    assert_eq!(rules.len(), crl::rules().count(), "two rules have one name");
}

#[test]
fn bytes_too_few_or_too_many_are_found() {
    let chain = Chain::p256();
    let entries = [revoked(&[1], Reason::Superseded)];
    let expected = of(&entries);
    let tbs = crl::compose(&chain.issuer, &expected).unwrap().as_bytes().to_vec();
    for cut in 0..tbs.len() {
        assert_eq!(found(&tbs[..cut], &chain, &expected), ["crl-decodes"], "{cut}");
    }
    let longer = [tbs.as_slice(), b"\x05\x00"].concat();
    assert_eq!(found(&longer, &chain, &expected), ["crl-whole-input", "crl-form"]);
    let refused = crl::check(TbsCrl::from_recorded(longer), &chain.issuer, &expected).unwrap_err();
    assert!(refused[0].to_string().starts_with("crl-whole-input: "), "{}", refused[0]);
}

#[test]
fn an_empty_list_is_not_there() {
    let chain = Chain::p256();
    let expected = of(&[]);
    let mut raw = RawCrl::from_der(
        crl::compose(&chain.issuer, &of(&[revoked(&[1], Reason::Unspecified)])).unwrap().as_bytes(),
    )
    .unwrap();
    raw.revoked.clear();
    assert_eq!(found(&raw.to_der().unwrap(), &chain, &expected), ["crl-form"]);
}

#[test]
fn a_number_of_zero_is_one() {
    let chain = Chain::p256();
    let summary = CrlSummary::parse(&issue(&chain, &Crl { number: 0, ..of(&[]) })).unwrap();
    assert_eq!((summary.number, summary.revoked.len()), (0, 0));
    assert_eq!(SignatureAlgorithm::of(chain.issuer.public_key().kind()).to_string(), summary.algorithm);
}
