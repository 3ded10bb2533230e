//! What an operator gets wrong.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rootcellar_softhsm_tests::Cell;

use crate::support::{BINARY, House, still_issues};

#[tokio::test]
async fn five_mistakes() {
    let cell = Cell::founded(BINARY);
    cell.configure(
        "cel = \"x\"\n\
         [service]\n\
         listen = \"nowhere\"\n\
         ops-listen = \"0.0.0.0:7480\"\n\
         [token]\n\
         uri = \"pkcs11:token=x?pin-value=1234\"\n\
         issuing-key = \"rsa-1024\"\n",
    );
    for said in
        [cell.run(&["config", "check"]).fails(78), cell.try_serve().expect_err("it does not serve").fails(78)]
    {
        let mistakes = ["cel", "service.listen", "service.ops-listen", "token.uri", "token.issuing-key"];
        for (mistake, line) in mistakes.into_iter().zip([1, 3, 4, 6, 7]) {
            assert!(said.contains(mistake), "{mistake}: {said}");
            assert!(said.contains(&format!("line {line}")), "{mistake}, line {line}: {said}");
        }
        assert!(!said.contains("1234"), "a PIN in the wrong place is not repeated: {said}");
    }
    cell.configure("");
    still_issues(&House::of(cell).build().await).await;
}

/// What says what is loaded, and what is loaded, is this user's and root's alone.
#[tokio::test]
async fn files_that_others_can_write() {
    let cell = Cell::founded(BINARY);
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    set(&cell.config_file(), 0o666);
    let said = cell.try_serve().expect_err("it does not serve").fails(78);
    assert!(said.contains("can be changed by others") && said.contains("chmod go-w"), "{said}");
    let module = cell.path("module.so");
    fs::copy("/usr/lib/softhsm/libsofthsm2.so", &module).unwrap();
    set(&module, 0o777);
    cell.configure(&format!("[token]\nmodule = \"{}\"\n", module.display()));
    set(&cell.config_file(), 0o600);
    let said = cell.try_serve().expect_err("it does not serve").fails(1);
    assert!(said.contains("loaded into the process that signs") && said.contains("chmod go-w"), "{said}");
    set(&module, 0o755);
    still_issues(&House::of(cell).build().await).await;
}

#[tokio::test]
async fn port_taken() {
    let cell = Cell::founded(BINARY);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    cell.configure(&format!("[service]\nlisten = \"{address}\"\nops-listen = \"127.0.0.1:0\"\n"));
    let said = cell.try_serve().expect_err("it does not serve").fails(78);
    assert!(said.contains(&address), "{said}");
}

#[test]
fn too_few_descriptors() {
    let mut cell = Cell::founded(BINARY);
    cell.program().wrap(&["prlimit", "--nofile=1024:1024"]);
    let said = cell.try_serve().expect_err("it does not serve").fails(78);
    assert!(said.contains("`connections`") && said.contains("1024"), "{said}");
    cell.configure("[limits]\nconnections = 500\n");
    cell.serve();
}

#[test]
fn no_cell() {
    let cell = Cell::empty(BINARY);
    let said = cell.try_serve().expect_err("it does not serve").fails(1);
    assert!(said.contains("rootcellar init"), "{said}");
    cell.run(&["init"]).ok();
    let twice = cell.run(&["init"]).fails(1);
    assert!(twice.contains("is not empty"), "{twice}");
    cell.serve();
}

#[tokio::test]
async fn two_services() {
    let (house, client) = House::with_build().await;
    let said = house.cell.try_serve().expect_err("it does not serve").fails(1);
    assert!(said.contains("another rootcellar uses"), "{said}");
    still_issues(&client).await;
    house.local().await;
}
