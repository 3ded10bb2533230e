//! Who may read what.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::{House, files_below, issue};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn files_are_private() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    house.cell.run(&["issue", "build/b"]).ok();
    house.cell.run(&["ledger", "verify"]).ok();
    let (data, officer) = (house.cell.data_dir(), house.cell.officer_dir());
    assert_eq!((mode(&data), mode(&officer)), (0o700, 0o700));
    assert_eq!(mode(&house.serving.socket), 0o660, "the group may operate");
    for path in files_below(&data).into_iter().chain(files_below(&officer)) {
        let allowed = if path == house.serving.socket { 0o660 } else { 0o600 };
        assert_eq!(mode(&path) & !allowed, 0, "{}", path.display());
        assert_eq!(mode(path.parent().unwrap()), 0o700, "{}", path.display());
    }
    let credentials = house.credentials();
    assert_eq!(mode(credentials.dir()), 0o700);
    assert_eq!(mode(&credentials.dir().join("key.pem")), 0o600);
    assert_eq!(mode(&house.cell.path("build-b.key.pem")), 0o600);

    // Wider, it is refused.
    let key = credentials.dir().join("key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let said = house.cell.run(&["issue", "build/c"]).fails(1);
    assert!(said.contains("chmod 0600"), "{said}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(house.stop().await, 0);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o750)).unwrap();
    let said = house.cell.try_serve().expect_err("it does not serve").fails(1);
    assert!(said.contains("chmod 0700"), "{said}");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    let pin = data.join("token/pin");
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o440)).unwrap();
    let said = house.cell.try_serve().expect_err("it does not serve").fails(77);
    assert!(said.contains("chmod 0400"), "{said}");
}
