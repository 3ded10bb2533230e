//! A ledger that is as it must be passes; each one that is not is found out, at the entry that is wrong.

use cell::Act;
use certs::ATTRIBUTES_OID;
use ledger::entry::revocation::Target;
use ledger::entry::{Actor, ActorKind, Change, Crl, EntryError, Issuance, Revocation, entry::Kind};
use ledger::proposal::ProposalError;

use super::*;
use crate::testing::{
    ACT, AGENT, LEAF, NOW, ORIGIN, Recorded, Tiny, agent, change, controller, name, record, reference,
};

fn read(audit: &mut Audit, index: usize, recorded: &Recorded) {
    let Recorded { entry, signature, request } = recorded;
    audit.read(&Item { index: index as u64, entry, signature, request: request.as_deref() }).unwrap();
}

fn audit(tiny: &Tiny, remembered: Option<TreeHead>) -> Report {
    let mut audit = Audit::new(name(ORIGIN), ATTRIBUTES_OID, remembered);
    tiny.entries.iter().enumerate().for_each(|(index, recorded)| read(&mut audit, index, recorded));
    audit.finish(&tiny.head())
}

/// Everything that is wrong with a ledger, and where.
fn all(tiny: &Tiny) -> Vec<(u64, Flaw)> {
    audit(tiny, None).findings.into_iter().map(|Finding { index, flaw }| (index, flaw)).collect()
}

/// The one thing that is wrong with a ledger, and where.
#[track_caller]
fn found(tiny: &Tiny) -> (u64, Flaw) {
    let mut all = all(tiny);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// An entry, changed after it was recorded.
fn respoil(tiny: &mut Tiny, index: u64, spoil: impl FnOnce(&mut Entry)) {
    let recorded = &mut tiny.entries[usize::try_from(index).unwrap()];
    let mut entry = entry::decode(&recorded.entry).unwrap();
    spoil(&mut entry);
    recorded.entry = entry::encode(&entry).unwrap();
}

/// The issuance at an index, changed after it was recorded.
fn spoil_issuance(tiny: &mut Tiny, index: u64, spoil: impl FnOnce(&mut Issuance)) {
    respoil(tiny, index, |entry| match &mut entry.kind {
        Some(Kind::Issuance(issuance)) => spoil(issuance),
        other => panic!("{other:?}"),
    });
}

#[test]
fn a_ledger_that_is_as_it_must_be_passes() {
    let report = audit(&Tiny::new(), None);
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!((report.entries, report.signed, report.unsigned), (LEAF + 1, 4, 0));
    assert_eq!(report.kinds["issuance"], 2);
}

#[test]
fn a_certificate_without_a_signature_is_found() {
    let mut tiny = Tiny::new();
    tiny.entries[8].signature.clear();
    let report = audit(&tiny, None);
    assert!(matches!(report.findings[..], [Finding { index: LEAF, flaw: Flaw::NotSigned }]));
    assert_eq!((report.signed, report.unsigned), (3, 1));
}

#[test]
fn a_signature_of_another_certificate_is_found() {
    let mut tiny = Tiny::new();
    tiny.entries[8].signature = tiny.entries[6].signature.clone();
    assert!(matches!(found(&tiny), (LEAF, Flaw::Signature(_))));
    let mut tiny = Tiny::new();
    tiny.entries[3].signature = tiny.entries[2].signature.clone();
    assert!(matches!(all(&tiny)[0], (3, Flaw::Signature(_))), "what hangs on it is wrong too");
}

#[test]
fn the_checkpoint_is_of_these_entries() {
    let (tiny, mut other) = (Tiny::new(), Tiny::new());
    other.issue(&["logger"], 1);
    let mut audit = Audit::new(name(ORIGIN), ATTRIBUTES_OID, None);
    tiny.entries.iter().enumerate().for_each(|(index, recorded)| read(&mut audit, index, recorded));
    assert!(matches!(audit.finish(&other.head()).findings[0].flaw, Flaw::Root { .. }));
}

#[test]
fn history_that_was_changed_since_it_was_seen_is_found() {
    let mut tiny = Tiny::new();
    let seen = tiny.head().head();
    tiny.issue(&["logger"], 1);
    assert!(audit(&tiny, Some(seen)).findings.is_empty());
    assert!(audit(&tiny, Some(tiny.head().head())).findings.is_empty());
    let rewritten = Tiny::new();
    assert!(matches!(audit(&rewritten, Some(seen)).findings[0].flaw, Flaw::Forked(size) if size == LEAF + 1));
    let longer = TreeHead { size: 99, ..seen };
    assert!(matches!(audit(&tiny, Some(longer)).findings[0].flaw, Flaw::Forked(99)));
}

#[test]
fn entries_come_in_order_and_in_their_one_form() {
    let mut tiny = Tiny::new();
    let mut audit = Audit::new(name(ORIGIN), ATTRIBUTES_OID, None);
    let second = Item { index: 1, entry: &tiny.entries[2].entry, signature: &[], request: None };
    assert_eq!(audit.read(&second).unwrap_err(), OutOfOrder { wanted: 0, given: 1 });
    // An unknown field, which a lenient decoder would skip.
    tiny.entries[8].entry.extend([0xf8, 0x07, 0x01]);
    assert!(matches!(found(&tiny), (LEAF, Flaw::Entry(EntryError::NotCanonical))));
    let mut tiny = Tiny::new();
    tiny.entries.remove(0);
    assert!(matches!(all(&tiny)[0], (3, Flaw::NoCharter)) || matches!(all(&tiny)[0], (0, _)));
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
        tiny.entries.iter().enumerate().for_each(|(index, recorded)| read(&mut audit, index, recorded));
        let findings = audit.finish(&tiny.head()).findings;
        assert_eq!(findings.is_empty(), passes, "{findings:?}");
        assert!(passes || matches!(findings[0].flaw, Flaw::OtherCharter));
    }
}

#[test]
fn an_act_is_approved_and_carried_out_once() {
    let mut tiny = Tiny::new();
    tiny.entries.push(tiny.entries[5].clone());
    assert!(matches!(found(&tiny), (9, Flaw::Replayed)));
    let mut tiny = Tiny::new();
    // The roles in the act, changed after it was signed: as many bytes, so that the entry still decodes.
    let at = tiny.entries[5].entry.windows(6).position(|bytes| bytes == b"logger").unwrap();
    tiny.entries[5].entry[at..at + 6].copy_from_slice(b"admins");
    let all = all(&tiny);
    assert!(matches!(all[0], (ACT, Flaw::Proposal(ProposalError::BadSignature(_)))));
    assert!(all.len() > 3, "and nothing that hangs on it is approved: {all:?}");
}

#[test]
fn an_agents_certificate_refers_to_the_act_in_force() {
    for spoil in [
        (|issuance: &mut Issuance| issuance.approval = None) as fn(&mut Issuance),
        |issuance| issuance.approval = Some(reference(4)),
        |issuance| issuance.approval.as_mut().unwrap().origin = "prod.example/log/2".into(),
        |issuance| issuance.grant = "other".into(),
    ] {
        let mut tiny = Tiny::new();
        spoil_issuance(&mut tiny, LEAF, spoil);
        assert!(matches!(found(&tiny), (LEAF, Flaw::Unapproved)));
    }
}

#[test]
fn a_grant_that_was_taken_back_covers_nothing_more() {
    let mut tiny = Tiny::new();
    tiny.act(&Act::GrantRemove { controller: controller(), grant: "default".parse().unwrap() }, 8);
    tiny.issue(&["logger"], 1);
    assert!(matches!(found(&tiny), (10, Flaw::Unapproved)));
    let mut tiny = Tiny::new();
    tiny.act(&Act::ControllerRemove { name: controller() }, 8);
    tiny.issue(&["logger"], 1);
    let all = all(&tiny);
    assert!(matches!(all[..], [(10, Flaw::Caller(CallerFlaw::Removed)), (10, Flaw::Unapproved)]), "{all:?}");
}

#[test]
fn an_agent_has_what_its_grant_gives_and_its_certificate_what_it_has() {
    let mut tiny = Tiny::new();
    tiny.update(record(&["admin"], 2));
    assert!(matches!(found(&tiny), (9, Flaw::NotCovered(_))));
    let mut tiny = Tiny::new();
    tiny.issue(&["logger", "admin"], 1);
    assert!(matches!(found(&tiny), (9, Flaw::OtherAgent)));
    let mut tiny = Tiny::new();
    tiny.update(record(&[], 2));
    tiny.issue(&["logger"], 1);
    assert!(matches!(found(&tiny), (10, Flaw::OtherAgent)), "the older revision");
    let mut tiny = Tiny::new();
    tiny.delete(record(&["logger"], 1));
    tiny.issue(&["logger"], 1);
    assert!(matches!(found(&tiny), (10, Flaw::OtherAgent)));
}

#[test]
fn the_subject_is_the_certificates() {
    let mut tiny = Tiny::new();
    spoil_issuance(&mut tiny, LEAF, |issuance| issuance.subject = "/agent/build/logger-2".into());
    let all = all(&tiny);
    assert!(all.iter().all(|(index, _)| *index == LEAF), "{all:?}");
    assert!(all.iter().any(|(_, flaw)| matches!(flaw, Flaw::OtherSubject)), "{all:?}");
    assert!(all.iter().any(|(_, flaw)| matches!(flaw, Flaw::Request(RequestFlaw::Other("subject")))));
}

#[test]
fn the_issuers_root_is_an_anchor() {
    let mut tiny = Tiny::new();
    let other = Tiny::new();
    // Another root, made in a ceremony and signed by itself as it must be, and an issuer of it.
    tiny.entries.extend(other.entries[1..4].iter().cloned());
    assert!(matches!(found(&tiny), (12, Flaw::NoAnchor)));
    let mut tiny = Tiny::new();
    tiny.entries.extend([other.entries[1].clone(), other.entries[3].clone()]);
    assert!(matches!(found(&tiny), (10, Flaw::UnknownIssuer)));
}

#[test]
fn a_ca_certificate_is_one_that_a_ceremony_signed() {
    let mut tiny = Tiny::new();
    let other = Tiny::new();
    tiny.entries.extend(other.entries[2..4].iter().cloned());
    assert!(matches!(all(&tiny)[..], [(9, Flaw::Unapproved), (10, Flaw::Unapproved)]));
    // Not in a log without one either.
    let mut tiny = Tiny::new();
    tiny.entries.remove(1);
    assert!(matches!(all(&tiny)[..2], [(1, Flaw::Unapproved), (2, Flaw::Unapproved)]));
}

#[test]
fn an_act_counts_only_in_its_time() {
    let mut tiny = Tiny::new();
    let mut entry = entry::decode(&tiny.entries[5].entry).unwrap();
    entry.time_unix_ms = (NOW + 600) * 1000;
    tiny.entries[5].entry = entry::encode(&entry).unwrap();
    assert!(matches!(all(&tiny)[0], (ACT, Flaw::Proposal(ProposalError::Expired))));
}

#[test]
fn a_custody_manifest_says_what_differs_from_the_one_before() {
    let manifest = |sha256: u8, before: Option<u64>, after: u64| {
        let module = entry::ModuleCustody { sha256: vec![sha256; 32], ..entry::ModuleCustody::default() };
        let mut manifest = entry::Custody { module: Some(module), ..entry::Custody::default() };
        manifest.previous = before.map(reference);
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
    assert!(with(manifest(1, Some(first), 0)).findings.is_empty());
    assert!(with(manifest(2, Some(first), 1)).findings.is_empty());
    let flaw = |second| with(second).findings.remove(0).flaw;
    assert!(matches!(flaw(manifest(2, Some(first), 0)), Flaw::Differences), "it says nothing of it");
    assert!(matches!(flaw(manifest(1, Some(first), 2)), Flaw::Differences), "nothing is other");
    assert!(matches!(flaw(manifest(1, Some(LEAF), 0)), Flaw::Reference), "another entry");
    assert!(matches!(flaw(manifest(1, None, 0)), Flaw::Reference));
}

/// Officers revoke the agent's certificate of this entry, under this nonce.
fn revoke(tiny: &mut Tiny, certificate: u64, nonce: u8) {
    let target = cell::RevocationTarget::Entry(certificate);
    let reason = cell::RevocationReason::KeyCompromise;
    tiny.act(&Act::CertificateRevoke { target, reason }, nonce);
    let revocation = Revocation {
        target: Some(Target::Certificate(reference(certificate))),
        reason: reason.code().into(),
        revoked: 1,
        approval: Some(reference(tiny.entries.len() as u64 - 1)),
        ..Revocation::default()
    };
    tiny.push(Kind::Revocation(revocation), Vec::new());
}

#[test]
fn a_certificate_is_of_a_profile_that_its_subject_can_have() {
    // The service's own word, for an agent: as whoever can write the journal would have it.
    for (subject, profile) in [("/agent/build/logger-1", 3), ("/controller/build", 3), ("/service/ca", 1)] {
        let mut tiny = Tiny::new();
        let (mut issuance, _, signature) = tiny.asked(&["logger"], 1);
        (issuance.subject, issuance.profile) = (subject.into(), profile);
        (issuance.grant, issuance.approval) = (String::new(), None);
        let actor =
            Actor { kind: ActorKind::Service.into(), identity: "/service/ca".into(), ..Actor::default() };
        tiny.push_by(actor, String::new(), Kind::Issuance(issuance), signature, None);
        let all = all(&tiny);
        assert!(all.iter().all(|(index, _)| *index == LEAF + 1), "{all:?}");
        assert!(all.iter().any(|(_, flaw)| matches!(flaw, Flaw::OtherSubject)), "{subject}: {all:?}");
    }
}

#[test]
fn every_issuance_is_linted() {
    let mut tiny = Tiny::new();
    // For a service: an agent's has no addresses.
    let (issuance, body, _) = tiny.asked(&["logger"], 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let uri = agent().spiffe_id(&"prod.example".parse().unwrap());
    let service = certs::compose::LeafProfile::Service {
        dns_names: vec![].try_into().unwrap(),
        ip_addresses: vec!["127.0.0.1".parse().unwrap()],
    };
    let (tbs, signature) = tiny.issuer.leaf(&uri, service, &key);
    let issuance = Issuance { tbs, ..issuance };
    tiny.ask("IssuanceService/IssueCertificate", &body, Kind::Issuance(issuance), signature);
    let all = all(&tiny);
    assert!(
        all.iter().any(|(_, flaw)| matches!(flaw, Flaw::Lint(finding) if finding.rule == "san-names")),
        "{all:?}"
    );
}

#[test]
fn two_flaws_are_both_named() {
    let mut tiny = Tiny::new();
    tiny.issue(&["admin"], 1);
    tiny.issue(&["logger"], 1);
    tiny.issue(&["admin"], 1);
    let all = all(&tiny);
    assert!(matches!(all[..], [(9, Flaw::OtherAgent), (11, Flaw::OtherAgent)]), "{all:?}");
}

#[test]
fn a_caller_held_what_it_presented() {
    let signs = |tiny: &mut Tiny| tiny.issue(&["logger"], 1);
    // Revoked before it asked.
    let mut tiny = Tiny::new();
    revoke(&mut tiny, ACT + 1, 9);
    signs(&mut tiny);
    assert!(matches!(found(&tiny), (11, Flaw::Caller(CallerFlaw::Revoked))));
    for (spoil, flaw) in [
        (
            (|actor: &mut Actor| actor.certificate = Some(reference(LEAF))) as fn(&mut Actor),
            CallerFlaw::OtherIdentity,
        ),
        (|actor| actor.certificate = Some(reference(99)), CallerFlaw::Unknown),
        (|actor| actor.certificate_sha256 = vec![9; 32], CallerFlaw::Unsigned),
        (|actor| actor.signature.as_mut().unwrap().time_unix_ms += 1, CallerFlaw::Signature),
        (|actor| actor.signature.as_mut().unwrap().size = 0, CallerFlaw::Signature),
        (|actor| actor.signature.as_mut().unwrap().request_sha256[0] ^= 1, CallerFlaw::Signature),
    ] {
        let mut tiny = Tiny::new();
        signs(&mut tiny);
        respoil(&mut tiny, LEAF + 1, |entry| spoil(entry.actor.as_mut().unwrap()));
        let all = all(&tiny);
        assert!(matches!(all[0], (9, Flaw::Caller(found)) if found == flaw), "{flaw:?}: {all:?}");
    }
    // Signed long before it was recorded, and recorded when a newer entry was there.
    let mut tiny = Tiny::new();
    respoil(&mut tiny, LEAF, |entry| entry.time_unix_ms += 300_001);
    assert!(matches!(found(&tiny), (LEAF, Flaw::Caller(CallerFlaw::SignatureTime))));
    let mut tiny = Tiny::new();
    respoil(&mut tiny, AGENT, |entry| entry.time_unix_ms += 300_000);
    assert!(matches!(found(&tiny), (LEAF, Flaw::Caller(CallerFlaw::Time))));
    let mut tiny = Tiny::new();
    respoil(&mut tiny, LEAF, |entry| entry.time_unix_ms += 3_700_000);
    assert!(matches!(all(&tiny)[0], (LEAF, Flaw::Caller(CallerFlaw::Expired))));
}

#[test]
fn a_word_is_somebodys() {
    for spoil in [
        (|entry: &mut Entry| entry.actor = None) as fn(&mut Entry),
        |entry| entry.actor.as_mut().unwrap().signature = None,
        |entry| entry.actor.as_mut().unwrap().kind = ActorKind::Service.into(),
        |entry| entry.actor = Some(Actor { kind: ActorKind::Officers.into(), ..Actor::default() }),
    ] {
        let mut tiny = Tiny::new();
        respoil(&mut tiny, AGENT, spoil);
        let all = all(&tiny);
        assert!(matches!(all[0], (AGENT, Flaw::Actor)), "{all:?}");
    }
}

#[test]
fn a_signed_request_is_carried_out_once() {
    let mut tiny = Tiny::new();
    let (issuance, body, signature) = tiny.asked(&["logger"], 1);
    tiny.ask("IssuanceService/IssueCertificate", &body, Kind::Issuance(issuance), signature);
    tiny.issue(&["logger"], 1);
    // The very entry again, as the last one's signature would allow.
    tiny.entries.push(tiny.entries[9].clone());
    let all = all(&tiny);
    assert!(matches!(all[0], (11, Flaw::Caller(CallerFlaw::Repeated))), "{all:?}");
    assert!(all.iter().any(|(_, flaw)| matches!(flaw, Flaw::SerialTwice)), "{all:?}");
}

/// As where somebody writes entries in a caller's name, with a signature that it made for something else.
#[test]
fn what_has_no_request_beside_it_is_nobodys_word() {
    let bare = |tiny: &mut Tiny| tiny.entries.last_mut().unwrap().request = None;
    let missing = |tiny: &Tiny, at: u64| {
        let found = found(tiny);
        assert!(matches!(found, (index, Flaw::Request(RequestFlaw::Missing)) if index == at), "{found:?}");
    };
    let mut tiny = Tiny::new();
    tiny.update(record(&["logger"], 2));
    bare(&mut tiny);
    missing(&tiny, 9);
    // One that follows, and ends at once, is no excuse for it.
    tiny.issue(&["logger"], 2);
    bare(&mut tiny);
    tiny.entries[10].signature.clear();
    let flaws = all(&tiny);
    let missing_at: Vec<u64> = flaws
        .iter()
        .filter(|(_, flaw)| matches!(flaw, Flaw::Request(RequestFlaw::Missing)))
        .map(|(index, _)| *index)
        .collect();
    assert_eq!(missing_at, [9, 10], "{flaws:?}");
    // Of what is signed, and ended a day before the newest entry, it is let go.
    let mut tiny = Tiny::new();
    bare(&mut tiny);
    missing(&tiny, LEAF);
    let late = |tiny: &mut Tiny, secs: i64| {
        let actor =
            Actor { kind: ActorKind::Service.into(), identity: "/service/ca".into(), ..Actor::default() };
        tiny.push_by(actor, String::new(), Kind::Refusals(entry::Refusals::default()), Vec::new(), None);
        let last = tiny.entries.len() as u64 - 1;
        respoil(tiny, last, |entry| entry.time_unix_ms += secs * 1000);
    };
    late(&mut tiny, 3400 + 86_400);
    missing(&tiny, LEAF);
    late(&mut tiny, 3700 + 86_400);
    assert!(all(&tiny).is_empty(), "{:?}", all(&tiny));
    // Who reads a journal without a checkpoint over that entry goes by what is proved.
    let mut audit = Audit::new(name(ORIGIN), ATTRIBUTES_OID, None);
    tiny.entries.iter().enumerate().for_each(|(index, recorded)| read(&mut audit, index, recorded));
    assert!(matches!(audit.conclude().findings[0].flaw, Flaw::Request(RequestFlaw::Missing)));
}

#[test]
fn an_act_that_gives_is_recorded_when_it_is() {
    let backdated = |act: &Act, time_unix_ms: i64| {
        let mut tiny = Tiny::new();
        tiny.act(&Act::Freeze, 8);
        tiny.act(act, 9);
        respoil(&mut tiny, 10, |entry| entry.time_unix_ms = time_unix_ms);
        all(&tiny)
    };
    // A step of the clock, and more.
    assert!(backdated(&Act::Thaw, NOW * 1000 - 60_000).is_empty());
    let found = backdated(&Act::Thaw, NOW * 1000 - 60_001);
    assert!(matches!(found[..], [(10, Flaw::Time)]), "{found:?}");
    assert!(backdated(&Act::RenewalsStop, NOW * 1000 - 600_000).is_empty());
}

#[test]
fn one_request_leads_to_one_certificate() {
    let mut tiny = Tiny::new();
    let (issuance, body, signature) = tiny.asked(&["logger"], 1);
    tiny.ask("IssuanceService/IssueCertificate", &body, Kind::Issuance(issuance), signature);
    tiny.entries.push(tiny.entries[9].clone());
    let all = all(&tiny);
    assert!(matches!(all[0], (10, Flaw::Caller(CallerFlaw::Repeated))), "{all:?}");
}

/// As where somebody holds a signed request back, and delivers it after a later one.
#[test]
fn what_was_signed_before_a_change_gives_nothing_after_it() {
    let disabled = |revision| entry::AgentRecord { disabled: true, ..record(&["logger"], revision) };
    let overtaken = |tiny: &Tiny, at: u64| {
        let found = found(tiny);
        assert!(matches!(found, (index, Flaw::Caller(CallerFlaw::Overtaken)) if index == at), "{found:?}");
    };
    let mut tiny = Tiny::new();
    tiny.update(disabled(2));
    tiny.controller.signs_ms -= 1;
    tiny.update(record(&["logger"], 3));
    overtaken(&tiny, 10);
    let mut tiny = Tiny::new();
    tiny.delete(record(&["logger"], 1));
    tiny.controller.signs_ms -= 1;
    tiny.create(record(&["logger"], 1));
    overtaken(&tiny, 10);
    let mut tiny = Tiny::new();
    tiny.update(record(&["logger"], 2));
    tiny.controller.signs_ms -= 1;
    tiny.issue(&["logger"], 2);
    overtaken(&tiny, 10);
    // Officers', at the moment in which they are recorded.
    let mut tiny = Tiny::new();
    revoke(&mut tiny, LEAF, 9);
    tiny.controller.signs_ms -= 5001;
    tiny.issue(&["logger"], 1);
    overtaken(&tiny, 11);
    // What takes away, what was signed with it, and what was signed after it.
    let mut tiny = Tiny::new();
    tiny.update(record(&["logger"], 2));
    tiny.controller.signs_ms -= 1;
    tiny.update(disabled(3));
    tiny.controller.signs_ms += 1;
    tiny.update(record(&["logger"], 4));
    tiny.controller.signs_ms += 1;
    tiny.issue(&["logger"], 4);
    assert!(all(&tiny).is_empty(), "{:?}", all(&tiny));
}

#[test]
fn what_was_recorded_is_what_was_asked_for() {
    // Another's request, another key, another agent: the body lies beside the entry.
    let mut tiny = Tiny::new();
    tiny.entries[8].request.as_mut().unwrap().push(0);
    assert!(matches!(found(&tiny), (LEAF, Flaw::Request(RequestFlaw::Body))));
    let mut tiny = Tiny::new();
    let (issuance, mut body, signature) = tiny.asked(&["logger"], 1);
    let key = rcgen::KeyPair::generate().unwrap();
    body.csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
    tiny.ask("IssuanceService/IssueCertificate", &body, Kind::Issuance(issuance), signature);
    assert!(matches!(found(&tiny), (9, Flaw::Request(RequestFlaw::Other("key")))));
    let mut tiny = Tiny::new();
    let (issuance, mut body, signature) = tiny.asked(&["logger"], 1);
    body.lifetime = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    tiny.ask("IssuanceService/IssueCertificate", &body, Kind::Issuance(issuance), signature);
    assert!(matches!(found(&tiny), (9, Flaw::Request(RequestFlaw::Other("lifetime")))));
    let mut tiny = Tiny::new();
    let body = proto::v1::CreateAgentBody { request_id: tiny.request_id(), ..Default::default() };
    let wider = change(Change::Updated, record(&[], 2));
    tiny.ask("AgentService/CreateAgent", &body, wider, Vec::new());
    assert!(matches!(found(&tiny), (9, Flaw::Request(RequestFlaw::Other("agent")))));
    // A body may go with its certificate, not before.
    let mut tiny = Tiny::new();
    tiny.entries[8].request = None;
    assert!(matches!(found(&tiny), (LEAF, Flaw::Request(RequestFlaw::Missing))));
    tiny.push(Kind::Custody(entry::Custody::default()), Vec::new());
    respoil(&mut tiny, 9, |entry| entry.time_unix_ms += 3_700_000 + 86_400_000);
    assert!(all(&tiny).is_empty());
    let mut tiny = Tiny::new();
    tiny.entries[7].request = None;
    assert!(matches!(found(&tiny), (AGENT, Flaw::Request(RequestFlaw::Missing))), "an agent's stays");
}

#[test]
fn only_the_owner_acts_for_an_agent() {
    let mut tiny = Tiny::new();
    let other = entry::AgentRecord { owner: "other".into(), ..record(&["logger"], 2) };
    tiny.update(other);
    assert!(matches!(found(&tiny), (9, Flaw::NotOwner)));
}

#[test]
fn a_renewal_is_of_the_newest_and_by_its_holder() {
    let renewed = |renews: u64| {
        let mut tiny = Tiny::new();
        tiny.issue(&["logger"], 1);
        let (mut issuance, _, signature) = tiny.asked(&["logger"], 1);
        issuance.renews = Some(reference(renews));
        let body = proto::v1::RenewCertificateBody::default();
        tiny.ask("IssuanceService/RenewCertificate", &body, Kind::Issuance(issuance), signature);
        all(&tiny)
    };
    for (what, flaws) in [("an older one", renewed(LEAF)), ("another's word", renewed(LEAF + 1))] {
        assert!(flaws.iter().any(|(_, flaw)| matches!(flaw, Flaw::NotNewest)), "{what}: {flaws:?}");
    }
    // A false `renews` passes no freeze.
    let mut tiny = Tiny::new();
    tiny.act(&Act::Freeze, 8);
    let (mut issuance, body, signature) = tiny.asked(&["logger"], 1);
    issuance.renews = Some(reference(LEAF));
    tiny.ask("IssuanceService/IssueCertificate", &body, Kind::Issuance(issuance), signature);
    let flaws = all(&tiny);
    assert!(flaws.iter().any(|(_, flaw)| matches!(flaw, Flaw::NotOwner)), "{flaws:?}");
    tiny.issue(&["logger"], 1);
    assert!(all(&tiny).iter().any(|(index, flaw)| *index == 11 && matches!(flaw, Flaw::Frozen)));
}

#[test]
fn no_certificate_lives_longer_than_was_authorised() {
    let mut tiny = Tiny::new();
    spoil_issuance(&mut tiny, LEAF, |issuance| issuance.lifetime_seconds = 3599);
    assert!(matches!(found(&tiny), (LEAF, Flaw::Lifetime)));
    let mut tiny = Tiny::new();
    spoil_issuance(&mut tiny, LEAF, |issuance| issuance.lifetime_seconds = 86_401);
    assert!(all(&tiny).iter().any(|(_, flaw)| matches!(flaw, Flaw::NotCovered(_))));
}

#[test]
fn a_revocation_and_a_list_leave_nothing_out() {
    let crl = |tiny: &Tiny, number, revoked| Crl {
        issuer_spki_sha256: tiny.issuer.issuer.spki_sha256().to_vec(),
        number,
        this_update_unix: NOW,
        next_update_unix: NOW + 86_400,
        tbs_sha256: vec![1; 32],
        revoked,
        covers: tiny.entries.len() as u64,
    };
    let mut tiny = Tiny::new();
    revoke(&mut tiny, LEAF, 9);
    let list = crl(&tiny, 1, 1);
    tiny.push(Kind::Crl(list), Vec::new());
    assert!(all(&tiny).is_empty(), "{:?}", all(&tiny));
    // As where a row of the revoked was deleted.
    let list = crl(&tiny, 2, 0);
    tiny.push(Kind::Crl(list), Vec::new());
    assert!(matches!(found(&tiny), (12, Flaw::CrlCount { says: 0, made: 1 })));
    let mut tiny = Tiny::new();
    let list = crl(&tiny, 1_000_000, 0);
    tiny.push(Kind::Crl(list), Vec::new());
    assert!(matches!(found(&tiny), (9, Flaw::Crl)), "numbers are not used up");
    // Revoked for the second time: it ends none.
    let mut tiny = Tiny::new();
    revoke(&mut tiny, LEAF, 9);
    revoke(&mut tiny, LEAF, 10);
    assert!(matches!(found(&tiny), (12, Flaw::RevocationCount { says: 1, made: 0 })));
}

#[test]
fn what_is_given_up_was_given_to_nobody() {
    let given_up = |certificate: u64| {
        let reason = "RESTARTED".into();
        Kind::Abandonment(entry::Abandonment { certificate: Some(reference(certificate)), reason })
    };
    let mut tiny = Tiny::new();
    tiny.push(given_up(LEAF), Vec::new());
    assert!(matches!(found(&tiny), (9, Flaw::Abandoned)), "it is signed");
    let mut tiny = Tiny::new();
    tiny.entries[8].signature.clear();
    tiny.push(given_up(LEAF), Vec::new());
    assert!(all(&tiny).is_empty());
    tiny.push(given_up(LEAF), Vec::new());
    assert!(matches!(found(&tiny), (10, Flaw::Abandoned)), "twice");
}

/// A checkpoint covers none that is pending.
#[test]
fn what_a_checkpoint_covers_is_not_given_up_above_it() {
    let reason = "RESTARTED".into();
    let mut tiny = Tiny::new();
    tiny.entries[8].signature.clear();
    let given_up = entry::Abandonment { certificate: Some(reference(LEAF)), reason };
    tiny.push(Kind::Abandonment(given_up), Vec::new());
    let found = |known: u64| {
        let mut audit = Audit::new(name(ORIGIN), ATTRIBUTES_OID, None);
        audit.known_below(known, NOW - 3600);
        tiny.entries.iter().enumerate().for_each(|(index, recorded)| read(&mut audit, index, recorded));
        audit.finish(&tiny.head()).findings
    };
    assert!(matches!(found(9)[..], [Finding { index: 9, flaw: Flaw::Abandoned }]));
    assert!(found(8).is_empty(), "it was pending");
    assert!(found(10).is_empty(), "a keeper gave it up");
}

#[test]
fn what_the_log_s_checkpoint_covers_is_judged_only_in_what_officers_sign() {
    let known = |tiny: &Tiny, size: u64| {
        let mut audit = Audit::new(name(ORIGIN), ATTRIBUTES_OID, None);
        audit.known_below(size, NOW - 3600);
        tiny.entries.iter().enumerate().for_each(|(index, recorded)| read(&mut audit, index, recorded));
        audit.finish(&tiny.head()).findings.len()
    };
    let mut tiny = Tiny::new();
    tiny.issue(&["admin"], 1);
    assert_eq!((known(&tiny, 10), known(&tiny, 9)), (0, 1));
    let mut tiny = Tiny::new();
    let at = tiny.entries[5].entry.windows(6).position(|bytes| bytes == b"logger").unwrap();
    tiny.entries[5].entry[at..at + 6].copy_from_slice(b"admins");
    assert_eq!(known(&tiny, 9), 1);
}
