//! Another program writes to the journal's file, while the service runs or is stopped: what it writes for a moment decides nothing, leads to no
//! entry that a replay would not take, and is seen where it stays.

use std::fs;
use std::path::{Path, PathBuf};

use keeper::{Durability, Journal};
use ledger::entry::entry::Kind;
use ledger::entry::revocation::Target as Ended;
use ledger::entry::{Actor, ActorKind, Custody, Entry, Reference, Refusals, Revocation};
use proto::v1::{
    Agent, CreateAgentBody, IssueCertificateBody, RenewCertificateBody, RevokeCertificateBody,
    revoke_certificate_body::Target,
};
use rootcellar_softhsm_tests::{Cell, Serving, Signal};
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::officer::submit;
use crate::support::{Holder, House, ask, csr, csr_of, database, eventually, issue, request, still_issues};

const NARROW: &str = "agents=build/*;roles=logger;ttl=1h;budget=10000";

/// Refused for this reason; or the scrub came by and saw it, so that nothing is served any more.
#[track_caller]
fn refused<T: std::fmt::Debug>(told: Result<T, Status>, reason: &str) {
    let status = told.expect_err("nothing of what was written counts");
    let said = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    assert!(said == reason || said == "INTERNAL", "{said}: {}", status.message());
}

fn service() -> Actor {
    Actor { kind: ActorKind::Service.into(), identity: "/service/ca".into(), ..Actor::default() }
}

/// The entries of a cell that is stopped.
fn entries(cell: &Cell) -> Vec<(u64, Entry)> {
    let connection = database(cell);
    let mut statement = connection.prepare("SELECT idx, body FROM entry ORDER BY idx").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?))).unwrap();
    rows.map(|row| row.map(|(index, body)| (index, ledger::entry::decode(&body).unwrap())).unwrap()).collect()
}

/// Appends an entry of the service's own, as the newest.
fn append(cell: &Cell, time_unix_ms: Option<i64>, kind: Kind) {
    let newest = entries(cell).last().unwrap().1.time_unix_ms;
    let mut journal = Journal::open(&cell.data_dir()).unwrap();
    journal.begin(Durability::Disk).unwrap();
    journal.append(&Entry::new("cell.internal", time_unix_ms.unwrap_or(newest), service(), kind)).unwrap();
    journal.commit().unwrap();
}

#[track_caller]
fn starts_not(cell: &Cell) -> String {
    cell.try_serve().map(drop).expect_err("it must not serve").fails(1)
}

async fn gone(house: &House, client: &client::Client) -> client::Client {
    let holder = Holder::ask(client, "build/gone", |_| {}).await;
    let agent = holder.client(house).await;
    house.cell.run(&["cert", "revoke", "--agent", "build/gone", "--reason", "key-compromise"]).ok();
    agent
}

fn renewal() -> RenewCertificateBody {
    RenewCertificateBody { csr: csr(), ..RenewCertificateBody::default() }
}

#[tokio::test]
async fn a_grant_that_is_widened_for_a_moment_grants_nothing() {
    let house = House::new();
    let client = house.controller("build", NARROW).client().await;
    let widen = "UPDATE granted SET body = CAST(replace(CAST(body AS TEXT), 'build/*', 'other/*') AS BLOB)";
    assert_eq!(database(&house.cell).execute(widen, []).unwrap(), 1);
    refused(ask(&client, request("other/x", csr())).await, "GRANT_DOES_NOT_COVER");
}

#[tokio::test]
async fn a_freeze_that_is_taken_away_for_a_moment_holds() {
    let house = House::new();
    let client = house.controller("build", NARROW).client().await;
    house.cell.run(&["freeze"]).ok();
    database(&house.cell).execute("DELETE FROM freeze", []).unwrap();
    refused(ask(&client, request("build/x", csr())).await, "FROZEN");
}

#[tokio::test]
async fn a_revocation_that_is_taken_away_for_a_moment_holds() {
    let house = House::new();
    let client = house.controller("build", NARROW).client().await;
    let agent = gone(&house, &client).await;
    assert_eq!(database(&house.cell).execute("DELETE FROM revoked", []).unwrap(), 1);
    refused(agent.issuance().renew_certificate(renewal()).await, "CALLER_REVOKED");
}

#[tokio::test]
async fn a_certificate_whose_row_is_anothers_for_a_moment_is_nobodys() {
    let house = House::new();
    let client = house.controller("build", NARROW).client().await;
    let agent = Holder::ask(&client, "build/a", |_| {}).await.client(&house).await;
    let write = "UPDATE certificate SET subject = '/controller/build' WHERE subject = '/agent/build/a'";
    assert_eq!(database(&house.cell).execute(write, []).unwrap(), 1);
    refused(agent.issuance().renew_certificate(renewal()).await, "INTERNAL");
}

/// What keeps the scrub from reading is damage, whatever it is called.
#[tokio::test]
async fn a_scrub_that_cannot_read_says_so() {
    for write in ["ALTER TABLE meta RENAME TO meta_", "DROP TABLE revoked", "DROP TABLE custody"] {
        let house = House::new();
        database(&house.cell).execute_batch(write).unwrap();
        eventually("it is found", async || house.serving.log().contains("journal-damaged").then_some(()))
            .await;
    }
}

/// The signature of another certificate, with the hash that goes with it.
#[tokio::test]
async fn no_certificate_is_handed_out_whose_signature_does_not_verify() {
    let (house, client) = House::with_build().await;
    let key = rcgen::KeyPair::generate().unwrap();
    let asked = || IssueCertificateBody { request_id: "once".into(), ..request("build/a", csr_of(&key)) };
    let first = ask(&client, asked()).await.unwrap();
    let index = first.receipt.as_ref().unwrap().index;
    let journal = database(&house.cell);
    let sql =
        "SELECT signature FROM signature JOIN certificate USING (idx) WHERE idx < ?1 ORDER BY idx LIMIT 1";
    let other: Vec<u8> = journal.query_row(sql, [index], |row| row.get(0)).unwrap();
    let tbs = certs::summary::tbs_of(&first.chain[0]).unwrap();
    let forged = certs::compose::join(tbs, certs::SignatureAlgorithm::EcdsaP256Sha256, &other);
    let put = "UPDATE signature SET signature = ?2, certificate_sha256 = ?3 WHERE idx = ?1";
    journal.execute(put, (index, &other, Sha256::digest(&forged).to_vec())).unwrap();
    let told = ask(&client, asked()).await.expect_err("it is not what was signed");
    assert!(matches!(told.code(), tonic::Code::Internal | tonic::Code::Unavailable), "{told:?}");
    let why = format!("entry {index}: no signature of its issuer");
    eventually("it is said", async || house.serving.log().contains(&why).then_some(())).await;
}

/// After the journal was found damaged, who was revoked reads nothing, though nothing in the file says so any more.
#[tokio::test]
async fn a_damaged_journal_is_shown_to_nobody_on_the_network() {
    let (house, client) = House::with_build().await;
    let agent = Holder::ask(&client, "build/a", |_| {}).await;
    let by_agent = agent.client(&house).await;
    let revoke = RevokeCertificateBody {
        target: Some(Target::Agent("agents/build/a".into())),
        reason: 1,
        ..RevokeCertificateBody::default()
    };
    client.issuance().revoke_certificate(revoke).await.unwrap();
    database(&house.cell).execute("DELETE FROM revoked", []).unwrap();
    let found = async || house.serving.log().contains("nothing more is recorded").then_some(());
    eventually("it is found", found).await;
    for of in [&by_agent, &client] {
        let told = of.trust().get_trust_bundle(proto::v1::GetTrustBundleRequest {}).await;
        let told = told.expect_err("nothing is shown");
        assert!(matches!(told.code(), tonic::Code::Internal | tonic::Code::Unauthenticated), "{told:?}");
    }
    let said = house.cell.run(&["status"]).stdout;
    assert!(said.contains("damaged"), "an operator sees what it is: {said}");
}

/// Another file in its place: what the keeper writes, nobody would find again.
#[tokio::test]
async fn another_file_in_the_journals_place_is_noticed() {
    let (house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    let copy = house.cell.path("copy.sqlite");
    database(&house.cell).execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    fs::rename(&copy, house.cell.data_dir().join("journal.sqlite")).unwrap();
    let found = async || house.serving.log().contains("another file has its name").then_some(());
    eventually("it is found", found).await;
}

/// A view without an end in a table's place would keep whoever reads it for ever.
#[tokio::test]
async fn no_view_is_read_without_end() {
    let house = House::new();
    let endless = "ALTER TABLE meta RENAME TO meta_; CREATE VIEW meta AS WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) \
                   SELECT n AS one, hex(n) || random() AS cell, n AS origin FROM r WHERE hex(n) = 'x'";
    database(&house.cell).execute_batch(endless).unwrap();
    let said = ["could not be read", "journal-damaged"];
    eventually("it is found", async || {
        let log = house.serving.log();
        said.iter().any(|said| log.contains(said)).then_some(())
    })
    .await;
}

/// An act that is handed in again, an agent that is made again: its first row is gone from the file.
#[tokio::test]
async fn what_was_done_is_not_done_again() {
    let house = House::new();
    let client = house.controller("build", NARROW).client().await;
    house.cell.run(&["grant", "set", "build", "agents=*;roles=logger;ttl=1h;budget=10000"]).ok();
    house.cell.run(&["grant", "set", "build", NARROW]).ok();
    let create = || CreateAgentBody {
        agent: Some(Agent { name: "agents/build/a".into(), ..Agent::default() }),
        ..CreateAgentBody::default()
    };
    client.agents().create_agent(create()).await.unwrap();
    let notes = house.entries().await.into_iter().filter_map(|found| {
        match ledger::entry::decode(&found.entry).unwrap().kind {
            Some(Kind::Act(act)) => Some(String::from_utf8(act.note).unwrap()),
            _ => None,
        }
    });
    let wide = notes.into_iter().find(|note| note.contains("grant.set")).unwrap();
    database(&house.cell).execute_batch("DELETE FROM proposal; DELETE FROM agent").unwrap();
    refused(submit(&client, &wide).await, "PROPOSAL_REPLAYED");
    refused(client.agents().create_agent(create()).await, "AGENT_EXISTS");
}

/// A revocation that is taken away and made again would be an entry that no replay takes: the keeper ends, and the tables are made anew.
#[tokio::test]
async fn what_was_revoked_is_not_revoked_again() {
    let mut house = House::new();
    let client = house.controller("build", NARROW).client().await;
    let agent = gone(&house, &client).await;
    database(&house.cell).execute_batch("DELETE FROM revoked; DELETE FROM agent_ended").unwrap();
    let body = RevokeCertificateBody {
        target: Some(Target::Agent("agents/build/gone".into())),
        reason: 1,
        ..RevokeCertificateBody::default()
    };
    let size = entries(&house.cell).len();
    client.issuance().revoke_certificate(body).await.unwrap_err();
    drop((client, agent));
    house.stop().await;
    let again = entries(&house.cell)[size..]
        .iter()
        .filter(
            |(_, entry)| matches!(&entry.kind, Some(Kind::Revocation(revocation)) if revocation.revoked > 0),
        )
        .count();
    assert_eq!(again, 0);
    house.cell.run(&["ledger", "rebuild", "--replace"]).ok();
    let house = House::of(house.cell);
    house.credentials();
    house.cell.run(&["ledger", "verify"]).ok();
}

/// Rows beside no entry: before the first, beyond the last.
#[tokio::test]
async fn a_certificate_of_no_entry_is_seen_and_mended() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    for at in ["-7", "9223372036854775807"] {
        let copied = format!(
            "INSERT INTO certificate SELECT {at}, x'7777', subject, issuer, not_before, not_after, NULL, 0, controller, recorded_ms \
             FROM certificate WHERE subject = '/agent/build/a'"
        );
        database(&house.cell).execute_batch(&copied).unwrap();
        let said = starts_not(&house.cell);
        assert!(said.contains("not as its entries say is certificate"), "{at}: {said}");
        house.cell.run(&["ledger", "rebuild", "--replace"]).ok();
    }
    // What a table holds that is not of its kind is made anew, too; as is what a checkpoint is said to cover.
    for write in [
        "UPDATE line SET lifetime_secs = 'long'",
        "UPDATE granted SET name = CAST(x'ff' AS TEXT)",
        "INSERT INTO revoked SELECT idx, serial, issuer, not_after, 1.5, 1, idx + 1 FROM certificate LIMIT 1",
        "UPDATE checkpoint SET size = size + 1000",
    ] {
        assert!(database(&house.cell).execute(write, []).unwrap() > 0, "{write}");
        let said = starts_not(&house.cell);
        assert!(said.contains("ledger rebuild --replace"), "{write}: {said}");
        house.cell.run(&["ledger", "rebuild", "--replace"]).ok();
    }
    let house = House::of(house.cell);
    still_issues(&house.credentials().client().await).await;
}

/// The service's own word, appended to its file: of a reason that no list takes, of times that are none.
#[tokio::test]
async fn the_services_word_is_judged() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    house.cell.run(&["ledger", "rebuild"]).ok();
    let journal = house.cell.data_dir().join("journal.sqlite");
    let good = fs::read(&journal).unwrap();
    let sql = "SELECT max(idx) FROM certificate WHERE subject = '/service/ca'";
    let index: u64 = database(&house.cell).query_row(sql, [], |row| row.get(0)).unwrap();
    let revoke = |reason| {
        let target = Ended::Certificate(Reference { origin: "cell.internal/log/1".into(), index });
        Kind::Revocation(Revocation { target: Some(target), reason, revoked: 1, ..Revocation::default() })
    };
    for (time, kind, said) in [
        (None, revoke(9999), "revocation"),
        (Some(-5000), revoke(1), "before 1970"),
        (Some(i64::MAX), Kind::Refusals(Refusals::default()), "the year 9999"),
    ] {
        append(&house.cell, time, kind);
        let told = starts_not(&house.cell);
        assert!(told.contains("is not to be believed") && told.contains(said), "{told}");
        put(&good, &journal);
    }
}

fn put(octets: &[u8], journal: &Path) {
    fs::write(journal, octets).unwrap();
    for beside in ["journal.sqlite-wal", "journal.sqlite-shm"] {
        let _ = fs::remove_file(journal.with_file_name(beside));
    }
}

/// The manifest that says that the token keeps no checkpoint, after the newest one.
fn keeps_none(cell: &Cell) {
    let newest = entries(cell).into_iter().rev().find_map(|(index, entry)| match entry.kind {
        Some(Kind::Custody(custody)) if custody.module.is_some() => Some((index, custody)),
        _ => None,
    });
    let (index, last) = newest.unwrap();
    let mut next: Custody = last.clone();
    next.tokens.iter_mut().for_each(|token| token.keeps_checkpoint = false);
    next.previous = Some(Reference { origin: "cell.internal/log/1".into(), index });
    let made = ledger::custody::differences(&last, &next);
    (next.differences, next.differences_untold) = (made.told, made.untold);
    append(cell, None, Kind::Custody(next));
}

/// From before the log had another key, and before its token kept a checkpoint by that one.
#[tokio::test]
async fn an_older_journal_starts_nothing_whatever_key_the_log_has_since() {
    let (mut house, _client) = House::with_build().await;
    assert_eq!(house.stop().await, 0);
    house.cell.run(&["ledger", "rebuild"]).ok();
    let journal = house.cell.data_dir().join("journal.sqlite");
    let older = fs::read(&journal).unwrap();
    let mut house = House::of(house.cell);
    let log_2 = ["ceremony", "plan", "log-key", "--token", "issuing", "--out", "log-2"];
    house.cell.run(&log_2).ok();
    for step in ["approve --yes", "execute --rehearse", "execute", "approve --yes", "import"] {
        let words: Vec<&str> = ["ceremony"].into_iter().chain(step.split(' ')).chain(["log-2"]).collect();
        house.cell.run(&words).ok();
    }
    house.stop().await;
    let mut house = House::of(house.cell);
    assert_eq!(house.stop().await, 0);
    put(&older, &journal);
    keeps_none(&house.cell);
    let said = starts_not(&house.cell);
    assert!(said.contains("the log went back"), "{said}");
    assert!(house.cell.data_dir().join("lost-checkpoint.note").exists(), "for officers who open a new epoch");
}

/// Cut to its founding, and the token's checkpoint gone: the charter's hash is there, so that there was one.
#[tokio::test]
async fn a_journal_cut_to_its_founding_starts_nothing() {
    let mut house = House::new();
    house.build().await;
    assert_eq!(house.stop().await, 0);
    house.cell.run(&["ledger", "rebuild"]).ok();
    database(&house.cell)
        .execute_batch(
            "DELETE FROM entry WHERE idx >= 6; DELETE FROM signature WHERE idx >= 6; DELETE FROM crl_input WHERE idx >= 6; \
             DELETE FROM signed_request; DELETE FROM checkpoint",
        )
        .unwrap();
    house.cell.run(&["ledger", "rebuild", "--replace"]).ok();
    crate::tampered::forget(&house.cell, "rootcellar checkpoint of cell.internal");
    let said = starts_not(&house.cell);
    assert!(said.contains("keeps none any more"), "{said}");
}

/// The evidence of what callers asked for stays for as long as their certificates live, under a checkpoint, too.
#[tokio::test]
async fn requests_that_are_taken_away_are_missed() {
    let (mut house, client) = House::with_build().await;
    let mut body: IssueCertificateBody = request("build/a", csr());
    body.request_id = "a".into();
    ask(&client, body).await.unwrap();
    drop(client);
    assert_eq!(house.stop().await, 0);
    let copy = house.cell.path("copy.sqlite");
    house.cell.run(&["ledger", "rebuild"]).ok();
    let journal = house.cell.data_dir().join("journal.sqlite");
    fs::copy(&journal, &copy).unwrap();
    database(&house.cell).execute("DELETE FROM signed_request", []).unwrap();
    let said = starts_not(&house.cell);
    assert!(said.contains("the body that was signed is not there"), "{said}");
    let written = house.cell.path("written.sqlite");
    for (write, said) in [
        ("DELETE FROM signed_request", "the body that was signed is not there"),
        ("UPDATE meta SET cell = 'cell.external'", "its charter does not"),
    ] {
        fs::copy(&copy, &written).unwrap();
        Connection::open(&written).unwrap().execute(write, []).unwrap();
        let told = house.cell.run(&["journal", "restore", &written.display().to_string()]).fails(1);
        assert!(told.contains(said), "{write}: {told}");
    }
    house.cell.run(&["journal", "restore", &copy.display().to_string()]).ok();
    House::of(house.cell).cell.run(&["ledger", "verify"]).ok();
}

fn pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

/// Pipes and directories where files should be: nothing waits for them, and a restore clears what lies beside the journal.
#[tokio::test]
async fn what_is_no_file_is_not_waited_for() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    drop(client);
    let dir: PathBuf = house.cell.data_dir();
    fs::create_dir(dir.join("stops")).unwrap();
    pipe(&dir.join("stops/freeze.note"));
    eventually("it is said", async || house.serving.log().contains("stop-not-taken").then_some(())).await;
    Serving::signal(house.serving.pid(), Signal::TERM);
    house.stop().await;
    let said = starts_not(&house.cell);
    assert!(said.contains("it is no file"), "{said}");
    fs::remove_dir_all(dir.join("stops")).unwrap();
    for name in ["lost-checkpoint.note", "journal.lock"] {
        let _ = fs::remove_file(dir.join(name));
        pipe(&dir.join(name));
        let said = starts_not(&house.cell);
        assert!(said.contains(name), "{said}");
        fs::remove_file(dir.join(name)).unwrap();
    }
    house.cell.run(&["ledger", "rebuild"]).ok();
    let copy = house.cell.path("copy.sqlite");
    fs::rename(dir.join("journal.sqlite"), &copy).unwrap();
    fs::write(dir.join("journal.sqlite-wal"), "of another").unwrap();
    let _ = fs::remove_file(dir.join("journal.sqlite-shm"));
    fs::create_dir(dir.join("journal.sqlite-shm")).unwrap();
    house.cell.run(&["journal", "restore", &copy.display().to_string()]).ok();
    let house = House::of(house.cell);
    still_issues(&house.credentials().client().await).await;
}

/// Whatever the tables said for a moment, a revocation ends what it names, or nothing: the keeper ends rather than record what no replay of the
/// entries would do, and serves again once they are as they were.
#[tokio::test]
async fn a_revocation_ends_what_it_names_or_nothing() {
    let twice = "SELECT max(idx) FROM certificate WHERE subject = '/agent/build/v'";
    for (write, put_back) in [
        (
            "UPDATE certificate SET previous = NULL WHERE idx = @",
            "UPDATE certificate SET previous = @kept WHERE idx = @",
        ),
        (
            "UPDATE certificate SET not_after = 1 WHERE idx = @",
            "UPDATE certificate SET not_after = @end WHERE idx = @",
        ),
        ("INSERT INTO agent_ended VALUES ('/agent/build/v', '', 1 << 40)", "DELETE FROM agent_ended"),
        (
            "UPDATE line SET newest = @kept WHERE newest = @",
            "UPDATE line SET newest = @ WHERE newest = @kept",
        ),
    ] {
        let mut house = House::new();
        let client = house.controller("build", NARROW).client().await;
        Holder::ask(&client, "build/v", |_| {}).await;
        let newer = Holder::ask(&client, "build/v", |_| {}).await.client(&house).await;
        let journal = database(&house.cell);
        let index: i64 = journal.query_row(twice, [], |row| row.get(0)).unwrap();
        let sql = "SELECT previous, not_after FROM certificate WHERE idx = ?1";
        let (kept, end): (i64, i64) =
            journal.query_row(sql, [index], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let filled = |sql: &str| {
            sql.replace("@kept", &kept.to_string())
                .replace("@end", &end.to_string())
                .replace('@', &index.to_string())
        };
        journal.execute_batch(&filled(write)).unwrap();
        let revoke = ["cert", "revoke", "--agent", "build/v", "--reason", "key-compromise"];
        let first = house.cell.run(&revoke);
        journal.execute_batch(&filled(put_back)).unwrap();
        drop((journal, client, newer));
        house.stop().await;
        let house = House::of(house.cell);
        house.credentials();
        if first.code != 0 {
            house.cell.run(&revoke).ok();
        }
        let sql = "SELECT count(*) FROM revoked";
        let revoked: u64 = database(&house.cell).query_row(sql, [], |row| row.get(0)).unwrap();
        // The front's own among them, where it asked for another.
        assert!(revoked >= 2, "{write}: {revoked}");
        house.cell.run(&["ledger", "verify"]).ok();
        let mut house = house;
        house.stop().await;
        house.cell.run(&["ledger", "rebuild"]).ok();
    }
}

/// A serial number that is another's for a moment.
#[tokio::test]
async fn officers_revoke_no_other_certificate() {
    let house = House::new();
    let client = house.controller("build", NARROW).client().await;
    let thief = Holder::ask(&client, "build/thief", |_| {}).await;
    Holder::ask(&client, "build/other", |_| {}).await;
    database(&house.cell)
        .execute_batch(
            "BEGIN; CREATE TEMP TABLE kept AS SELECT idx, serial, subject FROM certificate; \
             UPDATE certificate SET serial = x'01' WHERE subject = '/agent/build/thief'; \
             UPDATE certificate SET serial = (SELECT serial FROM kept WHERE subject = '/agent/build/thief') \
             WHERE subject = '/agent/build/other'; COMMIT",
        )
        .unwrap();
    let serial = thief.certificate.serial.as_str();
    house.cell.run(&["cert", "revoke", "--serial", serial, "--reason", "key-compromise"]).fails(1);
    let sql = "SELECT count(*) FROM revoked";
    assert_eq!(database(&house.cell).query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap(), 0);
}

/// The lifetime of a line, the certificate of another in the service's own.
#[tokio::test]
async fn a_line_is_what_the_entries_say() {
    let house = House::new();
    let client = house.controller("build", NARROW).client().await;
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let short =
        Holder::ask(&client, "build/v", |body| body.lifetime = seconds(60)).await.client(&house).await;
    database(&house.cell).execute("UPDATE line SET lifetime_secs = 3600", []).unwrap();
    let long = RenewCertificateBody { lifetime: seconds(3600), ..renewal() };
    refused(short.issuance().renew_certificate(long).await, "GRANT_DOES_NOT_COVER");
}

/// A list that was made while the table lacked some is not signed.
#[tokio::test]
async fn no_list_lacks_what_was_revoked() {
    let mut house = House::new();
    let client = house.controller("build", NARROW).client().await;
    gone(&house, &client).await;
    Holder::ask(&client, "build/other", |_| {}).await;
    let crl = |client: &client::Client| {
        let mut issuance = client.issuance();
        async move { issuance.get_crl(proto::v1::GetCrlRequest::default()).await.map(tonic::Response::into_inner) }
    };
    let before = eventually("the list has it", async || {
        let list = crl(&client).await.ok()?;
        (certs::crl::CrlSummary::parse(&list.crl).ok()?.revoked.len() == 1).then_some(list)
    })
    .await;
    let journal = database(&house.cell);
    journal.execute_batch("CREATE TEMP TABLE kept AS SELECT * FROM revoked; DELETE FROM revoked").unwrap();
    house.cell.run(&["cert", "revoke", "--agent", "build/other", "--reason", "key-compromise"]);
    eventually("it ends, or is found damaged", async || {
        let log = house.serving.log();
        (log.contains("not as its entries say is revoked") || log.contains("journal-damaged")).then_some(())
    })
    .await;
    journal.execute_batch("INSERT OR IGNORE INTO revoked SELECT * FROM kept").unwrap();
    drop((journal, client));
    house.stop().await;
    house.cell.run(&["ledger", "rebuild", "--replace"]).ok();
    let house = House::of(house.cell);
    let client = house.credentials().client().await;
    let later = eventually("there is a newer list", async || {
        crl(&client).await.ok().filter(|list| list.number > before.number)
    })
    .await;
    assert_eq!(certs::crl::CrlSummary::parse(&later.crl).unwrap().revoked.len(), 2);
    house.cell.run(&["ledger", "verify"]).ok();
}

/// The same key for a second agent while the table has forgotten the first: what was recorded can be started, and made anew.
#[tokio::test]
async fn a_key_that_was_certified_twice_poisons_nothing() {
    let mut house = House::new();
    let client = house.controller("build", NARROW).client().await;
    let one = Holder::ask(&client, "build/a", |_| {}).await;
    let journal = database(&house.cell);
    let forget = "DELETE FROM identity_key WHERE subject = '/agent/build/a'";
    assert_eq!(journal.execute(forget, []).unwrap(), 1);
    refused(ask(&client, request("build/b", csr_of(&one.key))).await, "INTERNAL");
    let put_back = "UPDATE identity_key SET subject = '/agent/build/a' WHERE subject = '/agent/build/b'";
    journal.execute(put_back, []).unwrap();
    drop((journal, client));
    house.stop().await;
    house.cell.run(&["ledger", "rebuild", "--replace"]).ok();
    House::of(house.cell);
}

/// What claims more than any log of ours is no checkpoint of it; a directory or a link beside the journal stops no restore.
#[tokio::test]
async fn what_lies_beside_a_journal_says_and_stops_little() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    let dir = house.cell.data_dir();
    let lost = dir.join("lost-checkpoint.note");
    let root = "A".repeat(43) + "=";
    for claimed in [
        format!("cell.internal/log/1\n{}\n", u64::MAX),
        format!("cell.internal/log/1\n{}\n", i64::MAX),
        "cell.internal/log/4294967295\n1000\n".to_owned(),
    ] {
        fs::write(&lost, format!("{claimed}{root}\n\n\u{2014} x AAAAAAAA\n")).unwrap();
        let said = starts_not(&house.cell);
        assert!(said.contains("holds no checkpoint of this log"), "{said}");
        house.cell.run(&["ledger", "open-epoch"]).fails(1);
    }
    fs::remove_file(&lost).unwrap();
    house.cell.run(&["ledger", "rebuild"]).ok();
    let copy = house.cell.path("copy.sqlite");
    fs::copy(dir.join("journal.sqlite"), &copy).unwrap();
    let elsewhere = house.cell.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let _ = fs::remove_file(dir.join("journal.sqlite-shm"));
    std::os::unix::fs::symlink(&elsewhere, dir.join("journal.sqlite-shm")).unwrap();
    fs::create_dir_all(dir.join("journal.sqlite-journal/full")).unwrap();
    house.cell.run(&["journal", "restore", &copy.display().to_string()]).ok();
    assert!(elsewhere.exists());
    // A copy that lies where an unfinished restore left it.
    let unfinished = dir.join("restoring-x");
    fs::create_dir(&unfinished).unwrap();
    fs::copy(&copy, unfinished.join("copy.sqlite")).unwrap();
    house.cell.run(&["journal", "restore", &unfinished.join("copy.sqlite").display().to_string()]).ok();
    let house = House::of(house.cell);
    still_issues(&house.credentials().client().await).await;
}
