//! Notes, keys, checkpoints and proofs, judged by Go's verifiers (their output stands here), by another crate and by
//! OpenSSL.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{name, officer};
use rootcellar_ledger::checkpoint::{Checkpoint, CheckpointError};
use rootcellar_ledger::note::{Algorithm, KeyError, KeyName, Note, NoteError, NoteSigner as _, VerifierKey};
use rootcellar_ledger::proof::{Proof, ProofError};
use rootcellar_ledger::text::Kind;
use rootcellar_ledger::tree::Edge;
use rootcellar_ledger::{Hash, leaf_hash};
use signed_note::{StandardVerifier, VerifierList};

/// The example of golang.org/x/mod/sumdb/note.
const NEUMANN_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const NEUMANN: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\n\
    — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

/// Made and verified by golang.org/x/mod/sumdb/note with the ECDSA verifier of github.com/transparency-dev/formats.
const LOG_KEY: &str = "prod.example/log/1+8532b6b9+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABK8tZhPhKhi+9dCVCO7p7FZgmT0Ag86WWk\
    +HsW6umELd15KmS3a5zPwHo82zj7GJOLkkoZR8KvCjkn8ZPJHepxg=";
const ADA_KEY: &str = "prod.example/officer/ada+89d37bcc+Ac8H8qDaaVLkAyLKlCM8fik8eizPbaVTrGwe+eDE4wln";
const CHECKPOINT: &str = "prod.example/log/1\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n\
    — prod.example/log/1 hTK2uTBEAiBl/narH9NFywoJ41/l4koEcQt6YuEx+X67TaWUi/aCGAIgYYKVwz7HSCB3tct60at2V8+gzCkHxsYUBpUEzgz4lIw=\n\
    — prod.example/officer/ada idN7zI+WtMv7Mtf7PwAldLMcVgzScfoeFgQUKatH+lvio8uPtvYX7J+DIrH40lAjcL4PYguEs4JtQZYnNwIWOD2PtAs=\n";

fn key(text: &str) -> VerifierKey {
    text.parse().unwrap()
}

#[test]
fn the_published_note_verifies() {
    let note = Note::parse(NEUMANN.as_bytes()).unwrap();
    assert_eq!(note.to_string(), NEUMANN);
    assert_eq!(note.is_signed_by(&key(NEUMANN_KEY)), Ok(true));
    assert_eq!(note.is_signed_by(&key(ADA_KEY)), Ok(false));
    assert_eq!(note.kind(), None);
}

#[test]
fn notes_of_go_verify_with_both_algorithms() {
    let (log, ada) = (key(LOG_KEY), key(ADA_KEY));
    assert_eq!((log.algorithm(), ada.algorithm()), (Algorithm::EcdsaP256, Algorithm::Ed25519));
    assert_eq!((log.to_string().as_str(), ada.to_string().as_str()), (LOG_KEY, ADA_KEY));
    let note = Note::parse(CHECKPOINT.as_bytes()).unwrap();
    assert_eq!((note.is_signed_by(&log), note.is_signed_by(&ada)), (Ok(true), Ok(true)));
    let changed = Note::parse(CHECKPOINT.replace("\n3\n", "\n4\n").as_bytes()).unwrap();
    assert_eq!(changed.is_signed_by(&log), Err(NoteError::BadSignature(log.name().clone())));
    assert_eq!(changed.is_signed_by(&ada), Err(NoteError::BadSignature(ada.name().clone())));
}

#[test]
fn the_seed_of_go_makes_the_key_of_go() {
    let seed = b"a seed that everybody may know..";
    let signer =
        rootcellar_ledger::note::Ed25519Signer::from_seed(name("prod.example/officer/ada"), seed).unwrap();
    assert_eq!(signer.key().to_string(), ADA_KEY);
    let shown = format!("{signer:?}");
    assert_eq!(
        shown,
        format!("Ed25519Signer {{ public: VerifierKey({ADA_KEY}), .. }}"),
        "the seed is never shown"
    );
}

#[test]
fn another_crate_verifies_what_we_sign() {
    let mut note = Note::unsigned("prod.example/log/1\ntext\n").unwrap();
    note.sign_with(&officer("ada")).unwrap();
    let known = StandardVerifier::new(&officer("ada").key().to_string()).unwrap();
    let judged = signed_note::Note::from_bytes(note.to_string().as_bytes()).unwrap();
    let (valid, _) = judged.verify(&VerifierList::new(vec![Box::new(known)])).unwrap();
    assert_eq!(valid.len(), 1);
}

#[test]
fn openssl_signs_as_ecdsa_and_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    openssl(
        dir.path(),
        &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "key"],
    );
    openssl(dir.path(), &["pkey", "-in", "key", "-pubout", "-outform", "DER", "-out", "spki"]);
    let spki = std::fs::read(dir.path().join("spki")).unwrap();
    let key = VerifierKey::ecdsa_p256(name("prod.example/log/1"), &spki).unwrap();
    assert_eq!(key.public_key(), spki);
    assert_eq!(key.to_string().parse(), Ok(key.clone()));

    let mut note = Note::unsigned("text\n").unwrap();
    std::fs::write(dir.path().join("text"), note.text()).unwrap();
    openssl(dir.path(), &["dgst", "-sha256", "-sign", "key", "-out", "signature", "text"]);
    let signature = std::fs::read(dir.path().join("signature")).unwrap();
    note.add_signature(&key, &signature).unwrap();
    let parsed = Note::parse(note.to_string().as_bytes()).unwrap();
    assert_eq!(parsed.is_signed_by(&key), Ok(true));

    let trailing = [signature.as_slice(), &[0]].concat();
    assert!(!key.verify(b"text\n", &trailing), "DER has one form");
    assert!(!key.verify(b"texts\n", &signature));
}

fn openssl(dir: &Path, args: &[&str]) {
    let output = Command::new("openssl").current_dir(dir).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn keys_have_one_form() {
    let encoded = ADA_KEY.rsplit('+').next().unwrap();
    assert_eq!(ADA_KEY.replace("89d37bcc", "89D37BCC").parse::<VerifierKey>(), Err(KeyError::Id));
    assert_eq!(ADA_KEY.replace("89d37bcc", "89d37bcd").parse::<VerifierKey>(), Err(KeyError::Id));
    assert_eq!(ADA_KEY.replace("ada", "bob").parse::<VerifierKey>(), Err(KeyError::Id));
    assert_eq!(encoded.parse::<VerifierKey>(), Err(KeyError::Form));
    assert_eq!("a+89d37bcc+BAAA".parse::<VerifierKey>(), Err(KeyError::Algorithm(4)));
    assert_eq!(
        "a b+89d37bcc+AQ==".parse::<VerifierKey>(),
        Err(KeyError::Name(rootcellar_ledger::note::NameError))
    );
    let neutral = [&[1], [0; 31].as_slice()].concat().try_into().unwrap();
    assert_eq!(VerifierKey::ed25519(name("a"), &neutral), Err(KeyError::Key), "a point of small order");
    let log = key(LOG_KEY);
    let mut spki = log.public_key().to_vec();
    spki[90] ^= 1;
    assert_eq!(VerifierKey::ecdsa_p256(name("a"), &spki), Err(KeyError::Key), "not on the curve");
    spki.push(0);
    assert_eq!(VerifierKey::ecdsa_p256(name("a"), &spki), Err(KeyError::Key));
    for bad in ["", "a b", "a+b", "a\u{200b}", "a\u{a0}b", "a\nb", &"a".repeat(385)] {
        assert!(KeyName::try_from(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn what_a_reader_cannot_see_is_refused() {
    let hidden = [
        '\t', '\r', '\0', '\u{7f}', '\u{85}', '\u{a0}', '\u{ad}', '\u{200b}', '\u{200d}', '\u{202e}',
        '\u{2066}',
    ];
    let more = ['\u{2028}', '\u{3000}', '\u{feff}', '\u{e0041}', '\u{fe0f}', '\u{180e}', '\u{2060}'];
    for c in hidden.into_iter().chain(more) {
        assert_eq!(Note::unsigned(&format!("a{c}b\n")), Err(NoteError::Character(c)));
        let note = NEUMANN.replace("PeterNeumann x", &format!("Peter{c}Neumann x"));
        assert_eq!(Note::parse(note.as_bytes()), Err(NoteError::Character(c)));
    }
    assert!(Note::unsigned("Zoë 丁 — “fine”\n").is_ok());
}

#[test]
fn notes_have_one_form() {
    let parse = |note: &str| Note::parse(note.as_bytes());
    assert_eq!(parse("text\n"), Err(NoteError::Unsigned));
    assert_eq!(parse("text\n\n"), Err(NoteError::Unsigned));
    assert_eq!(parse(NEUMANN.trim_end()), Err(NoteError::Unsigned));
    assert_eq!(parse(&NEUMANN.replace('—', "-")), Err(NoteError::SignatureLine(1)));
    assert_eq!(parse(&NEUMANN.replace("nAM=", "nAN=")), Err(NoteError::SignatureLine(1)));
    assert_eq!(parse(&NEUMANN.replace("nAM=", "nAM")), Err(NoteError::SignatureLine(1)));
    assert_eq!(Note::parse(b"\xff\n\n"), Err(NoteError::Encoding));
    assert_eq!(Note::unsigned("text"), Err(NoteError::Text));
    assert_eq!(Note::unsigned(""), Err(NoteError::Text));
    assert_eq!(
        Note::unsigned(&"a\n".repeat(rootcellar_ledger::note::MAX_LEN / 2 + 1)),
        Err(NoteError::TooLong)
    );
    let (text, line) = NEUMANN.split_once("\n\n").unwrap();
    assert!(parse(&format!("{text}\n\n{}", line.repeat(64))).is_ok());
    assert_eq!(parse(&format!("{text}\n\n{}", line.repeat(65))), Err(NoteError::TooLong));
}

#[test]
fn no_invalid_signature_hides_behind_a_valid_one() {
    let (text, line) = NEUMANN.split_once("\n\n").unwrap();
    let invalid = line.replace("x08go/Z", "x08go/a");
    let note = Note::parse(format!("{text}\n\n{line}{invalid}").as_bytes()).unwrap();
    let key = key(NEUMANN_KEY);
    assert_eq!(note.is_signed_by(&key), Err(NoteError::BadSignature(key.name().clone())));
}

#[test]
fn a_signature_is_checked_before_it_is_added() {
    let mut note = Note::unsigned("text\n").unwrap();
    let ada = officer("ada");
    let other = ada.sign(b"another text\n").unwrap();
    assert_eq!(note.add_signature(ada.key(), &other), Err(NoteError::BadSignature(ada.key().name().clone())));
    assert_eq!(note.to_string(), "text\n");
    note.sign_with(&ada).unwrap();
    let again = note.add_signature(ada.key(), &ada.sign(b"text\n").unwrap());
    assert_eq!(again, Err(NoteError::SignedAlready(ada.key().name().clone())));
}

#[test]
fn a_checkpoint_is_the_logs_own() {
    let (log, origin) = (key(LOG_KEY), name("prod.example/log/1"));
    let checkpoint = Checkpoint::verify(CHECKPOINT.as_bytes(), std::slice::from_ref(&log), &origin).unwrap();
    assert_eq!(checkpoint, Checkpoint { origin: origin.clone(), size: 3, root: Hash::from_bytes([0; 32]) });
    assert!(CHECKPOINT.starts_with(&checkpoint.text()));

    let another = name("prod.example/log/2");
    let refused = Checkpoint::verify(CHECKPOINT.as_bytes(), std::slice::from_ref(&log), &another);
    assert_eq!(refused, Err(CheckpointError::OtherLog(origin.clone())));
    let unsigned =
        CHECKPOINT.lines().filter(|line| !line.starts_with("— prod.example/log")).collect::<Vec<_>>();
    let refused =
        Checkpoint::verify((unsigned.join("\n") + "\n").as_bytes(), std::slice::from_ref(&log), &origin);
    assert_eq!(refused, Err(CheckpointError::NotByLog));
}

#[test]
fn a_checkpoint_has_one_form() {
    let (ada, origin) = (officer("ada"), name("prod.example/log/1"));
    let valid = "prod.example/log/1\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    let mut others = common::tampered(valid);
    others.extend(
        ["3", "+3", "03", "-3", "0x3", ""].map(|size| valid.replace("\n3\n", &format!("\n{size}\n"))),
    );
    others.retain(|text| {
        text != valid && !text.starts_with("prod.example/log/\n") && !text.starts_with("PROD")
    });
    for text in others {
        let note = common::forged(&text, &["ada"]);
        let refused = Checkpoint::verify_note(&note, std::slice::from_ref(ada.key()), &origin);
        assert_eq!(refused, Err(CheckpointError::Malformed), "{text}");
    }
    for kind in Kind::ALL {
        let note = common::forged(&valid.replace("prod.example/log/1", kind.line()), &["ada"]);
        assert_eq!(
            Checkpoint::verify_note(&note, std::slice::from_ref(ada.key()), &origin),
            Err(CheckpointError::Malformed)
        );
    }
}

fn proof_of(index: u64) -> (Proof, Vec<u8>) {
    let mut edge = Edge::new();
    let mut hashes = vec![leaf_hash(b"entry 0"), leaf_hash(b"entry 1")];
    for hash in &hashes {
        edge.append(*hash);
    }
    let checkpoint = Checkpoint { origin: name("prod.example/log/1"), size: 2, root: edge.root() };
    let checkpoint = common::forged(&checkpoint.text(), &["ada"]);
    hashes.remove(usize::try_from(index).unwrap());
    (Proof { index, hashes, checkpoint, extra: None }, format!("entry {index}").into_bytes())
}

#[test]
fn a_proof_proves_its_entry_and_no_other() {
    let (log, origin) = (officer("ada").key().clone(), name("prod.example/log/1"));
    let (proof, entry) = proof_of(1);
    let parsed = Proof::parse(proof.to_string().as_bytes()).unwrap();
    assert_eq!(parsed, proof);
    assert_eq!(parsed.verify(&entry, std::slice::from_ref(&log), &origin).unwrap().size, 2);
    assert!(matches!(
        parsed.verify(b"entry 0", std::slice::from_ref(&log), &origin),
        Err(ProofError::Invalid(_))
    ));
    assert!(matches!(parsed.verify(&entry, &[key(LOG_KEY)], &origin), Err(ProofError::Checkpoint(_))));
    assert!(matches!(
        parsed.verify(&entry, std::slice::from_ref(&log), &name("b")),
        Err(ProofError::Checkpoint(_))
    ));
    let moved = Proof { index: 0, ..parsed };
    assert!(matches!(moved.verify(&entry, std::slice::from_ref(&log), &origin), Err(ProofError::Invalid(_))));
}

#[test]
fn a_proof_has_one_form() {
    let (proof, _) = proof_of(0);
    let text = proof.to_string();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 0\n"));
    let with_extra = Proof { extra: Some(b"extra".to_vec()), ..proof };
    assert!(with_extra.to_string().starts_with("c2sp.org/tlog-proof@v1\nextra ZXh0cmE=\nindex 0\n"));
    assert_eq!(Proof::parse(with_extra.to_string().as_bytes()), Ok(with_extra));
    let others = [
        text.replace("@v1", "@v2"),
        text.replace("index 0", "index 00"),
        text.replace("index 0", "index"),
        text.replace("index 0\n", "index 0\nextra ZXh0cmE=\n"),
        text.replace("index 0\n", "index 0\nAAAA\n"),
        text.replace("index 0\n", "index 0\r\n"),
        text.replace(
            "index 0\n",
            &format!("index 0\n{}", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n".repeat(64)),
        ),
    ];
    for other in others {
        assert_eq!(Proof::parse(other.as_bytes()), Err(ProofError::Malformed), "{other}");
    }
}
