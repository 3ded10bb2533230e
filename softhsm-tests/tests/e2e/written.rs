//! What whoever can write the journal's file wrote there while nobody served, with signatures that others made for something else, and what clocks
//! that were ahead left in it: nothing of it is believed, and the way back that is named leads back.

use std::fs;
use std::path::Path;

use certs::SignatureAlgorithm;
use certs::compose::{Leaf, LeafProfile, Serial, Validity, join, leaf};
use keeper::{Durability, Journal};
use ledger::entry::entry::Kind;
use ledger::entry::revocation::Target as Revoked;
use ledger::entry::{
    self, Act, Actor, ActorKind, AgentChange, AgentRecord, Change, Entry, Issuance, Refusals, Revocation,
};
use proto::v1::revoke_certificate_body::Target;
use proto::v1::{IssueCertificateBody, RenewCertificateBody, RevokeCertificateBody};
use rcgen::{KeyPair, PublicKeyData as _};
use rootcellar_softhsm_tests::Cell;
use rootcellar_softhsm_tests::door::Role;
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use crate::officer::Officer;
use crate::support::{
    Checkpoint, Holder, House, ask, csr, csr_of, database, inner, issue, request, still_issues,
};
use crate::unproved::covered;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Appends entries as a keeper would have.
pub(crate) fn append(cell: &Cell, entries: impl IntoIterator<Item = Entry>) {
    let mut journal = Journal::open(&cell.data_dir()).unwrap();
    journal.begin(Durability::Disk).unwrap();
    for entry in entries {
        journal.append(&entry).unwrap();
    }
    journal.commit().unwrap();
}

pub(crate) fn entries(cell: &Cell) -> Vec<Entry> {
    let journal = Journal::open(&cell.data_dir()).unwrap();
    let reader = journal.reader();
    let entry = |index| entry::decode(&reader.entry(index).unwrap().unwrap()).unwrap();
    (0..journal.edge().size()).map(entry).collect()
}

pub(crate) fn no_start(cell: &Cell, why: &str) {
    let said = cell.try_serve().map(drop).expect_err("nothing of it is served");
    assert!(said.stderr.contains(why), "{}", said.stderr);
}

/// What is said in a controller's name, of the agent as it is and its newest certificate.
type Forged = dyn FnOnce(AgentRecord, &Issuance) -> Kind;

/// Under the signature that a controller made for something else: what `kind` says of the agent, a certificate of ten seconds for it, and a word of
/// the service half a minute later.
fn forge(cell: &Cell, issuer: &[u8], kind: impl FnOnce(AgentRecord, &Issuance) -> Kind) {
    let all = entries(cell);
    let sha256 = |entry: &Entry| entry.actor.clone()?.signature.map(|signed| signed.request_sha256);
    let newest = all.iter().rev().find_map(sha256).unwrap();
    let word = all.iter().rfind(|entry| sha256(entry).is_some_and(|of| of != newest)).unwrap();
    let like = all.iter().rev().find_map(|entry| match &entry.kind {
        Some(Kind::Issuance(issuance)) if issuance.subject == "/agent/build/a" => Some(issuance.clone()),
        _ => None,
    });
    let record = all.iter().rev().find_map(|entry| match &entry.kind {
        Some(Kind::AgentChange(change)) => change.agent.clone().filter(|agent| agent.id == "build/a"),
        _ => None,
    });
    let (like, record) = (like.unwrap(), record.unwrap());
    let now_ms = all.last().unwrap().time_unix_ms.max(word.time_unix_ms);
    let of_word = |request_id: &str, kind| Entry {
        request_id: request_id.into(),
        fields_sha256: vec![7; 32],
        time_unix_ms: now_ms,
        kind: Some(kind),
        ..word.clone()
    };
    let kind = kind(record, &like);
    let revision = match &kind {
        Kind::AgentChange(change) => change.agent.as_ref().unwrap().revision,
        _ => like.agent_revision,
    };
    let issuer = certs::Issuer::parse(issuer).unwrap();
    let spki = KeyPair::generate().unwrap().subject_public_key_info();
    let brief = Leaf {
        profile: LeafProfile::Agent {
            dns_names: cell::DnsNames::default(),
            attributes: certs::Attributes::default(),
        },
        uri: &"spiffe://cell.internal/agent/build/a".parse().unwrap(),
        public_key: &certs::PublicKey::try_from(spki.as_slice()).unwrap(),
        serial: Serial::try_from([0x56; 20]).unwrap(),
        validity: Validity::for_lifetime(now_ms.unsigned_abs() / 1000, 10, issuer.validity()).unwrap(),
    };
    let brief = Issuance {
        tbs: leaf(&issuer, &brief, certs::ATTRIBUTES_OID).unwrap().as_bytes().to_vec(),
        agent_revision: revision,
        lifetime_seconds: 10,
        csr_sha256: vec![9; 32],
        renews: None,
        ..like
    };
    let (first, second) = (of_word("forged-1", kind), of_word("forged-2", Kind::Issuance(brief)));
    append(cell, [first, second, of_the_service(now_ms + 30_000)]);
}

fn of_the_service(time_unix_ms: i64) -> Entry {
    let actor = Actor { kind: ActorKind::Service.into(), identity: "/service/ca".into(), ..Actor::default() };
    Entry::new("cell.internal", time_unix_ms, actor, Kind::Refusals(Refusals::default()))
}

/// A disabled agent is enabled, one has more than its controller gave it, another's certificate is revoked.
#[tokio::test]
async fn no_change_is_a_controllers_without_its_request() {
    let (mut house, client) = House::with_build().await;
    let agent = Holder::ask(&client, "build/a", |_| {}).await;
    house.credentials();
    house.cell.run(&["agent", "update", "build/a", "--disable", "--controller", "build"]).ok();
    issue(&client, "build/other").await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    let file = house.cell.data_dir().join("journal.sqlite");
    let good = fs::read(&file).unwrap();
    let changed = |change: fn(&mut AgentRecord)| {
        move |mut record: AgentRecord, like: &Issuance| {
            change(&mut record);
            record.revision += 1;
            Kind::AgentChange(AgentChange {
                change: Change::Updated.into(),
                agent: Some(record),
                grant: like.grant.clone(),
                approval: like.approval.clone(),
            })
        }
    };
    let revoked = |_: AgentRecord, like: &Issuance| {
        Kind::Revocation(Revocation {
            target: Some(Revoked::Agent("build/a".into())),
            reason: 1,
            revoked: 1,
            grant: like.grant.clone(),
            approval: like.approval.clone(),
        })
    };
    let forged: [Box<Forged>; 3] = [
        Box::new(changed(|record| record.disabled = false)),
        Box::new(changed(|record| record.roles.push("scanner".into()))),
        Box::new(revoked),
    ];
    for kind in forged {
        forge(&house.cell, &agent.certificate.chain[1], kind);
        no_start(&house.cell, "the body that was signed is not there");
        fs::write(&file, &good).unwrap();
    }
    still_issues(&House::of(house.cell).credentials().client().await).await;
}

/// A word of the service of a time to come, which nobody signs.
#[tokio::test]
async fn no_word_of_the_service_lets_requests_go() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    covered(&house).await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    append(&house.cell, [of_the_service(house.cell.clock()() + 10 * DAY_MS)]);
    database(&house.cell).execute("DELETE FROM signed_request", []).unwrap();
    no_start(&house.cell, "the body that was signed is not there");
}

/// The founding manifest once more, or one like it of another token.
#[tokio::test]
async fn no_manifest_is_officers_but_the_one_of_their_founding() {
    for label in [None, Some("forged")] {
        let mut house = House::new();
        covered(&house).await;
        assert_eq!(house.stop().await, 0);
        let all = entries(&house.cell);
        let is_founding =
            |entry: &&Entry| matches!(&entry.kind, Some(Kind::Custody(one)) if one.module.is_none());
        let founding = all.iter().find(is_founding).unwrap().clone();
        let mut again = Entry { time_unix_ms: all.last().unwrap().time_unix_ms, ..founding };
        let Some(Kind::Custody(custody)) = &mut again.kind else { unreachable!("it was looked for") };
        let tokens = custody.keys.iter_mut().map(|key| &mut key.token_label);
        tokens.zip(label.into_iter().cycle()).for_each(|(token, forged)| forged.clone_into(token));
        append(&house.cell, [again]);
        no_start(&house.cell, "no founding ceremony proves this custody manifest");
    }
}

/// A thaw that was signed, not handed in, and has expired.
#[tokio::test]
async fn what_officers_let_expire_is_not_recorded_in_the_past() {
    let mut house = House::new();
    let thaw = Officer::of(&house.cell).propose(&cell::Act::Thaw);
    house.cell.run(&["freeze"]).ok();
    assert_eq!(house.stop().await, 0);
    house.cell.set_clock(DAY_MS);
    let mut house = House::of(house.cell);
    covered(&house).await;
    assert_eq!(house.stop().await, 0);
    let actor = Actor { kind: ActorKind::Officers.into(), ..Actor::default() };
    let back = house.cell.clock()() - DAY_MS;
    append(
        &house.cell,
        [Entry::new("cell.internal", back, actor, Kind::Act(Act { note: thaw.into_bytes() }))],
    );
    no_start(&house.cell, "time");
}

/// An act by officers that was not handed in.
fn laid(time_unix_ms: i64, note: &str) -> Entry {
    let actor = Actor { kind: ActorKind::Officers.into(), ..Actor::default() };
    Entry::new("cell.internal", time_unix_ms, actor, Kind::Act(Act { note: note.as_bytes().to_vec() }))
}

/// What time it was when the log was shorter, and with it a thaw that has expired; and what time it is, said to have been hours ago.
#[tokio::test]
async fn what_officers_said_of_the_time_holds_for_the_log_as_it_was() {
    let (mut house, client) = House::with_build().await;
    let mut officer = Officer::of(&house.cell);
    let thaw = officer.propose(&cell::Act::Thaw);
    let entries_then = house.entries().await.len() as u64;
    let confirm = officer.propose(&cell::Act::ClockConfirm { entries: entries_then });
    for _ in 0..4 {
        issue(&client, "build/a").await;
    }
    drop(client);
    house.cell.run(&["freeze"]).ok();
    assert_eq!(house.stop().await, 0);
    house.cell.set_clock(DAY_MS);
    let mut house = House::of(house.cell);
    covered(&house).await;
    let entries_now = house.entries().await.len() as u64;
    let until = house.cell.clock()() / 1000 + 600;
    let now = officer.propose_until(&cell::Act::ClockConfirm { entries: entries_now }, until);
    assert_eq!(house.stop().await, 0);
    let now_ms = house.cell.clock()();
    let before = fs::read(house.cell.data_dir().join("journal.sqlite")).unwrap();
    for (said, why) in [(&confirm, "when the log was shorter"), (&now, "expires")] {
        append(&house.cell, [laid(now_ms - DAY_MS, said), laid(now_ms - DAY_MS, &thaw)]);
        no_start(&house.cell, why);
        for beside in ["journal.sqlite-wal", "journal.sqlite-shm"] {
            let _ = fs::remove_file(house.cell.data_dir().join(beside));
        }
        fs::write(house.cell.data_dir().join("journal.sqlite"), &before).unwrap();
    }
    House::of(house.cell).cell.run(&["ledger", "verify"]).ok();
}

/// A certificate that a checkpoint covers, its signature taken away, and officers' word that it is the time at which it was recorded.
#[tokio::test]
async fn what_officers_say_of_the_time_makes_nothing_pending_that_a_checkpoint_covers() {
    let (mut house, client) = House::with_build().await;
    let _older = Holder::ask(&client, "build/a", |_| {}).await;
    let newest = Holder::ask(&client, "build/a", |_| {}).await;
    let index = newest.certificate.receipt.as_ref().unwrap().index;
    drop(client);
    house.cell.set_clock(HOUR_MS / 2);
    house.restart().await;
    covered(&house).await;
    let entries_now = house.entries().await.len() as u64;
    let confirm = Officer::of(&house.cell).propose(&cell::Act::ClockConfirm { entries: entries_now });
    assert_eq!(house.stop().await, 0);
    let recorded_ms = entries(&house.cell)[usize::try_from(index).unwrap()].time_unix_ms;
    let remove = format!("DELETE FROM signature WHERE idx = {index}");
    database(&house.cell).execute_batch(&remove).unwrap();
    append(&house.cell, [laid(recorded_ms + 1000, &confirm)]);
    no_start(&house.cell, "the signature of its certificate was removed");
}

/// Officers' act that revokes an agent's certificates, without the entry that does it: it would be spent.
#[tokio::test]
async fn no_act_that_revokes_stands_alone() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    drop(client);
    let target = cell::RevocationTarget::Agent("build/a".parse().unwrap());
    let reason = cell::RevocationReason::KeyCompromise;
    let note = Officer::of(&house.cell).propose(&cell::Act::CertificateRevoke { target, reason });
    assert_eq!(house.stop().await, 0);
    let newest_ms = entries(&house.cell).last().unwrap().time_unix_ms;
    append(&house.cell, [laid(newest_ms, &note)]);
    no_start(&house.cell, "no entry revokes them");
}

/// The same with a revocation of a time by which there was nothing left to revoke.
#[tokio::test]
async fn no_act_that_revokes_is_spent_on_nothing() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    drop(client);
    let (target, reason) =
        (cell::RevocationTarget::Agent("build/a".parse().unwrap()), cell::RevocationReason::KeyCompromise);
    let act = cell::Act::CertificateRevoke { target, reason };
    let ahead_ms = 6 * DAY_MS;
    let until = (house.cell.clock()() + ahead_ms) / 1000 + 600;
    let note = Officer::of(&house.cell).propose_until(&act, until);
    assert_eq!(house.stop().await, 0);
    let all = entries(&house.cell);
    let (index, newest_ms) = (all.len() as u64, all.last().unwrap().time_unix_ms);
    let mut revocation = laid(newest_ms + ahead_ms, &note);
    revocation.kind = Some(Kind::Revocation(Revocation {
        target: Some(Revoked::Agent("build/a".into())),
        reason: reason.code().into(),
        approval: Some(entry::Reference { origin: "cell.internal/log/1".into(), index }),
        ..Revocation::default()
    }));
    append(&house.cell, [laid(newest_ms + ahead_ms, &note), revocation]);
    no_start(&house.cell, "is not to be believed");
}

/// A clock that was eight days ahead left a log of that time; a stop that officers lay is not late for it.
#[tokio::test]
async fn a_stop_is_taken_by_a_log_of_a_time_to_come() {
    let mut house = House::new();
    covered(&house).await;
    assert_eq!(house.stop().await, 0);
    set_ahead(&house.cell, 8 * DAY_MS);
    let mut cell = house.cell;
    let (keeper, door) = Role::keeper(&mut cell);
    drop(door);
    assert_eq!(keeper.stop(), 0);
    cell.jump_clock(0, 0);
    let newest_ms = entries(&cell).last().unwrap().time_unix_ms;
    assert!(newest_ms - cell.clock()() > 7 * DAY_MS, "it is of a time to come");
    cell.run(&["freeze"]).ok();
    assert_eq!(fs::read_dir(cell.data_dir().join("stops")).unwrap().count(), 1, "it is laid");
    let (keeper, door) = Role::keeper(&mut cell);
    assert_eq!(fs::read_dir(cell.data_dir().join("stops")).unwrap().count(), 0, "it is taken");
    let is_freeze = |entry: &Entry| matches!(&entry.kind, Some(Kind::Act(act)) if String::from_utf8_lossy(&act.note).contains("act: freeze"));
    drop(door);
    assert_eq!(keeper.stop(), 0);
    assert!(entries(&cell).iter().any(is_freeze));
}

/// A signature and its hash, by the entry of its certificate.
type Signature = (u64, Vec<u8>, Vec<u8>);

fn newest_signature(journal: &Connection, subject: &str) -> Signature {
    let sql = "SELECT idx, signature, certificate_sha256 FROM signature WHERE idx = (SELECT max(idx) FROM certificate WHERE subject = ?1)";
    journal.query_row(sql, [subject], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
}

/// Taken away for a start, so that its certificate is given up, and put back for the next.
#[tokio::test]
async fn a_certificate_that_was_given_up_is_not_signed() {
    let (mut house, client) = House::with_build().await;
    drop(client);
    covered(&house).await;
    let before = Checkpoint::of(&house.cell);
    house.cell.run(&["controller", "reissue", "build"]).ok();
    house.crash().await;
    // The token's checkpoint is of before, as one of a minute ago can be.
    let journal = database(&house.cell);
    let signature = newest_signature(&journal, "/controller/build");
    journal.execute("DELETE FROM signature WHERE idx = ?1", [signature.0]).unwrap();
    before.put_back(&house.cell);
    let mut house = House::of(house.cell);
    assert_eq!(house.stop().await, 0);
    journal.execute("INSERT INTO signature VALUES (?1, ?2, ?3)", signature).unwrap();
    no_start(&house.cell, "is given up, and a signature lies beside it");
}

/// The other form of an ECDSA signature, with the hash of what it completes.
fn twin(journal: &Connection, subject: &str) {
    let (index, signature, _) = newest_signature(journal, subject);
    let n = data_encoding::HEXLOWER
        .decode(b"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
        .unwrap();
    // ECDSA-Sig-Value (RFC 3279 §2.2.3): two INTEGERs below 128 octets.
    let (r, s) = signature[2..].split_at(2 + usize::from(signature[3]));
    let s = [vec![0; 32], s[2..].to_vec()].concat();
    let s = &s[s.len() - 32..];
    let mut borrow = 0;
    let mut other: Vec<u8> = n
        .iter()
        .zip(s)
        .rev()
        .map(|(of_n, of_s)| {
            let digit = i16::from(*of_n) - i16::from(*of_s) - borrow;
            borrow = i16::from(digit < 0);
            u8::try_from(digit.rem_euclid(256)).unwrap()
        })
        .collect();
    other.reverse();
    let zeros = other.iter().take_while(|octet| **octet == 0).count();
    let sign = vec![0; usize::from(other[zeros] & 0x80 != 0)];
    let other = [sign, other[zeros..].to_vec()].concat();
    let pair = [r, &[2, u8::try_from(other.len()).unwrap()], &other].concat();
    let twin = [&[0x30, u8::try_from(pair.len()).unwrap()][..], &pair].concat();
    let body: Vec<u8> =
        journal.query_row("SELECT body FROM entry WHERE idx = ?1", [index], |row| row.get(0)).unwrap();
    let Some(Kind::Issuance(issuance)) = entry::decode(&body).unwrap().kind else { panic!("a certificate") };
    let der = join(&issuance.tbs, SignatureAlgorithm::EcdsaP256Sha256, &twin);
    let sha256 = Sha256::digest(der).to_vec();
    let sql = "UPDATE signature SET signature = ?2, certificate_sha256 = ?3 WHERE idx = ?1";
    assert_eq!(journal.execute(sql, (index, twin, sha256)).unwrap(), 1);
}

#[tokio::test]
async fn the_other_form_of_a_signature_is_none() {
    let (mut house, client) = House::with_build().await;
    drop(client);
    covered(&house).await;
    let copy = house.cell.path("copy.sqlite").display().to_string();
    house.cell.run(&["journal", "backup", "--out", &copy]).ok();
    assert_eq!(house.stop().await, 0);
    // By a copy that does not keep the order of its rows.
    let of_copy = Connection::open(&copy).unwrap();
    of_copy.execute_batch("CREATE TEMP TABLE certificate (idx, subject)").unwrap();
    let (index, ..) = newest_signature(&database(&house.cell), "/controller/build");
    of_copy.execute("INSERT INTO certificate VALUES (?1, '/controller/build')", [index]).unwrap();
    twin(&of_copy, "/controller/build");
    drop(of_copy);
    let said = house.cell.run(&["journal", "restore", &copy]).fails(1);
    assert!(said.contains("not in its one form"), "{said}");
    twin(&database(&house.cell), "/controller/build");
    no_start(&house.cell, "not in its one form");
}

/// To a later entry, of a certificate that has ended, and to none.
#[tokio::test]
async fn no_request_is_said_to_have_led_elsewhere() {
    let (mut house, client) = House::with_build().await;
    let once = IssueCertificateBody { request_id: "once".into(), ..request("build/a", csr()) };
    ask(&client, once).await.unwrap();
    let brief = IssueCertificateBody {
        request_id: "brief".into(),
        lifetime: Some(prost_types::Duration { seconds: 10, nanos: 0 }),
        ..request("build/b", csr())
    };
    ask(&client, brief).await.unwrap();
    drop(client);
    assert_eq!(house.stop().await, 0);
    let journal = database(&house.cell);
    for moved in [
        "UPDATE request SET (idx, fields_sha256) = (SELECT idx, fields_sha256 FROM request WHERE request_id = 'brief') WHERE request_id = 'once'",
        "UPDATE request SET idx = 1 << 40 WHERE request_id = 'once'",
    ] {
        assert_eq!(journal.execute(moved, []).unwrap(), 1);
        no_start(&house.cell, "request");
        house.cell.run(&["ledger", "rebuild", "--replace"]).ok();
    }
    still_issues(&House::of(house.cell).credentials().client().await).await;
}

/// By a row of no entry a key is refused to who has it.
#[tokio::test]
async fn no_key_is_said_to_be_anothers() {
    let (mut house, client) = House::with_build().await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    let key = KeyPair::generate().unwrap();
    let spki_sha256 = Sha256::digest(key.subject_public_key_info()).to_vec();
    let row = "INSERT INTO identity_key (spki_sha256, subject) VALUES (?1, '/agent/build/other')";
    database(&house.cell).execute(row, [spki_sha256]).unwrap();
    no_start(&house.cell, "identity_key");
    house.cell.run(&["ledger", "rebuild", "--replace"]).ok();
    let house = House::of(house.cell);
    let client = house.credentials().client().await;
    ask(&client, request("build/a", csr_of(&key))).await.expect("its own key");
}

/// Ahead by so much from the first, after another start of the machine.
pub(crate) fn set_ahead(cell: &Cell, ms: i64) {
    cell.jump_clock(0, ms);
    fs::remove_file(cell.data_dir().join("clock")).unwrap();
}

pub(crate) async fn revoke_agent(client: &client::Client, id: &str) -> u64 {
    let target = Some(Target::Agent(format!("agents/{id}")));
    let revoke = RevokeCertificateBody { target, reason: 1, ..RevokeCertificateBody::default() };
    inner(client.issuance().revoke_certificate(revoke).await).revoked
}

/// Of a line with one certificate of the time in which the clock was ahead everything is ended that lives, and a row that says otherwise is found.
#[tokio::test]
async fn a_clock_that_was_ahead_hides_no_certificate() {
    let (mut house, client) = House::with_build().await;
    let first = Holder::ask(&client, "build/a", |_| {}).await;
    let other = Holder::ask(&client, "build/b", |_| {}).await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    set_ahead(&house.cell, 6 * HOUR_MS);
    let mut house = House::of(house.cell);
    let client = house.credentials().client().await;
    issue(&client, "build/a").await;
    issue(&client, "build/b").await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    house.cell.jump_clock(0, 0);
    let house = House::of(house.cell);
    house.cell.run(&["clock", "confirm"]).ok();
    let client = house.credentials().client().await;
    assert_eq!(revoke_agent(&client, "build/a").await, 2, "the one of now, and the one of a time to come");
    let renewal = || RenewCertificateBody { csr: csr(), ..RenewCertificateBody::default() };
    let told = first.client(&house).await.issuance().renew_certificate(renewal()).await.unwrap_err();
    assert!(told.message().contains("revoked"), "{told:?}");
    house.cell.run(&["ledger", "verify"]).ok();
    // As if nothing were left of the other.
    let index = other.certificate.receipt.as_ref().unwrap().index;
    let hide = "INSERT INTO agent_ended VALUES ('/agent/build/b', 'build', ?1)";
    database(&house.cell).execute(hide, [index]).unwrap();
    let target = Some(Target::Agent("agents/build/b".into()));
    let revoke = RevokeCertificateBody { target, reason: 1, ..RevokeCertificateBody::default() };
    client.issuance().revoke_certificate(revoke).await.expect_err("not half of it");
}

/// A certificate of days ago, one of a time to come, and new ones.
#[tokio::test]
async fn an_agent_is_revoked_whatever_its_line_was_dated() {
    let mut house = House::new();
    house.controller("build", "agents=build/*;roles=logger;ttl=24h;budget=1000");
    let days = 6 * DAY_MS + 4 * HOUR_MS;
    assert_eq!(house.stop().await, 0);
    set_ahead(&house.cell, days);
    let mut house = House::of(house.cell);
    let credentials = house.credentials();
    let chain = credentials.read("chain.pem");
    let mut wire = crate::wire::Caller::connect(&house, &chain, &credentials.read("key.pem"), days / 1000)
        .await
        .unwrap();
    let long = IssueCertificateBody {
        lifetime: Some(prost_types::Duration { seconds: 86_400, nanos: 0 }),
        request_id: "long".into(),
        ..request("build/a", csr_of(&KeyPair::generate().unwrap()))
    };
    inner(wire.issue(&long, None).await);
    drop(wire);
    assert_eq!(house.stop().await, 0);
    // Without a front, whose certificate is of a time to come.
    let mut cell = house.cell;
    cell.jump_clock(0, 0);
    let (keeper, _door) = Role::keeper(&mut cell);
    cell.run(&["clock", "confirm"]).ok();
    assert_eq!(keeper.stop(), 0);
    let mut house = House::of(cell);
    let client = house.credentials().client().await;
    issue(&client, "build/a").await;
    issue(&client, "build/a").await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    house.cell.set_clock(7 * DAY_MS + HOUR_MS / 6);
    let house = House::of(house.cell);
    house.cell.run(&["cert", "revoke", "--agent", "build/a", "--reason", "key-compromise"]).ok();
    house.cell.run(&["ledger", "verify"]).ok();
}

/// A crash in the second after officers set the clock right: the newest checkpoint is of the time to come.
#[tokio::test]
async fn a_crash_after_the_clock_was_set_right_leaves_a_journal() {
    let (mut house, client) = House::with_build().await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    set_ahead(&house.cell, 6 * HOUR_MS);
    let mut house = House::of(house.cell);
    covered(&house).await;
    assert_eq!(house.stop().await, 0);
    house.cell.jump_clock(0, 0);
    let mut house = House::of(house.cell);
    let before = Checkpoint::of(&house.cell);
    house.cell.run(&["clock", "confirm"]).ok();
    let client = house.credentials().client().await;
    let index = issue(&client, "build/a").await.receipt.unwrap().index;
    drop(client);
    covered(&house).await;
    house.crash().await;
    let journal = database(&house.cell);
    journal.execute("DELETE FROM signature WHERE idx = ?1", [index]).unwrap();
    drop(journal);
    before.put_back(&house.cell);
    // The token's checkpoint is of before, as one of a minute ago can be.
    still_issues(&House::of(house.cell).credentials().client().await).await;
}

/// What the clock was trusted to be, as somebody wrote.
#[tokio::test]
async fn no_file_answers_for_officers_whether_the_clock_is_right() {
    let (mut house, client) = House::with_build().await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    let file = house.cell.data_dir().join("clock");
    let good = fs::read_to_string(&file).unwrap();
    let (boot, offset) = good.trim().split_once(' ').unwrap();
    let offset: i64 = offset.parse().unwrap();
    house.cell.jump_clock(0, 200 * DAY_MS);
    fs::write(&file, format!("{boot} {}\n", offset + 200 * DAY_MS)).unwrap();
    let newest = |cell: &Cell| entries(cell).iter().map(|entry| entry.time_unix_ms).max().unwrap();
    let mut cell = house.cell;
    let before = newest(&cell);
    let (keeper, _door) = Role::keeper(&mut cell);
    let said = cell.run(&["status"]).stdout;
    assert!(said.contains("days after the newest entry"), "{said}");
    assert_eq!(keeper.stop(), 0);
    assert!(newest(&cell) < before + DAY_MS, "nothing of a time to come");
}

/// Epochs are not used up by a note that nobody signed.
#[tokio::test]
async fn a_note_of_an_epoch_that_nobody_has_seen_opens_none() {
    let (mut house, client) = House::with_build().await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    let lost = house.cell.data_dir().join("lost-checkpoint.note");
    let (root, signature) = (data_encoding::BASE64.encode(&[7; 32]), data_encoding::BASE64.encode(&[1; 68]));
    for epoch in [18, 1 << 20] {
        let origin = format!("cell.internal/log/{epoch}");
        fs::write(&lost, format!("{origin}\n5\n{root}\n\n\u{2014} {origin} {signature}\n")).unwrap();
        no_start(&house.cell, "the log went back");
        let said = house.cell.run(&["ledger", "open-epoch"]).fails(1);
        assert!(said.contains(&format!("the epoch {epoch}")), "{said}");
        let remedy = format!("mv {} /var/tmp/", Path::new(&lost).display());
        assert!(said.contains(&remedy), "{said}");
        fs::remove_file(&lost).unwrap();
    }
    still_issues(&House::of(house.cell).credentials().client().await).await;
}
