//! The trust bundle: the officers' word, whoever hands it out.

use std::fs;

use ledger::bundle::{Bundle, Contents, IssuerState};
use ledger::note::Note;
use proto::v1::{GetCharterRequest, GetTrustBundleRequest, WatchTrustBundleRequest};
use rootcellar_softhsm_tests::{Cell, Signal};
use tonic::Code;

use crate::officer::Officer;
use crate::support::{
    BINARY, Holder, House, STANDBY, ask, csr, eventually, inner, refused, request, still_issues,
};

#[tokio::test]
async fn the_bundle_is_the_officers() {
    let (house, client) = House::with_build().await;
    let served = inner(client.trust().get_trust_bundle(GetTrustBundleRequest {}).await).bundle.unwrap();
    let officer = Officer::of(&house.cell);
    let bundle = Bundle::open(&Note::parse(served.note.as_bytes()).unwrap(), &officer.charter).unwrap();
    assert_eq!((served.number, served.pem.as_str()), (bundle.number(), bundle.pem().as_str()));
    assert_eq!(served.pem, house.anchors());
    let charter = inner(client.admin().get_charter(GetCharterRequest {}).await);
    let kept = fs::read_to_string(house.cell.officer_dir().join("charter.note")).unwrap();
    assert_eq!((charter.charter, charter.revision), (kept, 1));
    let changed = served.note.replace("number: 1", "number: 2");
    assert_ne!(changed, served.note);
    Bundle::open(&Note::parse(changed.as_bytes()).unwrap(), &officer.charter).expect_err("a changed note");
    still_issues(&client).await;
}

#[tokio::test]
async fn a_watch_begins_with_the_current_one() {
    let (house, client) = House::with_build().await;
    let mut watched = inner(client.trust().watch_trust_bundle(WatchTrustBundleRequest {}).await);
    let first = watched.message().await.unwrap().unwrap().bundle.unwrap();
    assert_eq!((first.number, first.pem), (1, house.anchors()));
    // It ends in words when the service does, and a new one begins at the next.
    let mut house = house;
    rootcellar_softhsm_tests::Serving::signal(house.serving.pid(), Signal::TERM);
    refused(watched.message().await, Code::Unavailable, "KEEPER_UNAVAILABLE");
    assert_eq!(house.stop_signalled().await, 0);
    house.serving = house.cell.serve();
    let client = house.credentials().client().await;
    let mut watched = inner(client.trust().watch_trust_bundle(WatchTrustBundleRequest {}).await);
    assert_eq!(watched.message().await.unwrap().unwrap().bundle.unwrap().number, 1);
}

/// The contents of the bundle that a cell's officer keeps.
fn bundle_of(cell: &Cell) -> Contents {
    let note = Note::parse(&fs::read(cell.officer_dir().join("bundle.note")).unwrap()).unwrap();
    Contents::read(&note).unwrap()
}

/// Federation, or the root of an older PKI: officers publish an anchor that no ceremony of this cell made, and it certifies an issuer.
#[tokio::test]
async fn an_issuer_of_a_foreign_anchor_serves_after_a_restart_and_is_audited() {
    let (mut house, client) = House::with_build().await;
    let stranger = Cell::founded(BINARY);
    let foreign = bundle_of(&stranger).anchors;
    let sha256 = certs::Issuer::parse(&foreign[0]).unwrap().spki_sha256();
    let ours = bundle_of(&house.cell);
    let both = Contents { number: 2, anchors: [ours.anchors.clone(), foreign].concat(), ..ours };
    let mut note = both.draft().unwrap();
    let key = house.cell.officer_dir().join("officer.key");
    note.sign_with(&ceremony::officer::OfficerKey::load(&key).unwrap()).unwrap();
    let import = proto::v1::ImportCeremonyRequest { bundle: note.to_string(), ..Default::default() };
    client.admin().import_ceremony(import).await.expect("the officers' word");
    fs::write(house.cell.officer_dir().join("bundle.note"), note.to_string()).unwrap();
    // The stranger's root token is at hand.
    let officer = stranger.officer_dir().display().to_string();
    house
        .cell
        .configure(&format!("[root-token]\ndir = \"{officer}/token\"\npin = \"file:{officer}/root.pin\"\n"));
    let signer = data_encoding::HEXLOWER.encode(&sha256);
    let plan =
        ["ceremony", "plan", "rotation", "--token", "issuing", "--signer", &signer, "--out", "issuer-2"];
    house.cell.run(&plan).ok();
    for act in [&["approve", "--yes"][..], &["execute"], &["approve", "--yes"], &["import"]] {
        house.cell.run(&[&["ceremony"], act, &["issuer-2"]].concat()).ok();
    }
    house.restart().await;
    let client = house.credentials().client().await;
    still_issues(&client).await;
    house.cell.run(&["ledger", "verify"]).ok();
    let issuers = bundle_of(&house.cell).issuers;
    let prepared = data_encoding::HEXLOWER.encode(&issuers.last().unwrap().spki_sha256);
    let before = Holder::ask(&client, "build/before", |_| {}).await;
    house.cell.run(&["issuer", "activate", &prepared]).ok();
    eventually("the foreign root's issuer signs", async || {
        let asked = ask(&client, request("build/now", csr()));
        asked.await.ok().filter(|asked| asked.chain[1] != before.certificate.chain[1])
    })
    .await;
    house.restart().await;
    still_issues(&house.credentials().client().await).await;
    house.cell.run(&["ledger", "verify"]).ok();
}

/// Has the cell's officer sign a bundle and hands it in.
async fn publish(house: &House, client: &client::Client, contents: &Contents) -> Result<(), tonic::Status> {
    let mut note = contents.draft().unwrap();
    let key = house.cell.officer_dir().join("officer.key");
    note.sign_with(&ceremony::officer::OfficerKey::load(&key).unwrap()).unwrap();
    let import = proto::v1::ImportCeremonyRequest { bundle: note.to_string(), ..Default::default() };
    client.admin().import_ceremony(import).await?;
    fs::write(house.cell.officer_dir().join("bundle.note"), note.to_string()).unwrap();
    Ok(())
}

/// Its key may be destroyed: a bundle in between that does not name it makes nobody forget that.
#[tokio::test]
async fn a_retired_issuer_does_not_come_back_by_being_left_out() {
    let cell = Cell::empty(BINARY);
    cell.configure(STANDBY);
    cell.run(&["init"]).ok();
    let house = House::of(cell);
    let client = house.build().await;
    house.cell.run(&["issuer", "prepare", "--out", "issuer-2"]).ok();
    let prepared = bundle_of(&house.cell);
    let mut next = prepared.clone();
    (next.number, next.issuers[1].state) = (3, IssuerState::Retired);
    publish(&house, &client, &next).await.unwrap();
    let left_out = Contents { number: 4, issuers: vec![next.issuers[0]], ..next.clone() };
    publish(&house, &client, &left_out).await.unwrap();
    let back = Contents { number: 5, ..prepared };
    let status = refused(publish(&house, &client, &back).await, Code::FailedPrecondition, "IMPORT_REFUSED");
    assert!(status.message().contains("is retired"), "{}", status.message());
    house.cell.run(&["ledger", "verify"]).ok();
}

/// Old notes are in the ledger for all to read: handed in again they are refused before anything is judged.
#[tokio::test]
async fn a_ceremony_again_is_told_from_its_plan_alone() {
    let (house, client) = House::with_build().await;
    let found = house.cell.officer_dir().join("ceremonies/found");
    let transcript = fs::read_to_string(found.join("transcript.note")).unwrap();
    let bundle = fs::read_to_string(found.join("bundle.note")).unwrap();
    let import = proto::v1::ImportCeremonyRequest { transcript, bundle, ..Default::default() };
    let again = client.admin().import_ceremony(import.clone()).await;
    refused(again, Code::AlreadyExists, "PROPOSAL_REPLAYED");
    // Under a stranger's signature it is nobody's.
    let text = import.transcript.split_once("\n\n").unwrap().0;
    let stranger = Cell::founded(BINARY);
    let key = stranger.officer_dir().join("officer.key");
    let mut note = Note::unsigned(&format!("{text}\n")).unwrap();
    note.sign_with(&ceremony::officer::OfficerKey::load(&key).unwrap()).unwrap();
    let import = proto::v1::ImportCeremonyRequest { transcript: note.to_string(), ..import };
    refused(client.admin().import_ceremony(import).await, Code::PermissionDenied, "PROPOSAL_NOT_APPROVED");
}

/// Where the keeper does not run the journal takes officers' notes itself, and its clock is held against the log all the same.
#[tokio::test]
async fn a_journal_takes_nothing_of_a_time_before_its_newest_entry() {
    let mut house = House::new();
    assert_eq!(house.stop().await, 0);
    let ours = bundle_of(&house.cell);
    let next = Contents { number: 2, ..ours };
    let mut note = next.draft().unwrap();
    let key = house.cell.officer_dir().join("officer.key");
    note.sign_with(&ceremony::officer::OfficerKey::load(&key).unwrap()).unwrap();
    let dir = house.cell.path("bundle-2");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("bundle.note"), note.to_string()).unwrap();
    house.cell.set_clock(-3_600_000);
    let early = house.cell.run(&["ceremony", "import", "bundle-2"]).fails(1);
    assert!(early.contains("before the newest entry"), "{early}");
    house.cell.set_clock(0);
    house.cell.run(&["ceremony", "import", "bundle-2"]).ok();
}

#[tokio::test]
async fn a_forged_root_and_an_old_bundle_are_refused() {
    let (house, client) = House::with_build().await;
    let stranger = Cell::founded(BINARY);
    let foreign =
        Contents::read(&Note::parse(&fs::read(stranger.officer_dir().join("bundle.note")).unwrap()).unwrap())
            .unwrap();
    let own = house.cell.officer_dir().join("bundle.note");
    let ours = Note::parse(&fs::read(&own).unwrap()).unwrap();
    let contents = Contents::read(&ours).unwrap();
    let import = async |note: &Note| {
        let request = proto::v1::ImportCeremonyRequest { bundle: note.to_string(), ..Default::default() };
        client.admin().import_ceremony(request).await
    };
    // Another root that nobody signed, that a stranger signed, and under our officers' own signatures of something else.
    let mut forged = contents.clone();
    (forged.number, forged.anchors) = (2, [contents.anchors.clone(), foreign.anchors.clone()].concat());
    let unsigned = forged.draft().unwrap();
    let mut by_stranger = unsigned.clone();
    let key = ceremony::officer::OfficerKey::load(&stranger.officer_dir().join("officer.key")).unwrap();
    by_stranger.sign_with(&key).unwrap();
    let moved = ours.to_string().replace("number: 1\n", "number: 2\n");
    for note in [by_stranger, Note::parse(moved.as_bytes()).unwrap()] {
        refused(import(&note).await, Code::PermissionDenied, "PROPOSAL_NOT_APPROVED");
    }
    // The same again, and an older one.
    refused(import(&ours).await, Code::FailedPrecondition, "IMPORT_REFUSED");
    // The officers themselves cannot publish one that names no issuer of theirs, nor skip a number.
    let officer = ceremony::officer::OfficerKey::load(&house.cell.officer_dir().join("officer.key")).unwrap();
    let signed = |contents: &Contents| {
        let mut note = contents.draft().unwrap();
        note.sign_with(&officer).unwrap();
        note
    };
    let unusable = [
        Contents { number: 3, ..contents.clone() },
        Contents { number: 2, issuers: vec![], ..contents.clone() },
        Contents { number: 2, anchors: foreign.anchors.clone(), ..contents.clone() },
        Contents { number: 2, issuers: foreign.issuers.clone(), ..contents.clone() },
        Contents { number: 2, logs: foreign.logs.clone(), ..contents.clone() },
    ];
    for (i, contents) in unusable.iter().enumerate() {
        println!("case {i}: it would stop the cell");
        refused(import(&signed(contents)).await, Code::FailedPrecondition, "IMPORT_REFUSED");
    }
    // What they mean they can.
    forged.anchors.rotate_left(0);
    import(&signed(&forged)).await.expect("a bundle with another root");
    house.cell.run(&["ledger", "verify"]).ok();
    // A client that has seen bundle 2 does not go back.
    house.cell.run(&["ca", "bundle", "--controller", "build"]).ok();
    let credentials = house.credentials();
    let kept = fs::read_to_string(credentials.dir().join("bundle.note")).unwrap();
    assert!(kept.contains("number: 2\n"), "{kept}");
    still_issues(&client).await;
}
