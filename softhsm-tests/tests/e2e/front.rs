//! Code in the front, at its end of the door: it has seen the certificates of all callers, and has none of their keys.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use client::Signer;
use ledger::entry::entry::Kind;
use ledger::entry::{self, ActorKind, Profile};
use prost::Message;
use proto::door::{Serve, Signed, answer, ask, caller};
use proto::v1::{
    Agent, BatchCreateAgentsBody, CreateAgentBody, DeleteAgentBody, GetTrustBundleRequest,
    ImportCeremonyRequest, IssueCertificateBody, LedgerEntry, ListEntriesRequest, Reason,
    RenewCertificateBody, RequestSignature, RevokeCertificateBody, SubmitProposalRequest, UpdateAgentBody,
    revoke_certificate_body::Target,
};
use rcgen::{KeyPair, PublicKeyData as _};
use rootcellar_softhsm_tests::Cell;
use rootcellar_softhsm_tests::door::{Door, Role, front, presented};

use crate::support::{
    Anothers, Holder, House, chain_pem, csr, csr_of, database, eventually, files_below, issuance_of, issue,
    request, serve,
};
use crate::unproved::number;

/// A front in other hands, and a caller whose certificate it has seen.
pub(crate) struct Taken {
    // Ended before its cell goes.
    keeper: Role,
    pub(crate) door: Door,
    /// The controller "build".
    pub(crate) build: Seen,
    /// The controller "other".
    other: Seen,
    /// The agent "build/a".
    pub(crate) agent: Seen,
    pub(crate) cell: Cell,
}

/// A caller: what it presents, and what only it can do.
pub(crate) struct Seen {
    certificate: Vec<u8>,
    signer: Arc<Signer>,
    /// How far its clock is ahead of the cell's.
    ahead_ms: Arc<AtomicI64>,
}

impl Seen {
    /// A controller with these credentials.
    pub(crate) fn of(house: &House, credentials: &rootcellar_softhsm_tests::Credentials) -> Self {
        Self::with(house, &credentials.read("chain.pem"), &credentials.read("key.pem"))
    }

    fn with(house: &House, chain: &str, key: &str) -> Self {
        let certificate = pem::parse_many(chain).unwrap().swap_remove(0).into_contents();
        let ahead_ms = Arc::default();
        Self { certificate, signer: house.signer_ahead(chain, key, &ahead_ms), ahead_ms }
    }

    pub(crate) fn presents(&self) -> Option<caller::Caller> {
        presented(&self.certificate)
    }

    /// Sets its own clock, which nobody else reads.
    fn set_ahead(&self, ahead_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }

    pub(crate) async fn signs(&self, method: &str, body: Vec<u8>) -> Signed {
        let method = format!("/rootcellar.v1.{method}");
        let (signature, _) = self.signer.sign(&method, &body).await.unwrap();
        Signed { method, body, signature: Some(signature) }
    }
}

/// Takes the front of a cell that has served.
pub(crate) async fn take(house: House) -> Taken {
    let client = house.credentials().client().await;
    let holder = Holder::ask(&client, "build/a", |_| {}).await;
    let agent = Seen::with(&house, &holder.chain_pem(), &holder.key.serialize_pem());
    let build = Seen::of(&house, &house.credentials());
    let other = Seen::of(&house, &house.controller("other", "agents=other/*;roles=logger"));
    let mut house = house;
    assert_eq!(house.stop().await, 0);
    let mut cell = house.cell;
    let (keeper, door) = Role::keeper(&mut cell);
    Taken { keeper, door, build, other, agent, cell }
}

impl Taken {
    /// A reason, or that it was granted.
    pub(crate) fn reason(
        &mut self,
        by: Option<caller::Caller>,
        ask: ask::Ask,
    ) -> Result<Reason, Box<answer::Answer>> {
        match self.door.ask(by, ask) {
            answer::Answer::Refused(refused) => Ok(refused.reason()),
            granted => Err(Box::new(granted)),
        }
    }

    #[track_caller]
    fn refuses(&mut self, by: Option<&caller::Caller>, signed: Signed, reason: Reason) {
        let method = signed.method.clone();
        assert_eq!(self.reason(by.cloned(), ask::Ask::Signed(signed)), Ok(reason), "{method}");
    }

    /// Refused for its signature, or before that for its body or its caller.
    #[track_caller]
    fn refuses_unread(&mut self, by: Option<&caller::Caller>, signed: Signed) {
        let reason = self.reason(by.cloned(), ask::Ask::Signed(signed));
        assert!(
            matches!(
                reason,
                Ok(Reason::SignatureInvalid | Reason::RequestMalformed | Reason::CallerNotAllowed)
            ),
            "{reason:?}"
        );
    }

    /// The controller "build" has a request carried out.
    async fn signs_and_asks(&mut self, (method, body): (&str, Vec<u8>)) {
        let signed = self.build.signs(method, body).await;
        let answered = self.door.ask(self.build.presents(), ask::Ask::Signed(signed));
        assert!(!matches!(answered, answer::Answer::Refused(_)), "{method}: {answered:?}");
    }

    /// The same with the keeper started anew.
    fn restarted(self) -> Self {
        let Self { keeper, door, mut cell, build, other, agent } = self;
        drop(door);
        assert_eq!(keeper.stop(), 0);
        let (keeper, door) = Role::keeper(&mut cell);
        Self { keeper, door, build, other, agent, cell }
    }

    /// The keeper as it is again behind a front of ours.
    pub(crate) fn back(mut self) -> House {
        assert!(self.keeper.runs(), "the keeper lives");
        drop(self.door);
        assert_eq!(self.keeper.stop(), 0);
        House::of(self.cell)
    }
}

/// The entries that came from callers.
fn of_callers(entries: &[LedgerEntry]) -> usize {
    let actors = entries.iter().map(|found| entry::decode(&found.entry).unwrap().actor.unwrap());
    actors.filter(|actor| actor.kind() == ActorKind::Caller).count()
}

fn agent(id: &str) -> Agent {
    Agent { name: format!("agents/{id}"), ..Agent::default() }
}

/// One good request of each method, as the named caller would make it.
fn requests() -> Vec<(&'static str, Vec<u8>)> {
    let request_id = || "a-front".to_owned();
    let issue = IssueCertificateBody { request_id: request_id(), ..request("build/b", csr()) };
    let revoke = RevokeCertificateBody {
        target: Some(Target::Agent("agents/build/a".into())),
        reason: 1,
        request_id: request_id(),
    };
    let batch = BatchCreateAgentsBody { agents: vec![agent("build/b")], request_id: request_id() };
    let renew = RenewCertificateBody { csr: csr(), request_id: request_id(), ..Default::default() };
    let create = CreateAgentBody { agent: Some(agent("build/b")), request_id: request_id() };
    let update =
        UpdateAgentBody { agent: Some(agent("build/a")), request_id: request_id(), ..Default::default() };
    let delete =
        DeleteAgentBody { name: "agents/build/a".into(), request_id: request_id(), ..Default::default() };
    vec![
        ("IssuanceService/IssueCertificate", issue.encode_to_vec()),
        ("IssuanceService/RenewCertificate", renew.encode_to_vec()),
        ("IssuanceService/RevokeCertificate", revoke.encode_to_vec()),
        ("AgentService/CreateAgent", create.encode_to_vec()),
        ("AgentService/BatchCreateAgents", batch.encode_to_vec()),
        ("AgentService/UpdateAgent", update.encode_to_vec()),
        ("AgentService/DeleteAgent", delete.encode_to_vec()),
    ]
}

#[tokio::test]
async fn it_acts_for_no_caller() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    let (build, other, of_agent) = (taken.build.presents(), taken.other.presents(), taken.agent.presents());
    let invalid = Reason::SignatureInvalid;
    for (method, body) in requests() {
        let full = format!("/rootcellar.v1.{method}");
        let signed = |signature: Option<RequestSignature>| Signed {
            method: full.clone(),
            body: body.clone(),
            signature,
        };
        // Without a signature, with one of nothing, with its own key's, with another caller's.
        for nothing in [None, Some(RequestSignature { size: 1, ..RequestSignature::default() })] {
            taken.refuses(build.as_ref(), signed(nothing), invalid);
        }
        let of_other = taken.other.signs(method, body.clone()).await;
        taken.refuses(build.as_ref(), of_other.clone(), invalid);
        let of_the_agent = taken.agent.signs(method, body.clone()).await;
        taken.refuses(build.as_ref(), of_the_agent, invalid);
        // A caller's own, carried to another caller, another body, another method.
        taken.refuses_unread(of_agent.as_ref(), of_other.clone());
        let mut longer = of_other.clone();
        longer.body.extend_from_slice(&[0x0a, 0]);
        taken.refuses_unread(other.as_ref(), longer);
        let elsewhere = if method.ends_with("DeleteAgent") { "CreateAgent" } else { "DeleteAgent" };
        let elsewhere = format!("/rootcellar.v1.AgentService/{elsewhere}");
        taken.refuses_unread(other.as_ref(), Signed { method: elsewhere, ..of_other.clone() });
        // Its own place among those that were signed together, and its time, are signed.
        let genuine = of_other.signature.clone().unwrap();
        for changed in [
            RequestSignature { time_unix_ms: genuine.time_unix_ms + 1, ..genuine.clone() },
            RequestSignature { size: 2, path: vec![vec![0; 32]], ..genuine.clone() },
            RequestSignature { size: 0, ..genuine.clone() },
            RequestSignature { size: 257, ..genuine.clone() },
            RequestSignature { index: 1, ..genuine.clone() },
            RequestSignature { path: vec![vec![0; 32]; 9], ..genuine.clone() },
            RequestSignature { path: vec![vec![0; 31]], size: 2, ..genuine.clone() },
            RequestSignature { signature: genuine.signature[1..].to_vec(), ..genuine.clone() },
        ] {
            taken.refuses(other.as_ref(), Signed { signature: Some(changed), ..of_other.clone() }, invalid);
        }
        // In its own name, or with a certificate that nobody was given.
        assert!(taken.reason(front(), ask::Ask::Signed(of_other.clone())).is_ok());
        let Some(caller::Caller::Presented(mut strange)) = build.clone() else { panic!("presented") };
        strange.certificate_sha256 = vec![7; 32];
        let strange = Some(caller::Caller::Presented(strange));
        let of_build = taken.build.signs(method, body.clone()).await;
        assert_eq!(taken.reason(strange, ask::Ask::Signed(of_build)), Ok(Reason::CallerUnknown));
    }
    let house = taken.back();
    let entries = house.entries().await;
    assert_eq!(of_callers(&entries), 2, "the agent and its certificate, asked for before");
    house.cell.run(&["ledger", "verify"]).ok();
}

#[tokio::test]
async fn what_was_signed_is_carried_out_once_and_for_ten_minutes() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    let build = taken.build.presents();
    let key = KeyPair::generate().unwrap();
    let body = IssueCertificateBody { request_id: "once".into(), ..request("build/b", csr_of(&key)) };
    let signed = taken.build.signs("IssuanceService/IssueCertificate", body.encode_to_vec()).await;
    let mut certificates = Vec::new();
    for _ in 0..3 {
        match taken.door.ask(build.clone(), ask::Ask::Signed(signed.clone())) {
            answer::Answer::Certificate(certificate) => certificates.push(certificate),
            other => panic!("{other:?}"),
        }
    }
    assert!(certificates.windows(2).all(|pair| pair[0] == pair[1]), "one certificate");
    // Kept for later, it is worth nothing; nor is one from a clock that is ahead.
    for ahead in [-301_000, 301_000] {
        let other = IssueCertificateBody { request_id: format!("at{ahead}"), ..body.clone() };
        taken.build.set_ahead(ahead);
        let other = taken.build.signs("IssuanceService/IssueCertificate", other.encode_to_vec()).await;
        taken.refuses(build.as_ref(), other, Reason::SignatureExpired);
    }
    let house = taken.back();
    let of_b = |found: &&LedgerEntry| issuance_of(found).is_some_and(|of| of.subject == "/agent/build/b");
    assert_eq!(house.entries().await.iter().filter(of_b).count(), 1);
    house.cell.run(&["ledger", "verify"]).ok();
}

/// A front that holds signed requests back delivers them after what their caller signed later: they give nothing, nor after a restart.
#[tokio::test]
async fn what_was_held_back_gives_nothing_after_what_was_meant_to_follow_it() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    let build = taken.build.presents();
    let update = |disabled, request_id: &str| {
        let agent = Some(Agent { disabled, ..agent("build/a") });
        let update = UpdateAgentBody { agent, request_id: request_id.into(), ..UpdateAgentBody::default() };
        ("AgentService/UpdateAgent", update.encode_to_vec())
    };
    let issue = |id: &str| {
        let issue = IssueCertificateBody { request_id: id.into(), description: None, ..request(id, csr()) };
        ("IssuanceService/IssueCertificate", issue.encode_to_vec())
    };
    let create = |request_id: &str| {
        let create = CreateAgentBody { agent: Some(agent("build/b")), request_id: request_id.into() };
        ("AgentService/CreateAgent", create.encode_to_vec())
    };
    let delete = |request_id: &str| {
        let name = "agents/build/b".into();
        let delete = DeleteAgentBody { name, request_id: request_id.into(), ..DeleteAgentBody::default() };
        ("AgentService/DeleteAgent", delete.encode_to_vec())
    };
    taken.signs_and_asks(create("first")).await;
    let mut held = Vec::new();
    for (method, body) in [update(false, "enable"), issue("build/a"), issue("build/b"), create("again")] {
        held.push(taken.build.signs(method, body).await);
    }
    taken.cell.set_clock(1000);
    taken.signs_and_asks(update(true, "disable")).await;
    taken.signs_and_asks(delete("end")).await;
    taken.refuses(build.as_ref(), held[0].clone(), Reason::SignatureExpired);
    taken.refuses(build.as_ref(), held[1].clone(), Reason::AgentDisabled);
    taken.cell.set_clock(2000);
    taken.signs_and_asks(update(false, "enable-now")).await;
    for _restarted in [false, true] {
        for signed in &held[1..] {
            taken.refuses(build.as_ref(), signed.clone(), Reason::SignatureExpired);
        }
        taken = taken.restarted();
    }
    // What is signed now is.
    taken.signs_and_asks(issue("build/b")).await;
    taken.back().cell.run(&["ledger", "verify"]).ok();
}

/// An issuance that its caller believes to have failed, and whose key it threw away, does not become the newest of a line that went on.
#[tokio::test]
async fn a_held_issuance_ends_no_line_that_went_on() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    let build = taken.build.presents();
    let issue = |id: &str, request_id: &str, key: &KeyPair| {
        let issue = IssueCertificateBody { request_id: request_id.into(), ..request(id, csr_of(key)) };
        ("IssuanceService/IssueCertificate", issue.encode_to_vec())
    };
    let thrown_away = KeyPair::generate().unwrap();
    let mut held = Vec::new();
    for id in ["build/a", "build/n"] {
        let (method, body) = issue(id, &format!("lost {id}").replace(' ', "-"), &thrown_away);
        held.push(taken.build.signs(method, body).await);
    }
    // One agent renews, the other is asked for again.
    taken.cell.set_clock(7000);
    let next = KeyPair::generate().unwrap();
    let renewal = RenewCertificateBody { csr: csr_of(&next), request_id: "next".into(), lifetime: None };
    let renewal = taken.agent.signs("IssuanceService/RenewCertificate", renewal.encode_to_vec()).await;
    let renewed = taken.door.ask(taken.agent.presents(), ask::Ask::Signed(renewal));
    let answer::Answer::Certificate(renewed) = renewed else { panic!("{renewed:?}") };
    taken.signs_and_asks(issue("build/n", "again", &KeyPair::generate().unwrap())).await;
    for _restarted in [false, true] {
        for signed in &held {
            taken.refuses(build.as_ref(), signed.clone(), Reason::SignatureExpired);
        }
        taken = taken.restarted();
    }
    taken.cell.set_clock(70_000);
    let house = taken.back();
    let holder = Holder { key: next, certificate: renewed };
    let renewal = RenewCertificateBody { csr: csr(), ..RenewCertificateBody::default() };
    holder.client(&house).await.issuance().renew_certificate(renewal).await.expect("its line goes on");
    house.cell.run(&["ledger", "verify"]).ok();
}

/// Whose clock is right nobody knows to the second: what is held back is not carried out because it was signed just before somebody else's change.
#[tokio::test]
async fn what_was_signed_seconds_before_anothers_change_is_not_carried_out_long_after() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    let build = taken.build.presents();
    let issue = |request_id: &str| {
        let issue = IssueCertificateBody {
            request_id: request_id.into(),
            description: None,
            allow_missing: false,
            ..request("build/a", csr())
        };
        ("IssuanceService/IssueCertificate", issue.encode_to_vec())
    };
    let (method, body) = issue("before-renewal");
    let before_renewal = taken.build.signs(method, body).await;
    taken.cell.set_clock(3000);
    let renewal = RenewCertificateBody { csr: csr(), request_id: "next".into(), lifetime: None };
    let renewal = taken.agent.signs("IssuanceService/RenewCertificate", renewal.encode_to_vec()).await;
    let renewed = taken.door.ask(taken.agent.presents(), ask::Ask::Signed(renewal));
    assert!(matches!(renewed, answer::Answer::Certificate(_)), "{renewed:?}");
    taken.cell.set_clock(280_000);
    taken.refuses(build.as_ref(), before_renewal, Reason::SignatureExpired);
    let (method, body) = issue("before-officers");
    let before_officers = taken.build.signs(method, body).await;
    let (method, body) = issue("at-once");
    let at_once = taken.build.signs(method, body).await;
    taken.cell.set_clock(282_000);
    taken.cell.run(&["cert", "revoke", "--agent", "build/a", "--reason", "key-compromise"]).ok();
    let issued = taken.door.ask(build.clone(), ask::Ask::Signed(at_once));
    assert!(matches!(issued, answer::Answer::Certificate(_)), "by a clock that is behind: {issued:?}");
    taken.cell.set_clock(560_000);
    taken.refuses(build.as_ref(), before_officers, Reason::SignatureExpired);
    taken.signs_and_asks(issue("now")).await;
    taken.back().cell.run(&["ledger", "verify"]).ok();
}

/// By the caller's own clock nobody knows which of two came first: both were signed in one millisecond, or it was set back between them.
#[tokio::test]
async fn what_was_signed_at_one_time_is_not_carried_out_in_another_order_long_after() {
    let (house, _client) = House::with_build().await;
    let first = Seen::of(&house, &house.credentials());
    let second = Seen::of(&house, &house.credentials());
    let mut taken = take(house).await;
    let build = taken.build.presents();
    let disabled = |request_id: &str, disabled| {
        let agent = Some(Agent { disabled, ..agent("build/a") });
        let update_mask = Some(prost_types::FieldMask { paths: vec!["disabled".into()] });
        UpdateAgentBody { agent, update_mask, request_id: request_id.into() }.encode_to_vec()
    };
    for (number, behind_ms) in [(0, 0), (1, 2000)] {
        let begins_ms = number * 400_000;
        taken.cell.set_clock(begins_ms);
        let (on, off) = (format!("on-{number}"), format!("off-{number}"));
        let held = first.signs("AgentService/UpdateAgent", disabled(&on, false)).await;
        second.set_ahead(-behind_ms);
        let follows = second.signs("AgentService/UpdateAgent", disabled(&off, true)).await;
        let done = taken.door.ask(build.clone(), ask::Ask::Signed(follows));
        assert!(!matches!(done, answer::Answer::Refused(_)), "{done:?}");
        taken.cell.set_clock(begins_ms + 280_000);
        taken.refuses(build.as_ref(), held, Reason::SignatureExpired);
    }
    taken.back().cell.run(&["ledger", "verify"]).ok();
}

/// A caller's clock is a minute ahead: what it signed before officers revoked is not carried out after that.
#[tokio::test]
async fn what_was_signed_by_a_clock_that_is_ahead_gives_nothing_after_officers() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    let build = taken.build.presents();
    let issue = |request_id: &str| IssueCertificateBody {
        request_id: request_id.into(),
        description: None,
        allow_missing: false,
        ..request("build/a", csr())
    };
    taken.build.set_ahead(60_000);
    let held = taken.build.signs("IssuanceService/IssueCertificate", issue("held").encode_to_vec()).await;
    taken.cell.set_clock(2000);
    taken.cell.run(&["cert", "revoke", "--agent", "build/a", "--reason", "key-compromise"]).ok();
    taken.cell.set_clock(30_000);
    taken.refuses(build.as_ref(), held, Reason::SignatureExpired);
    taken.back().cell.run(&["ledger", "verify"]).ok();
}

/// A refusal is summed while the token hangs: no checkpoint covers that entry, and the auditor does not go by its time.
#[tokio::test]
async fn no_request_is_let_go_by_the_time_of_an_entry_that_no_checkpoint_covers() {
    let (house, faults) = House::with_faults();
    drop(house.build().await);
    let mut taken = take(house).await;
    let lifetime = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    let issue = IssueCertificateBody { request_id: "short".into(), lifetime, ..request("build/a", csr()) };
    taken.signs_and_asks(("IssuanceService/IssueCertificate", issue.encode_to_vec())).await;
    let kept = |taken: &Taken| number(&taken.cell, "SELECT count(*) FROM signed_request");
    let before = kept(&taken);
    // Half an hour before it may be let go, and half an hour after.
    taken.cell.set_clock(86_400_000 - 1_800_000);
    taken = taken.restarted();
    let refused = IssueCertificateBody { request_id: "refused".into(), ..request("other/x", csr()) };
    let refused = taken.build.signs("IssuanceService/IssueCertificate", refused.encode_to_vec()).await;
    taken.reason(taken.build.presents(), ask::Ask::Signed(refused)).unwrap();
    let covered = "SELECT (SELECT max(idx) + 1 FROM entry) - (SELECT size FROM checkpoint)";
    eventually("all is covered", async || (number(&taken.cell, covered) == 0).then_some(())).await;
    faults.set("delay=60000");
    taken.cell.set_clock(86_400_000 + 1_800_000);
    // The passes that go on meanwhile see what is recorded.
    eventually("a keeper whose module hangs ends", async || (!taken.keeper.runs()).then_some(())).await;
    assert!(number(&taken.cell, covered) > 0);
    assert_eq!(kept(&taken), before);
    faults.set("");
    let Taken { keeper, door, cell, .. } = taken;
    drop((keeper, door));
    House::of(cell).cell.run(&["ledger", "verify"]).ok();
}

/// Two renewals of an agent, the second delivered first: no theft is told of.
#[tokio::test]
async fn a_renewal_that_was_held_back_is_no_alarm() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    let agent = taken.agent.presents();
    let renew = |request_id: &str| {
        RenewCertificateBody { csr: csr(), lifetime: None, request_id: request_id.into() }.encode_to_vec()
    };
    let held = taken.agent.signs("IssuanceService/RenewCertificate", renew("first")).await;
    let second = taken.agent.signs("IssuanceService/RenewCertificate", renew("second")).await;
    let done = taken.door.ask(agent.clone(), ask::Ask::Signed(second));
    assert!(matches!(done, answer::Answer::Certificate(_)), "{done:?}");
    taken.cell.set_clock(6000);
    taken.refuses(agent.as_ref(), held, Reason::SignatureExpired);
    let log = fs::read_to_string(taken.cell.path("serve.log")).unwrap();
    assert!(!log.contains("older-certificate-renews"), "{log}");
    let old = taken.agent.signs("IssuanceService/RenewCertificate", renew("of-the-old")).await;
    taken.refuses(agent.as_ref(), old, Reason::CertificateNotNewest);
}

/// Another issuer takes over while a front asks without end: it comes.
#[tokio::test]
async fn no_flood_holds_up_another_issuer() {
    let (house, _client) = House::with_build().await;
    let rotation = crate::kinds::held(&house, "issuer-2", &["rotation", "--token", "issuing"]);
    let new_issuer = crate::kinds::key(&rotation, "issuer").to_owned();
    let mut taken = take(house).await;
    let (mut reading, mut writing) = (taken.door.stream(), taken.door.stream());
    let by = taken.build.presents();
    let reads = std::thread::spawn(move || std::io::copy(&mut reading, &mut std::io::sink()));
    let floods = std::thread::spawn(move || {
        let ask = |id| proto::door::Ask {
            id,
            caller: Some(proto::door::Caller { caller: by.clone() }),
            timeout_ms: 0,
            ask: Some(ask::Ask::Signed(Signed::default())),
        };
        let flood: Vec<u8> = (1..1000).flat_map(|id| ask(id).encode_length_delimited_to_vec()).collect();
        // Until the keeper that it asks is gone.
        while std::io::Write::write_all(&mut writing, &flood).is_ok() {}
    });
    // Its proof is the next keeper's to give.
    taken.cell.run(&["issuer", "activate", &new_issuer]);
    eventually("the keeper makes way", async || (!taken.keeper.runs()).then_some(())).await;
    floods.join().unwrap();
    reads.join().unwrap().ok();
    let Taken { keeper, door, cell, .. } = taken;
    drop((keeper, door));
    House::of(cell).cell.run(&["ledger", "verify"]).ok();
}

/// The request behind a certificate that was given up is kept for as long as the log: no signature says that there was one.
#[tokio::test]
async fn what_was_given_up_is_proven_long_after_it_ended() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    let lifetime = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    let issue = |request_id: &str| {
        let request_id = request_id.into();
        let issue = IssueCertificateBody { request_id, lifetime, ..request("build/a", csr()) };
        ("IssuanceService/IssueCertificate", issue.encode_to_vec())
    };
    taken.signs_and_asks(issue("signed")).await;
    let (method, body) = issue("given-up");
    let signed = taken.build.signs(method, body).await;
    fs::write(taken.cell.path("kill"), "8 sign").unwrap();
    taken.door.send(taken.build.presents(), ask::Ask::Signed(signed));
    assert!(taken.door.receive().is_none(), "killed");
    (taken.keeper, taken.door) = Role::keeper(&mut taken.cell);
    let mut house = taken.back();
    let kept = |house: &House| -> usize {
        database(&house.cell).query_row("SELECT count(*) FROM signed_request", [], |row| row.get(0)).unwrap()
    };
    let before = kept(&house);
    house.cell.set_clock(100_000_000);
    house.restart().await;
    house.controller("later", "agents=later/*;roles=logger");
    eventually("those of certificates that ended are let go", async || (kept(&house) < before).then_some(()))
        .await;
    house.cell.run(&["ledger", "verify"]).ok();
}

/// Readers of the log that start late know nothing of certificates that ended long ago: what is recorded must not depend on them.
#[tokio::test]
async fn what_ended_long_ago_is_not_revoked_and_holds_nobody_up() {
    let (house, client) = House::with_build().await;
    let lifetime = Some(prost_types::Duration { seconds: 10, nanos: 0 });
    let old = Holder::ask(&client, "build/b", |request| request.lifetime = lifetime).await.certificate;
    house.cell.set_clock(8 * 3_600_000);
    let mut taken = take(house).await;
    taken.build.set_ahead(200_000);
    let revoke = RevokeCertificateBody {
        target: Some(Target::Certificate(old.name)),
        reason: 1,
        request_id: "ended".into(),
    };
    let build = taken.build.presents();
    let revoke = taken.build.signs("IssuanceService/RevokeCertificate", revoke.encode_to_vec()).await;
    taken.refuses(build.as_ref(), revoke, Reason::NotFound);
    taken.build.set_ahead(0);
    let issue = |request_id: &str| {
        let body = IssueCertificateBody { request_id: request_id.into(), ..request("build/b", csr()) };
        ("IssuanceService/IssueCertificate", body.encode_to_vec())
    };
    taken.signs_and_asks(issue("before")).await;
    taken = taken.restarted();
    taken.signs_and_asks(issue("after")).await;
    let mut house = taken.back();
    house.cell.run(&["ledger", "verify"]).ok();
    house.restart().await;
    house.cell.run(&["ledger", "verify"]).ok();
}

/// What a front leaves in its own directory is not shown by the next one.
#[tokio::test]
async fn a_certificate_of_another_is_not_shown_as_the_services() {
    let (mut house, client) = House::with_build().await;
    let holder = Holder::ask(&client, "build/evil", |_| {}).await;
    let evil = house.controller("evil", "agents=evil/*;roles=logger");
    let planted =
        [(holder.chain_pem(), holder.key.serialize_pem()), (evil.read("chain.pem"), evil.read("key.pem"))];
    for (chain, key) in planted {
        assert_eq!(house.stop().await, 0);
        let stored = files_below(&house.cell.data_dir());
        let stored = stored.iter().find(|path| path.ends_with("front/chain.pem")).expect("the front's own");
        fs::write(stored, chain).unwrap();
        fs::write(stored.with_file_name("key.pem"), key).unwrap();
        house = House::of(house.cell);
        issue(&house.credentials().client().await, "build/next").await;
        let log = eventually("it says so", async || {
            Some(house.serving.log()).filter(|log| log.contains("the stored certificate is not used"))
        });
        assert!(log.await.contains("/service/ca"));
    }
}

/// A caller whose clock is ahead signs after the end of what lasts some seconds, and twice where an answer is late.
#[tokio::test]
async fn two_signatures_of_one_request_do_not_take_turns() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    let build = taken.build.presents();
    let lifetime = Some(prost_types::Duration { seconds: 10, nanos: 0 });
    let body = IssueCertificateBody { request_id: "once".into(), lifetime, ..request("build/b", csr()) };
    let mut signed = Vec::new();
    for ahead in [60_000, 60_500] {
        taken.build.set_ahead(ahead);
        signed.push(taken.build.signs("IssuanceService/IssueCertificate", body.encode_to_vec()).await);
    }
    let ask = |taken: &mut Taken, number: usize| match taken
        .door
        .ask(build.clone(), ask::Ask::Signed(signed[number].clone()))
    {
        answer::Answer::Certificate(certificate) => certificate.name,
        other => panic!("{other:?}"),
    };
    let first = ask(&mut taken, 0);
    for number in [1, 0, 1] {
        assert_eq!(ask(&mut taken, number), first, "it has not ended");
    }
    taken.cell.set_clock(20_000);
    let second = ask(&mut taken, 1);
    assert_ne!(second, first, "it has ended, and this was signed after it");
    taken.cell.set_clock(40_000);
    for number in [0, 1, 0] {
        assert_eq!(ask(&mut taken, number), second, "neither was signed after the second");
    }
    taken.back().cell.run(&["ledger", "verify"]).ok();
}

#[tokio::test]
async fn a_door_does_not_outlast_its_front() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    let mut next = taken.keeper.next_front();
    let bundle = || ask::Ask::GetTrustBundle(GetTrustBundleRequest {});
    assert!(matches!(next.ask(front(), bundle()), answer::Answer::GetTrustBundle(_)));
    while taken.door.try_send(front(), bundle()) {}
    assert_eq!(taken.door.receive(), None, "whoever kept it has nothing of it");
    taken.door = next;
    taken.back();
}

/// What waits in a door is not carried out behind the back of the next front, and a key that the front does not have is no alarm.
#[tokio::test]
async fn what_a_front_asked_is_not_carried_out_after_its_end() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    let list = || ask::Ask::ListEntries(ListEntriesRequest { start_index: 0, page_size: 500 });
    // Behind what takes a while.
    while taken.door.try_send(taken.build.presents(), list()) {}
    let _ = taken.door.try_send(front(), serve(&KeyPair::generate().unwrap()));
    let mut next = taken.keeper.next_front();
    let key = KeyPair::generate().unwrap();
    let given = match next.ask(front(), serve(&key)) {
        answer::Answer::Certificate(certificate) => certificate,
        other => panic!("{other:?}"),
    };
    while taken.door.receive().is_some() {}
    match next.ask(front(), serve(&key)) {
        answer::Answer::Certificate(again) => assert_eq!(again, given, "it was not superseded"),
        other => panic!("{other:?}"),
    }
    taken.door = next;
    // Another's CSR, which it has seen; and one in the service's name for another's key.
    let seen = csr();
    assert_eq!(taken.reason(front(), ask::Ask::Serve(Serve { csr: seen })), Ok(Reason::CsrNameNotIssued));
    let spki =
        certs::TbsFields::parse(certs::summary::tbs_of(&taken.build.certificate).unwrap()).unwrap().spki;
    let refused = taken.reason(front(), serve(&Anothers::of(&spki)));
    assert_eq!(refused, Ok(Reason::CsrSignatureInvalid));
    taken.cell.set_clock(61_000);
    taken.reason(front(), ask::Ask::Serve(Serve { csr: vec![1] })).unwrap();
    let house = taken.back();
    for found in house.entries().await {
        if let Some(Kind::Refusals(sum)) = entry::decode(&found.entry).unwrap().kind {
            assert!(sum.key_clashes.is_empty(), "{sum:?}");
        }
    }
}

/// A controller may pass on what an agent sends it: with the front in other hands, too, a key is certified only for who has it.
#[tokio::test]
async fn no_key_is_certified_for_who_does_not_have_it() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    let build = taken.build.presents();
    let victim = KeyPair::generate().unwrap();
    let copied = csr_of(&Anothers::of(&victim.subject_public_key_info()));
    let issue = |csr, request_id: &str| IssueCertificateBody {
        request_id: request_id.into(),
        ..request(&format!("build/{request_id}"), csr)
    };
    let thief = issue(copied.clone(), "thief").encode_to_vec();
    let thief = taken.build.signs("IssuanceService/IssueCertificate", thief).await;
    taken.refuses(build.as_ref(), thief, Reason::CsrSignatureInvalid);
    let renewal =
        RenewCertificateBody { csr: copied, request_id: "renewal".into(), ..RenewCertificateBody::default() };
    let renewal = taken.agent.signs("IssuanceService/RenewCertificate", renewal.encode_to_vec()).await;
    let agent = taken.agent.presents();
    taken.refuses(agent.as_ref(), renewal, Reason::CsrSignatureInvalid);
    let victim = issue(csr_of(&victim), "victim").encode_to_vec();
    taken.signs_and_asks(("IssuanceService/IssueCertificate", victim)).await;
    taken.back().cell.run(&["ledger", "verify"]).ok();
}

/// The front does not look at the key for as long as it should.
#[tokio::test]
async fn no_key_that_anybody_can_factor_is_certified() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    let build = taken.build.presents();
    for (request_id, csr) in [
        ("prime", include_str!("../../../ca-service/tests/front/csr/prime-modulus.pem")),
        ("factor", include_str!("../../../ca-service/tests/front/csr/factor-31337.pem")),
    ] {
        let request = request("build/w", csr.as_bytes().to_vec());
        let issue = IssueCertificateBody { request_id: request_id.into(), ..request };
        let issue = taken.build.signs("IssuanceService/IssueCertificate", issue.encode_to_vec()).await;
        taken.refuses(build.as_ref(), issue, Reason::KeyWeak);
    }
    taken.back().cell.run(&["ledger", "verify"]).ok();
}

/// What a caller signed and had carried out is not shown again as what it asks for in vain; nor twice with another form of its signature.
#[tokio::test]
async fn no_refusal_is_recorded_for_what_was_carried_out() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    let build = taken.build.presents();
    let create = CreateAgentBody { agent: Some(agent("build/q")), request_id: "create".into() };
    let create = taken.build.signs("AgentService/CreateAgent", create.encode_to_vec()).await;
    taken.reason(build.clone(), ask::Ask::Signed(create.clone())).expect_err("it is made");
    taken.cell.set_clock(1000);
    let delete = DeleteAgentBody {
        name: "agents/build/q".into(),
        request_id: "delete".into(),
        ..DeleteAgentBody::default()
    };
    taken.signs_and_asks(("AgentService/DeleteAgent", delete.encode_to_vec())).await;
    taken.refuses(build.as_ref(), create, Reason::NotFound);
    taken.cell.set_clock(62_000);
    taken.reason(build, ask::Ask::Serve(Serve { csr: vec![1] })).unwrap();
    let house = taken.back();
    let mut sums = house.entries().await.into_iter().filter_map(|found| {
        match entry::decode(&found.entry).unwrap().kind {
            Some(Kind::Refusals(sum)) => Some(sum),
            _ => None,
        }
    });
    let sum = sums.next().unwrap();
    assert!(sum.refusals.iter().all(|refusal| refusal.identity.is_empty()), "{sum:?}");
}

/// Nobody is said to have asked for what nobody signed.
#[tokio::test]
async fn no_refusal_is_recorded_in_the_name_of_a_caller_who_signed_nothing() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    for by in [taken.build.presents(), taken.agent.presents()] {
        let proposal = SubmitProposalRequest { proposal: "nonsense".into() };
        for unsigned in [
            ask::Ask::SubmitProposal(proposal),
            ask::Ask::Serve(Serve { csr: vec![1] }),
            ask::Ask::ImportCeremony(ImportCeremonyRequest::default()),
        ] {
            taken.reason(by.clone(), unsigned).unwrap();
        }
    }
    // What it did sign, it asked for.
    let body = IssueCertificateBody { request_id: "signed".into(), ..request("other/x", csr()) };
    let signed = taken.build.signs("IssuanceService/IssueCertificate", body.encode_to_vec()).await;
    let build = taken.build.presents();
    let kept = signed.clone();
    taken.refuses(build.as_ref(), signed, Reason::GrantDoesNotCover);
    // Nor does it ask again when the front shows what it signed once again, for long, or while nobody knows for how long.
    for _ in 0..20 {
        taken.refuses(build.as_ref(), kept.clone(), Reason::GrantDoesNotCover);
    }
    taken.cell.set_clock(302_000);
    taken.refuses(build.as_ref(), kept.clone(), Reason::SignatureExpired);
    taken.cell.jump_clock(302_000, 7_200_000);
    taken.refuses(build.as_ref(), kept, Reason::ClockWrong);
    taken.cell.jump_clock(363_000, 0);
    taken.reason(build.clone(), ask::Ask::Serve(Serve { csr: vec![1] })).unwrap();
    let house = taken.back();
    let mut named = Vec::new();
    for found in house.entries().await {
        if let Some(Kind::Refusals(sum)) = entry::decode(&found.entry).unwrap().kind {
            let of = sum.refusals.into_iter().filter(|refusal| !refusal.identity.is_empty());
            named.extend(of.map(|refusal| (refusal.identity, refusal.reason, refusal.count)));
        }
    }
    assert_eq!(named, [("/controller/build".to_owned(), "GRANT_DOES_NOT_COVER".to_owned(), 1)]);
}

/// What a caller signed says one thing to every reader: no field that one of them does not know, none that stands twice. Sizes that
/// only the front chose once, such as that of a hash, are nobody's to choose.
#[tokio::test]
async fn a_body_that_could_be_read_in_two_ways_is_refused() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    let build = taken.build.presents();
    for (method, body) in requests() {
        let first = body.clone();
        // A field 1000 of so many octets; the first field once more.
        let unknown = |octets: usize| {
            let mut more = body.clone();
            prost::encoding::bytes::encode(1000, &vec![7_u8; octets], &mut more);
            more
        };
        let twice = [first.as_slice(), first.as_slice()].concat();
        let wrong_wire = [body.as_slice(), &[0x08, 1]].concat();
        let mut bodies = vec![unknown(0), unknown(5_000), unknown(600_000), wrong_wire, vec![0xff; 40]];
        // Agents may be several.
        if !method.ends_with("BatchCreateAgents") {
            bodies.push(twice);
        }
        for body in bodies {
            let signed = taken.build.signs(method, body).await;
            taken.refuses(build.as_ref(), signed, Reason::RequestMalformed);
        }
        let unnamed = Signed { method: "/rootcellar.v1.AdminService/Anything".into(), ..Signed::default() };
        assert!(taken.reason(build.clone(), ask::Ask::Signed(unnamed)).is_ok());
    }
    let house = taken.back();
    for found in house.entries().await {
        // RFC 6234: a digest has 32 octets, and it is the keeper who makes it.
        if let Some(issuance) = issuance_of(&found).filter(|issuance| issuance.profile() == Profile::Agent) {
            assert_eq!(issuance.csr_sha256.len(), 32);
        }
    }
    house.cell.run(&["ledger", "verify"]).ok();
}

#[tokio::test]
async fn it_takes_few_service_certificates_with_it_and_none_that_lasts() {
    let (house, _client) = House::with_build().await;
    let mut taken = take(house).await;
    let mut given: Vec<Vec<u8>> = Vec::new();
    let refused = loop {
        let key = KeyPair::generate().unwrap();
        match taken.door.ask(front(), serve(&key)) {
            answer::Answer::Certificate(certificate) => {
                // The same key again is the same certificate.
                match taken.door.ask(front(), serve(&key)) {
                    answer::Answer::Certificate(again) => assert_eq!(again, certificate),
                    other => panic!("{other:?}"),
                }
                given.push(certificate.chain[0].clone());
            }
            answer::Answer::Refused(refused) => break refused,
            other => panic!("{other:?}"),
        }
        assert!(given.len() <= 12, "so many in an hour");
    };
    assert_eq!(refused.reason(), Reason::BudgetExhausted);
    assert!(given.len() >= 10, "{}", given.len());
    // A caller gets none.
    let key = KeyPair::generate().unwrap();
    assert_eq!(taken.reason(taken.build.presents(), serve(&key)), Ok(Reason::CallerNotAllowed));
    let house = taken.back();
    let listed = house.cell.run(&["ledger", "verify"]).ok();
    assert!(!listed.is_empty());
    let client = house.credentials().client().await;
    issue(&client, "build/next").await;
    let revoked: Vec<u64> = house
        .entries()
        .await
        .iter()
        .filter_map(|found| match entry::decode(&found.entry).unwrap().kind {
            Some(Kind::Revocation(revocation)) => revocation.target,
            _ => None,
        })
        .filter_map(|target| match target {
            entry::revocation::Target::Certificate(reference) => Some(reference.index),
            _ => None,
        })
        .collect();
    let entries = house.entries().await;
    let service: Vec<u64> = entries
        .iter()
        .filter(|found| issuance_of(found).is_some_and(|of| of.profile() == Profile::Service))
        .map(|found| found.index)
        .collect();
    let (newest, older) = service.split_last().unwrap();
    assert!(older.iter().all(|index| revoked.contains(index)), "{older:?} and {revoked:?}");
    assert!(!revoked.contains(newest));
    // What the clean front has stored was revoked: it asks for another, beyond those that were spent.
    let entry = entries.iter().find(|found| found.index == *newest).unwrap();
    let last = certs::summary::tbs_of(given.last().unwrap()).unwrap();
    assert_ne!(issuance_of(entry).unwrap().tbs, last);
    for der in given {
        let tbs = certs::TbsFields::parse(certs::summary::tbs_of(&der).unwrap()).unwrap();
        // RFC 5280 §4.1.2.5: both ends belong to it.
        assert!(tbs.not_after - tbs.not_before < 86_400 + 61, "a day");
        assert!(!chain_pem(&[der]).is_empty());
    }
}
