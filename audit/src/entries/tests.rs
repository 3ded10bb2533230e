//! A ledger that is as it must be passes; each one that is not is found out, at the entry that is wrong.

use cell::Act;
use certs::ATTRIBUTES_OID;
use ledger::entry::{Change, entry::Kind};

use ledger::proposal::ProposalError;

use super::*;
use crate::testing::{ACT, LEAF, NOW, ORIGIN, Tiny, change, controller, name, record};

fn audit(tiny: &Tiny, remembered: Option<TreeHead>) -> Result<Report, Finding> {
    let mut audit = Audit::new(name(ORIGIN), ATTRIBUTES_OID, remembered);
    for (index, (entry, signature)) in tiny.entries.iter().enumerate() {
        audit.read(index as u64, entry, signature)?;
    }
    audit.finish(&tiny.head())
}

/// What is wrong with a ledger, and where.
fn found(tiny: &Tiny) -> (u64, Flaw) {
    let Finding { index, flaw } = audit(tiny, None).unwrap_err();
    (index, flaw)
}

/// The issuance at an index, to be changed.
fn issuance(tiny: &Tiny, index: u64) -> Issuance {
    match entry::decode(&tiny.entries[usize::try_from(index).unwrap()].0).unwrap().kind {
        Some(Kind::Issuance(issuance)) => issuance,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_ledger_that_is_as_it_must_be_passes() {
    let report = audit(&Tiny::new(), None).unwrap();
    assert_eq!((report.entries, report.signed, report.unsigned), (LEAF + 1, 4, 0));
    assert_eq!(report.kinds["issuance"], 2);
}

#[test]
fn a_certificate_without_a_signature_is_counted() {
    let mut tiny = Tiny::new();
    tiny.entries[7].1.clear();
    let report = audit(&tiny, None).unwrap();
    assert_eq!((report.signed, report.unsigned), (3, 1));
}

#[test]
fn a_signature_of_another_certificate_is_found() {
    let mut tiny = Tiny::new();
    tiny.entries[7].1 = tiny.entries[5].1.clone();
    assert!(matches!(found(&tiny), (LEAF, Flaw::Signature(_))));
    let mut tiny = Tiny::new();
    tiny.entries[2].1 = tiny.entries[1].1.clone();
    assert!(matches!(found(&tiny), (2, Flaw::Signature(_))));
}

#[test]
fn the_checkpoint_is_of_these_entries() {
    let (tiny, mut other) = (Tiny::new(), Tiny::new());
    other.issue(&["logger"], 1);
    let mut audit = Audit::new(name(ORIGIN), ATTRIBUTES_OID, None);
    for (index, (entry, signature)) in tiny.entries.iter().enumerate() {
        audit.read(index as u64, entry, signature).unwrap();
    }
    assert!(matches!(audit.finish(&other.head()).unwrap_err().flaw, Flaw::Root { .. }));
}

#[test]
fn history_that_was_changed_since_it_was_seen_is_found() {
    let mut tiny = Tiny::new();
    let seen = tiny.head().head();
    tiny.issue(&["logger"], 1);
    assert!(audit(&tiny, Some(seen)).is_ok());
    assert!(audit(&tiny, Some(tiny.head().head())).is_ok());
    let rewritten = Tiny::new();
    assert!(
        matches!(audit(&rewritten, Some(seen)).unwrap_err().flaw, Flaw::Forked(size) if size == LEAF + 1)
    );
    let longer = TreeHead { size: 99, ..seen };
    assert!(matches!(audit(&tiny, Some(longer)).unwrap_err().flaw, Flaw::Forked(99)));
}

#[test]
fn entries_come_in_order_and_in_their_one_form() {
    let tiny = Tiny::new();
    let mut audit = Audit::new(name(ORIGIN), ATTRIBUTES_OID, None);
    assert!(matches!(audit.read(1, &tiny.entries[1].0, &[]).unwrap_err().flaw, Flaw::Order));
    let mut longer = tiny.entries[0].0.clone();
    // An unknown field, which a lenient decoder would skip.
    longer.extend([0xf8, 0x07, 0x01]);
    assert!(matches!(audit.read(0, &longer, &[]).unwrap_err().flaw, Flaw::Entry(EntryError::NotCanonical)));
    assert!(matches!(audit.read(0, &tiny.entries[4].0, &[]).unwrap_err().flaw, Flaw::NoCharter));
}

#[test]
fn the_charter_is_the_pinned_one() {
    let tiny = Tiny::new();
    let charter = ledger::charter::Charter::found(&tiny.charter).unwrap();
    let terms = charter.terms().clone();
    let signer = ledger::note::Ed25519Signer::from_seed(name("prod.example/officer/eve"), &[5; 32]).unwrap();
    let officers = vec![ledger::note::NoteSigner::key(&signer).clone()];
    let mut note = ledger::charter::Terms { officers, ..terms }.draft().unwrap();
    note.sign_with(&signer).unwrap();
    for (pinned, passes) in [(&tiny.charter, true), (&note, false)] {
        let mut audit = Audit::new(name(ORIGIN), ATTRIBUTES_OID, None);
        audit.pin(&ledger::charter::Charters::parse(pinned.to_string().as_bytes()).unwrap());
        assert_eq!(audit.read(0, &tiny.entries[0].0, &[]).is_ok(), passes);
    }
}

#[test]
fn an_act_is_approved_and_carried_out_once() {
    let mut tiny = Tiny::new();
    tiny.entries.push(tiny.entries[4].clone());
    assert!(matches!(found(&tiny), (8, Flaw::Replayed)));
    let mut tiny = Tiny::new();
    // The roles in the act, changed after it was signed: as many bytes, so that the entry still decodes.
    let at = tiny.entries[4].0.windows(6).position(|bytes| bytes == b"logger").unwrap();
    tiny.entries[4].0[at..at + 6].copy_from_slice(b"admins");
    assert!(matches!(found(&tiny), (ACT, Flaw::Proposal(ProposalError::BadSignature(_)))));
}

#[test]
fn an_agents_certificate_refers_to_the_act_in_force() {
    for spoil in [
        (|issuance: &mut Issuance| issuance.approval = None) as fn(&mut Issuance),
        |issuance| issuance.approval = Some(crate::testing::reference(3)),
        |issuance| issuance.approval.as_mut().unwrap().origin = "prod.example/log/2".into(),
        |issuance| issuance.grant = "other".into(),
    ] {
        let mut tiny = Tiny::new();
        let mut issuance = issuance(&tiny, LEAF);
        spoil(&mut issuance);
        let (_, signature) = tiny.entries.pop().unwrap();
        tiny.push(Kind::Issuance(issuance), signature);
        assert!(matches!(found(&tiny), (LEAF, Flaw::Unapproved)));
    }
}

#[test]
fn a_grant_that_was_taken_back_covers_nothing_more() {
    let mut tiny = Tiny::new();
    tiny.act(&Act::GrantRemove { controller: controller(), grant: "default".parse().unwrap() }, 8);
    tiny.issue(&["logger"], 1);
    assert!(matches!(found(&tiny), (9, Flaw::Unapproved)));
    let mut tiny = Tiny::new();
    tiny.act(&Act::ControllerRemove { name: controller() }, 8);
    tiny.issue(&["logger"], 1);
    assert!(matches!(found(&tiny), (9, Flaw::Unapproved)));
}

#[test]
fn an_agent_has_what_its_grant_gives_and_its_certificate_what_it_has() {
    let mut tiny = Tiny::new();
    tiny.push(change(Change::Updated, record(&["admin"], 2)), Vec::new());
    assert!(matches!(found(&tiny), (8, Flaw::NotCovered(_))));
    let mut tiny = Tiny::new();
    tiny.issue(&["logger", "admin"], 1);
    assert!(matches!(found(&tiny), (8, Flaw::OtherAgent)));
    let mut tiny = Tiny::new();
    tiny.push(change(Change::Updated, record(&[], 2)), Vec::new());
    tiny.issue(&["logger"], 1);
    assert!(matches!(found(&tiny), (9, Flaw::OtherAgent)), "the older revision");
    let mut tiny = Tiny::new();
    tiny.push(change(Change::Deleted, record(&["logger"], 1)), Vec::new());
    tiny.issue(&["logger"], 1);
    assert!(matches!(found(&tiny), (9, Flaw::OtherAgent)));
}

#[test]
fn the_subject_is_the_certificates() {
    let mut tiny = Tiny::new();
    let mut issuance = issuance(&tiny, LEAF);
    issuance.subject = "/agent/build/logger-2".into();
    let (_, signature) = tiny.entries.pop().unwrap();
    tiny.push(Kind::Issuance(issuance), signature);
    assert!(matches!(found(&tiny), (LEAF, Flaw::OtherSubject)));
}

#[test]
fn the_issuers_root_is_an_anchor() {
    let mut tiny = Tiny::new();
    let other = Tiny::new();
    // Another root, recorded and signed by itself as it must be, and an issuer of it.
    tiny.entries.extend([other.entries[1].clone(), other.entries[2].clone()]);
    assert!(matches!(found(&tiny), (10, Flaw::NoAnchor)));
    let mut tiny = Tiny::new();
    tiny.entries.push(other.entries[2].clone());
    assert!(matches!(found(&tiny), (8, Flaw::UnknownIssuer)));
}

#[test]
fn an_act_counts_only_in_its_time() {
    let mut tiny = Tiny::new();
    let mut entry = entry::decode(&tiny.entries[4].0).unwrap();
    entry.time_unix_ms = (NOW + 600) * 1000;
    tiny.entries[4].0 = entry::encode(&entry).unwrap();
    assert!(matches!(found(&tiny), (ACT, Flaw::Proposal(ProposalError::Expired))));
}

#[test]
fn a_custody_manifest_says_what_differs_from_the_one_before() {
    let manifest = |sha256: u8, before: Option<u64>, after: u64| {
        let module = entry::ModuleCustody { sha256: vec![sha256; 32], ..entry::ModuleCustody::default() };
        let mut manifest = entry::Custody { module: Some(module), ..entry::Custody::default() };
        manifest.previous = before.map(crate::testing::reference);
        if let Some(sha256) = u8::try_from(after).ok().filter(|sha256| *sha256 > 0) {
            let mut last = manifest.clone();
            last.module =
                Some(entry::ModuleCustody { sha256: vec![sha256; 32], ..entry::ModuleCustody::default() });
            manifest.differences = ledger::custody::differences(&last, &manifest).told;
        }
        Kind::Custody(manifest)
    };
    let with = |second: Kind| {
        let mut tiny = Tiny::new();
        tiny.push(manifest(1, None, 0), Vec::new());
        tiny.push(second, Vec::new());
        audit(&tiny, None)
    };
    let first = LEAF + 1;
    assert!(with(manifest(1, Some(first), 0)).is_ok());
    assert!(with(manifest(2, Some(first), 1)).is_ok());
    let flaw = |second| with(second).unwrap_err().flaw;
    assert!(matches!(flaw(manifest(2, Some(first), 0)), Flaw::Differences), "it says nothing of it");
    assert!(matches!(flaw(manifest(1, Some(first), 2)), Flaw::Differences), "nothing is other");
    assert!(matches!(flaw(manifest(1, Some(LEAF), 0)), Flaw::Reference), "another entry");
    assert!(matches!(flaw(manifest(1, None, 0)), Flaw::Reference));
}
