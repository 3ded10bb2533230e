//! An orderly end.

use proto::v1::GetStatusRequest;
use rootcellar_softhsm_tests::{Serving, Signal};
use tokio::task::JoinSet;

use crate::support::{House, csr, eventually, inner, lives, request};

#[tokio::test]
async fn what_has_begun_is_finished() {
    const REQUESTS: u64 = 12;
    let (mut house, faults) = House::with_faults();
    let client = house.build().await;
    let local = house.local().await;
    let size = async || inner(local.admin().get_status(GetStatusRequest {}).await).tree_size;
    let before = size().await;
    faults.set("delay=200");
    let mut asked = JoinSet::new();
    for i in 0..REQUESTS {
        let (client, request) = (client.clone(), request(&format!("build/{i}"), csr()));
        asked.spawn(async move { crate::support::ask(&client, request).await });
    }
    eventually("all are recorded", async || (size().await >= before + 2 * REQUESTS).then_some(())).await;
    let (supervisor, keeper, front) =
        (house.serving.pid(), house.serving.child("keeper"), house.serving.child("front"));
    Serving::signal(supervisor, Signal::TERM);
    while let Some(answer) = asked.join_next().await {
        answer.unwrap().expect("what has begun is finished");
    }
    assert_eq!(house.stop_signalled().await, 0);
    assert!(![supervisor, keeper, front].into_iter().any(lives), "no process is left");
    assert!(!house.serving.socket.exists(), "nor the socket");
    let log = house.serving.log();
    assert!(
        !log.contains("did not end well") && !log.contains("corrupted"),
        "both children ended well: {log}"
    );
    house.serving = house.cell.serve();
    house.cell.run(&["ledger", "verify"]).ok();
}
