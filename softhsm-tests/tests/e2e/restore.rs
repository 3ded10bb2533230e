//! A copy in the journal's place: nothing it says of itself is believed, and officers declare what is lost.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use certs::ATTRIBUTES_OID;
use certs::crl::CrlSummary;
use keeper::{Kept, RestoreTerms};
use ledger::charter::Charters;
use proto::v1::{GetCrlRequest, GetStatusRequest};
use rusqlite::Connection;

use crate::kinds::held;
use crate::support::{House, eventually, inner, issue, still_issues};

fn backup(house: &House, name: &str) -> PathBuf {
    let to = house.cell.path(name);
    house.cell.run(&["journal", "backup", "--out", &to.display().to_string()]).ok();
    to
}

/// A cell that is stopped, with a copy of all that it recorded.
async fn stopped() -> (House, PathBuf) {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    issue(&client, "build/b").await;
    house.cell.run(&["cert", "revoke", "--agent", "build/b", "--reason", "key-compromise"]).ok();
    inner(client.issuance().get_crl(GetCrlRequest::default()).await);
    let copy = backup(&house, "copy.sqlite");
    assert_eq!(house.stop().await, 0);
    (house, copy)
}

/// What is written into a copy, and what a restore says.
const WRITTEN: [(&str, &str); 15] = [
    ("INSERT INTO entry SELECT max(idx) + 1, leaf_hash, body FROM entry", "its checkpoint covers"),
    ("DELETE FROM entry WHERE idx = (SELECT max(idx) FROM entry)", "its checkpoint covers"),
    ("UPDATE checkpoint SET size = size - 1", "not as its entries say is checkpoint"),
    ("DELETE FROM checkpoint", "its checkpoint covers 0"),
    ("UPDATE checkpoint SET note = replace(note, 'cell.internal', 'cell.external')", "checkpoint"),
    ("UPDATE entry SET body = (SELECT body FROM entry WHERE idx = 5) WHERE idx = 6", "leaf hash"),
    ("UPDATE entry SET leaf_hash = zeroblob(32) WHERE idx = 6", "leaf hash"),
    ("UPDATE entry SET body = zeroblob(100) WHERE idx = 6", "entry 6"),
    ("DELETE FROM entry WHERE idx = 6", "not where its index says"),
    ("UPDATE signature SET signature = zeroblob(70)", "its signature does not verify"),
    ("UPDATE signature SET certificate_sha256 = zeroblob(32)", "the hash of its certificate"),
    ("UPDATE signed_request SET body = x'00'", "the request beside it"),
    ("UPDATE crl_input SET tbs = x'00'", "the CRL beside it is another"),
    ("UPDATE meta SET origin = 'cell.internal/log/2'", "log"),
    ("CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM revoked; END", "triggers"),
];

#[tokio::test]
async fn nothing_is_taken_on_the_copys_word() {
    let (house, copy) = stopped().await;
    let written = house.cell.path("written.sqlite");
    let before = fs::read(house.cell.data_dir().join("journal.sqlite")).unwrap();
    for (sql, said) in WRITTEN {
        fs::copy(&copy, &written).unwrap();
        Connection::open(&written)
            .unwrap()
            .execute_batch(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        let told = house.cell.run(&["journal", "restore", &written.display().to_string()]).fails(1);
        assert!(told.contains(said), "{sql}: {told}");
    }
    let after = fs::read(house.cell.data_dir().join("journal.sqlite")).unwrap();
    assert!(before == after, "nothing was changed");
    // What follows from the entries is made anew, whatever a copy says of it.
    fs::copy(&copy, &written).unwrap();
    Connection::open(&written)
        .unwrap()
        .execute_batch(
            "INSERT INTO controller (name, idx, line_start_ms) VALUES ('evil', 1, 0); \
             INSERT INTO freeze (one, frozen) VALUES (1, 1);",
        )
        .unwrap();
    house.cell.run(&["journal", "restore", &written.display().to_string()]).ok();
    let house = House::of(house.cell);
    still_issues(&house.credentials().client().await).await;
    house.cell.run(&["ledger", "verify"]).ok();
    let listed = house.cell.run(&["controller", "list"]).ok();
    assert!(!listed.contains("evil"), "{listed}");
}

/// Every octet of a copy may be another: then it is refused, or what comes of it is the very journal.
#[tokio::test]
async fn a_copy_with_one_octet_changed_is_refused_or_the_same() {
    let (house, copy) = stopped().await;
    let charter = fs::read(house.cell.officer_dir().join("charter.note")).unwrap();
    let charter = Some(Charters::parse(&charter).unwrap().first().sha256());
    let known = Kept { charter, ..Kept::default() };
    let restored = |from: &Path| {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let terms = RestoreTerms {
            attributes_oid: ATTRIBUTES_OID,
            known: &known,
            checkpoint: None,
            with_loss: false,
        };
        keeper::restore(from, dir.path(), &terms).map(|restored| (restored.entries, restored.root))
    };
    let good = restored(&copy).unwrap();
    let octets = fs::read(&copy).unwrap();
    let spoiled = house.cell.path("spoiled.sqlite");
    let (mut refused, mut same) = (0, 0);
    // An odd step: every page, and every place in one.
    for at in (0..octets.len()).step_by((octets.len() / 200) | 1) {
        let mut changed = octets.clone();
        changed[at] ^= 1 << (at % 8);
        fs::write(&spoiled, changed).unwrap();
        match restored(&spoiled) {
            Ok(made) => {
                assert_eq!(made, good, "octet {at}");
                same += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 20 && same > 20, "{refused} refused, {same} the same");
}

#[tokio::test]
async fn a_missing_journal_is_told_the_way_back() {
    let (house, copy) = stopped().await;
    let journal = house.cell.data_dir().join("journal.sqlite");
    fs::rename(&journal, house.cell.path("away.sqlite")).unwrap();
    let said = house.cell.try_serve().map(drop).expect_err("no journal").fails(1);
    assert!(
        said.contains("the token knows one") && said.contains("rootcellar journal restore FILE"),
        "{said}"
    );
    let report = house.cell.run(&["doctor", "--output", "json"]);
    assert!(report.stdout.contains("journal.missing"), "{}", report.stdout);
    assert!(report.stdout.contains("rootcellar journal restore FILE"), "{}", report.stdout);
    // A founding that would begin again is not begun.
    let said = house.cell.run(&["init"]).fails(1);
    assert!(said.contains("the token knows this cell") && said.contains("journal restore"), "{said}");
    assert!(!journal.exists());
    house.cell.run(&["journal", "restore", &copy.display().to_string()]).ok();
    let house = House::of(house.cell);
    still_issues(&house.credentials().client().await).await;
}

#[tokio::test]
async fn who_the_officers_are_comes_from_elsewhere() {
    let (house, copy) = stopped().await;
    let copy = copy.display().to_string();
    // No token to ask and no charter: a copy alone says nothing.
    fs::rename(house.cell.data_dir().join("token"), house.cell.path("token-away")).unwrap();
    let own = house.cell.officer_dir().join("charter.note");
    let charter = house.cell.path("mine.note");
    fs::rename(&own, &charter).unwrap();
    let said = house.cell.run(&["journal", "restore", &copy]).fails(1);
    assert!(said.contains("name the charter"), "{said}");
    let named = charter.display().to_string();
    let said = house.cell.run(&["journal", "restore", &copy, "--charter", &named]).ok();
    assert!(said.contains("not asked"), "{said}");
    // Another checkpoint than this log's is none.
    let said =
        house.cell.run(&["journal", "restore", &copy, "--charter", &named, "--checkpoint", &named]).fails(1);
    assert!(said.contains("not signed by a key of this log"), "{said}");
    fs::rename(house.cell.path("token-away"), house.cell.data_dir().join("token")).unwrap();
    fs::rename(&charter, &own).unwrap();
    // One that is not what the token signed for.
    let other = rootcellar_softhsm_tests::Cell::founded(crate::support::BINARY);
    let theirs = other.officer_dir().join("charter.note").display().to_string();
    let said = house.cell.run(&["journal", "restore", &copy, "--charter", &theirs]).fails(1);
    assert!(said.contains("whose hash the token keeps"), "{said}");
}

#[tokio::test]
async fn a_checkpoint_that_somebody_holds_is_not_gone_below() {
    let (house, copy) = stopped().await;
    let mut house = House::of(house.cell);
    let client = house.credentials().client().await;
    issue(&client, "build/c").await;
    let newest = house.cell.run(&["ledger", "checkpoint"]).ok();
    let note = house.cell.path("newest.note");
    fs::write(&note, newest).unwrap();
    assert_eq!(house.stop().await, 0);
    // The token is lost with its checkpoint, and so is what this user has seen.
    fs::rename(house.cell.data_dir().join("token"), house.cell.path("token-away")).unwrap();
    for seen in crate::support::files_below(&house.cell.path("")) {
        if seen.parent().is_some_and(|parent| parent.ends_with("checkpoints")) {
            fs::remove_file(seen).unwrap();
        }
    }
    let (copy, note) = (copy.display().to_string(), note.display().to_string());
    let said = house.cell.run(&["journal", "restore", &copy, "--checkpoint", &note]).fails(1);
    assert!(said.contains("would be lost") && said.contains("--with-loss"), "{said}");
    house.cell.run(&["journal", "restore", &copy, "--checkpoint", &note, "--with-loss"]).ok();
    fs::rename(house.cell.path("token-away"), house.cell.data_dir().join("token")).unwrap();
    let said = house.cell.try_serve().map(drop).expect_err("it went back").fails(1);
    assert!(said.contains("the log went back"), "{said}");
}

#[tokio::test]
async fn revocations_that_are_lost_are_repeated() {
    let (mut house, client) = House::with_build().await;
    let kept = issue(&client, "build/kept").await;
    let copy = backup(&house, "old.sqlite").display().to_string();
    let lost = issue(&client, "build/lost").await;
    for agent in ["build/kept", "build/lost"] {
        house.cell.run(&["cert", "revoke", "--agent", agent, "--reason", "key-compromise"]).ok();
    }
    let list = eventually("both are on a list", async || {
        let crl = client.issuance().get_crl(GetCrlRequest::default()).await.ok()?.into_inner();
        let revoked = CrlSummary::parse(&crl.crl).unwrap().revoked.len();
        (revoked == 2).then_some(crl.crl)
    })
    .await;
    let file = house.cell.path("list.crl");
    fs::write(&file, &list).unwrap();
    assert_eq!(house.stop().await, 0);
    house.cell.run(&["journal", "restore", &copy, "--with-loss"]).ok();
    let garbage = house.cell.path("old.sqlite").display().to_string();
    house.cell.run(&["ledger", "open-epoch", "--crl", &garbage]).fails(1);
    let opened =
        house.cell.run(&["ledger", "open-epoch", "--crl", &file.display().to_string(), "--output", "json"]);
    let opened = opened.json();
    assert_eq!(opened["revoked"], 2, "{opened}");
    let house = House::of(house.cell);
    house.credentials();
    house.cell.run(&["issue", "build/next", "--controller", "build"]).ok();
    let client = house.credentials().client().await;
    // Both are on the first list of the new epoch: the one that is known, and the one that is not.
    let serials: Vec<Vec<u8>> = [&kept, &lost]
        .map(|certificate| data_encoding::HEXLOWER.decode(certificate.serial.as_bytes()).unwrap())
        .to_vec();
    eventually("they are revoked again", async || {
        let crl = client.issuance().get_crl(GetCrlRequest::default()).await.ok()?.into_inner();
        let revoked = CrlSummary::parse(&crl.crl).ok()?.revoked;
        serials.iter().all(|serial| revoked.iter().any(|one| one.serial == *serial)).then_some(())
    })
    .await;
    let status = inner(house.local().await.admin().get_status(GetStatusRequest {}).await);
    assert!(status.lost_certificates_until.is_some(), "what is lost may live");
    let report = house.cell.run(&["doctor", "--output", "json"]);
    assert!(report.stdout.contains("epoch.lost-certificates"), "{}", report.stdout);
    house.cell.run(&["ledger", "verify"]).ok();
    let mut house = house;
    assert_eq!(house.stop().await, 0);
    let rebuilt = house.cell.run(&["ledger", "rebuild"]).ok();
    assert!(!rebuilt.contains("differs"), "{rebuilt}");
    House::of(house.cell);
}

#[tokio::test]
async fn the_issuer_of_what_is_lost_is_retired() {
    let (house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    held(&house, "issuer-2", &["rotation", "--token", "issuing"]);
    let copy = backup(&house, "old.sqlite").display().to_string();
    issue(&client, "build/lost").await;
    let mut house = house;
    assert_eq!(house.stop().await, 0);
    house.cell.run(&["journal", "restore", &copy, "--with-loss"]).ok();
    let opened = house.cell.run(&["ledger", "open-epoch", "--retire-issuer", "--output", "json"]).json();
    assert!(opened["certificates"].as_str().unwrap().starts_with("retired "), "{opened}");
    let house = House::of(house.cell);
    house.credentials();
    house.cell.run(&["issue", "build/next", "--controller", "build"]).ok();
    let issuers = house.cell.run(&["issuer", "list", "--output", "json"]).json();
    let states: Vec<&str> =
        issuers["issuers"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["retired", "active"]);
    let status = inner(house.local().await.admin().get_status(GetStatusRequest {}).await);
    assert!(status.lost_certificates_until.is_some(), "what a retired issuer signed lives on");
    house.cell.run(&["ledger", "verify"]).ok();
}

/// What says how much of a log is lost is not taken for nothing where it cannot be read, nor for less.
#[tokio::test]
async fn a_note_of_what_is_lost_that_says_nothing_starts_nothing() {
    let (mut house, client) = House::with_build().await;
    let copy = backup(&house, "old.sqlite").display().to_string();
    issue(&client, "build/lost").await;
    assert_eq!(house.stop().await, 0);
    let newer = house.cell.path("newer.sqlite");
    fs::copy(house.cell.data_dir().join("journal.sqlite"), newer).unwrap();
    house.cell.run(&["journal", "restore", &copy, "--with-loss"]).ok();
    let lost = house.cell.data_dir().join("lost-checkpoint.note");
    let said = fs::read(&lost).unwrap();
    for spoiled in ["", "no checkpoint"] {
        fs::write(&lost, spoiled).unwrap();
        let told = house.cell.try_serve().map(drop).expect_err("it was lost").fails(1);
        assert!(told.contains("checkpoint") && told.contains("lost"), "{told}");
        // The token's own is put in its place.
        fs::write(&lost, &said).unwrap();
    }
    // A restore that names less does not make it less.
    let before = fs::read(&lost).unwrap();
    house.cell.run(&["journal", "restore", &copy, "--with-loss"]).ok();
    assert!(fs::read(&lost).unwrap() == before);
    let both = ["ledger", "open-epoch", "--retire-issuer", "--crl", &copy];
    let told = house.cell.run(&both).fails(2);
    assert!(told.contains("no list is made for it"), "{told}");
    // What a restore left that was cut short goes with the next.
    let left = house.cell.data_dir().join("restoring-abc");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("copy.sqlite"), "a ledger").unwrap();
    house.cell.run(&["journal", "restore", &copy, "--with-loss"]).ok();
    assert!(!left.exists());
}

/// An unreadable lost-checkpoint.note has a way out.
#[tokio::test]
async fn a_restore_takes_a_note_away_that_nobody_can_read() {
    let (house, copy) = stopped().await;
    fs::write(house.cell.data_dir().join("lost-checkpoint.note"), "junk").unwrap();
    let told = house.cell.try_serve().map(drop).expect_err("it was lost").fails(1);
    assert!(told.contains("journal restore"), "{told}");
    house.cell.run(&["journal", "restore", &copy.display().to_string()]).ok();
    House::of(house.cell).cell.run(&["ledger", "verify"]).ok();
}

/// Lost, lost again, and found: each way leads on, and no origin has two logs.
#[tokio::test]
async fn two_losses_and_what_was_lost_first() {
    let (mut house, client) = House::with_build().await;
    let first = backup(&house, "first.sqlite").display().to_string();
    for _ in 0..20 {
        issue(&client, "build/a").await;
    }
    house.cell.run(&["ledger", "verify"]).ok();
    assert_eq!(house.stop().await, 0);
    let next = |house: &mut House, log: &str| {
        house.cell.run(&["journal", "restore", &first, "--with-loss"]).ok();
        house.cell.try_serve().map(drop).expect_err("it went back").fails(1);
        house.cell.run(&["ledger", "open-epoch"]).ok();
        house.serving = house.cell.serve();
        house.credentials();
        house.cell.run(&["issue", "build/b", "--controller", "build"]).ok();
        let status = house.cell.run(&["status", "--output", "json"]).json();
        assert_eq!(status["log"]["origin"].as_str().or(status["origin"].as_str()), Some(log), "{status}");
        house.cell.run(&["ledger", "verify"]).ok();
    };
    next(&mut house, "cell.internal/log/2");
    assert_eq!(house.stop().await, 0);
    // The second time, a copy of the first log that is shorter than what is known of it: the next is above both.
    next(&mut house, "cell.internal/log/3");
    let third = backup(&house, "third.sqlite").display().to_string();
    assert_eq!(house.stop().await, 0);
    // Nothing of the third is lost: what came before, officers have said.
    house.cell.run(&["journal", "restore", &third]).ok();
    let house = House::of(house.cell);
    house.credentials();
    house.cell.run(&["issue", "build/c", "--controller", "build"]).ok();
    house.cell.run(&["ledger", "verify"]).ok();
}

/// Copies of which some octets were changed, by chance and each time the same: what is restored is the journal, or nothing.
///
/// `ROOTCELLAR_CORRUPTIONS=10000 cargo nextest run … -E 'test(changed_by_chance)'` tries as many.
#[tokio::test]
async fn a_copy_changed_by_chance_is_never_another() {
    let (house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    let copy = house.cell.path("copy.sqlite");
    house.cell.run(&["journal", "backup", "--out", &copy.display().to_string()]).ok();
    let good = fs::read(&copy).unwrap();
    let charters = fs::read(house.cell.officer_dir().join("charter.note")).unwrap();
    let charter = Charters::parse(&charters).unwrap().first().sha256();
    let known = Kept { charter: Some(charter), ..Kept::default() };
    let terms =
        RestoreTerms { attributes_oid: ATTRIBUTES_OID, known: &known, checkpoint: None, with_loss: false };
    let restored = |octets: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        let file = dir.path().join("copy.sqlite");
        fs::write(&file, octets).unwrap();
        let into = dir.path().join("into");
        fs::create_dir(&into).unwrap();
        fs::set_permissions(&into, Permissions::from_mode(0o700)).unwrap();
        keeper::restore(&file, &into, &terms).map(|restored| (restored.root, restored.signatures))
    };
    let whole = restored(&good).expect("a good copy");
    let count =
        std::env::var("ROOTCELLAR_CORRUPTIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(100);
    let mut chance = 0x5EED_u64;
    let mut below = |end: usize| {
        chance ^= chance >> 12;
        chance ^= chance << 25;
        chance ^= chance >> 27;
        usize::try_from(chance.wrapping_mul(0x2545_F491_4F6C_DD1D) % end as u64).unwrap()
    };
    let mut refused = 0;
    for number in 0..count {
        let mut changed = good.clone();
        for _ in 0..=below(3) {
            let at = below(changed.len());
            changed[at] = u8::try_from(below(256)).unwrap();
        }
        match restored(&changed) {
            Ok(same) => assert_eq!(same, whole, "copy {number}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > count / 4, "{refused} of {count}");
}
