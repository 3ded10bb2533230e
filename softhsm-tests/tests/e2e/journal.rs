//! Copies of the journal, a log that went back, and the way out; and what damages a journal.

use std::collections::BTreeSet;
use std::fs;

use proto::v1::{GetCrlRequest, IssueCertificateBody};
use rcgen::KeyPair;
use rusqlite::Connection;
use tonic::Code;

use crate::support::{House, ask, csr, csr_of, eventually, inner, issue, refused, request, still_issues};
use crate::wire;

/// Copies the journal to a file of this name below the cell's directory.
fn backup(house: &House, name: &str) -> String {
    let to = house.cell.path(name).display().to_string();
    house.cell.run(&["journal", "backup", "--out", &to]).ok();
    to
}

#[tokio::test]
async fn backup_while_it_serves() {
    let (mut house, client) = House::with_build().await;
    let key = KeyPair::generate().unwrap();
    let load = tokio::spawn({
        let client = client.clone();
        async move {
            for _ in 0..200 {
                ask(&client, request("build/load", csr_of(&key))).await.unwrap();
            }
        }
    });
    let copies = [backup(&house, "one.sqlite"), backup(&house, "two.sqlite")];
    load.await.unwrap();
    house.cell.run(&["journal", "backup", "--out", &copies[0]]).fails(1);
    let before = house.entries().await.len();
    assert_eq!(house.stop().await, 0);
    // The newest copy that holds everything puts the service where it was.
    let house = House::of(house.cell);
    let last = backup(&house, "last.sqlite");
    let mut house = house;
    assert_eq!(house.stop().await, 0);
    let said = house.cell.run(&["journal", "restore", &last, "--output", "json"]).json();
    assert!(said["entries"].as_u64().unwrap() >= before as u64, "{said}");
    let house = House::of(house.cell);
    house.cell.run(&["ledger", "verify"]).ok();
    still_issues(&house.credentials().client().await).await;
}

/// Copies that nobody takes away do not fill the disk.
#[tokio::test]
async fn few_copies_stay() {
    let (house, client) = House::with_build().await;
    let mut made = Vec::new();
    for number in 0..5 {
        issue(&client, &format!("build/{number}")).await;
        made.push(house.cell.run(&["journal", "backup", "--output", "json"]).json());
    }
    let below = house.cell.data_dir().join("backup");
    let there = fs::read_dir(&below).unwrap();
    let there = there.map(|found| found.unwrap().path().display().to_string());
    let there: BTreeSet<String> = there.filter(|path| path.ends_with(".sqlite")).collect();
    let newest = made[2..].iter().map(|made| made["file"].as_str().unwrap().to_owned()).collect();
    assert_eq!(there, newest);
    // Whatever others are called, and from whenever they are.
    (0..3).for_each(|n| fs::write(below.join(format!("journal-{}.sqlite", u64::MAX - n)), "").unwrap());
    issue(&client, "build/last").await;
    let last = house.cell.run(&["journal", "backup", "--output", "json"]).json();
    assert!(fs::metadata(last["file"].as_str().unwrap()).unwrap().len() > 0);
}

#[tokio::test]
async fn went_back_and_a_new_epoch() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/kept").await;
    let copy = backup(&house, "old.sqlite");
    let lost = issue(&client, "build/lost").await;
    let number = inner(client.issuance().get_crl(GetCrlRequest::default()).await).number;
    assert_eq!(house.stop().await, 0);
    house.cell.run(&["ledger", "open-epoch"]).fails(1);
    let said = house.cell.run(&["journal", "restore", &copy]).fails(1);
    assert!(said.contains("--with-loss"), "the way out: {said}");
    let said = house.cell.run(&["journal", "restore", &copy, "--with-loss"]).ok();
    assert!(said.contains("ledger open-epoch"), "what is next: {said}");
    let said = house.cell.try_serve().expect_err("a log that went back").fails(1);
    assert!(said.contains("LOG_WENT_BACK") || said.contains("the log went back"), "{said}");
    assert!(said.contains("open-epoch"), "the way out: {said}");

    let opened = house.cell.run(&["ledger", "open-epoch", "--output", "json"]).json();
    assert_eq!(opened["log"], "cell.internal/log/2");
    let house = House::of(house.cell);
    // Who knows the bundle of before signs for the log of before, and is told so.
    let stale = house.credentials().client().await;
    refused(ask(&stale, request("build/a", csr())).await, Code::Unauthenticated, "SIGNATURE_INVALID");
    house.cell.run(&["issue", "build/a", "--controller", "build", "--out", "a"]).ok();
    house.cell.run(&["ledger", "verify", "--proof", "a.proof", "--certificate", "a.chain.pem"]).ok();
    let client = house.credentials().client().await;
    still_issues(&client).await;
    let verified = house.cell.run(&["ledger", "verify", "--output", "json"]).json();
    assert_eq!(verified["log"], "cell.internal/log/2");
    // What was lost is not known, and is not taken for what now has its index.
    let get = proto::v1::GetCertificateRequest { name: lost.name };
    let there = client.issuance().get_certificate(get).await;
    assert!(there.is_err() || inner(there).certificate.unwrap().serial != lost.serial);
    // Numbers of lists that may be known elsewhere are not used again.
    let crl = eventually("a list of the new epoch", async || {
        let crl = client.issuance().get_crl(GetCrlRequest::default()).await.ok()?.into_inner();
        (crl.number > number + 1).then_some(crl)
    });
    house.cell.run(&["controller", "add", "other", "--grant", "agents=o/*"]).ok();
    // Something must be revoked before a list is due.
    house.cell.run(&["cert", "revoke", "--agent", "build/kept", "--reason", "superseded"]).ok();
    assert!(crl.await.number > number + 1);
    let mut house = house;
    assert_eq!(house.stop().await, 0);
    let rebuilt = house.cell.run(&["ledger", "rebuild"]).ok();
    assert!(!rebuilt.contains("differs"), "{rebuilt}");

    // The copy of the first epoch is refused after the second has begun.
    house.cell.run(&["journal", "restore", &copy]).fails(1);
    house.cell.run(&["journal", "restore", &copy, "--with-loss"]).ok();
    house.cell.try_serve().expect_err("an epoch that is over").fails(1);
    // And is no dead end: the epoch after the lost one begins on it, so that no origin has two logs.
    let opened = house.cell.run(&["ledger", "open-epoch", "--output", "json"]).json();
    assert_eq!(opened["log"], "cell.internal/log/3");
    // A copy is restored a second time: what was set aside before stays.
    let aside = fs::read_dir(house.cell.data_dir()).unwrap();
    let aside =
        aside.filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().contains("replaced"));
    assert_eq!(aside.count(), 2, "one for each restore");
    let house = House::of(house.cell);
    // They learn where the service is now; the command then learns the new log.
    house.credentials();
    house.cell.run(&["issue", "build/b", "--controller", "build"]).ok();
    still_issues(&house.credentials().client().await).await;
    house.cell.run(&["ledger", "verify"]).ok();
}

#[tokio::test]
async fn restored_copy_is_looked_at() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    let copy = backup(&house, "copy.sqlite");
    let running = house.cell.run(&["journal", "restore", &copy]).fails(1);
    assert!(running.contains("another rootcellar uses"), "{running}");
    assert_eq!(house.stop().await, 0);
    let mut octets = fs::read(&copy).unwrap();
    // One octet of the names in an entry's certificate: its leaf hash is another.
    let name = b"spiffe://cell.internal/agent/build/a";
    let at = octets.windows(name.len()).position(|window| window == name).unwrap();
    octets[at + name.len() - 1] = b'x';
    let damaged = house.cell.path("damaged.sqlite");
    fs::write(&damaged, octets).unwrap();
    let said = house.cell.run(&["journal", "restore", &damaged.display().to_string()]).fails(1);
    assert!(said.contains("contradicts itself") || said.contains("entry"), "{said}");
    house.cell.run(&["journal", "restore", "/dev/null"]).fails(1);
    let other = rootcellar_softhsm_tests::Cell::founded(crate::support::BINARY);
    // Of the same name, and with other officers.
    let strange = House::of(other);
    let theirs = backup(&strange, "theirs.sqlite");
    let said = house.cell.run(&["journal", "restore", &theirs]).fails(1);
    assert!(said.contains("another charter"), "{said}");
    // A journal that cannot be read is no reason to refuse a good copy.
    fs::write(house.cell.data_dir().join("journal.sqlite"), "no database").unwrap();
    house.cell.run(&["journal", "restore", &copy]).ok();
    let house = House::of(house.cell);
    still_issues(&house.credentials().client().await).await;
}

#[tokio::test]
async fn damaged_page() {
    let (mut house, client) = House::with_build().await;
    let certificate = issue(&client, "build/a").await;
    issue(&client, "build/b").await;
    assert_eq!(house.stop().await, 0);
    let file = house.cell.data_dir().join("journal.sqlite");
    let mut octets = fs::read(&file).unwrap();
    // The same octets stand in the certificate's entry alone.
    let name = b"spiffe://cell.internal/agent/build/a";
    let at = octets.windows(name.len()).position(|window| window == name).unwrap();
    octets[at] ^= 1;
    fs::write(&file, &octets).unwrap();
    // A start reads every entry.
    let said = house.cell.try_serve().map(drop).expect_err("a damaged journal").fails(1);
    assert!(said.contains("is not the one in the tree") && said.contains("journal restore"), "{said}");
    octets[at] ^= 1;
    fs::write(&file, &octets).unwrap();
    // While it runs: found on read.
    let house = House::of(house.cell);
    let client = house.credentials().client().await;
    let index = certificate.receipt.as_ref().unwrap().index;
    let journal = Connection::open(&file).unwrap();
    journal.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    journal.execute("UPDATE entry SET body = zeroblob(length(body)) WHERE idx = ?1", [index]).unwrap();
    let get = proto::v1::GetCertificateRequest { name: certificate.name };
    refused(client.issuance().get_certificate(get).await, Code::Internal, "INTERNAL");
    // And without one, by whoever looks in the background: then nothing more is recorded.
    eventually("it is found", async || house.serving.log().contains("journal-damaged").then_some(())).await;
    refused(ask(&client, request("build/c", csr())).await, Code::Internal, "INTERNAL");
    assert!(house.cell.run(&["status"]).fails(75).contains("damaged"));
}

#[tokio::test]
async fn newer_format() {
    let mut house = House::new();
    assert_eq!(house.stop().await, 0);
    let file = house.cell.data_dir().join("journal.sqlite");
    // The SQLite file format, section 1.3: the user version is the big-endian number at offset 60.
    let mut octets = fs::read(&file).unwrap();
    let before = octets.clone();
    octets[60..64].copy_from_slice(&99_u32.to_be_bytes());
    fs::write(&file, &octets).unwrap();
    let said = house.cell.try_serve().expect_err("a newer format").fails(1);
    assert!(said.contains("format 99"), "{said}");
    fs::write(&file, before).unwrap();
    let house = House::of(house.cell);
    still_issues(&house.build().await).await;
}

#[tokio::test]
async fn only_from_this_machine() {
    let (_house, client) = House::with_build().await;
    let answer = client.admin().backup_journal(proto::v1::BackupJournalRequest {}).await;
    refused(answer, Code::PermissionDenied, "CALLER_NOT_ALLOWED");
}

/// What a caller signed is kept while its certificate lives, and a day longer.
#[tokio::test]
async fn requests_of_ended_certificates_are_let_go() {
    let (mut house, client) = House::with_build().await;
    // The agent comes first: its request stays.
    issue(&client, "build/a").await;
    let mut brief = request("build/a", csr());
    brief.lifetime = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    let ended = ask(&client, brief).await.unwrap().receipt.unwrap().index;
    let kept = |house: &House| -> Vec<u64> {
        let journal = Connection::open(house.cell.data_dir().join("journal.sqlite")).unwrap();
        let mut rows = journal.prepare("SELECT idx FROM signed_request ORDER BY idx").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    // By the cell's clock, which is not this program's.
    let later = async |house: &mut House, secs: i64| {
        house.cell.set_clock(secs * 1000);
        house.restart().await;
        let (chain, key) = (house.credentials().read("chain.pem"), house.credentials().read("key.pem"));
        let mut wire = wire::Caller::connect(house, &chain, &key, secs).await.unwrap();
        let request_id = format!("after-{secs}");
        let request = IssueCertificateBody { request_id, ..request("build/a", csr()) };
        inner(wire.issue(&request, None).await).certificate.unwrap().receipt.unwrap().index
    };
    let lives = later(&mut house, 86_000).await;
    house.cell.run(&["ledger", "verify"]).ok();
    assert!(kept(&house).contains(&ended), "not a day ago");
    later(&mut house, 86_600).await;
    eventually("it is let go", async || (!kept(&house).contains(&ended)).then_some(())).await;
    assert!(kept(&house).contains(&lives) && kept(&house).contains(&(ended - 2)), "{:?}", kept(&house));
    // Nobody misses it: auditor, start, restore.
    house.cell.run(&["ledger", "verify"]).ok();
    let copy = backup(&house, "copy.sqlite");
    house.restart().await;
    house.cell.run(&["ledger", "verify"]).ok();
    assert_eq!(house.stop().await, 0);
    house.cell.run(&["journal", "restore", "--with-loss", &copy]).ok();
}
