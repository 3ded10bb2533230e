//! The start: what is refused, and the certificate of the service's own.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use ca_service::{FrontConfig, FrontError, Limits};
use tokio::net::TcpListener;

use crate::house::House;

fn mode(path: impl AsRef<std::path::Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_the_key_to_change() {
    let house = House::new();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = taken.local_addr().unwrap();
    let cases = [
        ("listen", FrontConfig { listen: addr, ..house.config() }),
        ("ops-listen", FrontConfig { ops_listen: addr, ..house.config() }),
        ("crl-listen", FrontConfig { crl_listen: Some(addr), ..house.config() }),
    ];
    for (key, config) in cases {
        let error = house.fail(config).await;
        let text = error.to_string();
        assert!(text.contains(&addr.to_string()) && text.contains(&format!("`{key}`")), "{text}");
        assert!(matches!(error, FrontError::Listen { key: named, .. } if named == key));
    }
}

#[tokio::test]
async fn operations_are_for_this_machine_alone() {
    let house = House::new();
    for wide in ["0.0.0.0:0", "192.0.2.1:1", "[::]:0"] {
        let config = FrontConfig { ops_listen: wide.parse().unwrap(), ..house.config() };
        assert!(matches!(house.fail(config).await, FrontError::OpsNotLoopback { .. }), "{wide}");
    }
}

#[tokio::test]
async fn more_connections_than_descriptors_are_refused_with_key_and_limit() {
    let house = House::new();
    let limits = Limits { connections: 960, ..Limits::default() };
    let error =
        house.fail(FrontConfig { descriptors: 1024, limits, crl_listen: None, ..house.config() }).await;
    let text = error.to_string();
    assert!(matches!(error, FrontError::TooFewDescriptors { needed: 1088, limit: 1024 }), "{text}");
    assert!(text.contains("`connections`") && text.contains("1024"), "{text}");
}

#[tokio::test]
async fn a_state_directory_that_others_can_enter_is_the_fronts_alone_again() {
    let house = House::new();
    fs::create_dir(house.state_dir()).unwrap();
    fs::set_permissions(house.state_dir(), Permissions::from_mode(0o750)).unwrap();
    house.start().await.stop().await;
    assert_eq!(mode(house.state_dir()), 0o700);
}

/// A file in its place, which an earlier front can have left, goes.
#[tokio::test]
async fn a_file_in_the_state_directorys_place_gives_it_up() {
    let house = House::new();
    fs::write(house.state_dir(), "a file").unwrap();
    house.start().await.stop().await;
    assert_eq!(mode(house.state_dir()), 0o700);
}

/// Below a file there is none.
#[tokio::test]
async fn a_state_directory_that_cannot_be_made_is_refused() {
    let house = House::new();
    fs::write(house.state_dir(), "a file").unwrap();
    let mut config = house.config();
    config.state_dir = house.state_dir().join("below");
    assert!(matches!(house.fail(config).await, FrontError::State { .. }));
}

#[tokio::test]
async fn key_and_chain_are_kept_for_the_next_start() {
    let house = House::new();
    let first = house.start().await;
    assert_eq!(first.far.count("serve"), 1);
    first.stop().await;
    assert_eq!((mode(house.state_dir()), mode(house.state_dir().join("key.pem"))), (0o700, 0o600));
    let chain = fs::read(house.state_dir().join("chain.pem")).unwrap();

    let second = house.start().await;
    assert_eq!(second.far.count("serve"), 0);
    second.stop().await;
    assert_eq!(fs::read(house.state_dir().join("chain.pem")).unwrap(), chain);
}

#[tokio::test]
async fn a_key_that_others_could_read_is_not_used_again() {
    let house = House::new();
    house.start().await.stop().await;
    let key = house.state_dir().join("key.pem");
    let before = fs::read(&key).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    let again = house.start().await;
    assert_eq!(again.far.count("serve"), 1);
    again.stop().await;
    assert_eq!(mode(&key), 0o600);
    assert_ne!(fs::read(&key).unwrap(), before);
}

#[tokio::test]
async fn a_key_that_is_not_the_chains_is_not_used() {
    let (house, other) = (House::new(), House::new());
    house.start().await.stop().await;
    other.start().await.stop().await;
    fs::copy(other.state_dir().join("key.pem"), house.state_dir().join("key.pem")).unwrap();
    let again = house.start().await;
    assert_eq!(again.far.count("serve"), 1);
    again.stop().await;
}

#[tokio::test]
async fn a_chain_under_other_anchors_is_not_used() {
    let house = House::new();
    house.start().await.stop().await;
    let moved = House { dir: house.dir, ..House::new() };
    let again = moved.start().await;
    assert_eq!(again.far.count("serve"), 1);
    again.stop().await;
}

#[tokio::test]
async fn at_half_of_its_life_another_is_asked_for() {
    let house = House::new();
    house.start().await.stop().await;
    // Ten days long: half is five.
    house.set_secs(4 * 86_400);
    let early = house.start().await;
    assert_eq!(early.far.count("serve"), 0);
    early.stop().await;
    house.set_secs(6 * 86_400);
    // Ready with the old one, which is good still; the next is asked for meanwhile.
    let late = house.start().await;
    late.far.asked("serve", 1).await;
    late.stop().await;
}

#[tokio::test]
async fn a_front_whose_door_closed_for_good_ends_to_be_started_again() {
    let mut house = House::new();
    house.limits.door_wait = std::time::Duration::from_millis(20);
    let front = house.start().await;
    assert!(matches!(front.lose_its_door().await, Err(FrontError::DoorLost)));
}
