//! The officer's side: keys that stay with their owner, and notes that the keeper's checks accept.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use ceremony::officer::{
    KeyFileError, OfficerKey, ProposalTerms, SigningError, amend_charter, countersign, found_charter,
    propose, publish_bundle,
};
use ledger::bundle::{Bundle, BundleError, Contents, Log};
use ledger::charter::Charter;
use ledger::note::{KeyName, Note, NoteError, NoteSigner as _};
use ledger::proposal::{self, ProposalError, Rule};
use rootcellar_ceremony as ceremony;
use tempfile::TempDir;
use zeroize::Zeroizing;

const NOW: i64 = 1_767_225_600;

/// Made by golang.org/x/mod/sumdb/note from the same seed.
const SEED: &[u8; 32] = b"a seed that everybody may know..";
const GO_PRIVATE: &str =
    "PRIVATE+KEY+prod.example/officer/ada+89d37bcc+AWEgc2VlZCB0aGF0IGV2ZXJ5Ym9keSBtYXkga25vdy4u";
const GO_PUBLIC: &str = "prod.example/officer/ada+89d37bcc+Ac8H8qDaaVLkAyLKlCM8fik8eizPbaVTrGwe+eDE4wln";

fn name(name: &str) -> KeyName {
    name.parse().unwrap()
}

/// A directory with a key of the known seed in it.
fn ada_in_a_file() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ada.key");
    OfficerKey::create(&path, name("prod.example/officer/ada"), &Zeroizing::new(*SEED)).unwrap();
    (dir, path)
}

fn key(who: &str) -> OfficerKey {
    let dir = tempfile::tempdir().unwrap();
    let mut seed = Zeroizing::new([9; 32]);
    seed[..who.len()].copy_from_slice(who.as_bytes());
    let name = name(&format!("prod.example/officer/{who}"));
    OfficerKey::create(&dir.path().join("key"), name, &seed).unwrap()
}

/// A charter of two of ada, bob and cyd.
fn charter() -> Charter {
    let officers = [key("ada"), key("bob"), key("cyd")];
    let public = officers.each_ref().map(|officer| officer.key().clone());
    let note = found_charter("prod.example", &public, 2, &[&officers[0], &officers[1]]).unwrap();
    Charter::found(&note).unwrap()
}

fn terms<'a>(charter: &'a Charter, log: &'a KeyName) -> ProposalTerms<'a> {
    ProposalTerms { charter, log, nonce: [1; 16], expires_unix: NOW + 600 }
}

fn write(path: &Path, text: &str, mode: u32) {
    let _ = fs::remove_file(path);
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_key_file_is_the_owners_and_in_the_form_of_go() {
    let (_dir, path) = ada_in_a_file();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o400);
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{GO_PRIVATE}\n"));
    let loaded = OfficerKey::load(&path).unwrap();
    assert_eq!(loaded.key().to_string(), GO_PUBLIC);
    assert!(loaded.key().verify(b"text\n", &loaded.sign(b"text\n").unwrap()));
}

#[test]
fn a_key_is_never_written_over() {
    let (_dir, path) = ada_in_a_file();
    let again = OfficerKey::create(&path, name("eve"), &Zeroizing::new([1; 32]));
    assert!(
        matches!(again, Err(KeyFileError::Io(error)) if error.kind() == std::io::ErrorKind::AlreadyExists)
    );
    let link = path.with_file_name("link");
    symlink(path.with_file_name("elsewhere"), &link).unwrap();
    assert!(OfficerKey::create(&link, name("eve"), &Zeroizing::new([1; 32])).is_err());
    assert!(!path.with_file_name("elsewhere").exists());
    assert_eq!(OfficerKey::load(&path).unwrap().key().to_string(), GO_PUBLIC);
}

#[test]
fn a_key_that_others_may_use_is_refused() {
    let (_dir, path) = ada_in_a_file();
    for mode in [0o440, 0o404, 0o640, 0o420, 0o401, 0o777] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let refused = OfficerKey::load(&path).unwrap_err();
        assert!(matches!(refused, KeyFileError::TooWide { mode: m } if m == mode), "{mode:o}: {refused}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(OfficerKey::load(&path).is_ok());
    let link = path.with_file_name("link");
    symlink(&path, &link).unwrap();
    assert!(matches!(OfficerKey::load(&link), Err(KeyFileError::Io(_))));
    assert!(matches!(OfficerKey::load(path.parent().unwrap()), Err(KeyFileError::NotAFile)));
}

#[test]
fn a_damaged_key_file_is_refused() {
    let (_dir, path) = ada_in_a_file();
    let valid = format!("{GO_PRIVATE}\n");
    let mut damaged: Vec<String> = (0..valid.len()).map(|i| valid[..i].to_owned()).collect();
    damaged.push(format!("{valid}\n"));
    damaged.push(format!(" {valid}"));
    damaged.push(valid.replace("ada", "bob"));
    damaged.push(valid.replace("89d37bcc", "89d37bcd"));
    damaged.push(valid.replace("+AWEg", "+AmEg"));
    damaged.push(valid.replace("+AWEg", "+AWEh"));
    damaged.push("x".repeat(100_000));
    for text in damaged {
        write(&path, &text, 0o400);
        assert!(OfficerKey::load(&path).is_err(), "{text:?}");
    }
}

#[test]
fn no_output_shows_the_key() {
    let (_dir, path) = ada_in_a_file();
    let shown = format!("{:?}", OfficerKey::load(&path).unwrap());
    assert_eq!(shown, format!("OfficerKey(VerifierKey({GO_PUBLIC}))"));
    write(&path, &format!("{GO_PRIVATE}."), 0o400);
    let error = OfficerKey::load(&path).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("AWEg"), "{error:?}");
}

#[test]
fn officers_in_two_places_approve_one_act() {
    let (charter, log) = (charter(), name("prod.example/log/1"));
    let fields = [("controller".to_owned(), "build".to_owned())];
    let note = propose("controller.remove", &fields, &terms(&charter, &log), &[&key("ada")]).unwrap();
    let open = |note: &Note| proposal::open(note, &charter, "prod.example", &log, NOW, |_| Rule::default());
    assert_eq!(open(&note), Err(ProposalError::NotEnough { have: 1, need: 2 }));
    let travelled = Note::parse(note.to_string().as_bytes()).unwrap();
    let approved = open(&countersign(travelled, charter.officers(), &key("cyd")).unwrap()).unwrap();
    assert_eq!(approved.proposal().act_name, "controller.remove");
    assert_eq!(approved.proposal().act_fields, fields);
    let again = countersign(note, charter.officers(), &key("ada"));
    assert_eq!(again, Err(SigningError::Note(NoteError::SignedAlready(key("ada").key().name().clone()))));
}

#[test]
fn only_officers_sign() {
    let (charter, log) = (charter(), name("prod.example/log/1"));
    let eve = key("eve");
    let stranger = SigningError::NotAnOfficer(eve.key().name().clone());
    let proposed = propose("freeze", &[], &terms(&charter, &log), &[&eve]);
    assert_eq!(proposed, Err(stranger.clone()));
    let note = propose("freeze", &[], &terms(&charter, &log), &[&key("ada")]).unwrap();
    assert_eq!(countersign(note, charter.officers(), &eve), Err(stranger.clone()));
    assert_eq!(found_charter("prod.example", &[key("ada").key().clone()], 1, &[&eve]), Err(stranger.clone()));
    assert_eq!(amend_charter(&charter, &[eve.key().clone()], 1, &[&eve]), Err(stranger));
}

#[test]
fn a_changed_note_is_not_countersigned() {
    let (charter, log) = (charter(), name("prod.example/log/1"));
    let note = propose("freeze", &[], &terms(&charter, &log), &[&key("ada")]).unwrap();
    let changed = note.to_string().replace("act: freeze", "act: thaw");
    let changed = Note::parse(changed.as_bytes()).unwrap();
    let ada = key("ada").key().name().clone();
    let refused = countersign(changed, charter.officers(), &key("bob"));
    assert_eq!(refused, Err(SigningError::Note(NoteError::BadSignature(ada))));
}

#[test]
fn officers_hand_over_to_others() {
    let charter = charter();
    let eve = key("eve");
    let note = amend_charter(&charter, &[eve.key().clone()], 1, &[&key("bob"), &key("cyd")]).unwrap();
    let next = charter.succeed(&note).unwrap();
    assert_eq!((next.revision(), next.quorum()), (2, 1));
    assert_eq!(next.officers(), &[eve.key().clone()]);
}

#[test]
fn a_bundle_is_published_under_the_charter_in_force() {
    let charter = charter();
    let log = Log { origin: name("prod.example/log/1"), keys: vec![key("log").key().clone()] };
    let contents = Contents {
        cell: "prod.example".into(),
        number: 1,
        charter_revision: 1,
        logs: vec![log],
        issuers: vec![],
        anchors: vec![vec![0x30, 0]],
    };
    let note = publish_bundle(&contents, &charter, &[&key("ada"), &key("bob")]).unwrap();
    assert_eq!(Bundle::open(&note, &charter).unwrap().contents(), &contents);
    let stale = Contents { charter_revision: 2, ..contents.clone() };
    let refused = publish_bundle(&stale, &charter, &[]);
    assert_eq!(refused, Err(SigningError::Bundle(BundleError::WrongCharter { have: 2, want: 1 })));
    let elsewhere = Contents { cell: "other.example".into(), ..contents };
    assert_eq!(publish_bundle(&elsewhere, &charter, &[]), Err(SigningError::Bundle(BundleError::WrongCell)));
}
