//! The keys with which badkeys tests itself: each that is bad is refused as such.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use certs::PublicKey;
use der::asn1::{AnyRef, BitString, Null};
use der::{Encode, pem};
use spki::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfo};

/// Those that are not refused, and why.
const TAKEN: [(&str, &str); 4] = [
    ("rsa-ok.key", "nothing is wrong with it"),
    ("rsa-fido.crt", "nothing is wrong with the key of that certificate"),
    ("rsa-sharedprimes.key", "whoever does not have the other key sees nothing"),
    ("rsa-debianweak.key", "is one of many on a list: operators name such lists in their configuration"),
];
/// PKCS#1, RFC 8017 §A.1.
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The first PEM block of a file, with its label.
fn block(text: &str) -> Option<&str> {
    let from = text.find("-----BEGIN ")?;
    let end = from + text[from..].find("-----END ")?;
    Some(&text[from..end + text[end..].find('\n').unwrap_or(text.len() - end)])
}

/// DER `SubjectPublicKeyInfo` of the key that a file holds; none where OpenSSL reads none from it.
fn spki(file: &Path) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
    let block = block(&text)?;
    let (label, contents) = pem::decode_vec(block.trim().as_bytes()).ok()?;
    let openssl = |arguments: &[&str]| {
        let command =
            Command::new("openssl").args(arguments).arg("-in").arg(file).stderr(Stdio::null()).output();
        let made = String::from_utf8(command.unwrap().stdout).unwrap();
        pem::decode_vec(self::block(&made)?.trim().as_bytes()).ok().map(|(_, der)| der)
    };
    match label {
        "PUBLIC KEY" => Some(contents),
        "RSA PUBLIC KEY" => {
            let algorithm =
                AlgorithmIdentifierRef { oid: RSA_ENCRYPTION, parameters: Some(AnyRef::from(Null)) };
            let subject_public_key = BitString::from_bytes(&contents).unwrap();
            Some(SubjectPublicKeyInfo { algorithm, subject_public_key }.to_der().unwrap())
        }
        "CERTIFICATE" => openssl(&["x509", "-noout", "-pubkey"]),
        _ => openssl(&["pkey", "-pubout"]),
    }
}

fn files(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|kind| kind == "key" || kind == "crt"))
}

/// `ROOTCELLAR_BADKEYS` is badkeys' directory tests/data.
#[test]
#[ignore = "needs the sources of badkeys, which `make judges` fetches"]
fn bad_keys_are_refused() {
    let data = PathBuf::from(std::env::var_os("ROOTCELLAR_BADKEYS").unwrap());
    let (mut refused, mut taken) = (0, Vec::new());
    for file in files(&data).chain(files(&data.join("fallback"))) {
        let Some(spki) = spki(&file) else { continue };
        let looked = PublicKey::of_holder(&spki).and_then(|key| key.demand_hard_to_factor());
        match looked {
            Ok(()) => taken.push(file.file_name().unwrap().to_str().unwrap().to_owned()),
            Err(_) => refused += 1,
        }
    }
    let mut expected = TAKEN.map(|(name, _)| name);
    expected.sort_unstable();
    taken.sort_unstable();
    assert_eq!(taken, expected);
    assert!(refused >= 20, "{refused} keys were refused: are they all there?");
}
