//! Another program writes to the journal's file for a moment and puts back what was there: what the keeper read meanwhile is proved before it is
//! recorded, or held against its own memory. In the end the log verifies, and the next start takes it.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ledger::entry::entry::Kind;
use proto::v1::{RenewCertificateBody, RevokeCertificateBody, revoke_certificate_body::Target};
use rcgen::{KeyPair, PublicKeyData as _};
use rootcellar_softhsm_tests::Cell;
use rusqlite::Connection;

use crate::support::{
    Checkpoint, Holder, House, abandoned, ask, csr, csr_of, database, eventually, issue, request,
    still_issues,
};

const HOUR_MS: i64 = 3_600_000;

pub(crate) fn number(cell: &Cell, sql: &str) -> i64 {
    database(cell).query_row(sql, [], |row| row.get(0)).unwrap()
}

async fn revoke_agent(client: &client::Client, id: &str) -> Result<u32, tonic::Status> {
    let target = Some(Target::Agent(format!("agents/{id}")));
    let body = RevokeCertificateBody { target, reason: 1, ..RevokeCertificateBody::default() };
    client
        .issuance()
        .revoke_certificate(body)
        .await
        .map(|told| u32::try_from(told.into_inner().revoked).unwrap())
}

fn renewal() -> RenewCertificateBody {
    RenewCertificateBody { csr: csr(), ..RenewCertificateBody::default() }
}

/// Every entry there is lies under a checkpoint.
pub(crate) async fn covered(house: &House) {
    eventually("a checkpoint covers all", async || {
        let sql = "SELECT (SELECT size FROM checkpoint) > (SELECT max(idx) FROM entry)";
        (number(&house.cell, sql) == 1).then_some(())
    })
    .await;
}

/// The keeper saw that its file is not as its entries say.
async fn noticed(house: &House) {
    eventually("it is noticed", async || {
        let log = house.serving.log();
        (log.contains("not as its entries say")
            || log.contains("journal-damaged")
            || log.contains("was verified"))
        .then_some(())
    })
    .await;
}

/// Whatever was recorded is sound, and served.
async fn is_sound(mut house: House) -> House {
    house.stop().await;
    let house = House::of(house.cell);
    house.credentials();
    house.cell.run(&["ledger", "verify"]).ok();
    house
}

/// The entry with another key in its certificate, as a row of the file.
fn with_key(cell: &Cell, index: i64, key: &KeyPair) -> (String, String) {
    let body: Vec<u8> =
        database(cell).query_row("SELECT body FROM entry WHERE idx = ?1", [index], |row| row.get(0)).unwrap();
    let mut entry = ledger::entry::decode(&body).unwrap();
    let Some(Kind::Issuance(issuance)) = &mut entry.kind else { panic!("{entry:?}") };
    let from = certs::TbsFields::parse(&issuance.tbs).unwrap().spki;
    let to = key.subject_public_key_info();
    let at = issuance.tbs.windows(from.len()).position(|window| window == from).unwrap();
    issuance.tbs[at..at + to.len()].copy_from_slice(&to);
    (put_entry(index, &ledger::entry::encode(&entry).unwrap()), put_entry(index, &body))
}

fn put_entry(index: i64, body: &[u8]) -> String {
    let hex = |octets: &[u8]| data_encoding::HEXLOWER.encode(octets);
    let leaf = ledger::leaf_hash(body);
    format!(
        "UPDATE entry SET body = x'{}', leaf_hash = x'{}' WHERE idx = {index}",
        hex(body),
        hex(leaf.as_bytes())
    )
}

/// The entry of one's own certificate has another key for a moment: nothing that this key signed is recorded, then or later.
#[tokio::test]
async fn no_other_key_signs_for_a_caller() {
    let (house, client) = House::with_build().await;
    let own = Holder::ask(&client, "build/v", |_| {}).await;
    covered(&house).await;
    let other = KeyPair::generate().unwrap();
    let index = number(&house.cell, "SELECT max(idx) FROM certificate WHERE subject = '/agent/build/v'");
    let (forged, good) = with_key(&house.cell, index, &other);
    let (anchors, chain, key) = (house.anchors(), own.chain_pem(), own.key.serialize_pem());
    let credentials = client::Presented { anchors: &anchors, chain: &chain, key: &key };
    let thief = client::Client::connect(&house.serving.server, &credentials).await.map_err(|_| ()).unwrap();
    let thief = thief.signing(house.signer(&chain, &other.serialize_pem()));
    let had = number(&house.cell, "SELECT count(*) FROM certificate WHERE subject = '/agent/build/v'");
    database(&house.cell).execute_batch(&forged).unwrap();
    thief.issuance().renew_certificate(renewal()).await.expect_err("the key is another's");
    database(&house.cell).execute_batch(&good).unwrap();
    thief.issuance().renew_certificate(renewal()).await.expect_err("and is not remembered");
    drop((thief, client));
    let house = is_sound(house).await;
    let has = number(&house.cell, "SELECT count(*) FROM certificate WHERE subject = '/agent/build/v'");
    assert_eq!(has, had);
}

/// A row too many, or with other dates, while a list is made.
#[tokio::test]
async fn a_list_has_nothing_that_was_not_revoked() {
    for (write, put_back) in [
        (
            "INSERT INTO revoked SELECT idx, serial, issuer, not_after, 1700000000, 1, 1 FROM certificate WHERE subject = '/agent/build/honest'",
            "DELETE FROM revoked WHERE act = 1",
        ),
        (
            "UPDATE revoked SET at = at + 1000000000, reason = reason - 1",
            "UPDATE revoked SET at = at - 1000000000, reason = reason + 1 WHERE reason = 0",
        ),
    ] {
        let (house, client) = House::with_build().await;
        issue(&client, "build/honest").await;
        issue(&client, "build/first").await;
        issue(&client, "build/other").await;
        assert_eq!(revoke_agent(&client, "build/first").await.unwrap(), 1);
        eventually("the list has it", async || {
            (number(&house.cell, "SELECT max(revoked) FROM crl") == 1).then_some(())
        })
        .await;
        covered(&house).await;
        assert_eq!(database(&house.cell).execute(write, []).unwrap(), 1);
        let _ = revoke_agent(&client, "build/other").await;
        noticed(&house).await;
        database(&house.cell).execute_batch(put_back).unwrap();
        drop(client);
        let house = is_sound(house).await;
        let lists = eventually("there is a list of both", async || {
            let max = number(&house.cell, "SELECT max(revoked) FROM crl");
            (max >= 2).then_some(max)
        })
        .await;
        assert_eq!(lists, 2, "{write}");
    }
}

/// Writes once the next start has said that the journal is sound: whether it did.
fn at_next_start(cell: &Cell, write: String) -> JoinHandle<bool> {
    let (log, path) = (cell.path("serve.log"), cell.data_dir().join("journal.sqlite"));
    let times = move || {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        said.matches("the journal is as its entries say").count()
    };
    let had = times();
    thread::spawn(move || {
        let connection = Connection::open(path).unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while times() <= had {
            if Instant::now() > deadline {
                return false;
            }
            thread::yield_now();
        }
        connection.execute_batch(&write).is_ok()
    })
}

/// The number of the newest list, after a start has read the whole journal.
#[tokio::test]
async fn a_list_follows_the_one_before() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/other").await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    let newest = number(&house.cell, "SELECT max(number) FROM crl");
    let wrote = at_next_start(&house.cell, "UPDATE crl SET number = number + 5000".into());
    let house = House::of(house.cell);
    assert!(wrote.join().unwrap());
    let client = house.credentials().client().await;
    let _ = revoke_agent(&client, "build/other").await;
    noticed(&house).await;
    database(&house.cell).execute_batch("UPDATE crl SET number = number - 5000 WHERE number > 5000").unwrap();
    drop(client);
    let house = is_sound(house).await;
    eventually("there is a list", async || {
        (number(&house.cell, "SELECT max(number) FROM crl") > newest).then_some(())
    })
    .await;
    assert!(number(&house.cell, "SELECT max(number) FROM crl") < 100);
}

/// The signature of a certificate, gone after a start has read the whole journal: it is not given up.
#[tokio::test]
async fn no_certificate_is_given_up_that_was_signed() {
    let (mut house, client) = House::with_build().await;
    Holder::ask(&client, "build/v", |_| {}).await;
    Holder::ask(&client, "build/v", |_| {}).await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    let journal = database(&house.cell);
    let sql = "SELECT max(idx), signature, certificate_sha256 FROM signature WHERE idx = \
               (SELECT max(idx) FROM certificate WHERE subject = '/agent/build/v')";
    let row = journal.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let (index, signature, sha256): (i64, Vec<u8>, Vec<u8>) = row.unwrap();
    let wrote = at_next_start(&house.cell, format!("DELETE FROM signature WHERE idx = {index}"));
    let house = House::of(house.cell);
    assert!(wrote.join().unwrap());
    journal.execute("INSERT INTO signature VALUES (?1, ?2, ?3)", (index, signature, sha256)).unwrap();
    let house = is_sound(house).await;
    assert_eq!(abandoned(&house.entries().await), 0);
}

/// The entry of the newest manifest is another for a moment.
#[tokio::test]
async fn a_manifest_is_held_against_the_one_before() {
    let (house, client) = House::with_build().await;
    covered(&house).await;
    let newest = number(&house.cell, "SELECT max(idx) FROM custody");
    let body: Vec<u8> = database(&house.cell)
        .query_row("SELECT body FROM entry WHERE idx = ?1", [newest], |row| row.get(0))
        .unwrap();
    let mut entry = ledger::entry::decode(&body).unwrap();
    let Some(Kind::Custody(custody)) = &mut entry.kind else { panic!("{entry:?}") };
    custody.tokens.iter_mut().for_each(|token| "forged".clone_into(&mut token.serial));
    let forged = put_entry(newest, &ledger::entry::encode(&entry).unwrap());
    database(&house.cell).execute_batch(&forged).unwrap();
    house.cell.set_clock(3_700_000);
    noticed(&house).await;
    database(&house.cell).execute_batch(&put_entry(newest, &body)).unwrap();
    drop(client);
    is_sound(house).await;
}

/// The row of a key, or of a request, is gone for a moment.
#[tokio::test]
async fn a_key_and_a_request_are_remembered() {
    let (house, client) = House::with_build().await;
    let one = Holder::ask(&client, "build/a", |_| {}).await;
    let mut once = request("build/c", csr());
    "once".clone_into(&mut once.request_id);
    ask(&client, once.clone()).await.unwrap();
    covered(&house).await;
    let had = number(&house.cell, "SELECT count(*) FROM certificate WHERE subject LIKE '/agent/build/%'");
    let keep = "CREATE TABLE k AS SELECT * FROM identity_key; CREATE TABLE r AS SELECT * FROM request; \
                DELETE FROM identity_key WHERE subject = '/agent/build/a'; DELETE FROM request WHERE request_id = 'once'";
    database(&house.cell).execute_batch(keep).unwrap();
    ask(&client, request("build/b", csr_of(&one.key))).await.expect_err("it is another's key");
    ask(&client, once).await.expect_err("it was carried out");
    database(&house.cell)
        .execute_batch(
            "INSERT OR IGNORE INTO identity_key SELECT * FROM k; INSERT OR IGNORE INTO request SELECT * FROM r; \
             DROP TABLE k; DROP TABLE r",
        )
        .unwrap();
    drop(client);
    let house = is_sound(house).await;
    let has = number(&house.cell, "SELECT count(*) FROM certificate WHERE subject LIKE '/agent/build/%'");
    assert_eq!(has, had);
}

/// The certificate that a request led to is given up, or has ended, for a moment: it is not made again.
#[tokio::test]
async fn a_request_is_carried_out_once() {
    for (write, put_back) in [
        (
            "UPDATE certificate SET abandoned = 1 WHERE idx = @",
            "UPDATE certificate SET abandoned = 0 WHERE idx = @",
        ),
        (
            "CREATE TABLE kept AS SELECT * FROM certificate WHERE idx = @; DELETE FROM certificate WHERE idx = @",
            "INSERT OR IGNORE INTO certificate SELECT * FROM kept; DROP TABLE kept",
        ),
        (
            "UPDATE certificate SET not_after = not_after - 1000000 WHERE idx = @",
            "UPDATE certificate SET not_after = not_after + 1000000 WHERE idx = @",
        ),
    ] {
        let (house, client) = House::with_build().await;
        let mut once = request("build/c", csr());
        "once".clone_into(&mut once.request_id);
        ask(&client, once.clone()).await.unwrap();
        covered(&house).await;
        let last = "SELECT max(idx) FROM certificate WHERE subject = '/agent/build/c'";
        let index = number(&house.cell, last);
        let filled = |sql: &str| sql.replace('@', &index.to_string());
        database(&house.cell).execute_batch(&filled(write)).unwrap();
        ask(&client, once).await.expect_err("it was carried out");
        database(&house.cell).execute_batch(&filled(put_back)).unwrap();
        drop(client);
        let house = is_sound(house).await;
        assert_eq!(number(&house.cell, last), index, "{write}");
    }
}

/// The checkpoint, after a start has read the whole journal: another number, or a trigger that puts an older one in its place.
#[tokio::test]
async fn the_token_keeps_no_checkpoint_that_was_not_verified() {
    for write in [
        "UPDATE checkpoint SET note = replace(note, char(10) || size || char(10), char(10) || 99999 || char(10)), size = 99999",
        "CREATE TRIGGER older AFTER INSERT ON checkpoint BEGIN UPDATE checkpoint SET size = 1, note = 'none'; END",
        "CREATE TRIGGER dropped BEFORE INSERT ON entry BEGIN SELECT RAISE(IGNORE); END",
    ] {
        let (mut house, client) = House::with_build().await;
        issue(&client, "build/a").await;
        drop(client);
        assert_eq!(house.stop().await, 0);
        let wrote = at_next_start(&house.cell, write.into());
        // It may be found before anything is served.
        if let Ok(serving) = house.cell.try_serve() {
            house.serving = serving;
            house.stop().await;
        }
        assert!(wrote.join().unwrap(), "{write}");
        database(&house.cell)
            .execute_batch("DROP TRIGGER IF EXISTS older; DROP TRIGGER IF EXISTS dropped; DELETE FROM checkpoint WHERE size = 99999")
            .unwrap();
        is_sound(House::of(house.cell)).await;
    }
}

/// What the clock was trusted to be, as the file says: nothing is recorded by it.
#[tokio::test]
async fn a_clock_of_the_file_records_nothing() {
    for offset in ["900000000000000", "100000000000000", "9223372036854775802"] {
        let (mut house, client) = House::with_build().await;
        covered(&house).await;
        let before = Checkpoint::of(&house.cell);
        issue(&client, "build/a").await;
        drop(client);
        covered(&house).await;
        house.crash().await;
        let file = house.cell.data_dir().join("clock");
        let good = std::fs::read_to_string(&file).unwrap();
        let boot = good.split(' ').next().unwrap();
        std::fs::write(&file, format!("{boot} {offset}\n")).unwrap();
        // A certificate that a crash left without its signature.
        let unsign = "DELETE FROM signature WHERE idx = (SELECT max(idx) FROM certificate)";
        database(&house.cell).execute_batch(unsign).unwrap();
        before.put_back(&house.cell);
        let mut house = House::of(house.cell);
        assert_ne!(abandoned(&house.entries().await), 0);
        house.stop().await;
        std::fs::write(&file, &good).unwrap();
        is_sound(House::of(house.cell)).await;
    }
}

/// A start by a clock that is hours ahead, and officers who set it right: what seemed over lives again, and can be revoked.
#[tokio::test]
async fn what_lives_again_can_be_revoked() {
    for revoked_ahead in [false, true] {
        let (mut house, client) = House::with_build().await;
        let one = issue(&client, "build/a").await;
        drop(client);
        assert_eq!(house.stop().await, 0);
        house.cell.jump_clock(0, 6 * HOUR_MS);
        // Nothing says what the clock was trusted to be before.
        std::fs::remove_file(house.cell.data_dir().join("clock")).unwrap();
        let mut house = House::of(house.cell);
        let client = house.credentials().client().await;
        if revoked_ahead {
            assert_eq!(revoke_agent(&client, "build/a").await.unwrap(), 0, "it has ended");
        } else {
            issue(&client, "build/a").await;
        }
        drop(client);
        assert_eq!(house.stop().await, 0);
        house.cell.jump_clock(0, 0);
        let house = House::of(house.cell);
        house.cell.run(&["clock", "confirm"]).ok();
        let client = house.credentials().client().await;
        still_issues(&client).await;
        if revoked_ahead {
            assert_eq!(revoke_agent(&client, "build/a").await.unwrap(), 1);
        } else {
            house.cell.run(&["cert", "revoke", "--serial", &one.serial, "--reason", "key-compromise"]).ok();
            assert_eq!(revoke_agent(&client, "build/a").await.unwrap(), 1, "the other");
        }
        drop(client);
        let mut house = is_sound(house).await;
        house.stop().await;
        house.cell.run(&["ledger", "rebuild"]).ok();
    }
}

/// What would be looked for for days.
const SLOW: &str = "instr(hex(zeroblob(50000000)), hex(zeroblob(25000000)) || '1')";

/// A table in another's place, whose columns are computed and never finish: it is not read, and what reads it otherwise is not held up.
#[tokio::test]
async fn a_table_that_never_answers_holds_nobody_up() {
    for name in ["meta", "certificate"] {
        let (house, client) = House::with_build().await;
        issue(&client, "build/a").await;
        covered(&house).await;
        let journal = database(&house.cell);
        let strings = |sql: &str| -> Vec<String> {
            journal
                .prepare(sql)
                .unwrap()
                .query_map([name], |row| row.get(0))
                .unwrap()
                .map(Result::unwrap)
                .collect()
        };
        let made = strings(
            "SELECT sql FROM sqlite_schema WHERE tbl_name = ?1 AND sql IS NOT NULL ORDER BY type DESC",
        );
        let columns = strings("SELECT name FROM pragma_table_info(?1)");
        let computed: Vec<String> = columns
            .iter()
            .map(|column| {
                format!("ALTER TABLE {name} ADD COLUMN {column} GENERATED ALWAYS AS (CASE WHEN {SLOW} = real THEN 1 ELSE 2 END) VIRTUAL")
            })
            .collect();
        let put = format!(
            "BEGIN IMMEDIATE; CREATE TABLE kept AS SELECT * FROM {name}; DROP TABLE {name}; \
             CREATE TABLE {name} (real); INSERT INTO {name} (real) VALUES (1); {}; COMMIT",
            computed.join("; ")
        );
        journal.execute_batch(&put).unwrap();
        noticed(&house).await;
        assert!(house.serving.log().contains("has tables or triggers that are not its own"), "{name}");
        // Whoever asks is told, and does not wait.
        refused_at_once(&client, name).await;
        let back = format!(
            "BEGIN IMMEDIATE; DROP TABLE {name}; {}; INSERT INTO {name} SELECT * FROM kept; DROP TABLE kept; COMMIT",
            made.join("; ")
        );
        journal.execute_batch(&back).unwrap();
        drop(client);
        let house = is_sound(house).await;
        still_issues(&house.credentials().client().await).await;
    }
}

async fn refused_at_once(client: &client::Client, name: &str) {
    let told = ask(client, request("build/b", csr()));
    let told = tokio::time::timeout(Duration::from_secs(10), told).await.expect(name);
    told.expect_err(name);
}

/// A table's place in the file is another's for a moment, and its number stays another: what SQLite knows since is read by nobody.
#[tokio::test]
async fn a_table_that_was_elsewhere_for_a_moment_is_read_by_nobody() {
    let (house, client) = House::with_build().await;
    let agent = Holder::ask(&client, "build/a", |_| {}).await.client(&house).await;
    covered(&house).await;
    revoke_agent(&client, "build/a").await.unwrap();
    let asks = async || agent.trust().get_trust_bundle(proto::v1::GetTrustBundleRequest {}).await;
    asks().await.expect_err("it was revoked");
    let journal = database(&house.cell);
    let root = |name: &str| -> i64 {
        let sql = "SELECT rootpage FROM sqlite_schema WHERE name = ?1";
        journal.query_row(sql, [name], |row| row.get(0)).unwrap()
    };
    let (own, empty) = (root("revoked"), root("epoch"));
    let version: i64 = journal.query_row("PRAGMA schema_version", [], |row| row.get(0)).unwrap();
    let put = |page: i64| {
        let write = format!(
            "BEGIN IMMEDIATE; PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = {page} WHERE name = 'revoked'; \
             PRAGMA schema_version = {}; PRAGMA writable_schema = OFF; COMMIT",
            version + 1
        );
        journal.execute_batch(&write).unwrap();
    };
    put(empty);
    for _ in 0..20 {
        asks().await.expect_err("it was revoked");
    }
    put(own);
    noticed(&house).await;
    for _ in 0..20 {
        asks().await.expect_err("it was revoked");
    }
    drop(client);
    let house = is_sound(house).await;
    still_issues(&house.credentials().client().await).await;
}
