//! Lines of certificates: only the newest renews, and a controller's line ends.

use proto::v1::{Agent, GetControllerRequest, IssueCertificateBody, RenewCertificateBody, UpdateAgentBody};
use rcgen::KeyPair;
use rootcellar_softhsm_tests::Cell;
use rootcellar_softhsm_tests::judges::openssl_text;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::officer::now_secs;
use crate::support::{
    BINARY, Holder, House, chain_pem, csr, csr_of, eventually, inner, refused, still_issues,
};
use crate::wire;

const HOUR_SECS: i64 = 3600;
const DAY_SECS: i64 = 24 * HOUR_SECS;

fn renewal(csr: Vec<u8>) -> RenewCertificateBody {
    RenewCertificateBody { csr, ..RenewCertificateBody::default() }
}

#[tokio::test]
async fn agent_renews_as_it_is_now() {
    let (house, client) = House::with_build().await;
    let agent = Holder::ask(&client, "build/a", |_| {}).await.client(&house).await;
    let change = Agent {
        name: "agents/build/a".into(),
        dns_names: vec!["a.mesh.internal".into()],
        ..Agent::default()
    };
    let update = UpdateAgentBody { agent: Some(change), ..UpdateAgentBody::default() };
    client.agents().update_agent(update).await.unwrap();
    let next = inner(agent.issuance().renew_certificate(renewal(csr())).await).certificate.unwrap();
    let text = openssl_text(&house.scratch(), &next.chain[0]);
    assert!(
        text.contains("DNS:a.mesh.internal") && text.contains("URI:spiffe://cell.internal/agent/build/a"),
        "{text}"
    );
}

#[tokio::test]
async fn older_certificate() {
    let (house, client) = House::with_build().await;
    let old = Holder::ask(&client, "build/a", |_| {}).await.client(&house).await;
    let (key, request_id) = (KeyPair::generate().unwrap(), "renew".to_owned());
    let first = RenewCertificateBody { request_id, ..renewal(csr_of(&key)) };
    let renewed = inner(old.issuance().renew_certificate(first.clone()).await);
    // A lost answer is asked for again with the old certificate: that is no theft.
    assert_eq!(inner(old.issuance().renew_certificate(first).await), renewed);
    let stolen = old.issuance().renew_certificate(renewal(csr())).await;
    refused(stolen, Code::FailedPrecondition, "CERTIFICATE_NOT_NEWEST");
    eventually("the log says so", async || {
        house.serving.log().contains("older-certificate-renews").then_some(())
    })
    .await;
    let holder = Holder { key, certificate: renewed.certificate.unwrap() };
    inner(holder.client(&house).await.issuance().renew_certificate(renewal(csr())).await);
    still_issues(&client).await;
}

/// A controller, and the seconds that its cell is from the true time.
struct Line {
    house: House,
    chain: String,
    key: KeyPair,
    end_secs: i64,
}

impl Line {
    /// Renews when so many seconds of the line are left.
    async fn renew(&mut self, left_secs: i64) -> Result<(), Status> {
        let now = now_secs();
        let moved_secs = self.end_secs - left_secs - now;
        self.house.cell.set_clock(moved_secs * 1000);
        if left_secs > HOUR_SECS {
            // The service's own certificate lives three days, and it looks for the next once a minute, by the true clock.
            self.house.restart().await;
        }
        let (next, pem) = (KeyPair::generate().unwrap(), self.key.serialize_pem());
        let mut wire =
            wire::Caller::connect(&self.house, &self.chain, &pem, moved_secs).await.expect("a connection");
        let renewal =
            RenewCertificateBody { request_id: format!("left-{left_secs}"), ..renewal(csr_of(&next)) };
        let answer = wire.renew(&renewal).await?.into_inner();
        self.chain = chain_pem(&answer.certificate.unwrap().chain);
        self.key = next;
        Ok(())
    }
}

#[tokio::test]
async fn line_ended() {
    let (house, _client) = House::with_build().await;
    let credentials = house.credentials();
    let get = GetControllerRequest { name: "controllers/build".into() };
    let controller = inner(house.local().await.admin().get_controller(get).await).controller.unwrap();
    let (chain, key) =
        (credentials.read("chain.pem"), KeyPair::from_pem(&credentials.read("key.pem")).unwrap());
    let mut line = Line { house, chain, key, end_secs: controller.line_end.unwrap().seconds };
    // A certificate lives at most a week, and never beyond the line: the steps become shorter towards its end, each within the tenth by
    // which the service may shorten a lifetime, and apart by the minute that a controller waits.
    let days = (1..=17).rev().map(|step| step * 5 * DAY_SECS);
    for left_secs in days.chain([DAY_SECS, 6 * HOUR_SECS, HOUR_SECS, 880, 150, 36]) {
        line.renew(left_secs).await.expect("it renews");
    }
    refused(line.renew(9).await, Code::FailedPrecondition, "LINE_ENDED");

    // An officer's word begins the next.
    line.house.cell.run(&["controller", "reissue", "build"]).ok();
    let credentials = line.house.credentials();
    line.end_secs += 90 * DAY_SECS;
    (line.chain, line.key) =
        (credentials.read("chain.pem"), KeyPair::from_pem(&credentials.read("key.pem")).unwrap());
    line.renew(90 * DAY_SECS - 120).await.expect("a new line");
}

#[tokio::test]
async fn once_a_minute() {
    let (house, client) = House::with_build().await;
    let again = client.issuance().renew_certificate(renewal(csr())).await;
    let status = refused(again, Code::ResourceExhausted, "BUDGET_EXHAUSTED");
    let wait = status.get_details_retry_info().and_then(|info| info.retry_delay).expect("the time to wait");
    assert!(wait.as_secs() <= 60, "{wait:?}");
    house.cell.set_clock(61_000);
    inner(client.issuance().renew_certificate(renewal(csr())).await);
    still_issues(&client).await;
}

#[tokio::test]
async fn an_agents_share() {
    let cell = Cell::founded(BINARY);
    // What one agent may ask in a second is another matter.
    cell.configure("[limits]\nrequests-per-agent = 1000\n");
    let house = House::of(cell);
    let client = house.build().await;
    let mut holder = Holder::ask(&client, "build/a", |_| {}).await;
    // The sixty of an hour, and four for its one lifetime in it.
    for count in 0..64 {
        let key = KeyPair::generate().unwrap();
        let next = holder.client(&house).await.issuance().renew_certificate(renewal(csr_of(&key))).await;
        let certificate = next.unwrap_or_else(|status| panic!("{count}: {status}")).into_inner().certificate;
        holder = Holder { key, certificate: certificate.unwrap() };
    }
    let agent = holder.client(&house).await;
    let status = refused(
        agent.issuance().renew_certificate(renewal(csr())).await,
        Code::ResourceExhausted,
        "BUDGET_EXHAUSTED",
    );
    assert!(status.get_details_retry_info().is_some());
    // The others of the grant are not the worse for it.
    still_issues(&client).await;
    let other = Holder::ask(&client, "build/b", |_| {}).await.client(&house).await;
    inner(other.issuance().renew_certificate(renewal(csr())).await);
}

/// Who steals a short-lived key has a short-lived key.
#[tokio::test]
async fn no_longer_than_the_controller_asked_for() {
    let (house, client) = House::with_build().await;
    let brief = |request: &mut IssueCertificateBody| {
        request.lifetime = Some(prost_types::Duration { seconds: 60, nanos: 0 });
    };
    let mut holder = Holder::ask(&client, "build/a", brief).await;
    for _ in 0..3 {
        let agent = holder.client(&house).await;
        for seconds in [61, 3600, 79_433] {
            let lifetime = Some(prost_types::Duration { seconds, nanos: 0 });
            let longer = RenewCertificateBody { lifetime, ..renewal(csr()) };
            let told = agent.issuance().renew_certificate(longer).await;
            let told = refused(told, Code::PermissionDenied, "GRANT_DOES_NOT_COVER");
            assert!(told.message().contains("at most 60 s"), "{}", told.message());
        }
        let key = KeyPair::generate().unwrap();
        let next =
            inner(agent.issuance().renew_certificate(renewal(csr_of(&key))).await).certificate.unwrap();
        let tbs = certs::TbsFields::parse(certs::summary::tbs_of(&next.chain[0]).unwrap()).unwrap();
        assert!(tbs.not_after - tbs.not_before < 66, "{} s", tbs.not_after - tbs.not_before);
        holder = Holder { key, certificate: next };
    }
    // The controller's word is what makes it longer.
    let longer = Holder::ask(&client, "build/a", |_| {}).await;
    inner(longer.client(&house).await.issuance().renew_certificate(renewal(csr())).await);
    house.cell.run(&["ledger", "verify"]).ok();
}

/// Whoever stopped renewals, or the renewal that fails, stops no revocation: the certificate there is good for it.
#[tokio::test]
async fn a_command_goes_on_where_its_own_renewal_fails() {
    let (house, client) = House::with_build().await;
    crate::support::issue(&client, "build/a").await;
    house.cell.set_clock(4 * 86_400_000);
    house.cell.run(&["freeze", "--renewals"]).ok();
    let revoke =
        ["cert", "revoke", "--agent", "build/a", "--reason", "key-compromise", "--controller", "build"];
    let done = house.cell.run(&revoke);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("certificate is not renewed"), "{}", done.stderr);
}
