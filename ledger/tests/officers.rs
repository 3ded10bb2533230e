//! Charters, bundles and proposals: what officers sign is what is done, and nobody else is an officer.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::{charter, forged, name, officer, signed, tampered, terms};
use rootcellar_ledger::bundle::{Bundle, BundleError, Contents, Log, NotNewer};
use rootcellar_ledger::charter::{Charter, CharterError, NotApproved};
use rootcellar_ledger::note::{KeyName, Note, NoteSigner as _};
use rootcellar_ledger::proposal::{self, MAX_LIFETIME_SECS, Proposal, ProposalError, Rule};
use rootcellar_ledger::text::{Kind, TextError};

const CELL: &str = "prod.example";
const NOW: i64 = 1_767_225_600; // 2026-01-01T00:00:00Z

fn contents(number: u64) -> Contents {
    let log = Log { origin: name("prod.example/log/1"), keys: vec![officer("log").key().clone()] };
    let anchors = vec![vec![0x30, 3, 1, 1, 0xff], [&[0x30, 0x81, 200], [7; 200].as_slice()].concat()];
    Contents { cell: CELL.into(), number, charter_revision: 1, logs: vec![log], issuers: vec![], anchors }
}

fn proposal() -> Proposal {
    Proposal {
        cell: CELL.into(),
        log: name("prod.example/log/1"),
        charter_revision: 1,
        nonce: [0xab; 16],
        expires_unix: NOW + 3600,
        act_name: "controller.add".into(),
        act_fields: [("name", "build"), ("tag", "a b"), ("tag", "c: d")]
            .map(|(k, v)| (k.into(), v.into()))
            .into(),
    }
}

fn open(note: &Note) -> Result<proposal::Approved, ProposalError> {
    proposal::open(note, &charter(), CELL, &name("prod.example/log/1"), NOW, |act| Rule {
        is_for_one: act == "freeze",
        ..Rule::default()
    })
}

#[test]
fn the_texts_are_as_documented() {
    let ada = officer("ada").key().to_string();
    assert_eq!(
        terms(1, 1, &["ada"]).draft().unwrap().text(),
        format!("rootcellar/v1 charter\ncell: prod.example\nrevision: 1\nquorum: 1\nofficer: {ada}\n")
    );
    let bundle = contents(1).draft().unwrap();
    let log = officer("log").key().to_string();
    let head = format!(
        "rootcellar/v1 bundle\ncell: prod.example\nnumber: 1\ncharter: 1\nlog: prod.example/log/1 {log}\n\
         -----BEGIN CERTIFICATE-----\nMAMBAf8=\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n"
    );
    assert!(bundle.text().starts_with(&head), "{}", bundle.text());
    assert_eq!(
        proposal().draft().unwrap().text(),
        "rootcellar/v1 proposal\ncell: prod.example\nlog: prod.example/log/1\ncharter: 1\n\
         nonce: abababababababababababababababab\nexpires: 2026-01-01T01:00:00Z\nact: controller.add\n\
         name: build\ntag: a b\ntag: c: d\n"
    );
}

#[test]
fn a_charter_is_founded_by_a_quorum_of_its_officers() {
    let draft = || terms(1, 2, &["ada", "bob", "cyd"]).draft().unwrap();
    let charter = Charter::found(&signed(draft(), &["bob", "cyd"])).unwrap();
    assert_eq!((charter.cell(), charter.revision(), charter.quorum()), (CELL, 1, 2));
    assert_eq!(charter.officers().len(), 3);
    let refused = |note: &Note| match Charter::found(note) {
        Err(CharterError::NotApproved(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&draft()), NotApproved::Unsigned);
    assert_eq!(refused(&signed(draft(), &["eve"])), NotApproved::Stranger);
    assert_eq!(refused(&signed(draft(), &["eve", "ada"])), NotApproved::NotEnough { have: 1, need: 2 });
    let second = signed(terms(2, 1, &["ada"]).draft().unwrap(), &["ada"]);
    assert_eq!(Charter::found(&second), Err(CharterError::WrongRevision { have: 2, want: 1 }));
}

#[test]
fn the_officers_before_approve_the_officers_after() {
    let next = |revision| terms(revision, 1, &["eve"]).draft().unwrap();
    assert_eq!(charter().succeed(&signed(next(2), &["ada", "cyd"])).unwrap().revision(), 2);
    let coup = charter().succeed(&signed(next(2), &["eve"]));
    assert_eq!(coup, Err(CharterError::NotApproved(NotApproved::Stranger)));
    for revision in [1, 3] {
        let refused = charter().succeed(&signed(next(revision), &["ada", "cyd"]));
        assert_eq!(refused, Err(CharterError::WrongRevision { have: revision, want: 2 }));
    }
    let mut elsewhere = terms(2, 1, &["eve"]);
    elsewhere.cell = "other.example".into();
    let refused = charter().succeed(&signed(elsewhere.draft().unwrap(), &["ada", "cyd"]));
    assert_eq!(refused, Err(CharterError::WrongCell));
}

#[test]
fn a_quorum_is_of_distinct_officers() {
    let one = signed(Note::unsigned("text\n").unwrap(), &["ada"]).to_string();
    let line = one.lines().last().unwrap();
    let twice = Note::parse(format!("{one}{line}\n").as_bytes()).unwrap();
    assert_eq!(charter().approvals(&twice), Err(NotApproved::NotEnough { have: 1, need: 2 }));

    let key = officer("ada").key().public_key().try_into().unwrap();
    let alias =
        rootcellar_ledger::note::VerifierKey::ed25519(name("prod.example/officer/alias"), &key).unwrap();
    let mut one_person = terms(1, 2, &["ada"]);
    one_person.officers.push(alias);
    assert_eq!(one_person.draft(), Err(CharterError::Text(TextError::Count("officer"))));
    assert!(terms(1, 2, &["ada", "ada"]).draft().is_err());
}

#[test]
fn a_made_up_line_of_an_officer_is_an_error_even_with_a_quorum() {
    let note = signed(Note::unsigned("text\n").unwrap(), &["ada", "bob"]).to_string();
    let other = signed(Note::unsigned("another text\n").unwrap(), &["cyd"]).to_string();
    let line = other.lines().last().unwrap();
    let note = Note::parse(format!("{note}{line}\n").as_bytes()).unwrap();
    let cyd = officer("cyd").key().name().clone();
    assert_eq!(charter().approvals(&note), Err(NotApproved::BadSignature(cyd)));
}

#[test]
fn strangers_lines_are_ignored() {
    let note = signed(Note::unsigned("text\n").unwrap(), &["eve", "cyd", "ada"]);
    let approvals = charter().approvals(&note).unwrap();
    let names: Vec<_> = approvals.officers().iter().map(KeyName::as_str).collect();
    assert_eq!(names, ["prod.example/officer/ada", "prod.example/officer/cyd"]);
}

#[test]
fn quorum_and_officers_are_bounded() {
    for (revision, quorum, officers) in [(1, 0, 1), (1, 3, 2), (0, 1, 1), (1, 1, 0), (1, 1, 33)] {
        let names: Vec<String> = (0..officers).map(|i| format!("o{i}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert!(terms(revision, quorum, &names).draft().is_err(), "{revision} {quorum} {officers}");
    }
    assert!(terms(1, 1, &["\u{430}lice"]).draft().is_err(), "a letter that looks like another");
    let names: Vec<String> = (0..32).map(|i| format!("o{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let note = signed(terms(1, 32, &names).draft().unwrap(), &names);
    let parsed = Note::parse(note.to_string().as_bytes()).unwrap();
    assert_eq!(Charter::found(&parsed).unwrap().quorum(), 32);
}

/// The signatures are valid in all of these: only the form is wrong. Where another text is accepted, it is because a value
/// changed into another valid one, and then the text is the one form of that.
#[test]
fn a_text_in_any_other_form_is_refused_though_signed() {
    let header = |text: &str, lines: usize| text.lines().take(lines).map(str::to_owned).collect::<Vec<_>>();
    let by = ["ada", "bob"];
    let original = terms(1, 1, &["ada"]).draft().unwrap();
    for text in tampered(original.text()) {
        if let Ok(charter) = Charter::found(&forged(&text, &by)) {
            assert_eq!(charter.terms().draft().unwrap().text(), text);
            assert_eq!(charter.cell(), "prod.exampl", "{text}");
        }
    }
    let original = contents(1).draft().unwrap();
    for text in tampered(original.text()) {
        if let Ok(bundle) = Bundle::open(&forged(&text, &by), &charter()) {
            assert_eq!(bundle.contents().draft().unwrap().text(), text);
            assert_eq!(header(&text, 5), header(original.text(), 5), "{text}");
        }
    }
    let original = proposal().draft().unwrap();
    for text in tampered(original.text()) {
        if let Ok(approved) = open(&forged(&text, &by)) {
            assert_eq!(approved.proposal().draft().unwrap().text(), text);
            assert_eq!(header(&text, 6), header(original.text(), 6), "{text}");
        }
    }
}

/// The officers signed one thing: no change of the text passes for it.
#[test]
fn a_changed_text_keeps_no_approval() {
    let note = signed(proposal().draft().unwrap(), &["ada", "bob"]).to_string();
    let (text, signatures) = note.split_once("\n\n").unwrap();
    for changed in tampered(&format!("{text}\n")) {
        if let Ok(note) = Note::parse(format!("{changed}\n{signatures}").as_bytes()) {
            assert!(matches!(charter().approvals(&note), Err(NotApproved::BadSignature(_))), "{changed}");
        }
    }
}

#[test]
fn no_kind_passes_for_another() {
    let notes = [
        terms(1, 2, &["ada", "bob", "cyd"]).draft().unwrap(),
        contents(1).draft().unwrap(),
        proposal().draft().unwrap(),
    ]
    .map(|note| signed(note, &["ada", "bob"]));
    let kinds = [Kind::Charter, Kind::Bundle, Kind::Proposal];
    for (note, is) in notes.iter().zip(kinds) {
        assert_eq!(note.kind(), Some(is));
        assert_eq!(Charter::found(note).is_ok(), is == Kind::Charter);
        assert_eq!(Bundle::open(note, &charter()).is_ok(), is == Kind::Bundle);
        assert_eq!(open(note).is_ok(), is == Kind::Proposal);
        for other in Kind::ALL.into_iter().filter(|other| *other != is) {
            let relabelled = forged(&note.text().replace(is.line(), other.line()), &["ada", "bob"]);
            assert!(Charter::found(&relabelled).is_err());
            assert!(Bundle::open(&relabelled, &charter()).is_err());
            assert!(open(&relabelled).is_err());
        }
    }
}

#[test]
fn a_bundle_is_opened_under_its_charter() {
    let bundle = Bundle::open(&signed(contents(1).draft().unwrap(), &["ada", "bob"]), &charter()).unwrap();
    assert_eq!(bundle.contents(), &contents(1));
    assert_eq!(bundle.approvals().officers().len(), 2);
    let blocks = bundle.pem();
    assert!(bundle.contents().draft().unwrap().text().ends_with(&blocks));
    assert!(blocks.lines().all(|line| line.len() <= 64));

    let later = Contents { charter_revision: 2, ..contents(1) };
    let refused = Bundle::open(&signed(later.draft().unwrap(), &["ada", "bob"]), &charter());
    assert_eq!(refused, Err(BundleError::WrongCharter { have: 2, want: 1 }));
    let elsewhere = Contents { cell: "other.example".into(), ..contents(1) };
    let refused = Bundle::open(&signed(elsewhere.draft().unwrap(), &["ada", "bob"]), &charter());
    assert_eq!(refused, Err(BundleError::WrongCell));
    let refused = Bundle::open(&signed(contents(1).draft().unwrap(), &["ada"]), &charter());
    assert_eq!(refused, Err(BundleError::NotApproved(NotApproved::NotEnough { have: 1, need: 2 })));
}

#[test]
fn a_bundle_never_goes_back() {
    let bundle = |contents: Contents| {
        Bundle::open(&signed(contents.draft().unwrap(), &["ada", "bob"]), &charter()).unwrap()
    };
    let (first, second) = (bundle(contents(1)), bundle(contents(2)));
    assert_eq!(second.supersedes(&first), Ok(()));
    assert_eq!(first.supersedes(&first), Ok(()));
    assert_eq!(first.supersedes(&second), Err(NotNewer::Older { have: 2, offered: 1 }));
    let twin = bundle(Contents { anchors: vec![vec![0x30, 0]], ..contents(1) });
    assert_eq!(twin.supersedes(&first), Err(NotNewer::Conflict(1)));
}

#[test]
fn an_anchor_is_one_certificate() {
    let long = |length: &[u8], len: usize| [&[0x30], length, &vec![0; len]].concat();
    let anchors = |anchor: Vec<u8>| Contents { anchors: vec![anchor], ..contents(1) }.draft();
    for good in [long(&[0x7f], 0x7f), long(&[0x81, 0x80], 0x80), long(&[0x82, 1, 0], 0x100)] {
        assert!(anchors(good).is_ok());
    }
    let bad = [
        vec![],
        vec![0x30],
        vec![0x31, 0],
        vec![0x30, 0, 0],
        long(&[0x81, 0x7f], 0x7f),
        long(&[0x82, 0, 0x80], 0x80),
        long(&[0x80], 0),
        long(&[0x84, 0, 0, 0, 1], 1),
        long(&[0x82, 1], 0),
    ];
    for anchor in bad {
        assert!(anchors(anchor.clone()).is_err(), "{anchor:02x?}");
    }
    assert!(Contents { anchors: vec![], ..contents(1) }.draft().is_err());
    assert!(Contents { logs: vec![], ..contents(1) }.draft().is_err());
    assert!(Contents { anchors: vec![vec![0x30, 0]; 2], ..contents(1) }.draft().is_err(), "one twice");
    assert!(Contents { logs: [contents(1).logs, contents(1).logs].concat(), ..contents(1) }.draft().is_err());
}

#[test]
fn an_approved_proposal_says_what_and_who() {
    let note = signed(proposal().draft().unwrap(), &["bob", "ada"]);
    let approved = open(&Note::parse(note.to_string().as_bytes()).unwrap()).unwrap();
    assert_eq!(approved.proposal(), &proposal());
    assert_eq!(approved.approvals().officers().len(), 2);
    let bare = Proposal { act_name: "freeze".into(), act_fields: vec![], ..proposal() };
    assert!(open(&signed(bare.draft().unwrap(), &["bob", "ada"])).is_ok());
}

#[test]
fn a_proposal_is_for_one_place_and_time() {
    let quorum = |proposal: Proposal| open(&signed(proposal.draft().unwrap(), &["ada", "bob"])).map(drop);
    let expires = |expires_unix| quorum(Proposal { expires_unix, ..proposal() });
    assert_eq!(expires(NOW), Err(ProposalError::Expired));
    assert_eq!(expires(NOW + 1), Ok(()));
    assert_eq!(expires(NOW + MAX_LIFETIME_SECS), Ok(()));
    assert_eq!(expires(NOW + MAX_LIFETIME_SECS + 1), Err(ProposalError::TooFar));
    assert_eq!(
        quorum(Proposal { cell: "other.example".into(), ..proposal() }),
        Err(ProposalError::WrongCell)
    );
    assert_eq!(
        quorum(Proposal { log: name("prod.example/log/2"), ..proposal() }),
        Err(ProposalError::WrongLog)
    );
    let stale = quorum(Proposal { charter_revision: 7, ..proposal() });
    assert_eq!(stale, Err(ProposalError::WrongCharter { have: 7, want: 1 }));
}

#[test]
fn an_act_for_one_needs_one_officer_and_no_stranger() {
    let freeze = Proposal { act_name: "freeze".into(), act_fields: vec![], ..proposal() };
    let by = |officers: &[&str]| open(&signed(freeze.draft().unwrap(), officers)).map(drop);
    assert_eq!(by(&[]), Err(ProposalError::Unsigned));
    assert_eq!(by(&["eve"]), Err(ProposalError::Stranger));
    assert_eq!(by(&["bob"]), Ok(()));
}

#[test]
fn a_proposal_needs_the_quorum() {
    let by = |officers: &[&str]| open(&signed(proposal().draft().unwrap(), officers)).map(drop);
    assert_eq!(by(&[]), Err(ProposalError::Unsigned));
    assert_eq!(by(&["eve"]), Err(ProposalError::Stranger));
    assert_eq!(by(&["ada", "eve"]), Err(ProposalError::NotEnough { have: 1, need: 2 }));
    let text = proposal().draft().unwrap().text().to_owned();
    let unsigned = Note::parse(text.as_bytes()).map_err(ProposalError::from);
    assert_eq!(unsigned, Err(ProposalError::Unsigned));
}

#[test]
fn no_value_can_write_a_line_of_its_own() {
    let with = |act_name: &str, key: &str, value: &str| {
        let act_fields = vec![(key.to_owned(), value.to_owned())];
        Proposal { act_name: act_name.into(), act_fields, ..proposal() }.draft()
    };
    assert!(with("a.b-c", "k-1.x", "va: lue").is_ok());
    for value in ["", " ", "a ", " a", "a\nb: c", "a\n", "a\u{2028}b", "a\tb"] {
        assert!(with("a", "k", value).is_err(), "{value:?}");
    }
    for key in
        ["", "K", "k k", "k:", "1k", "k..l", "k_l", "cell", "act", "expires", "k: v\nl", &"k".repeat(65)]
    {
        assert!(with("a", key, "v").is_err(), "{key:?}");
    }
    for act in ["", "A", "a..b", ".a", "a b", "a\nk: v", "a: b"] {
        assert!(with(act, "k", "v").is_err(), "{act:?}");
    }
    let far = Proposal { expires_unix: i64::MAX, ..proposal() };
    assert!(far.draft().is_err());
}
