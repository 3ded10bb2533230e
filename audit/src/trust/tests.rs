//! A proof holds for the certificate that was recorded, and for nothing else.

use std::process::Command;

use certs::ATTRIBUTES_OID;
use ledger::note::{Ed25519Signer, NoteSigner as _};

use super::*;
use crate::testing::{AGENT, LEAF, NOW, Tiny, agent, name, profile};

fn trust(tiny: &Tiny) -> Trust {
    Trust::read(tiny.charter.to_string().as_bytes(), tiny.bundle.to_string().as_bytes()).unwrap()
}

fn prove(tiny: &Tiny, chain: &[Vec<u8>], proof: &Proof) -> Result<Proven, Unproven> {
    trust(tiny).prove(chain, proof.to_string().as_bytes(), ATTRIBUTES_OID)
}

#[test]
fn a_certificate_is_proved_from_files_alone() {
    let tiny = Tiny::new();
    let proven = prove(&tiny, &tiny.chain, &tiny.proof(LEAF)).unwrap();
    assert_eq!((proven.index, proven.checkpoint.size), (LEAF, LEAF + 1));
    assert_eq!(proven.issuance.subject, "/agent/build/logger-1");
    assert_eq!(proven.chain.leaf().uris, ["spiffe://prod.example/agent/build/logger-1"]);
    assert!(proven.chain.valid_at(NOW).unwrap().valid_at(NOW + 3600).is_err());
}

#[test]
fn openssl_believes_the_same_chain() {
    let tiny = Tiny::new();
    let dir = tempfile::tempdir().unwrap();
    let write = |file: &str, der: &[u8]| {
        std::fs::write(dir.path().join(file), pem::encode(&pem::Pem::new("CERTIFICATE", der))).unwrap();
    };
    write("root.pem", tiny.root.issuer.certificate_der());
    write("issuer.pem", &tiny.chain[1]);
    write("leaf.pem", &tiny.chain[0]);
    let time = NOW.to_string();
    let args = ["verify", "-attime", &time, "-CAfile", "root.pem", "-untrusted", "issuer.pem", "leaf.pem"];
    let judged = Command::new("openssl").current_dir(dir.path()).args(args).output().unwrap();
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
}

#[test]
fn the_entry_must_be_of_this_very_certificate() {
    let mut tiny = Tiny::new();
    let (older, proof) = (tiny.chain.clone(), tiny.proof(LEAF));
    // Of the same agent, by the same issuer, recorded or not: another certificate.
    tiny.issue(&["logger"], 1);
    assert!(matches!(prove(&tiny, &tiny.chain, &proof), Err(Unproven::OtherCertificate)));
    assert!(prove(&tiny, &older, &proof).is_ok());
    let unrecorded = tiny.issuer.leaf(
        &agent().spiffe_id(&"prod.example".parse().unwrap()),
        profile(&["admin"]),
        &rcgen::KeyPair::generate().unwrap(),
    );
    let der = certs::compose::join(&unrecorded.0, certs::SignatureAlgorithm::EcdsaP256Sha256, &unrecorded.1);
    let forged = [der, older[1].clone()];
    assert!(matches!(prove(&tiny, &forged, &proof), Err(Unproven::OtherCertificate)));
    assert!(matches!(prove(&tiny, &older, &tiny.proof(AGENT)), Err(Unproven::NoIssuance)));
}

#[test]
fn what_was_changed_proves_nothing() {
    let mut tiny = Tiny::new();
    tiny.issue(&["logger"], 1);
    let good = tiny.proof(LEAF);
    let refused = |proof: &Proof| prove(&tiny, &tiny.chain, proof).unwrap_err();
    let mut other = good.clone();
    other.index = LEAF - 1;
    assert!(matches!(refused(&other), Unproven::Proof(ProofError::Invalid(_))));
    let mut other = good.clone();
    other.hashes.swap(0, 1);
    assert!(matches!(refused(&other), Unproven::Proof(ProofError::Invalid(_))));
    let mut other = good.clone();
    other.extra = Some(tiny.entries[0].entry.clone());
    assert!(matches!(refused(&other), Unproven::Proof(ProofError::Invalid(_))));
    let mut other = good.clone();
    other.extra = None;
    assert!(matches!(refused(&other), Unproven::NoEntry));
    let mut other = good.clone();
    let stranger = Ed25519Signer::from_seed(name("prod.example/log/1"), &[9; 32]).unwrap();
    other.checkpoint = Note::unsigned(good.checkpoint.text()).unwrap();
    other.checkpoint.sign_with(&stranger).unwrap();
    assert_ne!(stranger.key(), &trust(&tiny).bundle().logs()[0].keys[0]);
    assert!(matches!(refused(&other), Unproven::Proof(ProofError::Checkpoint(_))));
    other.checkpoint = Note::unsigned(&good.checkpoint.text().replace("log/1", "log/2")).unwrap();
    other.checkpoint.sign_with(&stranger).unwrap();
    assert!(matches!(refused(&other), Unproven::OtherLog));
}

#[test]
fn a_chain_leads_to_an_anchor_of_the_officers() {
    let (tiny, other) = (Tiny::new(), Tiny::new());
    let refused = |chain: &[Vec<u8>]| match prove(&tiny, chain, &tiny.proof(LEAF)) {
        Err(Unproven::Chain(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&other.chain), ChainError::NoAnchor);
    assert_eq!(refused(&[tiny.chain[0].clone(), other.chain[1].clone()]), ChainError::NotByNext(1));
    assert_eq!(refused(&tiny.chain[..1]), ChainError::NoAnchor);
    assert_eq!(refused(&[]), ChainError::Length(0));
    assert!(matches!(refused(&[tiny.chain[0].clone(), tiny.chain[0].clone()]), ChainError::Issuer(_)));
    let bundle = other.bundle.to_string();
    let strange = Trust::read(
        Tiny::new().charter.to_string().as_bytes(),
        bundle.replace("number: 1", "number: 2").as_bytes(),
    );
    assert!(matches!(strange, Err(Unproven::Bundle(_))));
}

#[test]
fn a_chain_is_of_one_holder() {
    let tiny = Tiny::new();
    let chain = || Chain::verify(&tiny.chain, trust(&tiny).bundle().anchors(), ATTRIBUTES_OID).unwrap();
    let uri = "spiffe://prod.example/agent/build/logger-1";
    let other = rcgen::PublicKeyData::subject_public_key_info(&rcgen::KeyPair::generate().unwrap());
    assert_eq!(chain().held_by(uri, &other).unwrap_err(), ChainError::OtherKey);
    assert!(matches!(
        chain().held_by("spiffe://prod.example/agent/x", &other),
        Err(ChainError::OtherIdentity { .. })
    ));
    assert_eq!(chain().valid_at(NOW - 3600).unwrap_err(), ChainError::NotValidNow);
}

/// Ten thousand proofs, each changed in one place by chance.
#[test]
fn no_changed_proof_proves_anything() {
    let tiny = Tiny::new();
    let good = tiny.proof(LEAF);
    let (text, trust) = (good.to_string().into_bytes(), trust(&tiny));
    let mut chance = 0x5EED_u64;
    let mut below = |end: usize| {
        // xorshift64*: the same each time.
        chance ^= chance >> 12;
        chance ^= chance << 25;
        chance ^= chance >> 27;
        usize::try_from(chance.wrapping_mul(0x2545_F491_4F6C_DD1D) % end as u64).unwrap()
    };
    for _ in 0..10_000 {
        let mut changed = text.clone();
        let at = below(changed.len());
        match below(4) {
            0 => changed[at] ^= 1 << below(8),
            1 => drop(changed.remove(at)),
            2 => changed.insert(at, u8::try_from(below(256)).unwrap()),
            _ => changed.truncate(at),
        }
        if changed == text {
            continue;
        }
        let proven = trust.prove(&tiny.chain, &changed, ATTRIBUTES_OID);
        assert!(proven.is_err(), "{}", String::from_utf8_lossy(&changed));
    }
}
