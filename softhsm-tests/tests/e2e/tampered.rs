//! The journal's file, written to by somebody else: nothing that stands there is believed, at a start or while the service runs.

use std::fs;
use std::process::Command;

use certs::compose::{Leaf, LeafProfile, Serial, Validity, leaf};
use certs::{ATTRIBUTES_OID, Issuer, PublicKey};
use keeper::{Durability, Journal};
use ledger::entry::entry::Kind;
use ledger::entry::{Actor, ActorKind, Entry, Issuance, Profile};
use proto::v1::GetCrlRequest;
use rcgen::{KeyPair, PublicKeyData as _};
use rootcellar_softhsm_tests::Cell;
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};
use tonic::Code;

use crate::officer::now_secs;
use crate::support::{
    GRANT, Holder, House, abandoned, ask, csr, eventually, inner, issuance_of, issue, refused, request,
    still_issues,
};

/// A cell that is stopped, with a controller, an agent that has a certificate, another whose was revoked, a second grant and a freeze that was
/// thawed; and the officers' first agent's certificate.
struct Stopped {
    cell: Cell,
    issuer: Issuer,
}

async fn stopped() -> Stopped {
    let house = House::new();
    let client = house.build().await;
    house.controller("other", "agents=other/*;roles=logger");
    let holder = Holder::ask(&client, "build/a", |_| {}).await;
    issue(&client, "build/gone").await;
    house.cell.run(&["cert", "revoke", "--agent", "build/gone", "--reason", "key-compromise"]).ok();
    house.cell.run(&["freeze"]).ok();
    inner(client.issuance().get_crl(GetCrlRequest::default()).await);
    house.cell.run(&["ledger", "verify"]).ok();
    let issuer = Issuer::parse(&holder.certificate.chain[1]).unwrap();
    let mut house = house;
    assert_eq!(house.stop().await, 0);
    Stopped { cell: house.cell, issuer }
}

impl Stopped {
    fn journal(&self) -> Connection {
        Connection::open(self.cell.data_dir().join("journal.sqlite")).unwrap()
    }

    /// What a start says that must not come to anything.
    fn refused(&self) -> String {
        let outcome = self.cell.try_serve().map(drop).expect_err("nothing is to be served");
        assert_eq!(outcome.code, 1, "{}", outcome.stderr);
        outcome.stderr
    }

    /// Appends an entry as whoever can write the file does: with all that follows from it.
    fn append(&self, entry: &Entry) {
        let mut journal = Journal::open(&self.cell.data_dir()).unwrap();
        journal.begin(Durability::Disk).unwrap();
        journal.append(entry).unwrap();
        journal.commit().unwrap();
    }

    /// A certificate that the issuer would only have to sign.
    fn forged(&self, subject: &str, profile: Profile, actor: Actor) -> Entry {
        let key = KeyPair::generate().unwrap();
        let public_key = PublicKey::try_from(key.subject_public_key_info().as_slice()).unwrap();
        let mut serial: [u8; 20] = Sha256::digest(public_key.spki_der())[..20].try_into().unwrap();
        serial[0] = 0x55;
        let now = u64::try_from(now_secs()).unwrap();
        let uri = format!("spiffe://cell.internal{subject}").parse().unwrap();
        let of = Leaf {
            profile: LeafProfile::Agent {
                dns_names: vec!["www.bank.example".parse().unwrap()].try_into().unwrap(),
                attributes: certs::Attributes::default(),
            },
            uri: &uri,
            public_key: &public_key,
            serial: Serial::try_from(serial).unwrap(),
            validity: Validity::for_lifetime(now, 3600, self.issuer.validity()).unwrap(),
        };
        let tbs = leaf(&self.issuer, &of, ATTRIBUTES_OID).unwrap().as_bytes().to_vec();
        let issuance = Issuance {
            tbs,
            issuer_spki_sha256: self.issuer.spki_sha256().to_vec(),
            subject: subject.into(),
            profile: profile.into(),
            lifetime_seconds: 3600,
            ..Issuance::default()
        };
        Entry::new("cell.internal", now_secs() * 1000, actor, Kind::Issuance(issuance))
    }
}

fn service() -> Actor {
    Actor { kind: ActorKind::Service.into(), identity: "/service/ca".into(), ..Actor::default() }
}

#[tokio::test]
async fn a_forged_pending_certificate_is_not_signed() {
    let stopped = stopped().await;
    let good = fs::read(stopped.cell.data_dir().join("journal.sqlite")).unwrap();
    // The word of a caller, with the signature that it gave for something else.
    let borrowed = {
        let journal = crate::support::database(&stopped.cell);
        let bodies: Vec<Vec<u8>> = journal
            .prepare("SELECT body FROM entry ORDER BY idx")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let actors = bodies.iter().filter_map(|body| ledger::entry::decode(body).unwrap().actor);
        actors.into_iter().rfind(|actor| actor.kind() == ActorKind::Caller).expect("a caller's entry")
    };
    let officers = Actor { kind: ActorKind::Officers.into(), ..Actor::default() };
    for (subject, profile, actor) in [
        ("/controller/build", Profile::Service, service()),
        ("/agent/bank/root", Profile::Agent, service()),
        ("/service/ca", Profile::Service, Actor { signature: borrowed.signature.clone(), ..service() }),
        ("/controller/build", Profile::Controller, officers),
        ("/agent/build/a", Profile::Agent, borrowed),
    ] {
        stopped.append(&stopped.forged(subject, profile, actor));
        let said = stopped.refused();
        assert!(said.contains("is not to be believed"), "{subject}: {said}");
        assert!(said.contains("journal restore"), "the way out: {said}");
        for file in ["journal.sqlite-wal", "journal.sqlite-shm"] {
            let _ = fs::remove_file(stopped.cell.data_dir().join(file));
        }
        fs::write(stopped.cell.data_dir().join("journal.sqlite"), &good).unwrap();
    }
    // The same under the name of a checkpoint: only the log's key makes one.
    stopped.append(&stopped.forged("/agent/bank/root", Profile::Agent, service()));
    stopped.journal().execute("UPDATE checkpoint SET size = size + 1", []).unwrap();
    assert!(stopped.refused().contains("checkpoint"));
}

/// More than the front is given in an hour.
const FORGED: usize = 30;

#[tokio::test]
async fn a_pending_service_certificate_is_given_up() {
    let stopped = stopped().await;
    // Of the service's own names an auditor knows nothing: it may have been about to be signed. Nobody signs it now, nor does it count as one that the
    // front was given in this hour.
    for _ in 0..FORGED {
        stopped.append(&stopped.forged("/service/ca", Profile::Service, service()));
    }
    fs::remove_file(stopped.cell.data_dir().join("front/chain.pem")).unwrap();
    let house = House::of(stopped.cell);
    let entries = house.entries().await;
    let forged = entries.iter().rfind(|entry| {
        issuance_of(entry)
            .is_some_and(|issuance| issuance.tbs.windows(16).any(|part| part == b"www.bank.example"))
    });
    let forged = forged.expect("it is there");
    assert!(forged.signature.is_empty());
    assert_eq!(abandoned(&entries), FORGED);
    house.cell.run(&["ledger", "verify"]).ok();
    house.cell.run(&["thaw"]).ok();
    still_issues(&house.credentials().client().await).await;
}

/// What is written into a table, and the table that a start names.
const TABLES: [(&str, &str); 21] = [
    ("DELETE FROM revoked", "revoked"),
    ("UPDATE revoked SET reason = 4", "revoked"),
    ("UPDATE revoked SET idx = idx - 1", "revoked"),
    ("UPDATE agent_ended SET idx = 100000", "agent_ended"),
    (
        "UPDATE granted SET body = (SELECT body FROM granted WHERE controller = 'other') WHERE controller = 'build'",
        "granted",
    ),
    ("DELETE FROM granted WHERE controller = 'other'", "granted"),
    ("UPDATE controller SET removed = 1 WHERE name = 'other'", "controller"),
    ("UPDATE controller SET idx = 0", "controller"),
    ("DELETE FROM freeze", "freeze"),
    ("UPDATE agent SET owner = 'other'", "agent"),
    ("UPDATE agent SET record = x'0a0162' WHERE id = 'build/a'", "agent"),
    ("DELETE FROM agent", "agent"),
    ("UPDATE ca SET active = 1", "ca"),
    ("DELETE FROM proposal", "proposal"),
    ("UPDATE certificate SET subject = '/controller/build' WHERE subject = '/agent/build/a'", "certificate"),
    ("UPDATE certificate SET not_after = not_after + 1000", "certificate"),
    ("UPDATE certificate SET abandoned = 1", "certificate"),
    ("UPDATE line SET newest = newest - 1", "line"),
    ("UPDATE line SET lifetime_secs = 86400", "line"),
    ("UPDATE identity_key SET subject = '/agent/build/b'", "identity_key"),
    ("DELETE FROM request", "request"),
];

#[tokio::test]
async fn no_table_is_believed() {
    let stopped = stopped().await;
    for (written, table) in TABLES {
        let changed =
            stopped.journal().execute(written, []).unwrap_or_else(|error| panic!("{written}: {error}"));
        assert!(changed > 0, "{written}");
        let said = stopped.refused();
        assert!(said.contains("not as its entries say is") && said.contains(table), "{written}: {said}");
        if table == "granted" {
            let doctor = stopped.cell.run(&["doctor"]).stdout;
            assert!(doctor.contains("no service starts") && doctor.contains("rebuild --replace"), "{doctor}");
        }
        assert!(said.contains("ledger rebuild --replace"), "the way out: {said}");
        stopped.cell.run(&["ledger", "rebuild", "--replace"]).ok();
    }
    // Every one was mended by that.
    let Stopped { cell, .. } = stopped;
    let house = House::of(cell);
    house.cell.run(&["thaw"]).ok();
    still_issues(&house.credentials().client().await).await;
    house.cell.run(&["ledger", "verify"]).ok();
}

/// What is written beside the entries, and what a start says.
const BESIDE: [(&str, &str); 16] = [
    ("UPDATE charter SET note = replace(note, 'quorum: 1', 'quorum: 2')", "charter"),
    ("UPDATE bundle SET note = replace(note, 'number: 1', 'number: 2')", "bundle"),
    ("UPDATE signature SET certificate_sha256 = zeroblob(32)", "is not the one of its hash"),
    (
        "DELETE FROM signature WHERE idx = (SELECT idx FROM certificate WHERE subject = '/agent/build/a')",
        "signature",
    ),
    ("INSERT INTO signature VALUES (0, x'00', zeroblob(32))", "nothing that is signed"),
    ("UPDATE crl_input SET tbs = x'00'", "the CRL beside entry"),
    ("DELETE FROM crl_input", "the CRL beside entry"),
    ("UPDATE signed_request SET body = x'00'", "the request beside entry"),
    ("INSERT INTO signed_request VALUES (0, x'00')", "the request beside entry"),
    ("INSERT INTO signed_request VALUES (100000, x'00')", "signed_request has a row of no entry"),
    ("INSERT INTO signature VALUES (-7, x'00', zeroblob(32))", "signature has a row of no entry"),
    (
        "INSERT INTO certificate SELECT 100000, x'77', subject, issuer, not_before, not_after, previous, 0, controller, recorded_ms FROM certificate LIMIT 1",
        "not as its entries say is certificate",
    ),
    ("UPDATE meta SET origin = 'cell.internal/log/2'", "log"),
    ("UPDATE checkpoint SET note = replace(note, 'cell.internal', 'cell.external')", "checkpoint"),
    ("DELETE FROM entry WHERE idx = 3", "tile 0"),
    ("CREATE TRIGGER t AFTER INSERT ON entry BEGIN DELETE FROM revoked; END", "triggers"),
];

#[tokio::test]
async fn nothing_beside_the_entries_is_believed() {
    let stopped = stopped().await;
    // Its write-ahead log is brought into the file.
    stopped.cell.run(&["ledger", "rebuild"]).ok();
    let journal = stopped.cell.data_dir().join("journal.sqlite");
    let good = fs::read(&journal).unwrap();
    for (written, said) in BESIDE {
        let connection = stopped.journal();
        connection.execute_batch(written).unwrap_or_else(|error| panic!("{written}: {error}"));
        drop(connection);
        let told = stopped.refused();
        assert!(told.contains(said), "{written}: {told}");
        for file in ["journal.sqlite-wal", "journal.sqlite-shm"] {
            let _ = fs::remove_file(stopped.cell.data_dir().join(file));
        }
        fs::write(&journal, &good).unwrap();
    }
}

/// A table whose rows are found by a scan and not by a lookup, and an index that lacks them: written into the file's own pages.
#[tokio::test]
async fn what_a_lookup_finds_is_what_stands_there() {
    let stopped = stopped().await;
    stopped.cell.run(&["cert", "revoke", "--agent", "build/a", "--reason", "key-compromise"]).fails(75);
    stopped.cell.run(&["ledger", "rebuild"]).ok();
    let journal = stopped.cell.data_dir().join("journal.sqlite");
    let good = fs::read(&journal).unwrap();
    let put_back = || {
        for file in ["journal.sqlite-wal", "journal.sqlite-shm"] {
            let _ = fs::remove_file(stopped.cell.data_dir().join(file));
        }
        fs::write(&journal, &good).unwrap();
    };
    // sqlite.org/fileformat2.html, §1.6: the array of cell pointers of a leaf begins behind eight octets.
    for table in ["revoked", "line", "request"] {
        let connection = stopped.journal();
        let page: usize = connection
            .query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [table], |row| row.get(0))
            .unwrap();
        let size: usize = connection.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
        drop(connection);
        let mut changed = good.clone();
        let at = (page - 1) * size + 8;
        let cells = u16::from_be_bytes([changed[at - 5], changed[at - 4]]);
        if cells < 2 {
            continue;
        }
        changed.swap(at, at + 2);
        changed.swap(at + 1, at + 3);
        fs::write(&journal, changed).unwrap();
        let said = stopped.refused();
        assert!(said.contains("not sound") || said.contains("malformed"), "{table}: {said}");
        put_back();
    }
    let text: String = stopped
        .journal()
        .query_row("SELECT sql FROM sqlite_schema WHERE name = 'certificate_controller'", [], |row| {
            row.get(0)
        })
        .unwrap();
    let set = |sql: &str| {
        let connection = stopped.journal();
        connection.execute_batch("PRAGMA writable_schema = ON").unwrap();
        connection
            .execute("UPDATE sqlite_schema SET sql = ?1 WHERE name = 'certificate_controller'", [sql])
            .unwrap();
    };
    set(&format!("{text} WHERE controller = 'nobody'"));
    stopped.journal().execute_batch("REINDEX certificate_controller").unwrap();
    set(&text);
    let said = stopped.refused();
    assert!(said.contains("not sound"), "{said}");
    put_back();
    // A tile that a log so short does not have, and would not be able to write.
    stopped.journal().execute("INSERT INTO tile VALUES (0, 0, zeroblob(8192), zeroblob(32))", []).unwrap();
    assert!(stopped.refused().contains("not full yet"));
    put_back();
    House::of(stopped.cell).cell.run(&["ledger", "verify"]).ok();
}

/// What is written while the service runs, the word by which it is found, and what mends it: a table, and the list that callers are handed
/// next.
const MEANWHILE: [(&str, &str, &str); 2] = [
    (
        "UPDATE granted SET body = replace(CAST(body AS TEXT), 'build/*', 'other/*')",
        "granted",
        "ledger rebuild --replace",
    ),
    ("UPDATE crl_input SET tbs = x'00'", "CRL", "journal restore"),
];

#[tokio::test]
async fn what_is_written_while_it_runs_is_found() {
    for (written, said, mends) in MEANWHILE {
        let house = House::new();
        let client = house.controller("build", GRANT).client().await;
        issue(&client, "build/a").await;
        inner(client.issuance().get_crl(GetCrlRequest::default()).await);
        let journal = Connection::open(house.cell.data_dir().join("journal.sqlite")).unwrap();
        journal.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        assert!(journal.execute(written, []).unwrap() > 0);
        eventually("it is found", async || house.serving.log().contains("journal-damaged").then_some(()))
            .await;
        eventually("the log says so", async || house.serving.log().contains(said).then_some(())).await;
        refused(ask(&client, request("build/b", csr())).await, Code::Internal, "INTERNAL");
        assert!(house.cell.run(&["status"]).fails(75).contains("damaged"));
        let doctor = house.cell.run(&["doctor"]).stdout;
        assert!(doctor.contains(mends), "the way out: {doctor}");
    }
}

/// Changes what the token keeps beside keys, as who has the PIN does.
fn pkcs11_tool(cell: &Cell, arguments: &[&str]) {
    let pin = fs::read_to_string(cell.data_dir().join("token/pin")).unwrap();
    let output = Command::new("pkcs11-tool")
        .args(["--module", "/usr/lib/softhsm/libsofthsm2.so", "--token-label", "rootcellar-issuing"])
        .args(["--login", "--pin", pin.trim(), "--application-label", "rootcellar"])
        .args(arguments)
        .env("SOFTHSM2_CONF", cell.data_dir().join("token/softhsm2.conf"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn forget(cell: &Cell, label: &str) {
    pkcs11_tool(cell, &["--delete-object", "--type", "data", "--label", label]);
}

#[tokio::test]
async fn a_token_that_lost_its_checkpoint_starts_nothing() {
    let mut house = House::new();
    let client = house.build().await;
    issue(&client, "build/a").await;
    let older = house.cell.path("older.sqlite").display().to_string();
    house.cell.run(&["journal", "backup", "--out", &older]).ok();
    issue(&client, "build/b").await;
    assert_eq!(house.stop().await, 0);
    let journal = house.cell.data_dir().join("journal.sqlite");
    let newer = fs::read(&journal).unwrap();
    // The older journal alone is seen; with the token's checkpoint gone too, that it is gone is.
    forget(&house.cell, "rootcellar checkpoint of cell.internal");
    fs::copy(&older, &journal).unwrap();
    house.cell.run(&["ledger", "rebuild", "--replace"]).ok();
    let said = house.cell.try_serve().map(drop).expect_err("it lost its checkpoint").fails(1);
    assert!(said.contains("keeps none any more"), "{said}");
    assert!(said.contains("ledger open-epoch"), "the way out: {said}");
    // The newest journal, too: what says that it is the newest is gone.
    fs::write(&journal, newer).unwrap();
    house.cell.try_serve().map(drop).expect_err("it lost its checkpoint").fails(1);
    house.cell.run(&["ledger", "open-epoch"]).ok();
    let mut house = House::of(house.cell);
    house.credentials();
    house.cell.run(&["issue", "build/c", "--controller", "build"]).ok();
    house.cell.run(&["ledger", "verify"]).ok();
    assert_eq!(house.stop().await, 0);
    House::of(house.cell);
}

#[tokio::test]
async fn a_journal_of_other_officers_starts_nothing() {
    let mut house = House::new();
    assert_eq!(house.stop().await, 0);
    // The token signed for officers of another charter.
    forget(&house.cell, "rootcellar charter of cell.internal");
    let other = house.cell.path("other");
    fs::write(&other, "5".repeat(64)).unwrap();
    let value = other.display().to_string();
    pkcs11_tool(
        &house.cell,
        &[
            "--write-object",
            &value,
            "--type",
            "data",
            "--private",
            "--label",
            "rootcellar charter of cell.internal",
        ],
    );
    let said = house.cell.try_serve().map(drop).expect_err("other officers'").fails(1);
    assert!(said.contains("another first charter"), "{said}");
}
