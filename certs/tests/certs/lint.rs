//! Every rule holds for what is composed, and each finds what breaks it.

use std::collections::BTreeSet;

use certs::{
    ATTRIBUTES_OID, Attributes, Issuer, Profile, PublicKey,
    compose::{self, Ca, Leaf, LeafProfile, Tbs, Validity},
    lint::{self, Expected},
};
use der::{
    Any, Decode, Encode, Sequence, Tag,
    asn1::{BitString, OctetString},
};
use x509_cert::ext::Extension;

use crate::support::{Chain, NOW, TestKey, agent, cell, serial};

const URI: &str = "spiffe://cell.example/agent/x";

/// A TBSCertificate in which everything can be wrong (RFC 5280 §4.1).
#[derive(Sequence)]
struct RawTbs {
    #[asn1(context_specific = "0", default = "Default::default")]
    version: u8,
    serial: Any,
    signature: Any,
    issuer: Any,
    validity: RawValidity,
    subject: Any,
    spki: Any,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    issuer_uid: Option<BitString>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    subject_uid: Option<BitString>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    extensions: Option<Vec<Extension>>,
}

#[derive(Sequence)]
struct RawValidity {
    not_before: Any,
    not_after: Any,
}

impl RawTbs {
    fn extensions(&mut self) -> &mut Vec<Extension> {
        self.extensions.as_mut().unwrap()
    }

    /// The extension `2.5.29.<arc>`.
    fn extension(&mut self, arc: u8) -> &mut Extension {
        self.extensions().iter_mut().find(|e| e.extn_id.as_bytes() == [0x55, 0x1d, arc]).unwrap()
    }

    fn remove(&mut self, arc: u8) {
        self.extensions().retain(|e| e.extn_id.as_bytes() != [0x55, 0x1d, arc]);
    }
}

const SKI: u8 = 14;
const KU: u8 = 15;
const SAN: u8 = 17;
const BC: u8 = 19;
const AKI: u8 = 35;
const EKU: u8 = 37;

fn value(der: &[u8]) -> OctetString {
    OctetString::new(der).unwrap()
}

fn any(der: &[u8]) -> Any {
    Any::from_der(der).unwrap()
}

fn integer(contents: &[u8]) -> Any {
    Any::new(Tag::Integer, contents).unwrap()
}

/// An agent's leaf with all that is expected of it.
struct Subject {
    chain: Chain,
    key: PublicKey,
    profile: LeafProfile,
}

impl Subject {
    fn new() -> Self {
        Self { chain: Chain::p256(), key: TestKey::p256().public(), profile: agent() }
    }

    fn tbs(&self) -> Tbs {
        self.chain.tbs(self.profile.clone(), URI, &self.key)
    }

    fn expected(&self) -> Expected<'_> {
        let LeafProfile::Agent { dns_names, attributes } = &self.profile else { panic!("no agent") };
        Expected {
            profile: Profile::Agent,
            issuer: Some(&self.chain.issuer),
            uri: URI,
            dns_names: dns_names.as_slice(),
            ip_addresses: &[],
            attributes,
            attributes_oid: ATTRIBUTES_OID,
            public_key: &self.key,
            validity: Validity::for_lifetime(NOW, 3600, self.chain.issuer.validity()).unwrap(),
            now: NOW,
        }
    }

    /// The rules that find something after this change of the TBS.
    fn broken(&self, change: impl FnOnce(&mut RawTbs)) -> Vec<&'static str> {
        let mut raw = RawTbs::from_der(self.tbs().as_bytes()).unwrap();
        change(&mut raw);
        found(&raw.to_der().unwrap(), &self.expected())
    }
}

fn found(tbs: &[u8], expected: &Expected<'_>) -> Vec<&'static str> {
    lint::findings(tbs, expected).into_iter().map(|finding| finding.rule).collect()
}

type Change = fn(&mut RawTbs);

/// Rules that only a change of the bytes shows: each change breaks exactly the rule it stands beside.
const CHANGES: &[(&str, Change)] = &[
    ("version-3", |t| t.version = 1),
    ("serial-positive", |t| t.serial = integer(&[0x80; 20])),
    ("serial-length", |t| t.serial = integer(&[0x7f; 21])),
    ("serial-entropy", |t| t.serial = integer(&[0x7f; 8])),
    ("signature-algorithm", |t| t.signature = any(b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03")),
    ("signature-algorithm", |t| {
        t.signature = any(b"\x30\x0c\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x05\x00");
    }),
    ("validity-encoding", |t| {
        t.validity.not_before = Any::new(Tag::GeneralizedTime, b"20250531235900Z".as_slice()).unwrap();
    }),
    ("validity-granted", |t| {
        t.validity.not_after = Any::new(Tag::UtcTime, b"250601005900Z".as_slice()).unwrap();
    }),
    ("public-key", |t| t.spki = any(TestKey::p256().public().spki_der())),
    ("no-unique-ids", |t| t.issuer_uid = Some(BitString::from_bytes(&[1]).unwrap())),
    ("no-unique-ids", |t| t.subject_uid = Some(BitString::from_bytes(&[1]).unwrap())),
    ("issuer-name", |t| t.issuer = any(b"\x30\x00")),
    ("subject", |t| t.subject = any(b"\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01x")),
    ("san-critical", |t| t.extension(SAN).critical = false),
    ("key-usage", |t| t.extension(KU).critical = false),
    ("key-usage", |t| t.extension(KU).extn_value = value(b"\x03\x02\x02\x84")),
    ("key-usage", |t| t.remove(KU)),
    ("extended-key-usage", |t| t.extension(EKU).critical = true),
    ("extended-key-usage", |t| t.extension(EKU).extn_value = value(b"\x30\x06\x06\x04\x55\x1d\x25\x00")),
    ("extended-key-usage", |t| t.remove(EKU)),
    ("basic-constraints", |t| t.extension(BC).critical = false),
    ("basic-constraints", |t| t.extension(BC).extn_value = value(b"\x30\x03\x01\x01\xff")),
    ("basic-constraints", |t| t.remove(BC)),
    ("subject-key-identifier", |t| t.extension(SKI).critical = true),
    ("subject-key-identifier", |t| {
        t.extension(SKI).extn_value = value(&[[4, 20].as_slice(), &[7; 20]].concat());
    }),
    ("subject-key-identifier", |t| t.remove(SKI)),
    ("authority-key-identifier", |t| t.extension(AKI).critical = true),
    ("authority-key-identifier", |t| {
        t.extension(AKI).extn_value = value(&[[0x30, 22, 0x80, 20].as_slice(), &[7; 20]].concat());
    }),
    ("authority-key-identifier", |t| t.remove(AKI)),
    ("attributes", |t| t.extensions().last_mut().unwrap().critical = true),
    ("attributes", |t| t.extensions().last_mut().unwrap().extn_value = value(b"\x30\x04\x30\x00\x30\x00")),
    ("attributes", |t| t.extensions().last_mut().unwrap().extn_value = value(b"\x05\x00")),
    ("attributes", |t| drop(t.extensions().pop())),
    ("extensions-once", |t| {
        let again = t.extension(KU).clone();
        t.extensions().push(again);
    }),
    ("extensions-known", |t| {
        let extn_id = "1.2.3".parse().unwrap();
        t.extensions().push(Extension { extn_id, critical: false, extn_value: value(b"\x05\x00") });
    }),
];

#[test]
fn each_change_breaks_exactly_its_rule() {
    let subject = Subject::new();
    for (i, (rule, change)) in CHANGES.iter().enumerate() {
        assert_eq!(subject.broken(change), [*rule], "change {i}");
    }
}

type Breaking = fn(&Subject) -> Vec<&'static str>;

/// Rules that more than a change of a field shows; the tests below look at their bounds.
const BREAKINGS: &[(&str, Breaking)] = &[
    ("decodes", |s| found(&s.tbs().as_bytes()[1..], &s.expected())),
    ("whole-input", |s| found(&[s.tbs().as_bytes(), b"\x05\x00"].concat(), &s.expected())),
    ("validity-order", |s| {
        s.broken(|t| std::mem::swap(&mut t.validity.not_before, &mut t.validity.not_after))
    }),
    ("validity-now", |s| found(s.tbs().as_bytes(), &Expected { now: 0, ..s.expected() })),
    ("validity-issuer", |s| {
        found_with_validity(s, Validity::new(s.chain.issuer.validity().not_before() - 1, NOW).unwrap())
    }),
    ("validity-cap", |s| found_with_validity(s, Validity::new(NOW, NOW + 86_400).unwrap())),
    ("san-uri", |s| {
        found(s.tbs().as_bytes(), &Expected { uri: "spiffe://cell.example/agent/y", ..s.expected() })
    }),
    ("san-names", |s| found(s.tbs().as_bytes(), &Expected { dns_names: &[], ..s.expected() })),
];

#[test]
fn every_rule_is_broken_by_something() {
    let subject = Subject::new();
    let mut broken = BTreeSet::from(["decodes"]);
    for (rule, change) in CHANGES {
        assert!(subject.broken(change).contains(rule), "{rule}");
        broken.insert(*rule);
    }
    for (rule, breaking) in BREAKINGS {
        assert!(breaking(&subject).contains(rule), "{rule}");
        broken.insert(*rule);
    }
    // `decodes` is what is found when there is nothing for a rule to look at.
    let rules: BTreeSet<_> = lint::rules().map(|rule| rule.name).chain(["decodes"]).collect();
    assert_eq!(broken, rules, "a rule without something here that breaks it");
    assert_eq!(rules.len(), lint::rules().count() + 1, "two rules have one name");
    assert!(lint::rules().all(|rule| !rule.section.is_empty()));
}

#[test]
fn what_is_composed_passes() {
    let subject = Subject::new();
    let bytes = subject.tbs().as_bytes().to_vec();
    let linted = lint::check(subject.tbs(), &subject.expected()).unwrap();
    assert_eq!(linted.tbs().as_bytes(), bytes);
    assert_eq!(linted.into_tbs().as_bytes(), bytes);
}

#[test]
fn bytes_that_cannot_be_read_are_a_finding() {
    let subject = Subject::new();
    let tbs = subject.tbs();
    for cut in 0..tbs.as_bytes().len() {
        assert_eq!(found(&tbs.as_bytes()[..cut], &subject.expected()), ["decodes"], "{cut}");
    }
    let refused = lint::check(Tbs::from_recorded(vec![0x30]), &subject.expected()).unwrap_err();
    assert!(refused[0].to_string().starts_with("decodes: "), "{}", refused[0]);
}

#[test]
fn bytes_behind_the_last_field_are_found() {
    let subject = Subject::new();
    let mut bytes = subject.tbs().as_bytes().to_vec();
    bytes.extend(b"\x05\x00");
    assert_eq!(found(&bytes, &subject.expected()), ["whole-input"]);
    // The same two bytes inside the outer SEQUENCE, whose two bytes of length stand at 2.
    let len = u16::from_be_bytes([bytes[2], bytes[3]]) + 2;
    assert_eq!(bytes[1], 0x82);
    bytes[2..4].copy_from_slice(&len.to_be_bytes());
    assert_eq!(found(&bytes, &subject.expected()), ["decodes"]);
}

#[test]
fn a_time_that_is_not_now_is_found() {
    let subject = Subject::new();
    let tbs = subject.tbs();
    let at = |now| found(tbs.as_bytes(), &Expected { now, ..subject.expected() });
    let validity = subject.expected().validity;
    assert!(at(validity.not_before()).is_empty() && at(validity.not_after()).is_empty());
    assert_eq!(at(validity.not_before() - 1), ["validity-now"]);
    assert_eq!(at(validity.not_after() + 1), ["validity-now"]);
}

/// What is found in a leaf of this validity, where exactly this was granted.
fn found_with_validity(subject: &Subject, validity: Validity) -> Vec<&'static str> {
    let uri = URI.parse().unwrap();
    let profile = subject.profile.clone();
    let leaf = Leaf { profile, uri: &uri, public_key: &subject.key, serial: serial(9), validity };
    let tbs = compose::leaf(&subject.chain.issuer, &leaf, ATTRIBUTES_OID).unwrap();
    found(tbs.as_bytes(), &Expected { validity, ..subject.expected() })
}

#[test]
fn a_lifetime_beyond_the_profiles_is_found() {
    let subject = Subject::new();
    let of = |secs| found_with_validity(&subject, Validity::new(NOW, NOW + secs - 1).unwrap());
    assert!(of(86_400).is_empty());
    assert_eq!(of(86_401), ["validity-cap"]);
}

#[test]
fn a_lifetime_beyond_the_issuers_is_found() {
    let subject = Subject::new();
    let start = subject.chain.issuer.validity().not_before();
    assert!(found_with_validity(&subject, Validity::new(start, NOW).unwrap()).is_empty());
    let early = Validity::new(start - 1, NOW).unwrap();
    assert_eq!(found_with_validity(&subject, early), ["validity-issuer"]);
}

#[test]
fn another_uri_and_other_names_are_found() {
    let subject = Subject::new();
    let tbs = subject.tbs();
    let other = Expected { uri: "spiffe://cell.example/agent/y", ..subject.expected() };
    assert_eq!(found(tbs.as_bytes(), &other), ["san-uri"]);
    let none = Expected { dns_names: &[], ..subject.expected() };
    assert_eq!(found(tbs.as_bytes(), &none), ["san-names"]);
    let address = ["127.0.0.1".parse().unwrap()];
    let more = Expected { ip_addresses: &address, ..subject.expected() };
    assert_eq!(found(tbs.as_bytes(), &more), ["san-names"]);
}

#[test]
fn names_of_other_kinds_and_second_uris_are_found() {
    let subject = Subject::new();
    let names = |more: &[u8]| {
        subject.broken(|t| {
            let san = t.extension(SAN);
            let mut der = san.extn_value.as_bytes().to_vec();
            der[1] += u8::try_from(more.len()).unwrap();
            der.extend(more);
            san.extn_value = value(&der);
        })
    };
    assert_eq!(names(b"\x81\x03a@b"), ["san-names"]);
    assert_eq!(names(b"\x82\x01a"), ["san-names"]);
    assert_eq!(names(b"\x87\x03\x01\x02\x03"), ["san-names"]);
    assert_eq!(names(b"\x86\x03a:b"), ["san-uri"]);
    let both = ["san-uri", "san-names"];
    assert_eq!(subject.broken(|t| t.remove(SAN)), both);
    assert_eq!(subject.broken(|t| t.extension(SAN).extn_value = value(b"\x05\x00")), both);
    let trailing = subject.broken(|t| {
        let san = t.extension(SAN);
        san.extn_value = value(&[san.extn_value.as_bytes(), b"\x05\x00"].concat());
    });
    assert_eq!(trailing, both);
}

#[test]
fn every_profile_passes_as_itself_and_as_no_other() {
    let (chain, key) = (Chain::p256(), TestKey::p256().public());
    let service = LeafProfile::Service { dns_names: vec![].try_into().unwrap(), ip_addresses: vec![] };
    let attributes = Attributes::default();
    let agent = LeafProfile::Agent { dns_names: vec![].try_into().unwrap(), attributes: attributes.clone() };
    for profile in [agent, LeafProfile::Controller, service] {
        let tbs = chain.tbs(profile.clone(), URI, &key);
        let validity = Validity::for_lifetime(NOW, 3600, chain.issuer.validity()).unwrap();
        let own = Profile::from(&profile);
        let expected = expected_bare(own, Some(&chain.issuer), URI, &key, validity, &attributes);
        assert_eq!(found(tbs.as_bytes(), &expected), [""; 0], "{own:?}");
        let ca = Expected { profile: Profile::Issuer, ..expected };
        let rules = found(tbs.as_bytes(), &ca);
        assert_eq!(rules, ["subject", "key-usage", "extended-key-usage", "basic-constraints"], "{own:?}");
    }
}

fn expected_bare<'a>(
    profile: Profile,
    issuer: Option<&'a Issuer>,
    uri: &'a str,
    public_key: &'a PublicKey,
    validity: Validity,
    attributes: &'a Attributes,
) -> Expected<'a> {
    let (dns_names, ip_addresses) = (&[], &[]);
    let attributes_oid = ATTRIBUTES_OID;
    Expected {
        profile,
        issuer,
        uri,
        dns_names,
        ip_addresses,
        attributes,
        attributes_oid,
        public_key,
        validity,
        now: NOW,
    }
}

#[test]
fn a_root_and_an_issuer_pass_as_what_they_are() {
    let (cell, attributes) = (cell(), Attributes::default());
    let (root_key, uri) = (TestKey::p384(), cell.uri());
    let public_key = root_key.public();
    let validity = Validity::for_root(NOW).unwrap();
    let tbs =
        compose::root(&Ca { cell: &cell, public_key: &public_key, serial: serial(3), validity }).unwrap();
    let expected = expected_bare(Profile::Root, None, &uri, &public_key, validity, &attributes);
    assert_eq!(found(tbs.as_bytes(), &expected), [""; 0]);
    let as_issuer = Expected { profile: Profile::Issuer, ..expected };
    assert_eq!(found(tbs.as_bytes(), &as_issuer), ["validity-cap", "basic-constraints"]);

    let root = Issuer::parse(&root_key.certify(&tbs)).unwrap();
    let public_key = TestKey::p256().public();
    let validity = Validity::for_issuer(NOW, &root).unwrap();
    let ca = Ca { cell: &cell, public_key: &public_key, serial: serial(4), validity };
    let tbs = compose::issuer(&root, &ca).unwrap();
    let expected = expected_bare(Profile::Issuer, Some(&root), &uri, &public_key, validity, &attributes);
    assert_eq!(found(tbs.as_bytes(), &expected), [""; 0]);
    let as_leaf = Expected { profile: Profile::Agent, ..expected };
    let rules = found(tbs.as_bytes(), &as_leaf);
    assert_eq!(rules, ["validity-cap", "subject", "key-usage", "extended-key-usage", "basic-constraints"]);
}
