//! Cells whose root, issuing and log key are in tokens of Kryoptic's. `make tokens` runs these.

use rootcellar_softhsm_tests::{Cell, kryoptic};

use crate::issue::judged;
use crate::support::{BINARY, House, issue, still_issues};

fn house(key: &str) -> House {
    let cell = Cell::empty(BINARY);
    kryoptic::configure(&cell, key);
    cell.run(&["init"]).ok();
    House::of(cell)
}

#[tokio::test]
#[ignore = "needs Kryoptic, which `make tokens` builds"]
async fn p256() {
    let mut house = house("p256");
    let client = house.build().await;
    judged(&house, &issue(&client, "build/a").await);
    house.cell.run(&["ledger", "verify"]).ok();
    house.restart().await;
    still_issues(&house.credentials().client().await).await;
    house.cell.run(&["ledger", "verify"]).ok();
}
