//! The seven invariants of SECURITY.md, each broken on purpose.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use cell::Act;
use ceremony::officer::publish_bundle;
use ledger::bundle::{Bundle, Contents};
use ledger::entry::entry::Kind;
use ledger::note::Note;
use proto::v1::{GetCertificateRequest, GetCheckpointRequest, LedgerEntry};
use rcgen::KeyPair;
use rootcellar_softhsm_tests::judges::{openssl, openssl_text};
use rootcellar_softhsm_tests::{Cell, Faults, signed_as_proof};
use sha2::{Digest as _, Sha256};
use tonic::Code;

use crate::officer::{Officer, submit};
use crate::support::{
    BINARY, House, abandoned, ask, csr, csr_of, eventually, files_below, inner, issuance_of, issue, refused,
    request, still_issues,
};

/// Seconds in a day, in milliseconds.
const DAY_MS: i64 = 86_400_000;

/// Sets a boolean attribute in a file of SoftHSM2: type and kind, both 64 bits big-endian, then one octet. `false` where it has none.
fn set_attribute(path: &Path, attribute: u64, value: bool) -> bool {
    let mut octets = fs::read(path).unwrap();
    let wanted = [attribute.to_be_bytes(), 1_u64.to_be_bytes()].concat();
    let Some(at) = octets.windows(wanted.len()).position(|window| window == wanted) else { return false };
    octets[at + wanted.len()] = u8::from(value);
    fs::write(path, octets).unwrap();
    true
}

#[tokio::test]
async fn invariant_1_custody() {
    let cell = Cell::founded(BINARY);
    let files = files_below(&cell.data_dir().join("token"));
    // PKCS#11 v3.1 §4.9 and §4.4.1.
    for (attribute, name, sound) in [
        (0x162, "CKA_EXTRACTABLE", false),
        (0x103, "CKA_SENSITIVE", true),
        (0x163, "CKA_LOCAL", true),
        (0x164, "CKA_NEVER_EXTRACTABLE", true),
        (0x165, "CKA_ALWAYS_SENSITIVE", true),
        (0x105, "CKA_DECRYPT", false),
        (0x107, "CKA_UNWRAP", false),
        (0x10c, "CKA_DERIVE", false),
    ] {
        let set = |value| files.iter().filter(|path| set_attribute(path, attribute, value)).count();
        assert!(set(!sound) >= 2, "{name}: the issuing and the log key have it");
        let said = cell.try_serve().expect_err("it does not serve").fails(1);
        assert!(said.contains(&format!("{name} = {}", !sound)), "{name}: {said}");
        set(sound);
        fs::remove_file(cell.path("serve.log")).unwrap();
    }
    still_issues(&House::of(cell).build().await).await;
}

/// Everything that the token signed: the digest of a recorded certificate, a checkpoint, or the request by which a new key proves itself.
async fn only_recorded_was_signed(house: &House, faults: &Faults) {
    let signed = nothing_unrecorded_was_signed(house, faults).await;
    let is_crl =
        |entry: &LedgerEntry| matches!(ledger::entry::decode(&entry.entry).unwrap().kind, Some(Kind::Crl(_)));
    let is_released =
        |entry: &&LedgerEntry| (issuance_of(entry).is_some() || is_crl(entry)) && !entry.signature.is_empty();
    let released = house.entries().await.iter().filter(is_released).count();
    assert_eq!(signed, released, "everything that was signed is there");
}

/// The same where not all that was signed was released: how many certificates and lists the token signed.
pub(crate) async fn nothing_unrecorded_was_signed(house: &House, faults: &Faults) -> usize {
    let entries = house.entries().await;
    let recorded: HashSet<Vec<u8>> = entries
        .iter()
        .filter_map(|entry| match ledger::entry::decode(&entry.entry).unwrap().kind {
            Some(Kind::Issuance(issuance)) => Some(Sha256::digest(issuance.tbs).to_vec()),
            // Its entry holds the very digest.
            Some(Kind::Crl(crl)) => Some(crl.tbs_sha256),
            _ => None,
        })
        .collect();
    let mut signed: HashSet<Vec<u8>> = faults.signed().into_iter().collect();
    let proofs: HashSet<Vec<u8>> = entries
        .iter()
        .filter_map(|entry| match ledger::entry::decode(&entry.entry).unwrap().kind {
            Some(Kind::Ceremony(ceremony)) => Some(signed_as_proof(&ceremony)),
            _ => None,
        })
        .flatten()
        .collect();
    signed.retain(|message| !proofs.contains(message));
    signed.retain(|message| !message.starts_with(b"cell.internal/log/1\n"));
    let strange: Vec<&Vec<u8>> = signed.difference(&recorded).collect();
    assert!(strange.is_empty(), "signatures without an entry: {strange:?}");
    signed.len()
}

#[tokio::test]
async fn invariant_2_recorded_before_signed() {
    let mut cell = Cell::empty(BINARY);
    let faults = Faults::between(&mut cell);
    // So that a write beyond the limit fails (setrlimit(2), EFBIG) and does not end the process.
    cell.program().wrap(&["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    cell.run(&["init"]).ok();
    let house = House::of(cell);
    let client = house.build().await;
    for id in ["build/a", "build/b", "build/c"] {
        issue(&client, id).await;
    }
    let keeper = house.serving.child("keeper");
    let before = house.entries().await.len();
    let limited = Command::new("prlimit").args(["--fsize=16384", "--pid", &keeper.to_string()]).status();
    assert!(limited.unwrap().success());
    let key = KeyPair::generate().unwrap();
    let named = || {
        let mut named = request("build/d", csr_of(&key));
        named.request_id = "once".into();
        named
    };
    refused(ask(&client, named()).await, Code::Unavailable, "KEEPER_UNAVAILABLE");
    eventually("another keeper", async || house.serving.find_child("keeper").filter(|pid| *pid != keeper))
        .await;
    // The new one may write again.
    let certificate =
        eventually("the same request is granted", async || ask(&client, named()).await.ok()).await;
    let made = house.entries().await.len() - before;
    assert_eq!(made, 3, "one manifest, one agent, one certificate, and nothing of the first try");
    assert_eq!(ask(&client, named()).await.unwrap(), certificate);
    only_recorded_was_signed(&house, &faults).await;
    house.cell.run(&["ledger", "verify"]).ok();
}

#[tokio::test]
async fn invariant_3_checked_is_signed() {
    let (house, faults) = House::with_faults();
    let client = house.build().await;
    let dir = house.scratch();
    let junk = "[req]\nprompt=no\ndistinguished_name=dn\nattributes=attributes\nreq_extensions=extensions\n\
        [dn]\nC=XX\nO=Evil Corp\nCN=admin\n[attributes]\nchallengePassword=letmein-please\n\
        [extensions]\nextendedKeyUsage=clientAuth\nsubjectKeyIdentifier=DEADBEEFDEADBEEF\n";
    fs::write(dir.join("junk.cnf"), junk).unwrap();
    let made = "req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout junk.key -config junk.cnf -outform DER -out junk.csr";
    openssl(&dir, &made.split(' ').collect::<Vec<_>>());
    let csr = fs::read(dir.join("junk.csr")).unwrap();
    let has = |octets: &[u8], text: &[u8]| octets.windows(text.len()).any(|window| window == text);
    let strange: [&[u8]; 4] = [b"Evil Corp", b"admin", b"letmein-please", &[0xde, 0xad, 0xbe, 0xef]];
    assert!(strange.iter().all(|text| has(&csr, text)));
    let certificate = ask(&client, request("build/a", csr)).await.unwrap();
    let der = &certificate.chain[0];
    assert!(!strange.iter().any(|text| has(der, text)), "{}", openssl_text(&dir, der));

    let index = certificate.receipt.unwrap().index;
    let entries = house.entries().await;
    let tbs = issuance_of(&entries[usize::try_from(index).unwrap()]).unwrap().tbs;
    // RFC 5280 §4.1.1.1: the TBS stands first in the SEQUENCE, whose header is four octets at this length.
    assert_eq!(der[4..4 + tbs.len()], tbs, "the certificate is what was recorded");
    assert!(faults.signed().contains(&Sha256::digest(&tbs).to_vec()), "and what was signed");

    for name in ["a", "b"] {
        house.cell.run(&["issue", &format!("build/{name}"), "--out", name]).ok();
    }
    let verify = |certificate: &str| {
        house.cell.run(&["ledger", "verify", "--proof", "a.proof", "--certificate", certificate])
    };
    verify("a.chain.pem").ok();
    verify("b.chain.pem").fails(1);
    let (proof, proven) = (house.cell.path("a.proof"), fs::read(house.cell.path("a.proof")).unwrap());
    let mut changed = proven.clone();
    let middle = changed.len() / 2;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    fs::write(&proof, changed).unwrap();
    verify("a.chain.pem").fails(1);
}

#[tokio::test]
async fn invariant_4_verified_before_released() {
    let (house, faults) = House::with_faults();
    let client = house.build().await;
    issue(&client, "build/a").await;
    let keeper = house.serving.child("keeper");
    let key = KeyPair::generate().unwrap();
    let named = || {
        let mut named = request("build/b", csr_of(&key));
        named.request_id = "once".into();
        named
    };
    faults.set("flip");
    refused(ask(&client, named()).await, Code::Unavailable, "KEEPER_UNAVAILABLE");
    eventually("another keeper", async || house.serving.find_child("keeper").filter(|pid| *pid != keeper))
        .await;
    assert!(ask(&client, named()).await.is_err(), "no certificate comes out while the token misbehaves");
    faults.set("");
    let certificate =
        eventually("the same request is granted", async || ask(&client, named()).await.ok()).await;
    let dir = house.scratch();
    rootcellar_softhsm_tests::judges::openssl_verifies(
        &dir,
        &house.anchors(),
        &certificate.chain,
        "sslclient",
    );
    let entries = house.entries().await;
    let unsigned =
        entries.iter().filter(|entry| issuance_of(entry).is_some() && entry.signature.is_empty()).count();
    assert!(unsigned >= 1, "what the misbehaving token signed is not there");
    assert_eq!(abandoned(&entries), unsigned, "what was recorded and not signed is abandoned");
    house.cell.run(&["ledger", "verify"]).ok();
}

#[tokio::test]
async fn invariant_5_least_power() {
    let (house, client) = House::with_build().await;
    let mut officer = Officer::of(&house.cell);
    // A controller asks outside its grant, and hands in what would widen it.
    refused(ask(&client, request("prod/a", csr())).await, Code::PermissionDenied, "GRANT_DOES_NOT_COVER");
    let shown = ["grant", "set", "build", "agents=prod/*;roles=logger", "--dry-run"];
    let unsigned = house.cell.run(&shown).ok();
    refused(submit(&client, &unsigned).await, Code::PermissionDenied, "PROPOSAL_NOT_APPROVED");
    let remove = officer.propose(&Act::ControllerRemove { name: "build".parse().unwrap() });
    let changed = remove.replace("controller.remove", "controller.reissue");
    assert!(submit(&client, &changed).await.is_err());
    refused(ask(&client, request("prod/a", csr())).await, Code::PermissionDenied, "GRANT_DOES_NOT_COVER");

    // A client that pins the charter believes no bundle but its officers', and none that goes back.
    let credentials = house.credentials();
    let (bundle, charter) = (credentials.dir().join("bundle.note"), credentials.dir().join("charter.note"));
    let genuine = fs::read_to_string(&bundle).unwrap();
    let issue_again = || house.cell.run(&["issue", "build/a"]);
    issue_again().ok();
    fs::write(&bundle, genuine.replace("number: 1", "number: 2")).unwrap();
    issue_again().fails(1);
    let opened = Bundle::open(&Note::parse(genuine.as_bytes()).unwrap(), &officer.charter).unwrap();
    let newer = Contents { number: 2, ..opened.contents().clone() };
    let newer = publish_bundle(&newer, &officer.charter, &[&officer.key]).unwrap();
    fs::write(&bundle, newer.to_string()).unwrap();
    let said = issue_again().fails(1);
    assert!(said.contains("the trust bundle does not verify"), "an older number than it has seen: {said}");
    fs::write(&bundle, &genuine).unwrap();
    let other = Cell::founded(BINARY);
    let pinned = fs::read(&charter).unwrap();
    fs::copy(other.officer_dir().join("charter.note"), &charter).unwrap();
    issue_again().fails(1);
    fs::write(&charter, pinned).unwrap();
    issue_again().ok();
}

#[tokio::test]
async fn issuer_not_valid() {
    let (house, _client) = House::with_build().await;
    // After the issuer's last second.
    house.cell.set_clock(400 * DAY_MS);
    let said = house.cell.run(&["controller", "reissue", "build"]).fails(75);
    let reason = "ISSUER_NOT_VALID";
    assert!(said.contains(reason), "{said}");
}

#[tokio::test]
async fn invariant_6_fail_closed() {
    let (mut house, client) = House::with_build().await;
    let certificate = issue(&client, "build/a").await;
    // A clock before what was recorded last.
    house.cell.set_clock(-2 * DAY_MS);
    refused(ask(&client, request("build/a", csr())).await, Code::Unavailable, "CLOCK_WRONG");
    house.cell.set_clock(0);
    still_issues(&client).await;

    // An entry that is not the one in the tree any more is found before anything is served.
    let covering = GetCheckpointRequest { min_size: certificate.receipt.as_ref().unwrap().index + 1 };
    inner(client.ledger().get_checkpoint(covering).await);
    assert_eq!(house.stop().await, 0);
    // Its write-ahead log is brought into the file.
    house.cell.run(&["ledger", "rebuild"]).ok();
    let der = &certificate.chain[0];
    let serial = data_encoding::HEXLOWER.decode(certificate.serial.as_bytes()).unwrap();
    let at = der.windows(serial.len()).position(|window| window == serial).unwrap();
    let journal = house.cell.data_dir().join("journal.sqlite");
    let sound = fs::read(&journal).unwrap();
    let put = |octets: &[u8]| {
        fs::write(&journal, octets).unwrap();
        // What another state of the file wrote ahead is none of this one's.
        for beside in ["journal.sqlite-wal", "journal.sqlite-shm"] {
            let _ = fs::remove_file(journal.with_file_name(beside));
        }
    };
    let entry = &der[4..at + serial.len()];
    put(&flipped(&sound, entry));
    let said = house.cell.try_serve().map(drop).expect_err("it does not serve").fails(1);
    assert!(said.contains("is not the one in the tree"), "{said}");
    let get = GetCertificateRequest { name: certificate.name.clone() };

    // A tree that is not the signed one is not served.
    let leaf = certificate.receipt.as_ref().unwrap().leaf_hash.as_slice();
    put(&flipped(&sound, leaf));
    let said = house.cell.try_serve().expect_err("it does not serve").fails(1);
    assert!(said.contains("the journal contradicts itself"), "{said}");
    put(&sound);
    house.serving = house.cell.serve();
    let client = house.credentials().client().await;
    assert_eq!(inner(client.issuance().get_certificate(get).await).certificate, Some(certificate));
    still_issues(&client).await;
}

/// A file with the last octet of each place where `text` stands changed.
fn flipped(file: &[u8], text: &[u8]) -> Vec<u8> {
    let windows = file.windows(text.len()).enumerate();
    let places: Vec<usize> = windows.filter(|(_, window)| *window == text).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "it stands in the file");
    let mut changed = file.to_vec();
    for at in places {
        changed[at + text.len() - 1] ^= 1;
    }
    changed
}

#[tokio::test]
async fn invariant_7_one_pin_try() {
    let mut cell = Cell::empty(BINARY);
    let faults = Faults::between(&mut cell);
    cell.run(&["init"]).ok();
    let pin_file = cell.data_dir().join("token/pin");
    let pin = fs::read(&pin_file).unwrap();
    let write = |pin: &[u8]| {
        fs::remove_file(&pin_file).unwrap();
        fs::write(&pin_file, pin).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o400);
        fs::set_permissions(&pin_file, mode).unwrap();
    };
    let before = faults.logins();
    write(b"987654");
    for _ in 0..3 {
        let said = cell.try_serve().expect_err("it does not serve").fails(77);
        assert!(said.contains("refused this PIN") && !said.contains("987654"), "{said}");
        assert_eq!(faults.logins() - before, 1, "one try");
        cell.run(&["token", "inspect"]).fails(77);
        assert_eq!(faults.logins() - before, 1, "by no command");
    }
    write(b"987655");
    cell.try_serve().expect_err("it does not serve").fails(77);
    assert_eq!(faults.logins() - before, 2, "another PIN is another try");
    write(&pin);
    still_issues(&House::of(cell).build().await).await;
}
