//! True signatures and words of the service, laid into the journal's file where they say something else: of lists, of CA certificates, and of
//! a time in which the clock was ahead.

use ledger::entry::entry::Kind;
use ledger::entry::{Abandonment, Actor, ActorKind, CaRole, Crl, Entry, Reference};
use proto::v1::{GetCrlRequest, GetCrlResponse, IssueCertificateBody};
use rootcellar_softhsm_tests::Cell;
use rootcellar_softhsm_tests::door::Role;
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use crate::support::{Checkpoint, House, csr, database, eventually, inner, issue, request};
use crate::unproved::covered;
use crate::written::{append, entries, no_start, revoke_agent, set_ahead};

const HOUR_MS: i64 = 3_600_000;

fn of(kind: ActorKind, identity: &str, time_unix_ms: i64, what: Kind) -> Entry {
    let actor = Actor { kind: kind.into(), identity: identity.into(), ..Actor::default() };
    Entry::new("cell.internal", time_unix_ms, actor, what)
}

fn of_the_service(time_unix_ms: i64, what: Kind) -> Entry {
    of(ActorKind::Service, "/service/ca", time_unix_ms, what)
}

async fn list(client: &client::Client, revoked: u64) -> GetCrlResponse {
    eventually("a CRL of them", async || {
        let crl = client.issuance().get_crl(GetCrlRequest::default()).await.ok()?.into_inner();
        (crl.revoked == revoked).then_some(crl)
    })
    .await
}

/// A list with its signature, as they lie beside its entry.
type Signed = (Vec<u8>, Vec<u8>, [u8; 32]);

fn newest_list(journal: &Connection) -> Signed {
    let sql = "SELECT c.tbs, s.signature, s.certificate_sha256 FROM crl_input c JOIN signature s ON s.idx = c.idx ORDER BY c.idx DESC LIMIT 1";
    journal.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
}

/// What the newest entry of a list says, and the time of the newest entry.
fn newest_crl(cell: &Cell) -> (Crl, i64, u64) {
    let all = entries(cell);
    let newest = all.iter().rev().find_map(|entry| match &entry.kind {
        Some(Kind::Crl(crl)) => Some(crl.clone()),
        _ => None,
    });
    (newest.unwrap(), all.last().unwrap().time_unix_ms, all.len() as u64)
}

/// Sets the clock right that was ahead, without a front, whose certificate may be of a time to come.
fn set_right(house: House) -> House {
    let mut cell = house.cell;
    cell.jump_clock(0, 0);
    let (keeper, _door) = Role::keeper(&mut cell);
    cell.run(&["clock", "confirm"]).ok();
    assert_eq!(keeper.stop(), 0);
    House::of(cell)
}

/// The list of before a revocation, with its true signature, beside a word of the service's that it is a newer one.
#[tokio::test]
async fn an_old_list_is_not_served_as_a_new_one() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/bad").await;
    list(&client, 0).await;
    let (tbs, signature, sha256) = newest_list(&database(&house.cell));
    assert_eq!(revoke_agent(&client, "build/bad").await, 1);
    list(&client, 1).await;
    drop(client);
    covered(&house).await;
    assert_eq!(house.stop().await, 0);
    let (newest, now_ms, size) = newest_crl(&house.cell);
    let forged = Crl {
        number: newest.number + 1,
        this_update_unix: now_ms / 1000,
        next_update_unix: now_ms / 1000 + 86_400,
        tbs_sha256: Sha256::digest(&tbs).to_vec(),
        covers: size,
        ..newest
    };
    append(&house.cell, [of_the_service(now_ms, Kind::Crl(forged))]);
    let journal = database(&house.cell);
    journal.execute("INSERT INTO crl_input (idx, tbs) VALUES (?1, ?2)", (size, &tbs)).unwrap();
    let sql = "INSERT INTO signature (idx, signature, certificate_sha256) VALUES (?1, ?2, ?3)";
    journal.execute(sql, (size, &signature, &sha256)).unwrap();
    drop(journal);
    no_start(&house.cell, "says of its CRL what that does not say");
}

/// While it runs: the newest list has the octets of an older one.
#[tokio::test]
async fn a_running_keeper_hands_out_no_older_list() {
    let (house, client) = House::with_build().await;
    issue(&client, "build/bad").await;
    list(&client, 0).await;
    let journal = database(&house.cell);
    let (tbs, signature, sha256) = newest_list(&journal);
    assert_eq!(revoke_agent(&client, "build/bad").await, 1);
    list(&client, 1).await;
    let at: u64 = journal.query_row("SELECT max(idx) FROM crl_input", [], |row| row.get(0)).unwrap();
    let put = "INSERT OR REPLACE INTO signature VALUES (?1, ?2, ?3)";
    journal.execute("UPDATE crl_input SET tbs = ?1 WHERE idx = ?2", (&tbs, at)).unwrap();
    journal.execute(put, (at, &signature, &sha256)).unwrap();
    let told = client.issuance().get_crl(GetCrlRequest::default()).await.expect_err("an older one");
    assert_eq!(told.code(), tonic::Code::Internal);
    let said =
        [format!("the CRL of entry {at} is damaged"), format!("entry {at} is not the one of its hash")];
    eventually("it is said", async || {
        let log = house.serving.log();
        said.iter().any(|said| log.contains(said)).then_some(())
    })
    .await;
}

/// Before anybody asks for the newest list it is taken away, so that the one before it seems to be the newest; while it runs, and at a start.
#[tokio::test]
async fn a_list_that_is_taken_away_brings_no_older_one_back() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/bad").await;
    list(&client, 0).await;
    let journal = database(&house.cell);
    let (tbs, signature, sha256) = newest_list(&journal);
    let first: u64 = journal.query_row("SELECT max(idx) FROM crl_input", [], |row| row.get(0)).unwrap();
    assert_eq!(revoke_agent(&client, "build/bad").await, 1);
    list(&client, 1).await;
    covered(&house).await;
    let take = |journal: &Connection| {
        journal.execute_batch("DELETE FROM signature WHERE idx = (SELECT max(idx) FROM crl)").unwrap();
        journal.execute("DELETE FROM crl_input", []).unwrap();
        journal.execute("INSERT INTO crl_input VALUES (?1, ?2)", (first, &tbs)).unwrap();
        journal
            .execute("INSERT OR REPLACE INTO signature VALUES (?1, ?2, ?3)", (first, &signature, &sha256))
            .unwrap();
    };
    drop(client);
    house.restart().await;
    take(&journal);
    let client = house.credentials().client().await;
    let told = client.issuance().get_crl(GetCrlRequest::default()).await.expect_err("an older one");
    assert_eq!(told.code(), tonic::Code::Internal);
    let noticed = async || house.serving.log().contains("its newest CRL was removed").then_some(());
    eventually("it is noticed", noticed).await;
    drop(client);
    house.stop().await;
    take(&journal);
    let house = House::of(house.cell);
    let client = house.credentials().client().await;
    let newest = eventually("a new one is made", async || {
        client.issuance().get_crl(GetCrlRequest::default()).await.ok().map(tonic::Response::into_inner)
    });
    assert_eq!(newest.await.revoked, 1);
}

/// A word of the service's that a list was made long ago, or is good for ever: the next would begin there.
#[tokio::test]
async fn a_list_is_of_its_time() {
    let (mut house, client) = House::with_build().await;
    list(&client, 0).await;
    drop(client);
    covered(&house).await;
    assert_eq!(house.stop().await, 0);
    let (newest, now_ms, size) = newest_crl(&house.cell);
    let forged = Crl {
        number: newest.number + 1,
        this_update_unix: 1,
        next_update_unix: 86_401,
        tbs_sha256: vec![7; 32],
        covers: size,
        ..newest
    };
    append(&house.cell, [of_the_service(now_ms, Kind::Crl(forged))]);
    no_start(&house.cell, "the CRL");
}

/// The issuer's certificate once more, in the officers' name, as a root: nobody signed that, and no issuer would be left.
#[tokio::test]
async fn no_issuer_is_said_to_be_a_root() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    drop(client);
    covered(&house).await;
    assert_eq!(house.stop().await, 0);
    let all = entries(&house.cell);
    let mut issuers = all.iter().filter_map(|entry| match &entry.kind {
        Some(Kind::CaCertificate(ca)) if ca.role() == CaRole::Issuer => Some(ca.clone()),
        _ => None,
    });
    let mut ca = issuers.next().unwrap();
    ca.signer_spki_sha256 = certs::TbsFields::parse(&ca.tbs).unwrap().spki_sha256().to_vec();
    ca.role = CaRole::Root.into();
    let now_ms = all.last().unwrap().time_unix_ms;
    append(&house.cell, [of(ActorKind::Officers, "", now_ms, Kind::CaCertificate(ca))]);
    no_start(&house.cell, "the signature of its CA certificate is not there");
}

/// The newest certificate of a line is of the time in which the clock was ahead. Long after, its signature is taken away, and it is said to be given up:
/// the one before it would renew.
#[tokio::test]
async fn a_certificate_of_a_time_to_come_is_not_given_up_long_after() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    set_ahead(&house.cell, 6 * HOUR_MS);
    let mut house = House::of(house.cell);
    let client = house.credentials().client().await;
    let index = issue(&client, "build/a").await.receipt.unwrap().index;
    drop(client);
    assert_eq!(house.stop().await, 0);
    let mut house = set_right(house);
    assert_eq!(house.stop().await, 0);
    let now_ms = entries(&house.cell).last().unwrap().time_unix_ms;
    let journal = database(&house.cell);
    journal.execute("DELETE FROM signature WHERE idx = ?1", [index]).unwrap();
    drop(journal);
    let certificate = Some(Reference { origin: "cell.internal/log/1".into(), index });
    let word = Abandonment { certificate, reason: "RESTARTED".into() };
    append(&house.cell, [of_the_service(now_ms, Kind::Abandonment(word))]);
    no_start(&house.cell, "the certificate that it gives up");
}

/// After a clock that was days ahead a certificate of now seems to have ended long ago: what its controller asked for is there all the same.
#[tokio::test]
async fn no_request_is_excused_by_a_clock_that_was_ahead() {
    let (mut house, client) = House::with_build().await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    set_ahead(&house.cell, 72 * HOUR_MS);
    let mut house = House::of(house.cell);
    covered(&house).await;
    assert_eq!(house.stop().await, 0);
    let mut house = set_right(house);
    covered(&house).await;
    let early = Checkpoint::of(&house.cell);
    let client = house.credentials().client().await;
    issue(&client, "build/a").await;
    let index = issue(&client, "build/a").await.receipt.unwrap().index;
    drop(client);
    assert_eq!(house.stop().await, 0);
    let journal = database(&house.cell);
    journal.execute("DELETE FROM signed_request WHERE idx = ?1", [index]).unwrap();
    drop(journal);
    early.put_back(&house.cell);
    no_start(&house.cell, "the body that was signed is not there");
}

/// What a caller asked for once is not carried out again because a clock was ahead in between.
#[tokio::test]
async fn no_request_is_forgotten_by_a_clock_that_was_ahead() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    assert_eq!(revoke_agent(&client, "build/a").await, 1);
    issue(&client, "build/a").await;
    drop(client);
    covered(&house).await;
    assert_eq!(house.stop().await, 0);
    let revoked = |entry: &Entry| matches!(&entry.kind, Some(Kind::Revocation(_)));
    let by_caller = |entry: &Entry| entry.actor.as_ref().is_some_and(|actor| actor.signature.is_some());
    let all = entries(&house.cell);
    let at = all.iter().rposition(|entry| revoked(entry) && by_caller(entry)).unwrap();
    set_ahead(&house.cell, 6 * HOUR_MS);
    let mut house = House::of(house.cell);
    let credentials = house.credentials();
    let (chain, key) = (credentials.read("chain.pem"), credentials.read("key.pem"));
    let mut wire = crate::wire::Caller::connect(&house, &chain, &key, 6 * 3600).await.unwrap();
    let ahead = IssueCertificateBody { request_id: "ahead".into(), ..request("build/b", csr()) };
    inner(wire.issue(&ahead, None).await);
    drop(wire);
    covered(&house).await;
    assert_eq!(house.stop().await, 0);
    let mut house = set_right(house);
    assert_eq!(house.stop().await, 0);
    let again = Entry { time_unix_ms: house.cell.clock()(), ..all[at].clone() };
    append(&house.cell, [again]);
    let copy = "INSERT INTO signed_request SELECT (SELECT max(idx) FROM entry), body FROM signed_request WHERE idx = ?1";
    database(&house.cell).execute(copy, [at]).unwrap();
    no_start(&house.cell, "had the same request carried out before");
}

/// The next list lists what ended since the newest by its number, not since the one of a time to come.
#[tokio::test]
async fn a_list_after_a_clock_that_was_ahead_is_taken() {
    let signed = |house: &House| -> u64 {
        let sql = "SELECT count(*) FROM crl WHERE EXISTS (SELECT 1 FROM signature s WHERE s.idx = crl.idx)";
        database(&house.cell).query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let more_than = async |house: &House, have: u64| {
        eventually("one more list", async || (signed(house) > have).then_some(())).await;
    };
    let (mut house, client) = House::with_build().await;
    list(&client, 0).await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    set_ahead(&house.cell, 144 * HOUR_MS);
    let mut house = House::of(house.cell);
    more_than(&house, 1).await;
    covered(&house).await;
    assert_eq!(house.stop().await, 0);
    let mut house = set_right(house);
    let client = house.credentials().client().await;
    let lifetime = Some(prost_types::Duration { seconds: 120, nanos: 0 });
    let brief = IssueCertificateBody { lifetime, ..request("build/x", csr()) };
    crate::support::ask(&client, brief).await.unwrap();
    assert_eq!(revoke_agent(&client, "build/x").await, 1);
    list(&client, 1).await;
    drop(client);
    covered(&house).await;
    assert_eq!(house.stop().await, 0);
    let early = Checkpoint::of(&house.cell);
    let have = signed(&house);
    house.cell.set_clock(7 * HOUR_MS);
    let mut house = House::of(house.cell);
    more_than(&house, have).await;
    house.stop().await;
    // A crash before the next checkpoint.
    early.put_back(&house.cell);
    House::of(house.cell).cell.run(&["ledger", "verify"]).ok();
}
