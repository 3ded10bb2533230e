//! Custody manifests, held against each other. An auditor makes the differences of old manifests anew: how a fact is named and told does not
//! change.
//!
//! A subject names a key for the eye, by its use, the beginning of its hash and its token; the whole hash is a fact of it, and keys of one name
//! are counted apart, so that no key stands for another.
//!
//! Does not: judge whether a key is fit. A manifest says what a token reported, and that is evidence, not proof (docs/custody.md).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use prost::Message as _;

use crate::entry::{Custody, CustodyDifference, KeyCustody, KeyState};

/// Octets of a public key's hash that name the key in a subject.
const NAMED: usize = 4;
/// Purpose of the root's key, which only the founding manifest has.
pub const ROOT: &str = "root";

/// Purpose of a key that the ledger does not know.
pub const UNKNOWN: &str = "unknown";

/// Differences that one manifest tells, at most. More are a token that was replaced.
pub const DIFFERENCES_MAX: usize = 100;
/// Octets that they take, at most, encoded: the manifest is one entry, with its keys.
const DIFFERENCES_OCTETS: usize = 16 * 1024;

/// What a manifest says, one fact a subject.
pub type Facts = BTreeMap<String, String>;

/// What a manifest says, by subject.
pub fn facts(custody: &Custody) -> Facts {
    let mut facts = Facts::new();
    let mut keys: Vec<&KeyCustody> = custody.keys.iter().collect();
    keys.sort_by_key(|key| (key.purpose.as_str(), &key.spki_sha256, &key.cka_id));
    let mut named = BTreeMap::new();
    for key in keys {
        let name = key_name(key);
        let count: &mut u32 = named.entry(name.clone()).or_default();
        *count += 1;
        let name = if *count == 1 { name } else { format!("{name} (number {count})") };
        key_facts(key, &name, &mut facts);
    }
    for token in &custody.tokens {
        let of = format!("token {} (serial {})", token.label, token.serial);
        facts.insert(format!("{of}: manufacturer"), token.manufacturer.clone());
        facts.insert(format!("{of}: model"), token.model.clone());
        facts.insert(format!("{of}: firmware"), token.firmware.clone());
        facts.insert(format!("{of}: cannot claim"), token.exceptions.join(","));
        let keeps = if token.keeps_checkpoint { "yes" } else { "no" };
        facts.insert(format!("{of}: keeps the newest checkpoint"), keeps.into());
    }
    if let Some(module) = &custody.module {
        facts.insert("module: path".into(), module.path.clone());
        facts.insert("module: sha256".into(), hex(&module.sha256));
        facts.insert("module: library".into(), module.library.clone());
        facts.insert("module: library version".into(), module.library_version.clone());
        facts.insert("module: cryptoki version".into(), module.cryptoki_version.clone());
    }
    for root in &custody.root_tokens {
        let beginning = root.spki_sha256.get(..NAMED).unwrap_or(&root.spki_sha256);
        let of = format!("root's token {}", hex(beginning));
        facts.insert(format!("{of}: label"), root.label.clone());
        facts.insert(format!("{of}: serial"), root.serial.clone());
        facts.insert(format!("{of}: public key"), hex(&root.spki_sha256));
        let seen = if root.visible { "visible to the service" } else { "absent" };
        facts.insert(format!("{of}: state"), seen.into());
    }
    facts
}

/// What differs between two manifests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Differences {
    /// The first [`DIFFERENCES_MAX`] by subject, without those that would take more than 16 KiB together.
    pub told: Vec<CustodyDifference>,
    /// How many there are beyond those.
    pub untold: u32,
}

/// What `after` says otherwise than `before`, by subject. A manifest without a module, as a founding writes it, says less: what it does not
/// say is no difference.
pub fn differences(before: &Custody, after: &Custody) -> Differences {
    let founding = before.module.is_none();
    let (old, new) = (facts(before), facts(after));
    let subjects: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differs = |subject: &String| {
        let (before, after) = (old.get(subject), new.get(subject));
        let unsaid = founding && (before.is_none() || (after.is_none() && subject.starts_with(ROOT)));
        (before != after && !unsaid).then(|| CustodyDifference {
            subject: subject.clone(),
            before: before.cloned().unwrap_or_default(),
            after: after.cloned().unwrap_or_default(),
        })
    };
    let (mut told, mut untold, mut left) = (Vec::new(), 0_u32, DIFFERENCES_OCTETS);
    for difference in subjects.into_iter().filter_map(differs) {
        let octets = difference.encoded_len();
        if told.len() < DIFFERENCES_MAX && octets <= left {
            left -= octets;
            told.push(difference);
        } else {
            untold = untold.saturating_add(1);
        }
    }
    Differences { told, untold }
}

/// The state of a key as a word.
pub fn state_name(state: KeyState) -> &'static str {
    match state {
        KeyState::Unspecified => "",
        KeyState::PreActivation => "pre-activation",
        KeyState::Active => "active",
        KeyState::Deactivated => "deactivated",
        KeyState::Compromised => "compromised",
        KeyState::Destroyed => "destroyed",
    }
}

/// A key's name in subjects.
fn key_name(key: &KeyCustody) -> String {
    let beginning = key.spki_sha256.get(..NAMED).unwrap_or(&key.spki_sha256);
    format!("{} key {} in {} (serial {})", key.purpose, hex(beginning), key.token_label, key.token_serial)
}

fn key_facts(key: &KeyCustody, of: &str, facts: &mut Facts) {
    facts.insert(format!("{of}: public key"), hex(&key.spki_sha256));
    facts.insert(format!("{of}: CKA_ID"), hex(&key.cka_id));
    // Unsaid in a founding manifest.
    if key.state() != KeyState::Unspecified {
        facts.insert(format!("{of}: state"), state_name(key.state()).into());
        facts.insert(format!("{of}: attestation"), key.attestation.clone());
    }
    for attribute in &key.attributes {
        facts.insert(format!("{of}: {}", attribute.name), attribute.value.clone());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
