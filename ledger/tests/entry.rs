//! Entries: one encoding for each, and nothing that a reader does not see.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use prost::Message as _;
use rootcellar_ledger::entry::{self, Entry, EntryError, Issuance, entry::Kind};

fn issuance(tbs: Vec<u8>) -> Entry {
    let issuance = Issuance { tbs, subject: "/agent/build/1".into(), ..Issuance::default() };
    Entry {
        version: 1,
        cell: "prod.example".into(),
        time_unix_ms: 1_767_225_600_000,
        kind: Some(Kind::Issuance(issuance)),
        ..Entry::default()
    }
}

#[test]
fn an_entry_comes_back_as_it_was() {
    let entry = issuance(vec![0x30, 0]);
    assert_eq!(entry::decode(&entry::encode(&entry).unwrap()), Ok(entry));
}

/// Written by hand from the encoding of protobuf: if this changes, the ledgers that exist no longer verify.
#[test]
fn the_bytes_of_an_entry_are_fixed() {
    let entry = Entry { cell: "c".into(), time_unix_ms: 1, ..issuance(vec![0xaa]) };
    let expected = b"\x08\x01\x12\x01c\x18\x01\xa2\x01\x13\x0a\x01\xaa\x1a\x0e/agent/build/1";
    assert_eq!(entry::encode(&entry).unwrap(), expected);
}

#[test]
fn another_encoding_is_refused() {
    let bytes = entry::encode(&issuance(vec![1])).unwrap();
    let unknown_field = [bytes.as_slice(), b"\x98\x06\x01"].concat();
    let last_field_twice = [bytes.as_slice(), b"\x08\x01"].concat();
    let long_number = [b"\x08\x81\x00", &bytes[2..]].concat();
    let explicit_default = [bytes.as_slice(), b"\x2a\x00"].concat();
    for other in [unknown_field, last_field_twice, long_number, explicit_default] {
        assert!(Entry::decode(other.as_slice()).is_ok(), "a lenient decoder takes it");
        assert_eq!(entry::decode(&other), Err(EntryError::NotCanonical));
    }
    assert!(matches!(entry::decode(&bytes[..bytes.len() - 1]), Err(EntryError::Malformed(_))));
}

#[test]
fn version_kind_and_length_are_checked_both_ways() {
    let cases = [
        (Entry { version: 2, ..issuance(vec![]) }, EntryError::Version(2)),
        (Entry { version: 0, ..issuance(vec![]) }, EntryError::Version(0)),
        (Entry { kind: None, ..issuance(vec![]) }, EntryError::NoKind),
    ];
    for (entry, error) in cases {
        assert_eq!(entry::encode(&entry), Err(error.clone()));
        assert_eq!(entry::decode(&entry.encode_to_vec()), Err(error));
    }
    let overhead = entry::encode(&issuance(vec![0; 60_000])).unwrap().len() - 60_000;
    let longest = issuance(vec![0; entry::MAX_LEN - overhead]);
    assert_eq!(entry::decode(&entry::encode(&longest).unwrap()), Ok(longest));
    let too_long = issuance(vec![0; entry::MAX_LEN - overhead + 1]);
    assert_eq!(entry::encode(&too_long), Err(EntryError::TooLong { len: entry::MAX_LEN + 1 }));
    assert_eq!(
        entry::decode(&too_long.encode_to_vec()),
        Err(EntryError::TooLong { len: entry::MAX_LEN + 1 })
    );
}
