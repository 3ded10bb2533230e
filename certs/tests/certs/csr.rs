//! Requests by OpenSSL and rcgen: which are accepted, and why the others are not.

use cell::DnsName;
use certs::{
    Blocklist, KeyKind, ObjectIdentifier,
    csr::{CsrError, MAX_CSR_BYTES, RequestedName, VerifiedCsr, check, from_pem_or_der},
};

use crate::support::openssl;

const URI: &str = "spiffe://cell.example/agent/x";

/// A request in DER by `openssl req` with these arguments.
fn request(args: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let common = ["req", "-new", "-nodes", "-keyout", "key.pem", "-subj", "/CN=ignored", "-outform", "DER"];
    openssl(dir.path(), &[common.as_slice(), &["-out", "csr.der"], args].concat());
    std::fs::read(dir.path().join("csr.der")).unwrap()
}

const P256: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

fn p256_with(args: &[&str]) -> Vec<u8> {
    request(&[P256, args].concat())
}

fn refused(der: &[u8]) -> CsrError {
    check(der).map(drop).unwrap_err()
}

fn demand(args: &[&str]) -> Result<(), CsrError> {
    let csr = check(&p256_with(args)).unwrap();
    let names: Vec<DnsName> = vec!["x.example".parse().unwrap()];
    csr.demand_within(URI, &names)
}

#[test]
fn every_kind_of_key_and_signature_is_accepted() {
    let rsa = |args: &[&'static str]| [&["-newkey", "rsa:2048"], args].concat();
    let p384 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
    let pss = |hash, salt| rsa(&[hash, "-sigopt", "rsa_padding_mode:pss", "-sigopt", salt]);
    for (args, kind) in [
        ([P256, &["-sha256"]].concat(), KeyKind::P256),
        ([P256, &["-sha384"]].concat(), KeyKind::P256),
        ([P256, &["-sha512"]].concat(), KeyKind::P256),
        ([p384.as_slice(), &["-sha256"]].concat(), KeyKind::P384),
        ([p384.as_slice(), &["-sha384"]].concat(), KeyKind::P384),
        (vec!["-newkey", "ed25519"], KeyKind::Ed25519),
        (rsa(&["-sha256"]), KeyKind::Rsa { bits: 2048 }),
        (rsa(&["-sha384"]), KeyKind::Rsa { bits: 2048 }),
        (rsa(&["-sha512"]), KeyKind::Rsa { bits: 2048 }),
        (pss("-sha256", "rsa_pss_saltlen:32"), KeyKind::Rsa { bits: 2048 }),
        (pss("-sha384", "rsa_pss_saltlen:48"), KeyKind::Rsa { bits: 2048 }),
        (pss("-sha512", "rsa_pss_saltlen:64"), KeyKind::Rsa { bits: 2048 }),
    ] {
        let der = request(&args);
        let csr = check(&der).unwrap_or_else(|error| panic!("{args:?}: {error}"));
        assert_eq!(csr.public_key().kind(), kind);
        assert!(csr.names().is_empty() && csr.extensions().is_empty());
        assert_eq!(csr.demand_within(URI, &[]), Ok(()));
    }
}

#[test]
fn a_request_of_rcgen_is_accepted() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["x.example".to_owned()]).unwrap();
    params.subject_alt_names.push(rcgen::SanType::URI(URI.try_into().unwrap()));
    let request = params.serialize_request(&key).unwrap();
    let csr = check(request.der()).unwrap();
    assert_eq!(csr.names(), [RequestedName::Dns("x.example".to_owned()), RequestedName::Uri(URI.to_owned())]);
    assert_eq!(csr.demand_within(URI, &["x.example".parse().unwrap()]), Ok(()));
    assert_eq!(csr.public_key().spki_der(), rcgen::PublicKeyData::subject_public_key_info(&key));
}

#[test]
fn keys_that_are_not_taken_are_refused() {
    let curve = |name| request(&["-newkey", "ec", "-pkeyopt", name]);
    for name in ["ec_paramgen_curve:secp256k1", "ec_paramgen_curve:P-521", "ec_paramgen_curve:P-224"] {
        assert_eq!(refused(&curve(name)), CsrError::UnsupportedKey, "{name}");
    }
    let explicit = p256_with(&["-pkeyopt", "ec_param_enc:explicit"]);
    assert_eq!(refused(&explicit), CsrError::UnsupportedKey);
    assert_eq!(refused(&request(&["-newkey", "ed448"])), CsrError::UnsupportedKey);
    // A key that says it is for PSS alone (RFC 4055 §1.2): no agent needs one.
    assert_eq!(refused(&request(&["-newkey", "rsa-pss"])), CsrError::UnsupportedKey);
    assert!(matches!(refused(&request(&["-newkey", "rsa:1024"])), CsrError::WeakKey(_)));
    let three = request(&["-newkey", "rsa:2048", "-pkeyopt", "rsa_keygen_pubexp:3"]);
    assert!(matches!(refused(&three), CsrError::WeakKey(_)));
}

#[test]
fn a_key_on_the_list_of_weak_keys_is_known() {
    let csr = check(&p256_with(&[])).unwrap();
    let hash = data_encoding::HEXLOWER.encode(&csr.public_key().spki_sha256());
    let list: Blocklist = format!("# made by a broken generator\n{hash}\n").parse().unwrap();
    let Err(error) = list.check(csr.public_key()) else { panic!("not found") };
    assert_eq!(error.to_string(), "the public key is weak: it is on a list of known weak keys");
    let other = check(&p256_with(&[])).unwrap();
    assert_eq!(list.check(other.public_key()), Ok(()));
    assert_eq!(Blocklist::default().check(csr.public_key()), Ok(()));
}

#[test]
fn signatures_that_are_not_taken_are_refused() {
    let sha1 = request(&["-newkey", "rsa:2048", "-sha1"]);
    assert_eq!(refused(&sha1), CsrError::UnsupportedSignatureAlgorithm);
    for (hash, options) in [
        ("-sha256", ["rsa_pss_saltlen:20", "rsa_mgf1_md:sha256"]),
        ("-sha256", ["rsa_pss_saltlen:max", "rsa_mgf1_md:sha256"]),
        ("-sha256", ["rsa_pss_saltlen:32", "rsa_mgf1_md:sha1"]),
        ("-sha384", ["rsa_pss_saltlen:48", "rsa_mgf1_md:sha256"]),
        ("-sha512", ["rsa_pss_saltlen:32", "rsa_mgf1_md:sha512"]),
        ("-sha1", ["rsa_pss_saltlen:20", "rsa_mgf1_md:sha1"]),
    ] {
        let options = options.map(|option| ["-sigopt", option]).concat();
        let pss = ["-newkey", "rsa:2048", hash, "-sigopt", "rsa_padding_mode:pss"];
        let pss = request(&[pss.as_slice(), &options].concat());
        assert_eq!(refused(&pss), CsrError::UnsupportedSignatureAlgorithm, "{options:?}");
    }
    assert_eq!(refused(&p256_with(&["-sha224"])), CsrError::UnsupportedSignatureAlgorithm);
}

#[test]
fn a_signature_by_another_key_is_refused() {
    let (one, other) = (p256_with(&[]), p256_with(&[]));
    let key_of = |der: &[u8]| check(der).unwrap().public_key().spki_der().to_vec();
    let (from, to) = (key_of(&one), key_of(&other));
    let at = one.windows(from.len()).position(|window| window == from.as_slice()).unwrap();
    let mut forged = one.clone();
    forged[at..at + to.len()].copy_from_slice(&to);
    assert_eq!(refused(&forged), CsrError::BadSignature);
}

#[test]
fn no_bit_can_be_flipped_and_no_byte_be_cut_or_added() {
    let der = p256_with(&["-addext", &format!("subjectAltName=URI:{URI}")]);
    check(&der).unwrap();
    for at in 0..der.len() {
        let mut flipped = der.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(check(&flipped).is_err(), "bit {} of byte {at}", at % 8);
        assert!(check(&der[..at]).is_err(), "cut at {at}");
    }
    assert_eq!(refused(&[der.as_slice(), &[0]].concat()), CsrError::TrailingBytes);
    assert_eq!(refused(&[der.as_slice(), &der].concat()), CsrError::TrailingBytes);
}

#[test]
fn garbage_is_refused_and_a_bound_comes_first() {
    for garbage in
        [b"".as_slice(), b"\x30", b"\x30\x80\x00\x00", b"\x30\x00", b"hello", &[0xff; 64], &[0x30; 999]]
    {
        assert_eq!(refused(garbage), CsrError::Malformed, "{garbage:x?}");
    }
    assert_eq!(refused(&vec![0x30; MAX_CSR_BYTES + 1]), CsrError::TooLarge);
    assert_eq!(refused(&vec![0x30; MAX_CSR_BYTES]), CsrError::Malformed);
}

#[test]
fn version_0_is_the_only_one() {
    let mut der = p256_with(&[]);
    let at = der.windows(3).position(|w| w == [2, 1, 0].as_slice()).unwrap();
    der[at + 2] = 1;
    assert_eq!(refused(&der), CsrError::Malformed);
}

#[test]
fn names_within_what_is_issued_are_accepted() {
    let names = format!("subjectAltName=URI:{URI},DNS:x.example,DNS:X.Example");
    assert_eq!(demand(&["-addext", &names]), Ok(()));
}

#[test]
fn every_other_name_is_refused_and_named() {
    let other = |name: &str| match demand(&["-addext", &format!("subjectAltName=URI:{URI},{name}")]) {
        Err(CsrError::NameNotGranted(name)) => name,
        other => panic!("{name}: {other:?}"),
    };
    let uri = "spiffe://cell.example/agent/y";
    assert_eq!(other(&format!("URI:{uri}")), RequestedName::Uri(uri.to_owned()));
    assert_eq!(other("DNS:y.example"), RequestedName::Dns("y.example".to_owned()));
    assert_eq!(other("DNS:*.example"), RequestedName::Dns("*.example".to_owned()));
    assert_eq!(other("IP:127.0.0.1"), RequestedName::Ip("127.0.0.1".parse().unwrap()));
    assert_eq!(other("IP:::1"), RequestedName::Ip("::1".parse().unwrap()));
    assert_eq!(other("email:a@b.example"), RequestedName::Other("rfc822Name"));
    assert_eq!(other("RID:1.2.3"), RequestedName::Other("registeredID"));
    assert_eq!(other("otherName:1.2.3;UTF8:x"), RequestedName::Other("otherName"));
}

#[test]
fn extensions_within_the_profile_are_accepted() {
    for good in [
        "keyUsage=critical,digitalSignature",
        "extendedKeyUsage=serverAuth,clientAuth",
        "extendedKeyUsage=clientAuth",
        "basicConstraints=critical,CA:FALSE",
        "subjectKeyIdentifier=hash",
    ] {
        assert_eq!(demand(&["-addext", good]), Ok(()), "{good}");
    }
}

#[test]
fn extensions_beyond_the_profile_are_refused_and_named() {
    for (wide, name) in [
        ("keyUsage=digitalSignature,keyCertSign", "keyUsage"),
        ("keyUsage=keyEncipherment", "keyUsage"),
        ("extendedKeyUsage=clientAuth,codeSigning", "extendedKeyUsage"),
        ("extendedKeyUsage=anyExtendedKeyUsage", "extendedKeyUsage"),
        ("basicConstraints=CA:TRUE", "basicConstraints"),
    ] {
        assert_eq!(demand(&["-addext", wide]), Err(CsrError::ExtensionTooWide(name)), "{wide}");
    }
    for (never, oid) in [
        ("nameConstraints=permitted;DNS:x", "2.5.29.30"),
        ("certificatePolicies=1.2.3", "2.5.29.32"),
        ("1.3.6.1.4.1.32473.17.1=DER:30:00", "1.3.6.1.4.1.32473.17.1"),
    ] {
        let oid: ObjectIdentifier = oid.parse().unwrap();
        assert_eq!(demand(&["-addext", never]), Err(CsrError::ExtensionNotAllowed(oid)), "{never}");
    }
}

#[test]
fn the_digest_is_that_of_the_whole_request() {
    let der = p256_with(&[]);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("csr"), &der).unwrap();
    let said = openssl(dir.path(), &["dgst", "-sha256", "-r", "csr"]);
    let digest = check(&der).map(|csr: VerifiedCsr| csr.sha256()).unwrap();
    assert_eq!(data_encoding::HEXLOWER.encode(&digest), said[..64]);
}

#[test]
fn pem_of_a_request_and_der_are_read() {
    let der = p256_with(&[]);
    assert_eq!(from_pem_or_der(&der).unwrap(), der);
    for label in ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"] {
        for end in [der::pem::LineEnding::LF, der::pem::LineEnding::CRLF] {
            let pem = der::pem::encode_string(label, end, &der).unwrap();
            assert_eq!(from_pem_or_der(pem.as_bytes()).unwrap(), der, "{label} {end:?}");
            assert_eq!(from_pem_or_der(pem.trim_end().as_bytes()).unwrap(), der);
        }
    }
}

#[test]
fn other_pem_is_refused() {
    let der = p256_with(&[]);
    let pem = |label| der::pem::encode_string(label, der::pem::LineEnding::LF, &der).unwrap();
    let refused = |text: &str| from_pem_or_der(text.as_bytes()).map(drop).unwrap_err();
    let good = pem("CERTIFICATE REQUEST");
    assert_eq!(refused(&format!("{good}text")), CsrError::TrailingBytes);
    assert_eq!(refused(&format!("{good}{good}")), CsrError::TrailingBytes);
    assert_eq!(refused(&format!("text\n{good}")), CsrError::Malformed);
    assert_eq!(refused(&pem("CERTIFICATE")), CsrError::Malformed);
    assert_eq!(refused(&good[..good.len() / 2]), CsrError::Malformed);
    assert_eq!(refused(""), CsrError::Malformed);
    assert_eq!(refused(&"-".repeat(MAX_CSR_BYTES * 2)), CsrError::TooLarge);
}

#[test]
fn an_error_names_the_field_and_prints_no_control_character() {
    let error =
        CsrError::NameNotGranted(RequestedName::Uri(format!("a\u{1b}[31m\u{202e}{}", "b".repeat(9999))));
    assert_eq!(error.field(), "csr");
    let text = error.to_string();
    assert!(text.len() < 400 && text.chars().all(|c| c.is_ascii() && !c.is_control()), "{text}");
}

/// What Microsoft's tools call the attribute with the wishes is read as the standard's: cA, which nobody gets, is refused by name.
#[test]
fn wishes_under_microsofts_name_are_wishes() {
    use rcgen::{Attribute, CertificateParams, KeyPair};

    const CERT_EXTENSIONS: &[u64] = &[1, 3, 6, 1, 4, 1, 311, 2, 1, 14];
    const EXTENSION_REQUEST: &[u64] = &[1, 2, 840, 113_549, 1, 9, 14];
    // SET { SEQUENCE { SEQUENCE { basicConstraints, critical, SEQUENCE { cA TRUE } } } }
    let ca = b"\x31\x13\x30\x11\x30\x0f\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x05\x30\x03\x01\x01\xff";
    let request = |oids: &[&'static [u64]]| {
        let attributes = oids.iter().map(|oid| Attribute { oid, values: ca.to_vec() }).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::default();
        params.serialize_request_with_attributes(&key, attributes).unwrap().der().to_vec()
    };
    for oid in [CERT_EXTENSIONS, EXTENSION_REQUEST] {
        let asked = check(&request(&[oid])).unwrap().demand_extensions();
        assert_eq!(asked, Err(CsrError::ExtensionTooWide("basicConstraints")), "{oid:?}");
    }
    assert_eq!(refused(&request(&[CERT_EXTENSIONS, EXTENSION_REQUEST])), CsrError::Malformed);
}
