//! Plans and transcripts: what officers approve is the whole text, and what was altered is found.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::{charter, forged, officer, signed};
use rootcellar_ledger::bundle::{Contents, IssuerLine, IssuerState, Log};
use rootcellar_ledger::charter::NotApproved;
use rootcellar_ledger::note::{Note, NoteSigner as _};
use rootcellar_ledger::plan::{
    Ceremony, Certify, CertifyAs, Destroy, KeyRef, MAX_LIFETIME_SECS, MakeCrl, MakeKey, Plan, PlanError,
    Revoke, Step,
};
use rootcellar_ledger::text::TextError;
use rootcellar_ledger::transcript::{Transcript, altered};

const NOW: i64 = 1_767_225_600; // 2026-01-01T00:00:00Z
const TOKEN: &str = "pkcs11:token=root;model=SoftHSM%20v2";

fn plan() -> Plan {
    let (named, key) = (
        |name: &str| KeyRef::Named(name.into()),
        |name: &str| {
            Step::MakeKey(MakeKey {
                name: name.into(),
                algorithm: "p256".into(),
                token: TOKEN.into(),
                label: format!("rootcellar {name}"),
                exceptions: vec![],
            })
        },
    );
    let certify = |profile, subject: &str| {
        let (subject, signer, token) = (named(subject), named("root"), TOKEN.into());
        Step::Certify(Certify { profile, subject, signer, token, days: 365 })
    };
    Plan {
        cell: "prod.example".into(),
        ceremony: Ceremony::Found,
        charter_revision: charter().revision(),
        charter_sha256: charter().sha256(),
        quorum: charter().quorum(),
        nonce: [0xab; 16],
        expires_unix: NOW + 3600,
        steps: vec![
            key("root"),
            key("issuer"),
            certify(CertifyAs::Root, "root"),
            certify(CertifyAs::Issuer, "issuer"),
            Step::MakeCrl(MakeCrl {
                signer: named("root"),
                token: TOKEN.into(),
                number: 1,
                days: 90,
                revoked: vec![Revoke { serial: vec![1, 2], reason: 5 }],
            }),
            Step::Destroy(Destroy { key: named("issuer"), token: TOKEN.into() }),
        ],
    }
}

fn approve(plan: &Plan) -> Result<(), PlanError> {
    Plan::approve(&signed(plan.draft().unwrap(), &["ada", "bob"]), &charter(), NOW).map(drop)
}

#[test]
fn a_plan_reads_as_it_was_written_and_explains_itself() {
    let note = plan().draft().unwrap();
    assert_eq!(Plan::read(&note).unwrap(), plan());
    assert!(note.text().contains("\n# Step 1. A key pair is made in this token."), "{}", note.text());
    assert!(note.text().contains("\nsigner: root\n") && note.text().contains("\nrevoke: 0102 5\n"));
    approve(&plan()).unwrap();
}

#[test]
fn a_quorum_approves_in_time_and_under_its_own_charter() {
    let note = plan().draft().unwrap();
    let one = Plan::approve(&signed(note.clone(), &["ada"]), &charter(), NOW);
    assert_eq!(one, Err(NotApproved::NotEnough { have: 1, need: 2 }.into()));
    let twice = Plan::approve(&signed(note.clone(), &["ada", "mallory"]), &charter(), NOW);
    assert!(matches!(twice, Err(PlanError::NotApproved(_))));
    let changed = forged(&note.text().replace("days: 365", "days: 366"), &["ada", "bob"]).to_string();
    let changed = Note::parse(changed.replace("days: 366", "days: 365").as_bytes()).unwrap();
    assert!(matches!(
        Plan::approve(&changed, &charter(), NOW),
        Err(PlanError::NotApproved(NotApproved::BadSignature(_)))
    ));
    let changed = |change: fn(&mut Plan)| {
        let mut plan = plan();
        change(&mut plan);
        approve(&plan)
    };
    assert_eq!(changed(|plan| plan.cell = "other.example".into()), Err(PlanError::WrongCell));
    assert_eq!(changed(|plan| plan.charter_revision = 2), Err(PlanError::WrongCharter));
    assert_eq!(changed(|plan| plan.charter_sha256 = [0; 32]), Err(PlanError::WrongCharter));
    assert_eq!(changed(|plan| plan.quorum += 1), Err(PlanError::WrongCharter));
    assert_eq!(changed(|plan| plan.expires_unix = NOW), Err(PlanError::Expired));
    assert_eq!(changed(|plan| plan.expires_unix = NOW + MAX_LIFETIME_SECS + 1), Err(PlanError::TooFar));
}

#[test]
fn what_no_plan_can_say_is_not_written() {
    let refuses = |change: fn(&mut Plan)| {
        let mut plan = plan();
        change(&mut plan);
        plan.draft().unwrap_err();
    };
    refuses(|plan| plan.steps.clear());
    refuses(|plan| plan.steps = vec![plan.steps[0].clone(); 2]);
    refuses(|plan| plan.steps.swap(0, 2));
    refuses(|plan| plan.steps = vec![plan.steps[5].clone(); 17]);
    refuses(|plan| plan.cell = "prod.example\ntype: root".into());
    // The type is what officers see first: no other steps than its own.
    for ceremony in
        [Ceremony::Root, Ceremony::Issuer, Ceremony::LogKey, Ceremony::Retirement, Ceremony::RootCrl]
    {
        let plan = Plan { ceremony, ..plan() };
        assert_eq!(plan.draft(), Err(TextError::NotOfItsType.into()), "{ceremony}");
    }
    refuses(|plan| {
        if let Step::Destroy(destroy) = &mut plan.steps[5] {
            destroy.key = KeyRef::Sha256([7; 32]);
        }
    });
    refuses(|plan| {
        if let Step::Certify(certify) = &mut plan.steps[2] {
            certify.signer = KeyRef::Named("issuer".into());
        }
    });
    refuses(|plan| {
        if let Step::MakeKey(make) = &mut plan.steps[0] {
            make.token = "pkcs11:token=root".into();
        }
    });
    refuses(|plan| {
        if let Step::MakeKey(make) = &mut plan.steps[0] {
            make.label = "x\nstep: destroy-key".into();
        }
    });
}

#[test]
fn another_comment_is_another_plan() {
    let text = plan().draft().unwrap().text().replace("never leaves it", "may leave it");
    let note = Note::unsigned(&text).unwrap();
    assert_eq!(Plan::read(&note), Err(TextError::NotCanonical.into()));
}

fn transcript() -> Transcript {
    let plan = signed(plan().draft().unwrap(), &["ada", "bob"]).to_string();
    let fields = [
        ("tool", "rootcellar 0.1.0"),
        ("key", "root"),
        ("cka-id", "0a"),
        ("key", "issuer"),
        ("cka-id", "0b"),
    ];
    let fields = fields.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    Transcript { cell: "prod.example".into(), plan, fields }
}

#[test]
fn a_transcript_carries_its_plan_and_its_approvals() {
    let note = signed(transcript().draft().unwrap(), &["ada"]);
    let (read, by) = Transcript::open(&note, &charter()).unwrap();
    assert_eq!((&read, by.officers().len()), (&transcript(), 1));
    Plan::approve(&read.plan_note().unwrap(), &charter(), NOW).unwrap();
    assert_eq!(read.value("tool"), Some("rootcellar 0.1.0"));
    let sections: Vec<&str> = read.sections("key").map(|lines| lines[1].1.as_str()).collect();
    assert_eq!(sections, ["0a", "0b"]);
    assert_eq!(altered(note.to_string().as_bytes()), None);
    // What nobody has signed yet is not altered for that.
    assert_eq!(altered(transcript().draft().unwrap().text().as_bytes()), None);
}

#[test]
fn each_altered_byte_is_caught_and_its_line_named() {
    let note = signed(transcript().draft().unwrap(), &["ada"]).to_string();
    let lines: Vec<&str> = note.lines().collect();
    let text_lines = lines.iter().position(|line| line.is_empty()).unwrap();
    let mut line = 0;
    for (i, byte) in note.bytes().enumerate() {
        for flip in [0x01, 0x20] {
            let mut bytes = note.clone().into_bytes();
            bytes[i] ^= flip;
            let opened = Note::parse(&bytes).map_err(drop).and_then(|note| {
                // A stranger's line counts for nothing, as in every note: it is the officer's that must be gone then.
                Transcript::open(&note, &charter()).map_err(drop)
            });
            assert!(opened.is_err(), "byte {i} of line {}: {:?}", line + 1, lines[line]);
            if line < text_lines - 1 && byte != b'\n' && bytes[i] != b'\n' {
                let named = altered(&bytes).unwrap();
                assert!(named.starts_with(&format!("line {} ", line + 1)), "{named}: {:?}", lines[line]);
            } else if line == text_lines - 1 && byte != b'\n' && bytes[i] != b'\n' {
                assert_eq!(altered(&bytes).unwrap(), "line-hashes");
            }
        }
        line += usize::from(byte == b'\n');
    }
}

#[test]
fn a_bundle_names_issuers_and_more_than_one_key_of_a_log() {
    let line = |state, octet| IssuerLine { state, spki_sha256: [octet; 32] };
    let log = |name: &str, keys: &[&str]| Log {
        origin: common::name(name),
        keys: keys.iter().map(|key| officer(key).key().clone()).collect(),
    };
    let contents = Contents {
        cell: "prod.example".into(),
        number: 1,
        charter_revision: 1,
        logs: vec![log("prod.example/log/1", &["log", "spare"])],
        issuers: vec![line(IssuerState::Active, 1), line(IssuerState::Prepared, 2)],
        anchors: vec![vec![0x30, 0]],
    };
    let note = contents.draft().unwrap();
    assert_eq!(Contents::read(&note).unwrap(), contents);
    assert!(note.text().contains(&format!("\nissuer: active {}\n", "01".repeat(32))), "{}", note.text());
    assert_eq!(contents.active_issuer(), Some([1; 32]));
    let refuses = |change: fn(&mut Contents)| {
        let mut contents = contents.clone();
        change(&mut contents);
        contents.draft().unwrap_err();
    };
    refuses(|contents| contents.issuers[1].state = IssuerState::Active);
    refuses(|contents| contents.issuers[1].spki_sha256 = [1; 32]);
    refuses(|contents| {
        contents.issuers =
            (0..17).map(|i| IssuerLine { state: IssuerState::Retired, spki_sha256: [i; 32] }).collect();
    });
    refuses(|contents| contents.logs[0].keys.clear());
    refuses(|contents| contents.logs[0].keys[1] = contents.logs[0].keys[0].clone());
    refuses(|contents| contents.logs.push(contents.logs[0].clone()));
}
