//! A front that carries out what it says was refused, or would have a caller's key certified for itself: once it is in good hands again, what the
//! command line kept goes on.

use std::collections::HashSet;
use std::fs;
use std::sync::{Arc, Mutex};

use data_encoding::BASE64;
use prost::Message as _;
use proto::door::{Answer, Ask, Caller, Refused, Serve, answer, ask};
use proto::v1::{Reason, RenewCertificateBody};
use rootcellar_softhsm_tests::Cell;
use rootcellar_softhsm_tests::door::{Lie, Twist, front};

use crate::proven::between;
use crate::support::House;

const RENEW: [&str; 3] = ["renew", "--controller", "build"];

fn refusal(reason: Reason) -> answer::Answer {
    answer::Answer::Refused(Refused { reason: reason.into(), ..Refused::default() })
}

/// Serves the cell with this between front and keeper, runs a command, and ends both.
fn deceive(cell: Cell, lie: Lie, twist: Twist, command: &[&str]) -> Cell {
    let (cell, front, keeper) = between(cell, lie, twist);
    assert_ne!(cell.run(command).code, 0);
    assert_eq!((front.stop(), keeper.stop()), (0, 0));
    cell
}

/// What certificates of names with this in them are, they are said not to be.
fn says(reason: Reason, of: &'static str) -> Twist {
    Arc::new(move |answer: Answer| match &answer.answer {
        Some(answer::Answer::Certificate(certificate)) if certificate.spiffe_id.contains(of) => {
            Answer { answer: Some(refusal(reason)), ..answer }
        }
        _ => answer,
    })
}

/// Has the key of each renewal certified for itself, as far as the keeper lets it, and gives this reason. The keys, as it saw them.
fn burns(reason: Reason) -> (Lie, Twist, Arc<Mutex<Vec<Vec<u8>>>>) {
    let ids: Arc<Mutex<HashSet<u64>>> = Arc::default();
    let keys: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let (burnt, seen) = (Arc::clone(&ids), Arc::clone(&keys));
    let lie = move |ask: &mut Ask| {
        let Some(ask::Ask::Signed(signed)) = &ask.ask else { return None };
        let renewal = signed.method.ends_with("/RenewCertificate").then_some(&*signed.body)?;
        let csr = RenewCertificateBody::decode(renewal).unwrap().csr;
        seen.lock().unwrap().push(certs::csr::read(&csr).unwrap().public_key().spki_der().to_vec());
        burnt.lock().unwrap().insert(ask.id);
        ask.caller = Some(Caller { caller: front() });
        ask.ask = Some(ask::Ask::Serve(Serve { csr }));
        None
    };
    let twist = move |answer: Answer| {
        if ids.lock().unwrap().contains(&answer.id) {
            return Answer { answer: Some(refusal(reason)), ..answer };
        }
        answer
    };
    (Arc::new(lie), Arc::new(twist), keys)
}

fn honest(cell: Cell) -> House {
    let house = House::of(cell);
    house.credentials();
    house
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_whose_keys_are_burnt_goes_on_with_another() {
    let (mut house, _client) = House::with_build().await;
    assert_eq!(house.stop().await, 0);
    let (lie, twist, _) = burns(Reason::KeyInUse);
    let house = honest(deceive(house.cell, lie, twist, &RENEW));
    for at in [120_000, 7_200_000] {
        house.cell.set_clock(at);
        house.cell.run(&RENEW).ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuance_under_a_request_id_is_asked_for_again_with_its_key() {
    let (mut house, _client) = House::with_build().await;
    assert_eq!(house.stop().await, 0);
    let out = house.cell.path("mesh").display().to_string();
    let once = ["--request-id", "deploy-17", "--out", &out, "--controller", "build"];
    let issue: Vec<&str> = ["issue", "build/z", "--role", "logger"].into_iter().chain(once).collect();
    let twist = says(Reason::GrantDoesNotCover, "/build/z");
    let house = honest(deceive(house.cell, Arc::new(|_| None), twist, &issue));
    house.cell.run(&issue).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reissue_that_is_refused_leaves_the_key_of_a_renewal() {
    let (mut house, _client) = House::with_build().await;
    assert_eq!(house.stop().await, 0);
    house.cell.set_clock(120_000);
    let twist = says(Reason::Internal, "/controller/");
    let house = honest(deceive(house.cell, Arc::new(|_| None), twist, &RENEW));
    house.cell.set_clock(240_000);
    house.cell.run(&["freeze"]).ok();
    let said = house.cell.run(&["controller", "reissue", "build"]).fails(1);
    assert!(said.contains("froze"), "{said}");
    house.cell.set_clock(360_000);
    house.cell.run(&RENEW).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_leaves_the_key_of_a_reissue() {
    let (house, _client) = House::with_build().await;
    let file = house.cell.path("reissue.note").display().to_string();
    house.cell.run(&["controller", "reissue", "build", "--proposal-out", &file]).ok();
    house.cell.set_clock(120_000);
    house.cell.run(&RENEW).ok();
    house.cell.run(&["proposal", "submit", &file]).ok();
    house.credentials();
    house.cell.set_clock(240_000);
    house.cell.run(&RENEW).ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_shows_nobody_the_key_of_a_reissue() {
    let (mut house, _client) = House::with_build().await;
    let file = house.cell.path("reissue.note").display().to_string();
    house.cell.run(&["controller", "reissue", "build", "--proposal-out", &file]).ok();
    assert_eq!(house.stop().await, 0);
    let (lie, twist, keys) = burns(Reason::Internal);
    let house = House::of(deceive(house.cell, lie, twist, &RENEW));
    let proposal = fs::read_to_string(&file).unwrap();
    let of_the_reissue = |key: &Vec<u8>| proposal.contains(&BASE64.encode(key));
    let shown = keys.lock().unwrap().clone();
    assert!(!shown.is_empty() && !shown.iter().any(of_the_reissue), "{proposal}");
    house.cell.run(&["proposal", "submit", &file]).ok();
}
