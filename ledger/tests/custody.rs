//! Custody manifests: every fact that differs is told, and nothing else.
#![allow(clippy::unwrap_used, reason = "a test")]

use rootcellar_ledger::custody::{DIFFERENCES_MAX, Differences, differences, facts};
use rootcellar_ledger::entry::{
    Attribute, Custody, KeyCustody, KeyState, ModuleCustody, RootTokenCustody, TokenCustody,
};

fn key(purpose: &str, first: u8) -> KeyCustody {
    let attribute = |name: &str, value: &str| Attribute { name: name.into(), value: value.into() };
    KeyCustody {
        purpose: purpose.into(),
        spki_sha256: vec![first; 32],
        cka_id: vec![1],
        token_label: "issuing".into(),
        token_serial: "77".into(),
        attributes: vec![attribute("CKA_EXTRACTABLE", "false"), attribute("CKA_SENSITIVE", "true")],
        state: KeyState::Active.into(),
        attestation: "none".into(),
    }
}

fn manifest() -> Custody {
    Custody {
        keys: vec![key("issuer", 2), key("log", 3)],
        tokens: vec![TokenCustody {
            label: "issuing".into(),
            serial: "77".into(),
            ..TokenCustody::default()
        }],
        module: Some(ModuleCustody {
            path: "/lib/m.so".into(),
            sha256: vec![7; 32],
            ..ModuleCustody::default()
        }),
        root_tokens: vec![RootTokenCustody {
            label: "root".into(),
            spki_sha256: vec![1; 32],
            ..RootTokenCustody::default()
        }],
        ..Custody::default()
    }
}

/// What differs after a change, as subject, before and after.
fn changed(change: impl FnOnce(&mut Custody)) -> Vec<(String, String, String)> {
    let (before, mut after) = (manifest(), manifest());
    change(&mut after);
    differences(&before, &after).told.into_iter().map(|d| (d.subject, d.before, d.after)).collect()
}

fn one(subject: &str, before: &str, after: &str) -> Vec<(String, String, String)> {
    vec![(subject.into(), before.into(), after.into())]
}

#[test]
fn the_same_again_differs_in_nothing() {
    assert!(changed(|_| {}).is_empty());
}

#[test]
fn every_change_is_told() {
    let attribute = changed(|now| now.keys[1].attributes[0].value = "true".into());
    assert_eq!(attribute, one("log key 03030303 in issuing (serial 77): CKA_EXTRACTABLE", "false", "true"));
    let state = changed(|now| now.keys[0].state = KeyState::Compromised.into());
    assert_eq!(state, one("issuer key 02020202 in issuing (serial 77): state", "active", "compromised"));
    let module = changed(|now| now.module.as_mut().unwrap().sha256 = vec![8; 32]);
    assert_eq!(module, one("module: sha256", &"07".repeat(32), &"08".repeat(32)));
    let root = changed(|now| now.root_tokens[0].visible = true);
    assert_eq!(root, one("root's token 01010101: state", "absent", "visible to the service"));
    let firmware = changed(|now| now.tokens[0].firmware = "2.7".into());
    assert_eq!(firmware, one("token issuing (serial 77): firmware", "", "2.7"));
    let gone = changed(|now| now.keys[0].attributes.truncate(1));
    assert_eq!(gone, one("issuer key 02020202 in issuing (serial 77): CKA_SENSITIVE", "true", ""));
    let facts_of_a_key = facts(&manifest()).keys().filter(|subject| subject.starts_with("log key")).count();
    assert_eq!(changed(|now| now.keys.truncate(1)).len(), facts_of_a_key, "a key that is gone");
}

#[test]
fn what_a_founding_does_not_say_is_no_difference() {
    let mut root = key("root", 1);
    root.token_label = "root".into();
    let mut keys = vec![root, key("issuer", 2), key("log", 3)];
    for key in &mut keys {
        (key.state, key.attestation) = (KeyState::Unspecified.into(), String::new());
    }
    let mut founding = Custody { keys, ..Custody::default() };
    assert_eq!(differences(&founding, &manifest()), Differences::default());
    founding.keys[2].attributes[1].value = "false".into();
    let found = differences(&founding, &manifest()).told;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].subject, "log key 03030303 in issuing (serial 77): CKA_SENSITIVE");
}

#[test]
fn a_key_whose_hash_begins_as_another_does_is_another() {
    let found = changed(|now| now.keys[0].spki_sha256[31] = 9);
    let after = format!("{}09", "02".repeat(31));
    assert_eq!(
        found,
        one("issuer key 02020202 in issuing (serial 77): public key", &"02".repeat(32), &after)
    );
}

#[test]
fn keys_of_one_name_do_not_hide_each_other() {
    let mut twin = key("issuer", 2);
    twin.cka_id = vec![2];
    let before = Custody { keys: vec![key("issuer", 2), twin], ..manifest() };
    for place in [0, 1] {
        let mut after = before.clone();
        after.keys[place].attributes[0].value = "true".into();
        assert_eq!(differences(&before, &after).told.len(), 1, "key {place}");
    }
    let mut gone = before.clone();
    gone.keys.truncate(1);
    assert!(!differences(&before, &gone).told.is_empty());
    // Nor does the same key in another token.
    let mut elsewhere = key("issuer", 2);
    elsewhere.token_serial = "78".into();
    let both = changed(|now| now.keys.push(elsewhere));
    assert!(both.iter().all(|(subject, ..)| subject.contains("(serial 78)")), "{both:?}");
}

#[test]
fn what_is_not_told_is_counted() {
    let many = |now: &mut Custody| {
        now.keys[0].attributes =
            (0..150_u32).map(|n| Attribute { name: format!("CKA_{n:03}"), value: "x".into() }).collect();
    };
    let (before, mut after) = (manifest(), manifest());
    many(&mut after);
    let found = differences(&before, &after);
    assert_eq!((found.told.len(), found.untold), (DIFFERENCES_MAX, 52));
}

/// A manifest is one entry, whatever somebody wrote into the one before.
#[test]
fn differences_take_no_more_octets_than_an_entry_has_for_them() {
    let mut after = manifest();
    after.keys[0].token_label = "L".repeat(9_000);
    let found = differences(&manifest(), &after);
    let octets: usize = found.told.iter().map(prost::Message::encoded_len).sum();
    assert!(octets <= 16 * 1024 && found.untold > 0, "{octets} octets, {} untold", found.untold);
    assert!(!found.told.is_empty(), "shorter ones are told");
}
