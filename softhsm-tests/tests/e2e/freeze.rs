//! What officers stop, and what goes on.

use cell::Act;
use client::Client;
use proto::v1::{
    Agent, CreateAgentBody, DeleteAgentBody, GetStatusRequest, GetStatusResponse, RenewCertificateBody,
    RevokeCertificateBody, UpdateAgentBody, revoke_certificate_body::Target,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::officer::{Officer, submit};
use crate::support::{Holder, House, ask, csr, eventually, inner, refused, request, still_issues};

async fn renew(agent: &Client) -> Result<(), Status> {
    let renewal = RenewCertificateBody { csr: csr(), ..RenewCertificateBody::default() };
    agent.issuance().renew_certificate(renewal).await.map(drop)
}

async fn update(client: &Client, agent: Agent) -> Result<(), Status> {
    let update = UpdateAgentBody { agent: Some(agent), ..UpdateAgentBody::default() };
    client.agents().update_agent(update).await.map(drop)
}

async fn status(house: &House) -> GetStatusResponse {
    inner(house.local().await.admin().get_status(GetStatusRequest {}).await)
}

fn agent(id: &str, roles: &[&str]) -> Agent {
    Agent {
        name: format!("agents/{id}"),
        roles: roles.iter().map(ToString::to_string).collect(),
        ..Agent::default()
    }
}

#[tokio::test]
async fn nothing_new_in_a_frozen_cell() {
    let (mut house, client) = House::with_build().await;
    let holder = Holder::ask(&client, "build/a", |_| {}).await;
    let kept = Holder::ask(&client, "build/b", |request| request.request_id = "before".into()).await;
    house.cell.run(&["freeze"]).ok();
    assert!(status(&house).await.frozen);
    // A freeze outlives whoever restarts the service.
    house.restart().await;
    let client = house.credentials().client().await;
    assert!(house.cell.run(&["status"]).ok().contains("frozen"));

    for id in ["build/new", "build/a"] {
        refused(ask(&client, request(id, csr())).await, Code::FailedPrecondition, "FROZEN");
    }
    let create = CreateAgentBody { agent: Some(agent("build/new", &["logger"])), request_id: String::new() };
    refused(client.agents().create_agent(create).await, Code::FailedPrecondition, "FROZEN");
    refused(
        update(&client, agent("build/a", &["logger", "scanner"])).await,
        Code::FailedPrecondition,
        "FROZEN",
    );
    let mut officer = Officer::of(&house.cell);
    let grant = inner(
        house
            .local()
            .await
            .admin()
            .get_controller(proto::v1::GetControllerRequest { name: "controllers/build".into() })
            .await,
    );
    assert_eq!(grant.controller.unwrap().grants.len(), 1);
    let said = house.cell.run(&["grant", "set", "build", "name=more;agents=more/*"]).fails(1);
    assert!(said.contains("froze"), "{said}");
    let said = house.cell.run(&["controller", "add", "other", "--grant", "agents=o/*"]).fails(1);
    assert!(said.contains("thaw"), "{said}");

    // What takes away goes on, and so do renewals and what was begun before.
    renew(&holder.client(&house).await).await.expect("renewals go on");
    let mut again = request("build/b", crate::support::csr_of(&kept.key));
    again.request_id = "before".into();
    assert_eq!(ask(&client, again).await.expect("the same request again"), kept.certificate);
    update(&client, agent("build/a", &[])).await.expect("fewer roles");
    let revoke = RevokeCertificateBody {
        target: Some(Target::Agent("agents/build/b".into())),
        reason: 1,
        request_id: String::new(),
    };
    assert_eq!(inner(client.issuance().revoke_certificate(revoke).await).revoked, 1);
    let delete = DeleteAgentBody { name: "agents/build/b".into(), ..DeleteAgentBody::default() };
    client.agents().delete_agent(delete).await.expect("an agent goes");
    house.cell.run(&["grant", "remove", "build", "default"]).ok();

    submit(&house.local().await, &officer.propose(&Act::Thaw)).await.expect("the quorum thaws");
    assert!(!status(&house).await.frozen);
    house.cell.run(&["grant", "set", "build", "agents=build/*;roles=logger"]).ok();
    still_issues(&client).await;
    house.cell.run(&["ledger", "verify"]).ok();
    assert_eq!(house.stop().await, 0);
    let rebuilt = house.cell.run(&["ledger", "rebuild"]).ok();
    assert!(!rebuilt.contains("differ"), "{rebuilt}");
}

#[tokio::test]
async fn renewals_stop_and_go_on_by_themselves() {
    let (house, client) = House::with_build().await;
    let agent = Holder::ask(&client, "build/a", |_| {}).await.client(&house).await;
    house.cell.run(&["freeze", "--renewals"]).ok();
    let stopped = refused(renew(&agent).await, Code::FailedPrecondition, "RENEWALS_STOPPED");
    let wait = stopped.get_details_retry_info().and_then(|info| info.retry_delay).expect("until when");
    assert!((600..=900).contains(&wait.as_secs()), "{wait:?}");
    still_issues(&client).await;
    house.cell.set_clock(901_000);
    renew(&agent).await.expect("a stop by one officer ends by itself");
}

#[tokio::test]
async fn one_officer_stops_renewals_once_a_day() {
    let (house, client) = House::with_build().await;
    let agent = Holder::ask(&client, "build/a", |_| {}).await.client(&house).await;
    let (mut officer, local) = (Officer::of(&house.cell), house.local().await);
    submit(&local, &officer.propose(&Act::RenewalsStop)).await.expect("once");
    let again = submit(&local, &officer.propose(&Act::RenewalsStop)).await;
    refused(again, Code::FailedPrecondition, "STOPPED_BEFORE");
    submit(&local, &officer.propose(&Act::RenewalsStopConfirm)).await.expect("the quorum can");
    house.cell.set_clock(1_800_000);
    let stopped = refused(renew(&agent).await, Code::FailedPrecondition, "RENEWALS_STOPPED");
    assert!(stopped.get_details_retry_info().is_none(), "it does not end by itself");
    submit(&local, &officer.propose_until(&Act::Thaw, crate::officer::now_secs() + 3600))
        .await
        .expect("a thaw");
    renew(&agent).await.expect("renewals go on");
    // What one officer alone did is not forgotten by that.
    let again =
        submit(&local, &officer.propose_until(&Act::RenewalsStop, crate::officer::now_secs() + 3600)).await;
    refused(again, Code::FailedPrecondition, "STOPPED_BEFORE");
    house.cell.run(&["ledger", "verify"]).ok();
}

#[tokio::test]
async fn a_cell_is_frozen_while_nothing_serves_it() {
    let (mut house, client) = House::with_build().await;
    let holder = Holder::ask(&client, "build/a", |_| {}).await;
    assert_eq!(house.stop().await, 0);
    let said = house.cell.run(&["freeze"]).ok();
    assert!(said.contains("laid beside the journal") && said.contains("it starts so"), "{said}");
    assert!(house.cell.run(&["doctor"]).stdout.contains("[stop.laid]"));
    // What only stops is laid; what sets going waits for the service.
    let said = house.cell.run(&["thaw"]).fails(75);
    assert!(said.contains("does not run"), "{said}");
    house.cell.run(&["freeze", "--renewals"]).ok();
    house.cell.run(&["freeze", "--renewals"]).ok();
    let signed = house.cell.path("confirm.note");
    let file = signed.to_str().unwrap();
    house.cell.run(&["freeze", "--renewals", "--confirm", "--proposal-out", file]).ok();
    // Somebody else's word stops nothing.
    let genuine = std::fs::read_to_string(&signed).unwrap();
    let forged = genuine.replace("nonce: ", "nonce: 0");
    assert_ne!(genuine, forged);
    for (changed, reason) in [(forged, "not a valid nonce"), (flipped(&genuine), "PROPOSAL_")] {
        std::fs::write(&signed, changed).unwrap();
        let said = house.cell.run(&["proposal", "submit", file]).fails(1);
        assert!(said.contains(reason) && !said.contains("REPLAYED"), "{said}");
    }
    std::fs::write(&signed, genuine).unwrap();
    house.cell.run(&["proposal", "submit", file]).ok();

    let mut house = House::of(house.cell);
    let stops = house.cell.data_dir().join("stops");
    assert_eq!(std::fs::read_dir(&stops).unwrap().count(), 0, "all was recorded");
    let client = house.credentials().client().await;
    assert!(status(&house).await.frozen);
    refused(ask(&client, request("build/new", csr())).await, Code::FailedPrecondition, "FROZEN");
    let stopped = renew(&holder.client(&house).await).await;
    let stopped = refused(stopped, Code::FailedPrecondition, "RENEWALS_STOPPED");
    assert!(stopped.get_details_retry_info().is_none(), "until a thaw");
    house.cell.run(&["ledger", "verify"]).ok();
    // Recorded once, whatever lies there again.
    assert_eq!(house.stop().await, 0);
    std::fs::copy(&signed, stops.join("renewals.note")).unwrap();
    let entries = house.cell.run(&["ledger", "rebuild"]).ok();
    assert!(!entries.contains("differ"), "{entries}");
    house = House::of(house.cell);
    assert_eq!(std::fs::read_dir(&stops).unwrap().count(), 0);
    let mut officer = Officer::of(&house.cell);
    submit(&house.local().await, &officer.propose(&Act::Thaw)).await.expect("the quorum thaws");
    still_issues(&house.credentials().client().await).await;
    house.cell.run(&["ledger", "verify"]).ok();
}

/// The same note with another signature.
fn flipped(note: &str) -> String {
    let at = note.rfind("\u{2014} ").unwrap() + note[note.rfind("\u{2014} ").unwrap()..].len() - 8;
    let other = if &note[at..=at] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &note[..at], &note[at + 1..])
}

#[tokio::test]
async fn a_cell_is_frozen_whose_token_is_gone() {
    let (mut house, _) = House::with_build().await;
    assert_eq!(house.stop().await, 0);
    let tokens = house.cell.data_dir().join("token");
    let away = house.cell.path("away");
    std::fs::rename(&tokens, &away).unwrap();
    let House { serving, cell } = house;
    drop(serving);
    cell.try_serve().map(drop).expect_err("without its token it does not start");
    cell.run(&["freeze"]).ok();
    std::fs::rename(&away, &tokens).unwrap();
    let house = House::of(cell);
    assert!(status(&house).await.frozen);
}

/// A freeze is no part of the journal until it is recorded: whatever becomes of that.
#[tokio::test]
async fn a_freeze_outlives_the_journal_that_is_restored() {
    let (mut house, client) = House::with_build().await;
    still_issues(&client).await;
    let copy = house.cell.path("copy.sqlite").display().to_string();
    house.cell.run(&["journal", "backup", "--out", &copy]).ok();
    assert_eq!(house.stop().await, 0);
    let journal = house.cell.data_dir().join("journal.sqlite");
    for damage in ["missing", "damaged"] {
        std::fs::remove_file(&journal).unwrap();
        if damage == "damaged" {
            std::fs::write(&journal, "no database").unwrap();
        }
        house.cell.run(&["freeze"]).ok();
        house.cell.run(&["journal", "restore", &copy]).ok();
        house.serving = house.cell.serve();
        assert!(status(&house).await.frozen, "{damage}");
        house.cell.run(&["thaw"]).ok();
        let _ = std::fs::remove_file(&copy);
        house.cell.run(&["journal", "backup", "--out", &copy]).ok();
        assert_eq!(house.stop().await, 0);
    }
}

/// A service whose journal was written to records nothing more, a freeze neither: it holds once it is started again.
#[tokio::test]
async fn a_freeze_of_a_damaged_service_holds_at_its_next_start() {
    let (mut house, client) = House::with_build().await;
    still_issues(&client).await;
    let journal = rusqlite::Connection::open(house.cell.data_dir().join("journal.sqlite")).unwrap();
    journal.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    journal.execute("UPDATE granted SET body = x'00'", []).unwrap();
    drop(journal);
    eventually("it is found", async || house.serving.log().contains("journal-damaged").then_some(())).await;
    let said = house.cell.run(&["freeze"]).fails(1);
    assert!(said.contains("the service stops so once it is started again"), "{said}");
    assert!(house.cell.run(&["doctor"]).stdout.contains("ledger rebuild --replace"), "the way out");
    assert_eq!(house.stop().await, 0);
    house.cell.run(&["ledger", "rebuild", "--replace"]).ok();
    house = House::of(house.cell);
    assert!(status(&house).await.frozen);
    // What was laid before a thaw is over with it.
    house.cell.run(&["thaw"]).ok();
    let stops = house.cell.data_dir().join("stops");
    std::fs::copy(house.cell.officer_dir().join("charter.note"), stops.join("freeze.note")).unwrap();
    house.cell.run(&["freeze"]).ok();
    house.cell.run(&["thaw"]).ok();
    house.restart().await;
    assert!(!status(&house).await.frozen);
}

/// What was laid and cannot be recorded any more starts nothing: officers sign it anew.
#[tokio::test]
async fn a_freeze_that_waited_too_long_lets_nothing_start() {
    let mut house = House::new();
    assert_eq!(house.stop().await, 0);
    house.cell.run(&["freeze"]).ok();
    house.cell.set_clock(8 * 86_400_000);
    let said = house.cell.try_serve().map(drop).expect_err("it was frozen").fails(1);
    assert!(said.contains("cannot be recorded") && said.contains("rootcellar freeze"), "{said}");
    house.cell.run(&["freeze"]).ok();
    let mut house = House::of(house.cell);
    assert!(house.cell.run(&["status"]).ok().contains("frozen"));
    // Each is told what takes its place.
    assert_eq!(house.stop().await, 0);
    house.cell.run(&["freeze", "--renewals"]).ok();
    house.cell.set_clock(16 * 86_400_000);
    let said = house.cell.try_serve().map(drop).expect_err("it was stopped").fails(1);
    assert!(said.contains("rootcellar freeze --renewals"), "{said}");
    house.cell.run(&["freeze", "--renewals"]).ok();
    let strange = house.cell.data_dir().join("stops/other.note");
    std::fs::write(&strange, "no note").unwrap();
    let said = house.cell.try_serve().map(drop).expect_err("nobody knows what it is").fails(1);
    assert!(said.contains("mv ") && said.contains("other.note"), "{said}");
    std::fs::remove_file(strange).unwrap();
    // Nor what a file in the place of their directory is.
    let stops = house.cell.data_dir().join("stops");
    let words = house.cell.path("words");
    std::fs::rename(&stops, &words).unwrap();
    std::fs::write(&stops, "no directory").unwrap();
    let said = house.cell.try_serve().map(drop).expect_err("nobody knows what it is").fails(1);
    assert!(said.contains("mv ") && said.contains("stops /var/tmp/"), "{said}");
    assert!(house.cell.run(&["doctor"]).stdout.contains(&stops.display().to_string()));
    std::fs::remove_file(&stops).unwrap();
    std::fs::rename(words, stops).unwrap();
    House::of(house.cell);
}

/// An officer whose copy of the trust bundle is from before the log's newest epoch freezes the log that there is.
#[tokio::test]
async fn a_freeze_by_an_officer_with_an_old_bundle() {
    let (mut house, client) = House::with_build().await;
    let copy = house.cell.path("copy.sqlite").display().to_string();
    house.cell.run(&["journal", "backup", "--out", &copy]).ok();
    still_issues(&client).await;
    assert_eq!(house.stop().await, 0);
    let own = house.cell.officer_dir().join("bundle.note");
    let old = std::fs::read(&own).unwrap();
    house.cell.run(&["journal", "restore", &copy, "--with-loss"]).ok();
    house.cell.try_serve().map(drop).expect_err("it went back").fails(1);
    house.cell.run(&["ledger", "open-epoch"]).ok();
    std::fs::remove_file(&own).unwrap();
    std::fs::write(&own, old).unwrap();
    house.cell.run(&["freeze"]).ok();
    let house = House::of(house.cell);
    assert!(status(&house).await.frozen);
}

/// A freeze that was laid while the keeper was on its way holds as soon as it is there.
#[tokio::test]
async fn a_freeze_that_is_laid_while_it_runs_is_taken_in() {
    let house = House::new();
    let note = house.cell.path("freeze.note");
    house.cell.run(&["freeze", "--proposal-out", note.to_str().unwrap()]).ok();
    let stops = house.cell.data_dir().join("stops");
    std::fs::create_dir_all(&stops).unwrap();
    std::fs::rename(&note, stops.join("freeze.note")).unwrap();
    eventually("it is frozen", async || status(&house).await.frozen.then_some(())).await;
    assert_eq!(std::fs::read_dir(&stops).unwrap().count(), 0);
    house.cell.run(&["ledger", "verify"]).ok();
}
