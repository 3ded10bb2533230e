//! Officers with known keys, and changes to texts.
#![allow(dead_code, clippy::unwrap_used, reason = "for tests, of which each uses a part")]

use rootcellar_ledger::charter::{Charter, Terms};
use rootcellar_ledger::note::{Ed25519Signer, KeyName, Note, NoteSigner as _};

pub(crate) fn name(name: &str) -> KeyName {
    KeyName::try_from(name).unwrap()
}

/// The key of an officer, the same for the same name.
pub(crate) fn officer(who: &str) -> Ed25519Signer {
    let mut seed = [7; 32];
    seed[..who.len()].copy_from_slice(who.as_bytes());
    Ed25519Signer::from_seed(name(&format!("prod.example/officer/{who}")), &seed).unwrap()
}

pub(crate) fn terms(revision: u64, quorum: u8, officers: &[&str]) -> Terms {
    let officers = officers.iter().map(|who| officer(who).key().clone()).collect();
    Terms { cell: "prod.example".into(), revision, quorum, officers }
}

/// A charter of two of three.
pub(crate) fn charter() -> Charter {
    let note = signed(terms(1, 2, &["ada", "bob", "cyd"]).draft().unwrap(), &["ada", "bob"]);
    Charter::found(&note).unwrap()
}

pub(crate) fn signed(mut note: Note, officers: &[&str]) -> Note {
    for who in officers {
        note.sign_with(&officer(who)).unwrap();
    }
    note
}

/// A text that anybody may write, signed by those officers who would sign anything.
pub(crate) fn forged(text: &str, officers: &[&str]) -> Note {
    signed(Note::unsigned(text).unwrap(), officers)
}

/// Every text that differs from this one by a line left out, repeated, moved, or with a character changed or added.
pub(crate) fn tampered(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let join = |lines: &[&str]| lines.join("\n") + "\n";
    let mut texts = vec![format!("{text}\n"), format!("{text}more: lines\n")];
    for (i, &line) in lines.iter().enumerate() {
        let replaced = |line: &str| join(&[&lines[..i], &[line], &lines[i + 1..]].concat());
        texts.push(join(&[&lines[..i], &lines[i + 1..]].concat()));
        texts.push(join(&[&lines[..=i], &lines[i..]].concat()));
        texts.push(replaced(&format!("{line} ")));
        texts.push(replaced(&format!(" {line}")));
        texts.push(replaced(&line.to_uppercase()));
        texts.push(replaced(&line[..line.len() - 1]));
        let mut swapped = lines.clone();
        swapped.swap(i, (i + 1) % lines.len());
        texts.push(join(&swapped));
    }
    texts.retain(|other| other != text);
    texts
}
