//! Each invariant of SECURITY.md, I1 to I7, broken from the three places that may be in other hands: the journal's file, a backup, and the
//! front's side of the door. `invariants.rs` breaks them from within.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use cell::Act;
use ceremony::officer::publish_bundle;
use keeper::{Durability, Journal};
use ledger::bundle::{Bundle, Contents};
use ledger::entry::entry::Kind;
use ledger::entry::{self, Actor, ActorKind, Entry};
use ledger::note::Note;
use prost::Message as _;
use proto::door::{Signed, answer, ask};
use proto::v1::{
    BackupJournalRequest, GetCrlRequest, ImportCeremonyRequest, IssueCertificateBody, Reason,
    SubmitProposalRequest,
};
use rcgen::KeyPair;
use rootcellar_softhsm_tests::door::front;
use rootcellar_softhsm_tests::{Cell, Faults};
use rusqlite::Connection;

use crate::front::{Seen, take};
use crate::invariants::nothing_unrecorded_was_signed;
use crate::officer::{Officer, now_secs};
use crate::support::{Anothers, BINARY, House, csr, inner, issue, request, serve, still_issues};

/// A cell with the misbehaving module, a controller, a certificate, another that was revoked, a CRL and a freeze; a copy of all that; and
/// the service stopped.
struct Stopped {
    cell: Cell,
    faults: Faults,
    copy: std::path::PathBuf,
    /// A bundle as its officers would sign it, by an officer of nobody's.
    strange_bundle: Note,
}

async fn stopped() -> Stopped {
    let (mut house, faults) = House::with_faults();
    let client = house.build().await;
    house.controller("other", "agents=other/*;roles=logger");
    issue(&client, "build/a").await;
    issue(&client, "build/gone").await;
    house.cell.run(&["cert", "revoke", "--agent", "build/gone", "--reason", "key-compromise"]).ok();
    inner(client.issuance().get_crl(GetCrlRequest::default()).await);
    house.cell.run(&["freeze"]).ok();
    let copy = house.cell.path("copy.sqlite");
    house.cell.run(&["journal", "backup", "--out", &copy.display().to_string()]).ok();
    assert_eq!(house.stop().await, 0);
    let officer = Officer::of(&house.cell);
    let stranger = Cell::founded(BINARY);
    let stranger = Officer::of(&stranger);
    let genuine = fs::read(house.cell.officer_dir().join("bundle.note")).unwrap();
    let opened = Bundle::open(&Note::parse(&genuine).unwrap(), &officer.charter).unwrap();
    let next = Contents { number: 2, ..opened.contents().clone() };
    let strange_bundle = publish_bundle(&next, &stranger.charter, &[&stranger.key]).unwrap();
    Stopped { cell: house.cell, faults, copy, strange_bundle }
}

/// What is written into a journal, by invariant, and what a start says of it. I7 has no row: no PIN stands there.
const IN_THE_JOURNAL: [(&str, &str, &str); 9] = [
    // Another key signs.
    ("I1", "UPDATE ca SET spki_sha256 = zeroblob(32)", "ca"),
    // A certificate and a CRL that no entry records.
    (
        "I2",
        "DELETE FROM entry WHERE idx = (SELECT idx FROM certificate WHERE subject = '/agent/build/a')",
        "tile 0",
    ),
    ("I2", "UPDATE crl_input SET tbs = x'00'", "the CRL beside entry"),
    // What was checked is replaced behind its entry.
    ("I3", "UPDATE signed_request SET body = x'00'", "the request beside entry"),
    // A signature that nobody verified.
    ("I4", "UPDATE signature SET signature = zeroblob(70)", "is not the one of its hash"),
    // A grant that no officer gave; an agent that is another's.
    (
        "I5",
        "UPDATE granted SET body = (SELECT body FROM granted WHERE controller = 'other') WHERE controller = 'build'",
        "granted",
    ),
    ("I5", "UPDATE agent SET owner = 'other'", "agent"),
    // What refuses is gone.
    ("I6", "DELETE FROM freeze", "freeze"),
    ("I6", "DELETE FROM revoked", "revoked"),
];

/// The same of a copy, which holds entries and what they name, and what a restore says; nothing where it makes the journal that it was.
const IN_A_COPY: [(&str, &str, &str); 8] = [
    (
        "I1",
        "INSERT INTO ca (idx, role, spki_sha256, signer, active) VALUES (1, 1, zeroblob(32), x'00', 1)",
        "",
    ),
    ("I2", "DELETE FROM entry WHERE idx = 6", "not where its index says"),
    ("I2", "UPDATE crl_input SET tbs = x'00'", "the CRL beside it is another"),
    ("I3", "UPDATE signed_request SET body = x'00'", "the request beside it"),
    ("I4", "UPDATE signature SET signature = zeroblob(70)", "its signature does not verify"),
    ("I5", "INSERT INTO granted (controller, name, idx, body) VALUES ('build', 'all', 1, x'00')", ""),
    ("I5", "INSERT INTO controller (name, idx, line_start_ms) VALUES ('evil', 1, 0)", ""),
    ("I6", "INSERT INTO freeze (one, frozen) VALUES (1, 0)", ""),
];

fn write(journal: &Path, sql: &str) {
    let connection = Connection::open(journal).unwrap();
    connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert!(connection.changes() > 0, "{sql}");
}

fn put(from: &[u8], journal: &Path) {
    fs::write(journal, from).unwrap();
    for beside in ["journal.sqlite-wal", "journal.sqlite-shm"] {
        let _ = fs::remove_file(journal.with_file_name(beside));
    }
}

/// A wrong PIN, which is tried once; and what was right.
fn wrong_pin(cell: &Cell, faults: &Faults) -> impl Fn() + use<> {
    let file = cell.data_dir().join("token/pin");
    let pin = fs::read(&file).unwrap();
    let set = move |pin: &[u8]| {
        fs::remove_file(&file).unwrap();
        fs::write(&file, pin).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    };
    let before = faults.logins();
    set(b"987654");
    cell.try_serve().map(drop).expect_err("it does not serve").fails(77);
    assert_eq!(faults.logins() - before, 1, "one try");
    move || set(&pin)
}

#[tokio::test]
async fn from_the_journals_file() {
    let Stopped { cell, faults, strange_bundle, .. } = stopped().await;
    // Its write-ahead log is brought into the file.
    cell.run(&["ledger", "rebuild"]).ok();
    let journal = cell.data_dir().join("journal.sqlite");
    let good = fs::read(&journal).unwrap();
    let start = || {
        let outcome = cell.try_serve().map(drop).expect_err("nothing is to be served");
        assert_eq!(outcome.code, 1, "{}", outcome.stderr);
        outcome.stderr
    };
    for (invariant, sql, found) in IN_THE_JOURNAL {
        write(&journal, sql);
        let said = start();
        assert!(said.contains(found), "{invariant}: {sql}: {said}");
        put(&good, &journal);
    }
    // I1, I5: entries that only officers make, with all that follows from them.
    let mut stranger = Officer::of(&Cell::founded(BINARY));
    let thaw = stranger.propose(&Act::Thaw).into_bytes();
    let bundle = strange_bundle.to_string().into_bytes();
    for kind in [Kind::Bundle(entry::Bundle { note: bundle }), Kind::Act(entry::Act { note: thaw })] {
        let officers = Actor { kind: ActorKind::Officers.into(), ..Actor::default() };
        let entry = Entry::new("cell.internal", now_secs() * 1000, officers, kind);
        let mut opened = Journal::open(&cell.data_dir()).unwrap();
        opened.begin(Durability::Disk).unwrap();
        // Where the file's own rules refuse it, no start has to.
        let taken = opened.append(&entry).and_then(|_| opened.commit());
        drop(opened);
        if taken.is_ok() {
            let said = start();
            assert!(said.contains("is not to be believed"), "{said}");
        }
        put(&good, &journal);
    }
    // I7: a journal put back, rebuilt or damaged is no other PIN.
    let right = wrong_pin(&cell, &faults);
    let logins = faults.logins();
    put(&good, &journal);
    cell.run(&["ledger", "rebuild", "--replace"]).ok();
    cell.try_serve().map(drop).expect_err("it does not serve").fails(77);
    assert_eq!(faults.logins(), logins, "no login");
    right();

    let house = House::of(cell);
    assert!(house.cell.run(&["status"]).ok().contains("frozen"));
    house.cell.run(&["thaw"]).ok();
    still_issues(&house.credentials().client().await).await;
    house.cell.run(&["ledger", "verify"]).ok();
    nothing_unrecorded_was_signed(&house, &faults).await;
}

#[tokio::test]
async fn from_a_backup() {
    let Stopped { cell, faults, mut copy, .. } = stopped().await;
    let written = cell.path("written.sqlite");
    let from = written.display().to_string();
    for (invariant, sql, found) in IN_A_COPY {
        fs::copy(&copy, &written).unwrap();
        write(&written, sql);
        let restored = cell.run(&["journal", "restore", &from]);
        if !found.is_empty() {
            let said = restored.fails(1);
            assert!(said.contains(found), "{invariant}: {sql}: {said}");
            continue;
        }
        restored.ok();
        let mut serving = cell.serve();
        cell.credentials(&serving, "build");
        let listed = cell.run(&["controller", "list"]).ok();
        assert!(!listed.contains("evil"), "{listed}");
        assert!(cell.run(&["status"]).ok().contains("frozen"), "{invariant}");
        let refused = cell.run(&["issue", "build/x", "--controller", "build"]).fails(1);
        assert!(refused.contains("FROZEN"), "{invariant}: {refused}");
        cell.run(&["ledger", "verify"]).ok();
        // It recorded more: the next copy is of that.
        copy = copy.with_extension("next");
        let _ = fs::remove_file(&copy);
        cell.run(&["journal", "backup", "--out", &copy.display().to_string()]).ok();
        assert_eq!(serving.stop(), 0);
    }
    // I7: what a restore brings is no other PIN, and it tries none that was refused.
    let right = wrong_pin(&cell, &faults);
    let logins = faults.logins();
    let _ = cell.run(&["journal", "restore", &copy.display().to_string()]);
    cell.try_serve().map(drop).expect_err("it does not serve").fails(77);
    assert_eq!(faults.logins(), logins, "no login");
    right();

    let house = House::of(cell);
    house.cell.run(&["thaw"]).ok();
    let client = house.credentials().client().await;
    still_issues(&client).await;
    house.cell.run(&["ledger", "verify"]).ok();
    nothing_unrecorded_was_signed(&house, &faults).await;
}

/// A request of this controller's for an agent.
async fn signed(build: &Seen, id: &str) -> Signed {
    let body = IssueCertificateBody { request_id: id.replace('/', "-"), ..request(id, csr()) };
    build.signs("IssuanceService/IssueCertificate", body.encode_to_vec()).await
}

#[tokio::test]
async fn from_the_fronts_side_of_the_door() {
    let (house, faults) = House::with_faults();
    house.build().await;
    let mut taken = take(house).await;
    let build = taken.build.presents();
    // I1: no ask names a key or brings one: the only key that the front brings is its own, and for another's, a CA's or the log's it has no
    // signature.
    let own = taken.door.ask(front(), serve(&KeyPair::generate().unwrap()));
    let answer::Answer::Certificate(own) = own else { panic!("{own:?}") };
    let issuer = certs::TbsFields::parse(certs::summary::tbs_of(&own.chain[1]).unwrap()).unwrap();
    let taken_by_it = serve(&Anothers::of(&issuer.spki));
    assert_eq!(taken.reason(front(), taken_by_it), Ok(Reason::CsrSignatureInvalid));
    let bundle = fs::read(taken.cell.officer_dir().join("bundle.note")).unwrap();
    let logs = Contents::read(&Note::parse(&bundle).unwrap()).unwrap();
    let (_, log) = logs.log_keys().next().unwrap();
    let logs_own = serve(&Anothers::of(&audit::note_spki(log)));
    assert_eq!(taken.reason(front(), logs_own), Ok(Reason::CsrSignatureInvalid));
    // I3, I5: what the caller did not sign is not issued, whatever the front says beside it.
    let mut other = signed(&taken.build, "build/x").await;
    other.body = signed(&taken.build, "build/y").await.body;
    assert_eq!(taken.reason(build.clone(), ask::Ask::Signed(other)), Ok(Reason::SignatureInvalid));
    let outside = signed(&taken.build, "prod/x").await;
    assert_eq!(taken.reason(build.clone(), ask::Ask::Signed(outside)), Ok(Reason::GrantDoesNotCover));
    // I5: officers' acts are theirs, whoever hands them in.
    let mut officer = Officer::of(&taken.cell);
    let thaw = officer.propose(&Act::Thaw);
    let changed = thaw.replace("act: thaw", "act: freeze");
    assert_ne!(thaw, changed);
    for by in [front(), build.clone()] {
        let submit = SubmitProposalRequest { proposal: changed.clone() };
        let refused = taken.reason(by.clone(), ask::Ask::SubmitProposal(submit));
        assert_eq!(refused, Ok(Reason::ProposalNotApproved));
        let import = ImportCeremonyRequest { bundle: "rootcellar/v1 bundle\n".into(), ..Default::default() };
        assert!(taken.reason(by.clone(), ask::Ask::ImportCeremony(import)).is_ok());
        let backup = ask::Ask::BackupJournal(BackupJournalRequest {});
        assert_eq!(taken.reason(by, backup), Ok(Reason::CallerNotAllowed), "the disk is not the front's");
    }
    // I6: by a clock that is wrong, nothing is recorded.
    let good = signed(&taken.build, "build/late").await;
    taken.cell.jump_clock(0, -86_400_000);
    assert_eq!(taken.reason(build.clone(), ask::Ask::Signed(good)), Ok(Reason::ClockWrong));
    taken.cell.jump_clock(0, 0);
    // I4: a signature that does not verify is not released, nor is anything after it.
    faults.set("flip");
    let flipped = signed(&taken.build, "build/flipped").await;
    taken.door.send(build.clone(), ask::Ask::Signed(flipped));
    while let Some(answer) = taken.door.receive() {
        assert!(!matches!(answer.answer, Some(answer::Answer::Certificate(_))), "{answer:?}");
    }
    faults.set("");
    // I7: a keeper that starts anew for the front's sake tries a refused PIN no more than once.
    let cell = taken.cell;
    let right = wrong_pin(&cell, &faults);
    let logins = faults.logins();
    for _ in 0..3 {
        cell.try_serve().map(drop).expect_err("it does not serve").fails(77);
    }
    assert_eq!(faults.logins(), logins, "no login");
    right();
    // I2: of all that it asked for, only what is recorded was signed.
    let house = House::of(cell);
    house.cell.run(&["ledger", "verify"]).ok();
    still_issues(&house.credentials().client().await).await;
    nothing_unrecorded_was_signed(&house, &faults).await;
}
