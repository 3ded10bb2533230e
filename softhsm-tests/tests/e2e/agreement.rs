//! Keeper, auditor and the next start judge alike: whatever controllers, agents and officers ask at random, by clocks that differ, over restarts
//! and sent again, what the keeper records the auditor believes, and a start on the same entries under an old checkpoint.
//!
//! `ROOTCELLAR_SEEDS=100 cargo nextest run … -E 'test(/agreement::/)'` runs so many instead of one of each kind.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use client::Signer;
use prost::Message;
use prost_types::{Duration, FieldMask, Timestamp};
use proto::door::{Signed, answer, ask, caller};
use proto::v1::revoke_certificate_body::Target;
use proto::v1::{
    Agent, BatchCreateAgentsBody, Certificate, CreateAgentBody, DeleteAgentBody, IssueCertificateBody,
    IssuedSince, Reason, RenewCertificateBody, RevokeCertificateBody, UpdateAgentBody,
};
use rcgen::KeyPair;
use rootcellar_softhsm_tests::door::{Door, Role, front, presented};
use rootcellar_softhsm_tests::{Cell, newest_log};

use crate::support::{Checkpoint, House, chain_pem, csr_of, serve};

const HOUR_MS: i64 = 3_600_000;
/// Requests of a seed.
const STEPS: u64 = 300;
/// Requests that are remembered to be sent again.
const SENT: usize = 60;
const AGENTS: [&str; 3] = ["build/a", "build/b", "other/c"];
const ROLES: [&[&str]; 4] = [&["logger"], &["logger", "scanner"], &[], &["logger", "logger"]];
const CONTROLLERS: [(&str, &str); 2] = [
    ("build", "agents=build/*;roles=logger,scanner;tags=blue;ttl=1h;budget=100000"),
    ("other", "agents=build/*,other/*;roles=logger;ttl=2h;budget=100000"),
];
const ACTS: [&[&str]; 8] = [
    &["freeze"],
    &["thaw"],
    &["thaw"],
    &["freeze", "--renewals"],
    &[
        "grant",
        "set",
        "other",
        "name=short;agents=build/*,other/*;roles=logger,scanner;ttl=30s;budget=100000",
    ],
    &["cert", "revoke", "--agent", "build/a", "--reason", "key-compromise"],
    &[
        "cert",
        "revoke",
        "--issued-by",
        "other",
        "--since",
        "2020-01-01T00:00:00Z",
        "--reason",
        "key-compromise",
    ],
    &["clock", "confirm"],
];

/// Chance that is the same for the same seed (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % end
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    /// Once in so many times.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn milliseconds(&mut self, end: u64) -> i64 {
        i64::try_from(self.below(end)).unwrap()
    }
}

/// Somebody who asks.
struct Asker {
    certificate: Vec<u8>,
    signer: Arc<Signer>,
    ahead_ms: Arc<AtomicI64>,
    controls: bool,
}

impl Asker {
    fn new(cell: &Cell, chain: &str, key: &str, log: &str, controls: bool) -> Self {
        let certificate = pem::parse_many(chain).unwrap().swap_remove(0).into_contents();
        let ahead_ms: Arc<AtomicI64> = Arc::default();
        let (clock, ahead) = (cell.clock(), Arc::clone(&ahead_ms));
        let clock = Arc::new(move || clock() + ahead.load(Ordering::Relaxed));
        Self { certificate, signer: Signer::new(chain, key, log, clock).unwrap(), ahead_ms, controls }
    }

    async fn signs(&self, method: &str, body: &impl Message) -> Signed {
        let (method, body) = (format!("/rootcellar.v1.{method}"), body.encode_to_vec());
        let (signature, _) = self.signer.sign(&method, &body).await.unwrap();
        Signed { method, body, signature: Some(signature) }
    }
}

/// A cell whose front is the test's, and everybody who asks it.
struct World {
    // Ended before its cell goes.
    keeper: Role,
    door: Door,
    cell: Cell,
    chance: Chance,
    /// The two controllers first, then agents.
    askers: Vec<Asker>,
    /// Keys that are certified, with their CSRs.
    keys: Vec<(KeyPair, Vec<u8>)>,
    sent: Vec<(Option<caller::Caller>, Signed)>,
    /// When they were given, and which they are.
    given: Vec<(i64, Certificate)>,
    log: String,
    passed_ms: i64,
    /// Hours pass now and then, so that certificates have ended long ago.
    leaps: bool,
    answers: BTreeMap<String, u32>,
}

impl World {
    /// A cell with its first checkpoint.
    async fn new(seed: u64, leaps: bool) -> (Self, Checkpoint) {
        let mut house = House::new();
        let credentials = CONTROLLERS.map(|(name, grant)| house.controller(name, grant));
        let log = newest_log(&credentials[0].read("bundle.note"));
        let askers = credentials
            .map(|of| Asker::new(&house.cell, &of.read("chain.pem"), &of.read("key.pem"), &log, true));
        assert_eq!(house.stop().await, 0);
        let first = Checkpoint::of(&house.cell);
        let mut cell = house.cell;
        let (keeper, door) = Role::keeper(&mut cell);
        let key = || KeyPair::generate().unwrap();
        let keys =
            std::iter::repeat_with(key).take(8).map(|key| (csr_of(&key), key)).map(|(csr, key)| (key, csr));
        let world = Self {
            keeper,
            door,
            cell,
            chance: Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            askers: askers.into(),
            keys: keys.collect(),
            sent: Vec::new(),
            given: Vec::new(),
            log,
            passed_ms: 0,
            leaps,
            answers: BTreeMap::new(),
        };
        (world, first)
    }

    /// Time passes, and something happens.
    async fn step(&mut self, number: u64) -> ControlFlow<String> {
        self.passed_ms += match self.chance.below(20) {
            0 => 200_000,
            1..4 => 20_000,
            4..10 => 3000,
            _ => 50,
        };
        // Within a day: after it requests are let go, and no start under the first checkpoint does without them.
        if self.leaps && self.passed_ms < 15 * HOUR_MS && self.chance.once_in(60) {
            self.passed_ms += 5 * HOUR_MS;
        }
        self.cell.set_clock(self.passed_ms);
        match self.chance.below(80) {
            0..2 => self.start_again(),
            2..4 => {
                let act = *self.chance.of(&ACTS);
                let code = self.cell.run(act).code;
                *self.answers.entry(format!("{} {code}", act.join(" "))).or_default() += 1;
            }
            4 => drop(self.door.ask(front(), serve(&KeyPair::generate().unwrap()))),
            _ => return self.ask(number).await,
        }
        ControlFlow::Continue(())
    }

    /// Ends the keeper, in order or not, and starts another.
    fn start_again(&mut self) {
        if self.chance.once_in(2) {
            self.keeper.kill();
        } else {
            assert_eq!(self.keeper.end(), 0);
        }
        (self.keeper, self.door) = Role::keeper(&mut self.cell);
    }

    /// A request of somebody, or one that was sent before.
    async fn ask(&mut self, number: u64) -> ControlFlow<String> {
        let (by, signed) = if !self.sent.is_empty() && self.chance.once_in(4) {
            self.chance.of(&self.sent).clone()
        } else {
            let all = if self.chance.once_in(3) { self.askers.len() as u64 } else { 2 };
            let at = usize::try_from(self.chance.below(all)).unwrap();
            let ahead_ms = match self.chance.below(4) {
                0 => 0,
                1 => self.chance.milliseconds(299_000),
                2 => -self.chance.milliseconds(299_000),
                _ => self.chance.milliseconds(2000),
            };
            self.askers[at].ahead_ms.store(ahead_ms, Ordering::Relaxed);
            let request_id = if self.chance.once_in(2) {
                format!("again-{}", self.chance.below(5))
            } else {
                format!("once-{number}")
            };
            let signed = self.request(at, request_id).await;
            (presented(&self.askers[at].certificate), signed)
        };
        self.sent.push((by.clone(), signed.clone()));
        if self.sent.len() > SENT {
            self.sent.remove(0);
        }
        let method = signed.method.rsplit('/').next().unwrap().to_owned();
        let answer = self.door.ask(by, ask::Ask::Signed(signed.clone()));
        let told = match &answer {
            answer::Answer::Refused(refused) if refused.reason() == Reason::Internal => {
                return ControlFlow::Break(format!("{method}: {refused:?}"));
            }
            answer::Answer::Refused(refused) => format!("{:?}", refused.reason()),
            _ => "done".to_owned(),
        };
        *self.answers.entry(format!("{method} {told}")).or_default() += 1;
        if let answer::Answer::Certificate(certificate) = answer {
            self.take(&signed, certificate);
        }
        if self.keeper.runs() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break("the keeper ended".into())
        }
    }

    /// Whoever was given a certificate asks with it from now on.
    fn take(&mut self, signed: &Signed, certificate: Certificate) {
        let csr = if signed.method.ends_with("/IssueCertificate") {
            IssueCertificateBody::decode(&*signed.body).unwrap().csr
        } else {
            RenewCertificateBody::decode(&*signed.body).unwrap().csr
        };
        let Some((key, _)) = self.keys.iter().find(|(_, known)| *known == csr) else { return };
        let (chain, key) = (chain_pem(&certificate.chain), key.serialize_pem());
        let controller = certificate.spiffe_id.split_once("/controller/").map(|(_, name)| name);
        let place = CONTROLLERS.iter().position(|(name, _)| Some(*name) == controller);
        let asker = Asker::new(&self.cell, &chain, &key, &self.log, place.is_some());
        match place {
            Some(place) if self.chance.once_in(2) => self.askers[place] = asker,
            _ => self.askers.push(asker),
        }
        if self.askers.len() > 20 {
            self.askers.remove(CONTROLLERS.len());
        }
        if !self.given.iter().any(|(_, given)| given.name == certificate.name) {
            self.given.push((self.passed_ms, certificate));
        }
    }

    /// A request that may make sense.
    async fn request(&mut self, at: usize, request_id: String) -> Signed {
        let chance = &mut self.chance;
        let id = *chance.of(&AGENTS);
        let roles = *chance.of(&ROLES);
        let agent = |id: &str| Agent {
            name: format!("agents/{id}"),
            roles: roles.iter().map(ToString::to_string).collect(),
            ..Agent::default()
        };
        let name = format!("agents/{id}");
        let lifetime = chance.of(&[None, Some(10), Some(20), Some(600), Some(3600)]);
        let lifetime = lifetime.map(|seconds| Duration { seconds, nanos: 0 });
        let csr = chance.of(&self.keys).1.clone();
        let asker = &self.askers[at];
        match if asker.controls { chance.below(12) } else { 11 } {
            0..4 => {
                let description = chance.once_in(2).then(|| agent(id));
                let allow_missing = !chance.once_in(3);
                let body = IssueCertificateBody {
                    agent: name,
                    csr,
                    lifetime,
                    request_id,
                    description,
                    allow_missing,
                };
                asker.signs("IssuanceService/IssueCertificate", &body).await
            }
            4 => {
                let body = CreateAgentBody { agent: Some(agent(id)), request_id };
                asker.signs("AgentService/CreateAgent", &body).await
            }
            5 => {
                let body = DeleteAgentBody { name, request_id, ..DeleteAgentBody::default() };
                asker.signs("AgentService/DeleteAgent", &body).await
            }
            6..8 => {
                let agent = Agent { disabled: chance.once_in(2), ..agent(id) };
                let masks = [None, Some(vec!["roles"]), Some(vec!["disabled"]), Some(vec![])];
                let mask = chance.of(&masks).clone();
                let update_mask =
                    mask.map(|paths| FieldMask { paths: paths.into_iter().map(str::to_owned).collect() });
                let body = UpdateAgentBody { agent: Some(agent), update_mask, request_id };
                asker.signs("AgentService/UpdateAgent", &body).await
            }
            8 => {
                let agents = AGENTS.iter().filter(|_| chance.once_in(2)).map(|id| agent(id)).collect();
                asker
                    .signs("AgentService/BatchCreateAgents", &BatchCreateAgentsBody { agents, request_id })
                    .await
            }
            9..11 => {
                let (passed_ms, leaps) = (self.passed_ms, self.leaps);
                self.given.retain(|(when, _)| leaps || passed_ms - when < 600_000);
                let target = match chance.below(4) {
                    0 if !self.given.is_empty() => Target::Certificate(chance.of(&self.given).1.name.clone()),
                    1 if !self.given.is_empty() => Target::Serial(chance.of(&self.given).1.serial.clone()),
                    2 if chance.once_in(3) => Target::IssuedSince(IssuedSince {
                        controller: format!("controllers/{}", CONTROLLERS[at % 2].0),
                        since: Some(Timestamp {
                            seconds: *chance.of(&[0, i64::MIN / 2000, i64::MAX / 2000, 1_790_000_000]),
                            nanos: *chance.of(&[0, -5_000_000, i32::MAX, i32::MIN]),
                        }),
                    }),
                    _ => Target::Agent(name),
                };
                // Those of RFC 5280 §5.3.1, one that it leaves out, and none.
                let reason = *chance.of(&[0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 7, -1]);
                let body = RevokeCertificateBody { target: Some(target), reason, request_id };
                asker.signs("IssuanceService/RevokeCertificate", &body).await
            }
            _ => {
                let body = RenewCertificateBody { csr, lifetime, request_id };
                asker.signs("IssuanceService/RenewCertificate", &body).await
            }
        }
    }

    /// The auditor, a start that believes nothing above the first checkpoint, and the auditor again.
    async fn judge(self, first: &Checkpoint) -> Result<(), String> {
        let Self { keeper, door, cell, .. } = self;
        drop(door);
        assert_eq!(keeper.stop(), 0);
        let mut house = House::of(cell);
        let verifies = |house: &House, when: &str| match house.cell.run(&["ledger", "verify"]) {
            verified if verified.code == 0 => Ok(()),
            verified => Err(format!("{when}: {}{}", verified.stdout, verified.stderr)),
        };
        verifies(&house, "what the keeper recorded")?;
        assert_eq!(house.stop().await, 0);
        first.put_back(&house.cell);
        match house.cell.try_serve() {
            Ok(serving) => house.serving = serving,
            Err(ended) => return Err(format!("no start under the first checkpoint: {}", ended.stderr)),
        }
        verifies(&house, "after a start under the first checkpoint")
    }
}

/// So many of the environment, or one.
fn seeds(first: u64) -> impl Iterator<Item = u64> {
    let count = std::env::var("ROOTCELLAR_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(1);
    first..first + count
}

async fn agree(first: u64, leaps: bool) {
    for seed in seeds(first) {
        let (mut world, checkpoint) = World::new(seed, leaps).await;
        for number in 0..STEPS {
            if let ControlFlow::Break(why) = world.step(number).await {
                panic!("seed {seed}, request {number}: {why}");
            }
        }
        let done: u32 =
            world.answers.iter().filter(|(of, _)| of.ends_with("done")).map(|(_, count)| count).sum();
        assert!(done > 20, "seed {seed} asks for what is granted: {:?}", world.answers);
        if let Err(why) = world.judge(&checkpoint).await {
            panic!("seed {seed}: {why}");
        }
    }
}

#[tokio::test]
async fn within_minutes() {
    agree(1, false).await;
}

#[tokio::test]
async fn over_hours() {
    agree(1001, true).await;
}
