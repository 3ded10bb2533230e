//! Tokens that are not there, or do not hold what they must.

use rootcellar_softhsm_tests::{Cell, Faults};

use crate::support::{BINARY, House, files_below, still_issues};

#[tokio::test]
async fn not_found() {
    let cell = Cell::founded(BINARY);
    cell.configure("[token]\nuri = \"pkcs11:token=elsewhere\"\n");
    let said = cell.try_serve().expect_err("it does not serve").fails(1);
    assert!(said.contains("no token matches") && said.contains("rootcellar-issuing"), "{said}");
    cell.configure("");
    let house = House::of(cell);
    still_issues(&house.build().await).await;
}

#[tokio::test]
async fn key_missing() {
    let cell = Cell::founded(BINARY);
    let objects = files_below(&cell.data_dir().join("token"));
    let keys = objects.iter().filter(|path| {
        path.extension().is_some_and(|extension| extension == "object") && !path.ends_with("token.object")
    });
    for key in keys {
        std::fs::rename(key, key.with_extension("away")).unwrap();
    }
    let said = cell.try_serve().expect_err("it does not serve").fails(1);
    assert!(said.contains("the token holds 0 private keys for the public key"), "{said}");
    for key in files_below(&cell.data_dir().join("token")) {
        if key.extension().is_some_and(|extension| extension == "away") {
            std::fs::rename(&key, key.with_extension("object")).unwrap();
        }
    }
    let house = House::of(cell);
    still_issues(&house.build().await).await;
}

/// A transcript and a manifest tell what the module says of itself, and neither may hold a control character.
#[tokio::test]
async fn a_module_that_pads_with_nul() {
    let mut cell = Cell::empty(BINARY);
    let faults = Faults::between(&mut cell);
    faults.tell("NUL");
    cell.run(&["init"]).ok();
    let house = House::of(cell);
    still_issues(&house.build().await).await;
}
