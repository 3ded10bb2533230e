//! A custody manifest's proof, checked offline: that a log of the bundle holds exactly what the file says.

use data_encoding::HEXLOWER;
use ledger::bundle::Bundle;
use ledger::checkpoint::Checkpoint;
use ledger::entry::Custody;
use ledger::entry::entry::Kind;
use sha2::{Digest as _, Sha256};

use super::trust::{ProvenEntry, Trust, Unproven};

/// A manifest that the log holds. [`Trust::prove_custody`] alone makes one.
#[derive(Debug)]
pub struct ProvenCustody {
    /// What it says.
    pub custody: Custody,
    /// When it was recorded, in milliseconds since 1970.
    pub time_unix_ms: i64,
    /// Index of its entry.
    pub index: u64,
    /// The checkpoint that covers it.
    pub checkpoint: Checkpoint,
}

impl ProvenCustody {
    /// Why the manifest is not about the keys that the bundle has sign: an issuer that is not its active one, or no key of its log.
    pub fn strangeness(&self, bundle: &Bundle) -> Option<String> {
        let is_there = |purpose: &str, sha256: &[u8]| {
            self.custody.keys.iter().any(|key| key.purpose == purpose && key.spki_sha256 == sha256)
        };
        let Some(issuer) = bundle.contents().active_issuer() else {
            return Some(
                "the trust bundle names no active issuer: which keys it is about cannot be told".into(),
            );
        };
        if !is_there("issuer", &issuer) {
            let issuer = HEXLOWER.encode(&issuer);
            return Some(format!(
                "it is not about the active issuer of the trust bundle, sha256:{issuer}: it is of another time, or of other keys"
            ));
        }
        let origin = &self.checkpoint.origin;
        let keys = bundle.log(origin.as_str()).map(|log| log.keys.clone()).unwrap_or_default();
        let hash = |key| Sha256::digest(crate::note_spki(key)).to_vec();
        if !keys.iter().any(|key| is_there("log", &hash(key))) {
            return Some(format!("it is not about a key of the log {origin}"));
        }
        None
    }
}

impl Trust {
    /// Checks that a log of the bundle holds the manifest beside the proof.
    ///
    /// # Errors
    /// [`Unproven`].
    pub fn prove_custody(&self, proof: &[u8]) -> Result<ProvenCustody, Unproven> {
        let ProvenEntry { entry, index, checkpoint } = self.prove_entry(proof)?;
        let Some(Kind::Custody(custody)) = entry.kind else { return Err(Unproven::NoCustody) };
        Ok(ProvenCustody { custody, time_unix_ms: entry.time_unix_ms, index, checkpoint })
    }
}

#[cfg(test)]
mod tests {
    use ledger::bundle::Contents;
    use ledger::entry::{Attribute, KeyCustody, ModuleCustody, RootTokenCustody};

    use super::*;
    use crate::testing::{LEAF, Tiny};

    fn manifest() -> Custody {
        let attribute = |name: &str, value: &str| Attribute { name: name.into(), value: value.into() };
        let key = |purpose: &str| KeyCustody {
            purpose: purpose.into(),
            spki_sha256: vec![7; 32],
            attributes: vec![attribute("CKA_EXTRACTABLE", "false"), attribute("CKA_SENSITIVE", "true")],
            attestation: "none".into(),
            ..KeyCustody::default()
        };
        Custody {
            keys: vec![key("issuer"), key("log")],
            module: Some(ModuleCustody { sha256: vec![8; 32], ..ModuleCustody::default() }),
            root_tokens: vec![RootTokenCustody { label: "root".into(), ..RootTokenCustody::default() }],
            ..Custody::default()
        }
    }

    fn exported() -> (Trust, Vec<u8>) {
        let mut tiny = Tiny::new();
        tiny.push(Kind::Custody(manifest()), Vec::new());
        // An entry beside it, so that the proof has a sibling at each level. It must be another: of two that are equal, either index is true.
        tiny.push(Kind::Custody(Custody::default()), Vec::new());
        let trust =
            Trust::read(tiny.charter.to_string().as_bytes(), tiny.bundle.to_string().as_bytes()).unwrap();
        (trust, tiny.proof(LEAF + 1).to_string().into_bytes())
    }

    #[test]
    fn an_exported_manifest_is_proved_from_files_alone() {
        let (trust, file) = exported();
        let proven = trust.prove_custody(&file).unwrap();
        assert_eq!((proven.custody, proven.index), (manifest(), LEAF + 1));
    }

    #[test]
    fn a_single_altered_byte_anywhere_is_caught() {
        let (trust, file) = exported();
        assert!(file.len() > 500, "the whole is there");
        for at in 0..file.len() {
            // Another letter, the other case, no ASCII at all.
            for change in [0x01, 0x20, 0x80] {
                let mut altered = file.clone();
                altered[at] ^= change;
                assert!(trust.prove_custody(&altered).is_err(), "byte {at} ^ {change:#04x}");
            }
            let mut shorter = file.clone();
            shorter.remove(at);
            assert!(trust.prove_custody(&shorter).is_err(), "without byte {at}");
        }
        let longer = [file.as_slice(), b"\n"].concat();
        assert!(trust.prove_custody(&longer).is_err());
    }

    /// What `custody verify` says against a manifest, beyond the proof: the keys of the tiny cell are changed by `change`.
    fn strangeness(change: impl FnOnce(&mut Custody)) -> Option<String> {
        let mut tiny = Tiny::new();
        let mut custody = manifest();
        custody.keys[0].spki_sha256 = tiny.issuer.issuer.spki_sha256().to_vec();
        let log = Contents::read(&tiny.bundle).unwrap().logs[0].keys[0].clone();
        custody.keys[1].spki_sha256 = Sha256::digest(crate::note_spki(&log)).to_vec();
        change(&mut custody);
        tiny.push(Kind::Custody(custody), Vec::new());
        let trust =
            Trust::read(tiny.charter.to_string().as_bytes(), tiny.bundle.to_string().as_bytes()).unwrap();
        let file = tiny.proof(LEAF + 1).to_string().into_bytes();
        trust.prove_custody(&file).unwrap().strangeness(trust.bundle())
    }

    #[test]
    fn a_manifest_is_about_the_keys_of_the_bundle() {
        assert_eq!(strangeness(|_| {}), None);
        let issuer = "not about the active issuer";
        for (what, change, said) in [
            ("empty", (|custody| custody.keys.clear()) as fn(&mut Custody), issuer),
            ("another issuer", |custody| custody.keys[0].spki_sha256 = vec![7; 32], issuer),
            ("another purpose", |custody| custody.keys[0].purpose = "unknown".into(), issuer),
            (
                "another log",
                |custody| custody.keys[1].spki_sha256 = vec![7; 32],
                "not about a key of the log",
            ),
            ("no log", |custody| custody.keys.truncate(1), "not about a key of the log"),
        ] {
            let told = strangeness(change).expect(what);
            assert!(told.contains(said), "{what}: {told}");
        }
    }

    #[test]
    fn another_entry_is_no_manifest() {
        let tiny = Tiny::new();
        let (charter, bundle) = (tiny.charter.to_string(), tiny.bundle.to_string());
        let trust = Trust::read(charter.as_bytes(), bundle.as_bytes()).unwrap();
        let file = tiny.proof(LEAF).to_string();
        assert!(matches!(trust.prove_custody(file.as_bytes()), Err(Unproven::NoCustody)));
    }
}
