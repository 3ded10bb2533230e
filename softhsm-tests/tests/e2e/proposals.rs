//! What officers send, and what somebody makes of it on the way.

use cell::{Act, ControllerName, Grant};
use ledger::note::{Ed25519Signer, KeyName, Note, NoteSigner};
use tonic::Code;

use crate::officer::{Officer, now_secs, submit};
use crate::support::{House, issue, refused, still_issues};

const DAY_SECS: i64 = 86_400;

fn build() -> ControllerName {
    "build".parse().unwrap()
}

/// A grant of loggers below a prefix.
fn grant(name: &str, agents: &str) -> Act {
    let one = |text: &str| vec![text.to_owned()];
    let grant = Grant {
        name: name.parse().unwrap(),
        agents: vec![agents.parse().unwrap()].try_into().unwrap(),
        roles: one("logger").iter().map(|role| role.parse().unwrap()).collect::<Vec<_>>().try_into().unwrap(),
        tags: vec![].try_into().unwrap(),
        dns: vec![].try_into().unwrap(),
        max_ttl: 3600.try_into().unwrap(),
        budget: 100.try_into().unwrap(),
    };
    Act::GrantSet { controller: build(), grant }
}

/// The proposal as someone else signed it, beside or instead of the officer.
fn signed_by(proposal: &str, signer: &impl NoteSigner) -> String {
    let text = Note::parse(proposal.as_bytes()).unwrap().text().to_owned();
    let mut note = Note::unsigned(&text).unwrap();
    assert!(note.sign_with(signer).is_ok());
    note.to_string()
}

#[tokio::test]
async fn malformed() {
    let (house, client) = House::with_build().await;
    let (local, mut officer) = (house.local().await, Officer::of(&house.cell));
    let good = officer.propose(&grant("ci", "ci/*"));
    let resign = |text: &str| {
        let mut note = Note::unsigned(text).unwrap();
        assert!(note.sign_with(&officer.key).is_ok());
        note.to_string()
    };
    let text = Note::parse(good.as_bytes()).unwrap().text().to_owned();
    let cases = [
        format!("garbage\n{good}"),
        good.replace('\n', "\r\n"),
        std::fs::read_to_string(house.cell.officer_dir().join("charter.note")).unwrap(),
        resign(&text.replace("act: grant.set", "act: cell.explode")),
        resign(&text.replace("grant.max-ttl: ", "grant.max-ttl: 0")),
        resign(&text.replace("grant.agents: ci/*", "grant.agents: officer/*")),
        resign(&format!("{text}also: this\n")),
        good.replace("grant.max-ttl", &format!("{}grant.max-ttl", "grant.roles: x\n".repeat(5000))),
    ];
    for (i, case) in cases.iter().enumerate() {
        let status = submit(&local, case).await.expect_err(&format!("case {i}: {case}"));
        println!("case {i}");
        refused::<()>(Err(status), Code::InvalidArgument, "PROPOSAL_MALFORMED");
    }
    still_issues(&client).await;
}

#[tokio::test]
async fn unsigned_and_changed() {
    let (house, client) = House::with_build().await;
    let (local, mut officer) = (house.local().await, Officer::of(&house.cell));
    let good = officer.propose(&grant("ci", "ci/*"));
    let unsigned = Note::unsigned(Note::parse(good.as_bytes()).unwrap().text()).unwrap().to_string();
    let changed = [
        good.replace("ci/*", "prod/*"),
        good.replace("budget-per-hour: 100", "budget-per-hour: 10000000"),
        good.replace("grant.roles: logger", "grant.roles: admin, logger"),
    ];
    for case in changed.iter().chain([&unsigned, &String::new(), &"garbage".to_owned()]) {
        assert_ne!(case, &good);
        refused(submit(&local, case).await, Code::PermissionDenied, "PROPOSAL_NOT_APPROVED");
    }
    let outside =
        crate::support::ask(&client, crate::support::request("prod/a", crate::support::csr())).await;
    refused(outside, Code::PermissionDenied, "GRANT_DOES_NOT_COVER");
    submit(&client, &good)
        .await
        .expect("who delivers it does not matter, and what was refused is not used up");
    issue(&client, "ci/a").await;
}

#[tokio::test]
async fn stranger() {
    let (house, client) = House::with_build().await;
    let (local, mut officer) = (house.local().await, Officer::of(&house.cell));
    let good = officer.propose(&grant("ci", "ci/*"));
    let names: [KeyName; 2] =
        [officer.key.key().name().clone(), "cell.internal/officer/mallory".parse().unwrap()];
    for name in names {
        let forged = signed_by(&good, &Ed25519Signer::from_seed(name, &[7; 32]).unwrap());
        refused(submit(&local, &forged).await, Code::PermissionDenied, "PROPOSAL_STRANGER");
    }
    still_issues(&client).await;
}

#[tokio::test]
async fn expired() {
    let (house, client) = House::with_build().await;
    let (local, mut officer, now) = (house.local().await, Officer::of(&house.cell), now_secs());
    for expires in [now - 1, now, now + 8 * DAY_SECS] {
        let proposal = officer.propose_until(&grant("ci", "ci/*"), expires);
        refused(submit(&local, &proposal).await, Code::FailedPrecondition, "PROPOSAL_EXPIRED");
    }
    let proposal = officer.propose_until(&grant("ci", "ci/*"), now + 7 * DAY_SECS);
    submit(&local, &proposal).await.expect("a week is in time");
    still_issues(&client).await;
}

#[tokio::test]
async fn elsewhere() {
    let (house, client) = House::with_build().await;
    let (local, mut officer) = (house.local().await, Officer::of(&house.cell));
    let good = officer.propose(&grant("ci", "ci/*"));
    let text = Note::parse(good.as_bytes()).unwrap().text().to_owned();
    for (here, there) in [
        ("cell: cell.internal", "cell: other.internal"),
        ("log: cell.internal/log/1", "log: cell.internal/log/2"),
        ("charter: 1", "charter: 2"),
    ] {
        let moved = text.replace(here, there);
        assert_ne!(moved, text);
        let mut note = Note::unsigned(&moved).unwrap();
        assert!(note.sign_with(&officer.key).is_ok());
        refused(submit(&local, &note.to_string()).await, Code::FailedPrecondition, "PROPOSAL_ELSEWHERE");
    }
    still_issues(&client).await;
}

#[tokio::test]
async fn replayed() {
    let (mut house, _client) = House::with_build().await;
    let mut officer = Officer::of(&house.cell);
    let widened = officer.propose(&grant("ci", "ci/*"));
    submit(&house.local().await, &widened).await.unwrap();
    house.cell.run(&["grant", "remove", "build", "ci"]).ok();
    refused(submit(&house.local().await, &widened).await, Code::AlreadyExists, "PROPOSAL_REPLAYED");
    house.restart().await;
    refused(submit(&house.local().await, &widened).await, Code::AlreadyExists, "PROPOSAL_REPLAYED");
    let client = house.credentials().client().await;
    let outside = crate::support::ask(&client, crate::support::request("ci/a", crate::support::csr())).await;
    refused(outside, Code::PermissionDenied, "GRANT_DOES_NOT_COVER");
    still_issues(&client).await;
}

#[tokio::test]
async fn controllers() {
    let (house, client) = House::with_build().await;
    let (local, mut officer) = (house.local().await, Officer::of(&house.cell));
    let public_key = || {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::PublicKeyData::subject_public_key_info(&key).try_into().unwrap()
    };
    let Act::GrantSet { grant: ci, .. } = grant("ci", "ci/*") else { panic!("another act") };
    let grants = vec![ci].try_into().unwrap();
    let again = officer.propose(&Act::ControllerAdd { name: build(), public_key: public_key(), grants });
    refused(submit(&local, &again).await, Code::AlreadyExists, "CONTROLLER_EXISTS");
    let nobody = || "nobody".parse().unwrap();
    for act in [
        Act::ControllerReissue { name: nobody(), public_key: public_key() },
        Act::ControllerRemove { name: nobody() },
        Act::GrantRemove { controller: nobody(), grant: "ci".parse().unwrap() },
        Act::GrantRemove { controller: build(), grant: "ci".parse().unwrap() },
    ] {
        let proposal = officer.propose(&act);
        refused(submit(&local, &proposal).await, Code::NotFound, "NOT_FOUND");
    }
    still_issues(&client).await;
}
