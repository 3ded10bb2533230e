//! What no checkpoint covers counts by signatures of its own. A keeper that is killed leaves such entries; so does who puts an older checkpoint
//! in the newest one's place, which is how these tests make many of them.

use std::sync::Arc;

use client::Signer;
use proto::v1::{
    Agent, BatchCreateAgentsBody, CreateAgentBody, DeleteAgentBody, GetCrlRequest, IssueCertificateBody,
    RevokeCertificateBody, UpdateAgentBody, revoke_certificate_body::Target,
};
use rcgen::KeyPair;
use rootcellar_softhsm_tests::door::Role;
use rootcellar_softhsm_tests::{Serving, Signal, newest_log};
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};
use tonic::Code;

use crate::support::{
    Checkpoint, GRANT, Holder, House, abandoned, ask, csr, csr_of, eventually, inner, issuance_of, issue,
    refused, request, still_issues,
};
use crate::unproved::covered;
use crate::wire;

fn revocation(target: Target) -> RevokeCertificateBody {
    RevokeCertificateBody { target: Some(target), reason: 1, request_id: String::new() }
}

/// Everything that callers, officers and the service record, some of it of certificates that ended hours before.
#[tokio::test]
async fn all_that_is_recorded_counts_without_a_checkpoint() {
    let mut house = House::new();
    let client = house.build().await;
    let brief = |request: &mut IssueCertificateBody| {
        request.lifetime = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    };
    let listed = Holder::ask(&client, "build/listed", brief).await;
    let ended = Holder::ask(&client, "build/ended", brief).await;
    inner(
        client.issuance().revoke_certificate(revocation(Target::Agent("agents/build/listed".into()))).await,
    );
    inner(client.issuance().get_crl(GetCrlRequest::default()).await);
    house.cell.run(&["ledger", "verify"]).ok();
    assert_eq!(house.stop().await, 0);
    let early = Checkpoint::of(&house.cell);
    // A shift later: the next list has what ended since the last one.
    let shift_secs = 7 * 3600;
    house.cell.set_clock(shift_secs * 1000);
    house.serving = house.cell.serve();
    house.credentials();
    eventually("another list", async || {
        house
            .entries()
            .await
            .iter()
            .any(|found| {
                found.index >= u64::try_from(early.0).unwrap() && {
                    let kind = ledger::entry::decode(&found.entry).unwrap().kind;
                    matches!(kind, Some(ledger::entry::entry::Kind::Crl(_)))
                }
            })
            .then_some(())
    })
    .await;
    let by = ["--controller", "build", "--reason", "superseded"];
    let revoke = |what: [&str; 2]| house.cell.run(&[&["cert", "revoke"], &what[..], &by[..]].concat());
    // By its serial number, one that ended hours ago: nothing is left to revoke.
    for of in [&ended, &listed] {
        assert!(revoke(["--serial", &of.certificate.serial]).fails(1).contains("no live certificate"));
    }
    house.cell.run(&["issue", "build/new", "--controller", "build", "--role", "logger", "--out", "new"]).ok();
    house.cell.run(&["agent", "update", "build/new", "--tag", "blue", "--controller", "build"]).ok();
    house.cell.run(&["agent", "update", "build/new", "--disable", "--controller", "build"]).ok();
    revoke(["--agent", "build/new"]).ok();
    house.cell.run(&["agent", "delete", "build/new", "--controller", "build"]).ok();
    house.cell.run(&["freeze"]).ok();
    house.cell.run(&["freeze", "--renewals"]).ok();
    house.cell.run(&["thaw"]).ok();
    assert_eq!(house.stop().await, 0);
    // A freeze hours after the keeper was gone.
    house.cell.set_clock(2 * shift_secs * 1000);
    house.cell.run(&["freeze"]).ok();
    early.put_back(&house.cell);
    house = House::of(house.cell);
    house.cell.run(&["ledger", "verify"]).ok();
    assert!(house.cell.run(&["status"]).ok().contains("frozen"));
    drop((listed, ended));
}

/// One certificate has one name; a number that a program reads otherwise is none.
#[tokio::test]
async fn a_certificate_by_another_spelling_of_its_name() {
    let (mut house, client) = House::with_build().await;
    let index = issue(&client, "build/a").await.receipt.unwrap().index;
    let before = Checkpoint::of(&house.cell);
    for name in [format!("certificates/0{index}"), format!("certificates/+{index}"), "certificates/".into()] {
        let told = client.issuance().revoke_certificate(revocation(Target::Certificate(name))).await;
        refused(told, Code::InvalidArgument, "REQUEST_MALFORMED");
    }
    let name = format!("certificates/{index}");
    assert_eq!(
        inner(client.issuance().revoke_certificate(revocation(Target::Certificate(name))).await).revoked,
        1
    );
    assert_eq!(house.stop().await, 0);
    before.put_back(&house.cell);
    House::of(house.cell).cell.run(&["ledger", "verify"]).ok();
}

/// What callers signed in the last minutes of a log is not carried out again by who can write its file.
#[tokio::test]
async fn what_was_signed_is_not_appended_again() {
    let (mut house, client) = House::with_build().await;
    let agent = |disabled| Agent { name: "agents/build/a".into(), disabled, ..Agent::default() };
    inner(
        client
            .agents()
            .create_agent(CreateAgentBody { agent: Some(agent(false)), request_id: String::new() })
            .await,
    );
    let update = |disabled| UpdateAgentBody {
        agent: Some(agent(disabled)),
        update_mask: Some(prost_types::FieldMask { paths: vec!["disabled".into()] }),
        ..UpdateAgentBody::default()
    };
    for disabled in [true, false] {
        inner(client.agents().update_agent(update(disabled)).await);
    }
    house.cell.run(&["ledger", "verify"]).ok();
    assert_eq!(house.stop().await, 0);
    // The entry that enabled it, with all that lies beside it, once more: at the next revision.
    let mut journal = keeper::Journal::open(&house.cell.data_dir()).unwrap();
    let size = journal.edge().size();
    let body = journal.reader().entry(size - 1).unwrap().unwrap();
    let mut entry = ledger::entry::decode(&body).unwrap();
    let request = journal.reader().signed_request(size - 1).unwrap().unwrap();
    let Some(ledger::entry::entry::Kind::AgentChange(change)) = &mut entry.kind else { panic!("{entry:?}") };
    let record = change.agent.as_mut().unwrap();
    assert!(!record.disabled);
    record.revision += 1;
    journal.begin(keeper::Durability::Disk).unwrap();
    let index = journal.append(&entry).unwrap().index;
    journal.store_request(index, &request).unwrap();
    journal.commit().unwrap();
    drop(journal);
    let said = house.cell.try_serve().map(drop).expect_err("it was carried out before").fails(1);
    assert!(said.contains("is not to be believed") && said.contains("carried out before"), "{said}");
}

/// Who removes a signature does not make the certificate before it the newest again: not of its own accord, and not by saying that it was
/// given up. Not even where nothing else is recorded after it.
#[tokio::test]
async fn a_signature_that_is_removed_gives_nothing_up() {
    let (mut house, client) = House::with_build().await;
    covered(&house).await;
    let early = Checkpoint::of(&house.cell);
    let first = Holder::ask(&client, "build/a", |_| {}).await;
    let renewed = Holder::ask(&client, "build/a", |_| {}).await;
    let index = renewed.certificate.receipt.as_ref().unwrap().index;
    drop(client);
    assert_eq!(house.stop().await, 0);
    let journal = house.cell.data_dir().join("journal.sqlite");
    house.cell.run(&["ledger", "rebuild"]).ok();
    let good = std::fs::read(&journal).unwrap();
    let refused = |said: &str| {
        let told = house.cell.try_serve().map(drop).expect_err("nothing is to be served").fails(1);
        assert!(told.contains(said), "{told}");
        for beside in ["journal.sqlite-wal", "journal.sqlite-shm"] {
            let _ = std::fs::remove_file(journal.with_file_name(beside));
        }
        std::fs::write(&journal, &good).unwrap();
    };
    let remove = || {
        let changed =
            Connection::open(&journal).unwrap().execute("DELETE FROM signature WHERE idx = ?1", [index]);
        assert_eq!(changed.unwrap(), 1);
    };
    remove();
    refused("the signature of its certificate was removed");
    // With an older checkpoint in the newest one's place: the token has a newer one.
    remove();
    early.put_back(&house.cell);
    refused("the signature of its certificate was removed");
    // With none.
    remove();
    Connection::open(&journal).unwrap().execute_batch("DELETE FROM checkpoint").unwrap();
    refused("its newest checkpoint was removed");
    // With the word of the service that it was given up.
    remove();
    let mut opened = keeper::Journal::open(&house.cell.data_dir()).unwrap();
    let origin = opened.origin().to_owned();
    opened.begin(keeper::Durability::Disk).unwrap();
    let newest = opened.reader().entry(opened.edge().size() - 1).unwrap().unwrap();
    let given_up = ledger::entry::Abandonment {
        certificate: Some(ledger::entry::Reference { origin, index }),
        reason: "RESTARTED".into(),
    };
    let actor = ledger::entry::Actor {
        kind: ledger::entry::ActorKind::Service.into(),
        identity: "/service/ca".into(),
        ..ledger::entry::Actor::default()
    };
    opened
        .append(&ledger::entry::Entry {
            version: ledger::entry::VERSION,
            cell: "cell.internal".into(),
            time_unix_ms: ledger::entry::decode(&newest).unwrap().time_unix_ms,
            actor: Some(actor),
            kind: Some(ledger::entry::entry::Kind::Abandonment(given_up)),
            ..ledger::entry::Entry::default()
        })
        .unwrap();
    opened.commit().unwrap();
    drop(opened);
    refused("is not to be believed");
    drop(first);
    let house = House::of(house.cell);
    still_issues_by(&house);
    // Who reads the ledger sees it, too.
    remove();
    let told = house.cell.run(&["ledger", "verify"]).fails(1);
    assert!(told.contains("its signature was removed"), "{told}");
}

/// Officers who open a new epoch give nothing up that a checkpoint covers: not the one that a start left, and not the token's, where somebody put an
/// older one in the place of both.
#[tokio::test]
async fn no_epoch_gives_up_what_a_checkpoint_covers() {
    let (mut house, client) = House::with_build().await;
    let _first = Holder::ask(&client, "build/a", |_| {}).await;
    covered(&house).await;
    let early = Checkpoint::of(&house.cell);
    let newest = Holder::ask(&client, "build/a", |_| {}).await;
    let index = newest.certificate.receipt.as_ref().unwrap().index;
    issue(&client, "build/b").await;
    drop(client);
    assert_eq!(house.stop().await, 0);
    let journal = house.cell.data_dir().join("journal.sqlite");
    let connection = Connection::open(&journal).unwrap();
    let last: i64 = connection.query_row("SELECT max(idx) FROM entry", [], |row| row.get(0)).unwrap();
    let cut = ["entry", "signature", "signed_request", "crl", "crl_input", "custody", "certificate"]
        .map(|table| format!("DELETE FROM {table} WHERE idx >= {last};"));
    connection.execute_batch(&cut.concat()).unwrap();
    assert_eq!(connection.execute("DELETE FROM signature WHERE idx = ?1", [index]).unwrap(), 1);
    drop(connection);
    early.put_back(&house.cell);
    house.cell.run(&["ledger", "rebuild", "--replace"]).ok();
    let left = house.cell.data_dir().join("lost-checkpoint.note");
    house.cell.try_serve().map(drop).expect_err("the log went back");
    assert!(left.exists(), "for the officers");
    for what in ["the note that a start left", "what the token keeps"] {
        let told = house.cell.run(&["ledger", "open-epoch"]).fails(1);
        assert!(
            told.contains("a checkpoint covers it") && told.contains("journal restore"),
            "{what}: {told}"
        );
        std::fs::write(&left, early.note()).unwrap();
    }
}

/// The cell's clock is ahead of this program's.
fn still_issues_by(house: &House) {
    house.credentials();
    house.cell.run(&["issue", "build/next", "--controller", "build"]).ok();
    house.cell.run(&["ledger", "verify"]).ok();
}

/// A time that no clock shows ends nothing, and is not near to any other.
#[tokio::test]
async fn a_signature_of_an_impossible_time() {
    let (house, client) = House::with_build().await;
    let credentials = house.credentials();
    let log = newest_log(&credentials.read("bundle.note"));
    let now = house.cell.clock()();
    for time in [i64::MIN, i64::MIN + now, i64::MIN + now + 1, i64::MAX, 0, -1] {
        let (chain, key) = (credentials.read("chain.pem"), credentials.read("key.pem"));
        let signer = Signer::new(&chain, &key, &log, Arc::new(move || time)).unwrap();
        let told = ask(&client.clone().signing(signer), request("build/a", csr())).await;
        refused(told, Code::Unauthenticated, "SIGNATURE_EXPIRED");
    }
    still_issues(&client).await;
    assert!(!house.serving.log().contains("panicked"));
}

/// A clock that is ahead makes no second certificate out of one signed request.
#[tokio::test]
async fn one_signed_request_is_one_certificate_whatever_its_clock_says() {
    let (house, _client) = House::with_build().await;
    let credentials = house.credentials();
    let ahead = Arc::new(280_000.into());
    let signer = house.signer_ahead(&credentials.read("chain.pem"), &credentials.read("key.pem"), &ahead);
    let mut taken = crate::front::take(house).await;
    let build = taken.build.presents();
    let body = IssueCertificateBody {
        request_id: "once".into(),
        lifetime: Some(prost_types::Duration { seconds: 10, nanos: 0 }),
        ..request("build/b", csr_of(&KeyPair::generate().unwrap()))
    };
    let method = "/rootcellar.v1.IssuanceService/IssueCertificate".to_owned();
    let body = prost::Message::encode_to_vec(&body);
    let (signature, _) = signer.sign(&method, &body).await.unwrap();
    let signed = proto::door::Signed { method, body, signature: Some(signature) };
    let mut names = std::collections::BTreeSet::new();
    for now_ms in [0, 5_000, 12_000, 30_000, 100_000] {
        taken.cell.set_clock(now_ms);
        match taken.door.ask(build.clone(), proto::door::ask::Ask::Signed(signed.clone())) {
            proto::door::answer::Answer::Certificate(certificate) => names.insert(certificate.name),
            other => panic!("{other:?}"),
        };
    }
    assert_eq!(names.len(), 1, "{names:?}");
    let house = taken.back();
    let of_b = house
        .entries()
        .await
        .iter()
        .filter_map(issuance_of)
        .filter(|of| of.subject == "/agent/build/b")
        .count();
    assert_eq!(of_b, 1);
    house.cell.run(&["ledger", "verify"]).ok();
}

/// The same request again has the same answer, receipt and all.
#[tokio::test]
async fn a_batch_of_agents_again() {
    let (house, client) = House::with_build().await;
    let agents = (0..5).map(|i| Agent { name: format!("agents/build/{i}"), ..Agent::default() }).collect();
    let batch = BatchCreateAgentsBody { agents, request_id: "once".into() };
    let first = inner(client.agents().batch_create_agents(batch.clone()).await);
    let entries = house.entries().await.len();
    assert_eq!(inner(client.agents().batch_create_agents(batch).await), first);
    assert_eq!(house.entries().await.len(), entries);
}

/// What an agent has beyond its grants is no reason to leave all of it.
#[tokio::test]
async fn an_agent_is_narrowed_and_disabled_where_a_grant_gives_less_by_now() {
    let (house, client) = House::with_build().await;
    let agent = |roles: &[&str]| Agent {
        name: "agents/build/a".into(),
        roles: roles.iter().map(ToString::to_string).collect(),
        ..Agent::default()
    };
    let create = CreateAgentBody { agent: Some(agent(&["logger", "scanner"])), request_id: String::new() };
    inner(client.agents().create_agent(create).await);
    let fewer = GRANT.replace("roles=logger,scanner;", "");
    assert_ne!(fewer, GRANT);
    house.cell.run(&["grant", "set", "build", &fewer]).ok();
    let update = |agent, path: &str| UpdateAgentBody {
        agent: Some(agent),
        update_mask: Some(prost_types::FieldMask { paths: vec![path.into()] }),
        ..UpdateAgentBody::default()
    };
    let wider = update(Agent { tags: vec!["blue".into()], ..agent(&[]) }, "tags");
    refused(client.agents().update_agent(wider).await, Code::PermissionDenied, "GRANT_DOES_NOT_COVER");
    inner(client.agents().update_agent(update(agent(&["logger"]), "roles")).await);
    inner(client.agents().update_agent(update(Agent { disabled: true, ..agent(&[]) }, "disabled")).await);
    let delete = DeleteAgentBody { name: "agents/build/a".into(), ..DeleteAgentBody::default() };
    inner(client.agents().delete_agent(delete).await);
    house.cell.run(&["ledger", "verify"]).ok();
}

/// What a restart records of certificates that were pending is not recorded in the past, by whatever clock it starts.
#[tokio::test]
async fn a_start_by_a_clock_that_is_behind_records_nothing_of_the_past() {
    for laid in [false, true] {
        let (mut house, client) = House::with_build().await;
        still_issues(&client).await;
        std::fs::write(house.cell.path("kill"), "8 sign").unwrap();
        let _ = ask(&client, request("build/a", csr())).await;
        let _ = std::fs::remove_file(house.cell.path("kill"));
        Serving::signal(house.serving.pid(), Signal::KILL);
        house.stop_signalled().await;
        if laid {
            house.cell.run(&["freeze"]).ok();
        }
        house.cell.set_clock(-12 * 3_600_000);
        let (keeper, door) = Role::keeper(&mut house.cell);
        let said = house.cell.run(&["status"]).fails(75);
        assert!(said.contains("before the newest entry"), "{said}");
        drop(door);
        assert_eq!(keeper.stop(), 0);
        house.cell.set_clock(0);
        house.serving = house.cell.serve();
        if laid {
            house.cell.run(&["thaw"]).ok();
        }
        still_issues(&house.credentials().client().await).await;
        house.cell.run(&["ledger", "verify"]).ok();
    }
}

/// A step back that the clock may take: what had ended stays ended, for keeper and auditor alike, before and after a restart.
#[tokio::test]
async fn the_logs_time_does_not_go_back() {
    let (mut house, client) = House::with_build().await;
    let brief = |request: &mut IssueCertificateBody| {
        request.lifetime = Some(prost_types::Duration { seconds: 10, nanos: 0 });
    };
    Holder::ask(&client, "build/brief", brief).await;
    let revoke = async || {
        let target = Target::Agent("agents/build/brief".into());
        inner(client.issuance().revoke_certificate(revocation(target)).await).revoked
    };
    let before = Checkpoint::of(&house.cell);
    house.cell.set_clock(12_000);
    assert_eq!(revoke().await, 0, "it has ended");
    house.cell.jump_clock(12_000, -45_000);
    assert_eq!(revoke().await, 0, "and does not live again");
    issue(&client, "build/back").await;
    house.cell.run(&["ledger", "verify"]).ok();
    // Ahead, right, started anew, behind: each within the minute that is allowed.
    house.cell.jump_clock(12_000, 55_000);
    issue(&client, "build/ahead").await;
    house.cell.jump_clock(12_000, 0);
    issue(&client, "build/right").await;
    house.restart().await;
    house.cell.jump_clock(12_000, -4_000);
    issue(&house.credentials().client().await, "build/behind").await;
    assert_eq!(house.stop().await, 0);
    before.put_back(&house.cell);
    House::of(house.cell).cell.run(&["ledger", "verify"]).ok();
}

/// No checkpoint covers what hangs in the token, nor what came after it: one that does says that it was not pending.
#[tokio::test]
async fn no_checkpoint_covers_what_is_pending() {
    let (mut house, faults) = House::with_faults();
    let client = house.build().await;
    still_issues(&client).await;
    let (chain, key) = (house.credentials().read("chain.pem"), house.credentials().read("key.pem"));
    // A token that is slow is left to the workers, of whom one hangs and the others go on.
    faults.set("delay=50");
    for _ in 0..5 {
        still_issues(&client).await;
    }
    faults.set("delay=6000");
    let hanging = tokio::spawn(async move { ask(&client, request("build/hangs", csr())).await });
    let hangs = eventually("it is recorded", async || {
        let entries = house.entries().await;
        entries
            .into_iter()
            .find(|entry| issuance_of(entry).is_some_and(|of| of.subject == "/agent/build/hangs"))
    })
    .await;
    let digest = Sha256::digest(&issuance_of(&hangs).unwrap().tbs).to_vec();
    // From then on the token looks at no other fault.
    eventually("it is with the token", async || faults.signed().contains(&digest).then_some(())).await;
    faults.set("");
    let mut wire = wire::Caller::connect(&house, &chain, &key, 0).await.unwrap();
    let request = IssueCertificateBody { request_id: "after".into(), ..request("build/after", csr()) };
    inner(wire.issue(&request, None).await);
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(100));
    for _ in 0..15 {
        looks.tick().await;
        assert!(
            Checkpoint::of(&house.cell).0 <= i64::try_from(hangs.index).unwrap(),
            "a checkpoint over what hangs"
        );
    }
    house.crash().await;
    assert!(hanging.await.unwrap().is_err());
    let house = House::of(house.cell);
    assert_eq!(abandoned(&house.entries().await), 1);
    still_issues_by(&house);
}
