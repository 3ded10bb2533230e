//! `kill -9` under load: of the keeper, the front or both, at random and at each numbered step; then everything is counted.
//!
//! Callers ask without end, each request with an idempotency key that is kept until it is granted. What they were given is remembered and
//! held against the ledger at the end. The token's module writes down what it was given to sign.

mod callers;
mod count;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::program::built;
use crate::{Cell, Faults, Serving};
use callers::Callers;

/// The numbered steps (docs/issuance-cycle.md), as the program under test tells them.
const STEPS: [&str; 13] = [
    "2 check the CSR",
    "3 authorise",
    "4 admit",
    "5 compose",
    "6 lint",
    "7 record, before the commit",
    "7 record",
    "8 sign",
    "9 verify",
    "10 store, before the commit",
    "10 store",
    "10 release",
    "10 release, in the front",
];
/// Kills between two steps' rounds, by chance.
const RANDOM: [&str; 3] = ["keeper", "front", "both"];
/// Kills before the supervisor is killed too: it waits longer before each start.
const KILLS_OF_ONE_SUPERVISOR: usize = 4;
/// How long the service may take until it grants again.
const BACK: Duration = Duration::from_secs(30);
/// How long a step may take to be reached.
const REACHED: Duration = Duration::from_secs(20);
/// How often the file of a kill is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// What callers may ask for.
const GRANT: &str = "agents=torture/*;ttl=1h;budget=4000000";

/// What is done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often something is killed.
    pub kills: usize,
    /// Callers at a time.
    pub callers: usize,
    /// What chance begins with.
    pub seed: u64,
}

/// What was found. Everything but the first group must be 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Kills, by what was killed or where.
    pub kills: BTreeMap<String, usize>,
    /// Entries of the ledger.
    pub entries: usize,
    /// Certificates that callers were given.
    pub acknowledged: usize,
    /// Entries of certificates with a signature.
    pub signed: usize,
    /// Entries of certificates given up.
    pub abandoned: usize,

    /// Signatures that the token made of what no entry holds.
    pub unrecorded: usize,
    /// Serial numbers that two entries have.
    pub serials_twice: usize,
    /// Certificates that callers were given and the ledger does not hold as they are.
    pub lost: usize,
    /// Entries of certificates neither signed nor given up.
    pub unfinished: usize,
    /// Idempotency keys that led to two certificates.
    pub made_twice: usize,
    /// Checks of the whole that failed: `ledger verify`, `ledger rebuild`.
    pub unproven: usize,
}

impl Tally {
    /// Whether everything that must be 0 is.
    pub fn is_sound(&self) -> bool {
        let Self { unrecorded, serials_twice, lost, unfinished, made_twice, unproven, .. } = self;
        [unrecorded, serials_twice, lost, unfinished, made_twice, unproven]
            .into_iter()
            .all(|count| *count == 0)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kills: usize = self.kills.values().sum();
        writeln!(f, "{kills:8} kills")?;
        for (what, count) in &self.kills {
            writeln!(f, "{count:8}   {what}")?;
        }
        writeln!(f, "{:8} entries", self.entries)?;
        writeln!(f, "{:8} certificates acknowledged", self.acknowledged)?;
        writeln!(f, "{:8} certificates signed", self.signed)?;
        writeln!(f, "{:8} certificates given up", self.abandoned)?;
        writeln!(f, "{:8} signatures without an entry", self.unrecorded)?;
        writeln!(f, "{:8} serial numbers twice", self.serials_twice)?;
        writeln!(f, "{:8} acknowledged certificates lost", self.lost)?;
        writeln!(f, "{:8} entries neither signed nor given up", self.unfinished)?;
        writeln!(f, "{:8} requests carried out twice", self.made_twice)?;
        write!(f, "{:8} checks of the whole failed", self.unproven)
    }
}

/// Kills, and counts.
///
/// # Panics
/// The service does not come back, or a step is never reached.
pub async fn torture(plan: Plan) -> Tally {
    let binary = built("rootcellar-under-test").display().to_string();
    let mut cell = Cell::empty(&binary);
    let faults = Faults::between(&mut cell);
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
    let configured = fs::read_to_string(cell.config_file()).expect("a configuration");
    cell.configure(&configured.replacen("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1));
    cell.run(&["init"]).ok();
    let serving = cell.serve();
    let credentials = cell.controller(&serving, "torture", &[GRANT]);
    let callers = Callers::start(&credentials, plan.callers);
    let mut killer = Killer { cell, serving, chance: plan.seed | 1, since_start: 0, kills: BTreeMap::new() };
    killer.granting(&callers).await;
    for number in 0..plan.kills {
        killer.kill(number, &callers).await;
        killer.granting(&callers).await;
    }
    let acknowledged = callers.stop().await;
    let Killer { cell, serving, kills, .. } = killer;
    let counted = count::count(&cell, serving, &faults, acknowledged).await;
    Tally { kills, ..counted }
}

struct Killer {
    cell: Cell,
    serving: Serving,
    chance: u64,
    /// Kills since the supervisor was started.
    since_start: usize,
    kills: BTreeMap<String, usize>,
}

impl Killer {
    /// A number below `below`, by xorshift: the same seed kills in the same order.
    fn chance(&mut self, below: u64) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance % below
    }

    async fn kill(&mut self, number: usize, callers: &Callers) {
        let what = if number.is_multiple_of(2) {
            let step = STEPS[number / 2 % STEPS.len()];
            self.at_step(step).await;
            step
        } else {
            // Anywhere, while requests are under way.
            sleep(Duration::from_millis(self.chance(150))).await;
            let what = RANDOM[number / 2 % RANDOM.len()];
            let roles = if what == "both" { &["keeper", "front"][..] } else { &[what][..] };
            roles.iter().filter_map(|role| self.serving.find_child(role)).for_each(end);
            what
        };
        *self.kills.entry(what.to_owned()).or_default() += 1;
        self.since_start += 1;
        if self.since_start >= KILLS_OF_ONE_SUPERVISOR {
            end(self.serving.pid());
            self.serving.wait();
            self.serving = self.start();
            self.since_start = 0;
        }
        callers.forget_progress();
    }

    /// The children of a supervisor that was killed end by themselves; until then they hold the journal and the port.
    fn start(&self) -> Serving {
        let until = Instant::now() + BACK;
        loop {
            match self.cell.try_serve() {
                Ok(serving) => return serving,
                Err(outcome) => {
                    assert!(Instant::now() < until, "it does not start again: {}", outcome.stderr);
                }
            }
        }
    }

    async fn at_step(&self, step: &str) {
        let order = self.cell.path("kill");
        let beside = self.cell.path("kill.new");
        fs::write(&beside, step).and_then(|()| fs::rename(&beside, &order)).expect("the order is written");
        let taken = async {
            while order.exists() {
                sleep(LOOK).await;
            }
        };
        assert!(timeout(REACHED, taken).await.is_ok(), "`{step}` is not reached: {}", self.serving.log());
    }

    async fn granting(&self, callers: &Callers) {
        let back = timeout(BACK, callers.progress()).await;
        assert!(back.is_ok(), "nothing is granted any more: {}", self.serving.log());
    }
}

/// As `kill -9`. One that has ended meanwhile is no failure.
fn end(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}
