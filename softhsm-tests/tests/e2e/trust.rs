//! The trust bundle: the officers' word, whoever hands it out.

use ledger::bundle::Bundle;
use ledger::note::Note;
use proto::v1::{GetCharterRequest, GetTrustBundleRequest, WatchTrustBundleRequest};
use tonic::Code;

use crate::officer::Officer;
use crate::support::{House, inner, refused, still_issues};

#[tokio::test]
async fn the_bundle_is_the_officers() {
    let (house, client) = House::with_build().await;
    let served = inner(client.trust().get_trust_bundle(GetTrustBundleRequest {}).await).bundle.unwrap();
    let officer = Officer::of(&house.cell);
    let bundle = Bundle::open(&Note::parse(served.note.as_bytes()).unwrap(), &officer.charter).unwrap();
    assert_eq!((served.number, served.pem.as_str()), (bundle.number(), bundle.pem().as_str()));
    assert_eq!(served.pem, house.anchors());
    let charter = inner(client.admin().get_charter(GetCharterRequest {}).await);
    let kept = std::fs::read_to_string(house.cell.officer_dir().join("charter.note")).unwrap();
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
    rootcellar_softhsm_tests::Serving::signal(house.serving.pid(), "TERM");
    refused(watched.message().await, Code::Unavailable, "KEEPER_UNAVAILABLE");
    assert_eq!(house.stop_signalled().await, 0);
    house.serving = house.cell.serve();
    let client = house.credentials().client().await;
    let mut watched = inner(client.trust().watch_trust_bundle(WatchTrustBundleRequest {}).await);
    assert_eq!(watched.message().await.unwrap().unwrap().bundle.unwrap().number, 1);
}
