//! `kill -9` anywhere, in little: `make torture` does the same two hundred times.

use rootcellar_softhsm_tests::torture::{Plan, torture};

#[tokio::test(flavor = "multi_thread")]
async fn thirty_kills_lose_and_double_nothing() {
    let tally = torture(Plan { kills: 30, callers: 8, seed: 7 }).await;
    assert!(tally.is_sound(), "{tally}");
    assert_eq!(tally.kills.values().sum::<usize>(), 30);
    assert!(tally.acknowledged >= 240, "the service grants between kills\n{tally}");
}
