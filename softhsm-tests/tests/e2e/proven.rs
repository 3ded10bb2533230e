//! What the service says it recorded, the command line has the log prove.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use ledger::entry::entry::Kind;
use ledger::{entry, leaf_hash};
use prost::Message as _;
use proto::door::{Answer, Ask, Caller, Refused, answer, ask};
use proto::v1::{
    Agent, ImportCeremonyResponse, IssueCertificateBody, LedgerEntry, Reason, Receipt, RenewCertificateBody,
    RevokeCertificateResponse, SubmitProposalResponse, UpdateAgentResponse,
};
use rootcellar_softhsm_tests::door::{Lie, Role, Twist, relay, take_the_place};
use rootcellar_softhsm_tests::{Cell, newest_log};

use crate::front::Seen;
use crate::support::{Holder, House, issuance_of};

fn receipt(house: &House, found: &LedgerEntry) -> Receipt {
    let bundle = std::fs::read_to_string(house.cell.officer_dir().join("bundle.note")).unwrap();
    let origin = newest_log(&bundle);
    Receipt { origin, index: found.index, leaf_hash: leaf_hash(&found.entry).as_bytes().to_vec() }
}

/// The newest entry that holds a note with this in it.
async fn newest(house: &House, text: &str) -> LedgerEntry {
    let holds = |found: &LedgerEntry| match entry::decode(&found.entry).unwrap().kind {
        Some(Kind::Act(act)) => String::from_utf8(act.note).unwrap().contains(text),
        Some(Kind::Bundle(bundle)) => String::from_utf8(bundle.note).unwrap().contains(text),
        _ => false,
    };
    house.entries().await.into_iter().rfind(holds).unwrap()
}

/// Has someone take the keeper's place who records nothing, and says that he did.
fn answers(house: &House, receipt: Receipt) {
    let lie = move |ask: &mut Ask| match &ask.ask {
        Some(ask::Ask::SubmitProposal(_)) => Some(answer::Answer::SubmitProposal(SubmitProposalResponse {
            receipt: Some(receipt.clone()),
            ..SubmitProposalResponse::default()
        })),
        Some(ask::Ask::ImportCeremony(_)) => Some(answer::Answer::ImportCeremony(ImportCeremonyResponse {
            receipt: Some(receipt.clone()),
            switches: false,
        })),
        _ => None,
    };
    take_the_place(&house.serving.socket, Arc::new(lie));
}

#[tokio::test]
async fn a_freeze_that_was_not_recorded_is_not_said_to_be_done() {
    let house = House::new();
    house.cell.run(&["freeze"]).ok();
    house.cell.run(&["thaw"]).ok();
    // An act of the same officer with the same words is in the log, and its receipt is true.
    let before = newest(&house, "act: freeze").await;
    answers(&house, receipt(&house, &before));
    let count = house.entries().await.len();
    let said = house.cell.run(&["freeze"]).fails(1);
    assert!(said.contains("what the service says it recorded does not verify"), "{said}");
    assert!(said.contains("rootcellar ledger verify"), "{said}");
    assert_eq!(house.entries().await.len(), count, "nothing was recorded");
    house.cell.run(&["ledger", "verify"]).ok();
}

#[tokio::test]
async fn a_receipt_of_an_entry_that_is_not_there_is_no_freeze() {
    let house = House::new();
    let receipt =
        Receipt { index: 4711, leaf_hash: vec![7; 32], ..receipt(&house, &house.entries().await[0]) };
    answers(&house, receipt);
    let said = house.cell.run(&["freeze"]).fails(1);
    assert!(said.contains("the service's answer has no entry of that index"), "{said}");
}

#[tokio::test]
async fn a_bundle_that_was_not_recorded_is_not_in_force() {
    let house = House::new();
    let in_force = newest(&house, "rootcellar/v1 bundle").await;
    house.cell.run(&["issuer", "list"]).ok();
    let own = std::fs::read(house.cell.officer_dir().join("bundle.note")).unwrap();
    let keys = house.cell.run(&["officer", "show", "--output", "json"]).json();
    let officer = keys["officer"].as_str().unwrap();
    let plan = ["ceremony", "plan", "charter", "--quorum", "1", "--officer", officer, "--out", "charter-2"];
    house.cell.run(&plan).ok();
    house.cell.run(&["ceremony", "approve", "--yes", "charter-2"]).ok();
    answers(&house, receipt(&house, &in_force));
    let said = house.cell.run(&["ceremony", "import", "charter-2"]).fails(1);
    assert!(said.contains("what the service says it recorded does not verify"), "{said}");
    let kept = std::fs::read(house.cell.officer_dir().join("bundle.note")).unwrap();
    assert_eq!(kept, own, "the officer's own copy stays");
}

#[tokio::test]
async fn a_freeze_whose_proof_cannot_be_had_is_said_to_be_there_by_word_alone() {
    let house = House::new();
    let lie = |ask: &mut Ask| match &ask.ask {
        Some(ask::Ask::GetCheckpoint(_)) => Some(answer::Answer::Refused(Refused {
            reason: Reason::TokenUnavailable.into(),
            message: "the token does not answer".into(),
            ..Refused::default()
        })),
        _ => None,
    };
    take_the_place(&house.serving.socket, Arc::new(lie));
    let said = house.cell.run(&["freeze"]).fails(75);
    assert!(said.contains("by the service's word alone: its proof is not to be had yet"), "{said}");
    assert!(said.contains("the token does not answer"), "{said}");
    assert!(house.cell.run(&["status"]).ok().contains("frozen"), "it is recorded all the same");
}

/// Starts both processes of a cell that is stopped, with someone between them; and the credentials of "build" for it.
pub(crate) fn between(mut cell: Cell, lie: Lie, twist: Twist) -> (Cell, Role, Role) {
    let (near, front_end) = UnixStream::pair().unwrap();
    let (keeper_end, far) = UnixStream::pair().unwrap();
    let keeper = Role::start(&mut cell, "keeper", &far);
    relay(near, &keeper_end, lie, twist);
    let front = Role::start(&mut cell, "front", &front_end);
    let port = front.ready["mtls"].as_str().unwrap().rsplit(':').next().unwrap();
    cell.credentials_at(&format!("https://localhost:{port}"), "build");
    (cell, front, keeper)
}

#[tokio::test]
async fn a_front_that_says_done_without_asking_the_keeper_is_found_out() {
    let (mut house, client) = House::with_build().await;
    let holder = Holder::ask(&client, "build/a", |_| {}).await;
    let before = house.entries().await;
    let revoked = receipt(&house, before.iter().rfind(|found| issuance_of(found).is_some()).unwrap());
    assert_eq!(house.stop().await, 0);
    let lie = move |ask: &mut Ask| match &ask.ask {
        Some(ask::Ask::Signed(signed)) if signed.method.ends_with("/RevokeCertificate") => {
            let receipt = Some(revoked.clone());
            Some(answer::Answer::RevokeCertificate(RevokeCertificateResponse { revoked: 1, receipt }))
        }
        Some(ask::Ask::Signed(signed)) if signed.method.ends_with("/UpdateAgent") => {
            let agent = Some(Agent { name: "agents/build/a".into(), disabled: true, ..Agent::default() });
            let receipt = Some(revoked.clone());
            Some(answer::Answer::UpdateAgent(UpdateAgentResponse { agent, receipt }))
        }
        _ => None,
    };
    let (cell, front, keeper) = between(house.cell, Arc::new(lie), Arc::new(|answer| answer));
    for done in [
        ["cert", "revoke", "--agent", "build/a", "--reason", "key-compromise", "--controller", "build"]
            .as_slice(),
        &["agent", "update", "build/a", "--disable"],
    ] {
        let said = cell.run(done).fails(1);
        assert!(said.contains("what the service says it recorded does not verify"), "{done:?}: {said}");
        assert!(said.contains("came from another request"), "{done:?}: {said}");
    }
    drop(holder);
    assert_eq!((front.stop(), keeper.stop()), (0, 0));
}

#[tokio::test]
async fn what_is_shown_is_what_was_recorded() {
    let (mut house, client) = House::with_build().await;
    Holder::ask(&client, "build/a", |_| {}).await;
    assert_eq!(house.stop().await, 0);
    // The request is carried out, and its answer says more.
    let twist = |mut answer: Answer| {
        match &mut answer.answer {
            Some(answer::Answer::RevokeCertificate(revoked)) => revoked.revoked = 4711,
            Some(answer::Answer::UpdateAgent(updated)) => {
                let agent = updated.agent.as_mut().unwrap();
                agent.disabled = true;
                agent.roles = vec!["admin".into()];
            }
            _ => {}
        }
        answer
    };
    let (cell, front, keeper) = between(house.cell, Arc::new(|_| None), Arc::new(twist));
    let updated =
        ["agent", "update", "build/a", "--tag", "blue", "--controller", "build", "--output", "json"];
    let updated = cell.run(&updated).json();
    assert_eq!(updated["roles"].as_array().unwrap(), &["logger"], "{updated}");
    assert_eq!((&updated["disabled"], &updated["tags"][0]), (&false.into(), &"blue".into()), "{updated}");
    let revoke =
        ["cert", "revoke", "--agent", "build/a", "--reason", "key-compromise", "--controller", "build"];
    let revoked = cell.run(&[&revoke[..], &["--output", "json"]].concat()).json();
    assert_eq!(revoked["revoked"], 1, "{revoked}");
    assert_eq!((front.stop(), keeper.stop()), (0, 0));
}

/// A front that has an old certificate for the same CSR hands it out again, and asks nobody.
#[tokio::test]
async fn an_old_certificate_is_not_issued_again() {
    let (mut house, client) = House::with_build().await;
    std::fs::write(house.cell.path("theirs.csr"), crate::support::csr()).unwrap();
    let csr = std::fs::read(house.cell.path("theirs.csr")).unwrap();
    let first = crate::support::ask(&client, crate::support::request("build/a", csr)).await.unwrap();
    house.cell.run(&["cert", "revoke", "--agent", "build/a", "--reason", "key-compromise"]).ok();
    assert_eq!(house.stop().await, 0);
    let lie = move |ask: &mut Ask| match &ask.ask {
        Some(ask::Ask::Signed(signed)) if signed.method.ends_with("/IssueCertificate") => {
            Some(answer::Answer::Certificate(first.clone()))
        }
        _ => None,
    };
    let (cell, front, keeper) = between(house.cell, Arc::new(lie), Arc::new(|answer| answer));
    let issue = ["issue", "build/a", "--csr", "theirs.csr", "--controller", "build", "--out", "theirs"];
    let said = cell.run(&issue).fails(1);
    assert!(said.contains("came from another request"), "{said}");
    assert!(!cell.path("theirs.chain.pem").exists());
    assert_eq!((front.stop(), keeper.stop()), (0, 0));
}

/// A front in league with another controller has that one ask for the same, in the same words.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_had_recorded_in_the_same_words_is_not_ones_own() {
    let (mut house, client) = House::with_build().await;
    Holder::ask(&client, "build/a", |_| {}).await;
    let (build, other) = (
        Seen::of(&house, &house.credentials()),
        Seen::of(&house, &house.controller("other", "agents=build/*;roles=logger")),
    );
    assert_eq!(house.stop().await, 0);
    let runtime = tokio::runtime::Handle::current();
    let lie = move |ask: &mut Ask| {
        let by_build = ask.caller.as_ref().is_some_and(|caller| caller.caller == build.presents());
        let asked = match &ask.ask {
            Some(ask::Ask::Signed(signed)) if by_build => {
                let method = signed.method.strip_prefix("/rootcellar.v1.").unwrap();
                ask::Ask::Signed(runtime.block_on(other.signs(method, signed.body.clone())))
            }
            // The entry that this leads to, only the other may read.
            Some(list @ ask::Ask::ListEntries(_)) if by_build => list.clone(),
            _ => return None,
        };
        ask.caller = Some(Caller { caller: other.presents() });
        ask.ask = Some(asked);
        None
    };
    let (cell, front, keeper) = between(house.cell, Arc::new(lie), Arc::new(|answer| answer));
    for done in [
        ["cert", "revoke", "--agent", "build/a", "--reason", "key-compromise", "--controller", "build"]
            .as_slice(),
        &["issue", "build/new", "--role", "logger", "--controller", "build", "--out", "mine"],
        &["agent", "create", "build/b", "--role", "logger", "--controller", "build"],
    ] {
        let said = cell.run(done).fails(1);
        assert!(said.contains("came from another request"), "{done:?}: {said}");
    }
    assert!(!cell.path("mine.chain.pem").exists());
    assert_eq!((front.stop(), keeper.stop()), (0, 0));
}

/// The renewal is carried out, and said to be refused: the key goes on where the service is itself again.
#[tokio::test]
async fn a_renewal_that_was_said_to_be_refused_is_not_lost() {
    let (mut house, _client) = House::with_build().await;
    assert_eq!(house.stop().await, 0);
    let twist = |answer: Answer| match &answer.answer {
        Some(answer::Answer::Certificate(certificate)) if certificate.spiffe_id.contains("/controller/") => {
            let refused = Refused { reason: Reason::Internal.into(), ..Refused::default() };
            Answer { answer: Some(answer::Answer::Refused(refused)), ..answer }
        }
        _ => answer,
    };
    let (cell, front, keeper) = between(house.cell, Arc::new(|_| None), Arc::new(twist));
    cell.set_clock(120_000);
    let renew = ["renew", "--controller", "build"];
    cell.run(&renew).fails(1);
    assert_eq!((front.stop(), keeper.stop()), (0, 0));
    let house = House::of(cell);
    house.credentials();
    house.cell.set_clock(240_000);
    house.cell.run(&renew).ok();
    house.cell.set_clock(4 * 86_400_000);
    house.cell.run(&["agent", "list", "--controller", "build"]).ok();
    assert!(!house.serving.log().contains("older-certificate-renews"), "no false alarm of theft");
}

/// The key of a renewal, for which another controller got a certificate first, with the front's help: its owner goes on with another key.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_certified_for_another_ends_no_line() {
    let (mut house, _client) = House::with_build().await;
    let other = Seen::of(&house, &house.controller("other", "agents=other/*;roles=logger"));
    assert_eq!(house.stop().await, 0);
    let runtime = tokio::runtime::Handle::current();
    let lie = move |ask: &mut Ask| {
        let Some(ask::Ask::Signed(signed)) = &ask.ask else { return None };
        let renewal = signed.method.ends_with("/RenewCertificate").then_some(&*signed.body)?;
        let csr = RenewCertificateBody::decode(renewal).unwrap().csr;
        let key = certs::csr::read(&csr).unwrap().public_key().spki_der().to_vec();
        // A request for that key, which nobody signed: whether its sender holds the key, the front alone looks at.
        let own = rcgen::KeyPair::generate().unwrap();
        let mut csr = crate::support::csr_of(&own);
        let spki = rcgen::PublicKeyData::subject_public_key_info(&own);
        let at = csr.windows(spki.len()).position(|window| window == spki).unwrap();
        csr[at..at + key.len()].copy_from_slice(&key);
        let body =
            IssueCertificateBody { request_id: "burnt".into(), ..crate::support::request("other/x", csr) };
        let signed = runtime.block_on(other.signs("IssuanceService/IssueCertificate", body.encode_to_vec()));
        ask.caller = Some(Caller { caller: other.presents() });
        ask.ask = Some(ask::Ask::Signed(signed));
        None
    };
    let (cell, front, keeper) = between(house.cell, Arc::new(lie), Arc::new(|answer| answer));
    cell.set_clock(120_000);
    let renew = ["renew", "--controller", "build"];
    cell.run(&renew).fails(1);
    assert_eq!((front.stop(), keeper.stop()), (0, 0));
    let house = House::of(cell);
    house.credentials();
    house.cell.set_clock(240_000);
    house.cell.run(&renew).ok();
    house.cell.set_clock(360_000);
    house.cell.run(&renew).ok();
}
