//! A thousand idle watchers: what each costs the front's memory, and how soon all see a new bundle.
//!
//! Ignored by default, for it measures. The front is a process of its own, so that the clients' memory is not counted:
//! `cargo test --release -p rootcellar-ca-service --test front -- --ignored --nocapture watchers`.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::net::UnixStream as StdUnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use ca_service::{FrontConfig, Limits, run};
use client::Client;
use proto::v1::WatchTrustBundleRequest;
use tokio::{sync::mpsc, task::JoinSet};
use tonic::Streaming;

use crate::{
    far_end::FarEnd,
    house::{House, channel},
    pki::BEGIN_SECS,
};

/// How many watch.
const WATCHERS: usize = 1000;

/// The most that one may cost, in octets.
const MEMORY: usize = 64 * 1024;

/// The longest until all have seen a new bundle.
const TIME: Duration = Duration::from_secs(1);

/// Where the front's process finds its directory.
const DIR: &str = "ROOTCELLAR_TEST_FRONT";

type Watch = Streaming<proto::v1::WatchTrustBundleResponse>;

/// A front in a process of its own. Ended when dropped.
struct Process {
    child: Child,
    mtls: SocketAddr,
}

impl Process {
    fn start(house: &House, door: StdUnixStream) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "watchers::front_of_its_own", "--ignored", "--nocapture"]);
        command.env(DIR, house.dir.path()).stdin(std::os::fd::OwnedFd::from(door)).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let bound = lines.map(Result::unwrap).find_map(|line| line.strip_prefix("bound ").map(str::to_owned));
        Self { mtls: bound.unwrap().parse().unwrap(), child }
    }

    /// Resident memory, in octets.
    fn resident(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: the front's process, as [`Process`] starts it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by the test of watchers"]
async fn front_of_its_own() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let config = FrontConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        ops_listen: "127.0.0.1:0".parse().unwrap(),
        crl_listen: None,
        state_dir: dir.join("state"),
        cell: "cell.example".parse().unwrap(),
        limits: Limits {
            handshakes_per_address: 256,
            connections_per_caller: 2 * WATCHERS,
            ..Limits::default()
        },
        descriptors: 100_000,
    };
    let (doors, incoming) = mpsc::channel(1);
    let door = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned().unwrap();
    doors.send(StdUnixStream::from(door)).await.unwrap();
    let ready = |bound: ca_service::Bound| println!("\nbound {}", bound.mtls);
    let (clock, probe) = (Arc::new(|| BEGIN_SECS * 1000), Arc::new(|_step| {}));
    run(config, clock, probe, incoming, ready, std::future::pending()).await.unwrap();
}

/// Watches, each over a connection of its own, all with their first bundle.
async fn watch(house: &House, front: &Process, count: usize) -> Vec<(Client, Watch)> {
    let caller = house.pki.caller("/controller/watcher").client(&house.pki.anchors());
    let mut connecting = JoinSet::new();
    let mut watches = Vec::new();
    for _ in 0..count {
        let (addr, caller) = (front.mtls, caller.clone());
        connecting.spawn(async move {
            let client = Client::over(channel(addr, caller).await.unwrap());
            let request = WatchTrustBundleRequest {};
            let mut watch = client.trust().watch_trust_bundle(request).await.unwrap().into_inner();
            assert_eq!(watch.message().await.unwrap().unwrap().bundle.unwrap().number, 1);
            (client, watch)
        });
        if connecting.len() >= 50 {
            watches.extend(connecting.join_next().await.map(Result::unwrap));
        }
    }
    watches.extend(connecting.join_all().await);
    watches
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures: a thousand connections"]
async fn a_thousand_watchers_are_cheap_and_see_a_new_bundle_soon() {
    let house = House::new();
    let (far, _asks) = FarEnd::new(Arc::clone(&house.pki));
    let (near, _door) = far.open();
    let front = Process::start(&house, near);
    // What the first connections bring into memory is not theirs.
    drop(watch(&house, &front, 50).await);
    let before = front.resident();
    let mut watches = watch(&house, &front, WATCHERS).await;
    let each = front.resident().saturating_sub(before) / WATCHERS;
    println!("{each} octets for each of {WATCHERS} watchers, {before} before");

    let begin = Instant::now();
    far.change_bundle(2, house.pki.anchors());
    let mut waiting = JoinSet::new();
    for (client, mut watch) in watches.drain(..) {
        waiting.spawn(async move {
            assert_eq!(watch.message().await.unwrap().unwrap().bundle.unwrap().number, 2);
            let seen = begin.elapsed();
            (client, watch, seen)
        });
    }
    let mut seen: Vec<Duration> = waiting.join_all().await.into_iter().map(|(.., seen)| seen).collect();
    seen.sort_unstable();
    println!("a new bundle is seen by half in {:?}, by all in {:?}", seen[WATCHERS / 2], seen[WATCHERS - 1]);
    assert!(each <= MEMORY, "{each} octets for each");
    assert!(seen[WATCHERS - 1] <= TIME, "{:?}", seen[WATCHERS - 1]);
}
