//! Certificates that end before their time, and the list of them.

use std::fs;

use cell::{Act, RevocationReason, RevocationTarget};
use client::Client;
use proto::v1::{
    Certificate, CertificateState, GetCertificateRequest, GetCrlRequest, GetCrlResponse, IssuedSince,
    RenewCertificateBody, RevokeCertificateBody, RevokeCertificateResponse, revoke_certificate_body::Target,
};
use rootcellar_softhsm_tests::judges::openssl;
use rootcellar_softhsm_tests::{Cell, Serving, Signal};
use tonic::{Code, Status};

use crate::officer::{Officer, now_secs, submit};
use crate::support::{
    BINARY, Holder, House, ask, chain_pem, csr, eventually, inner, issue, refused, request, still_issues,
};

const KEY_COMPROMISE: i32 = 1;

async fn revoke(client: &Client, target: Target) -> Result<RevokeCertificateResponse, Status> {
    let request =
        RevokeCertificateBody { target: Some(target), reason: KEY_COMPROMISE, request_id: String::new() };
    Ok(client.issuance().revoke_certificate(request).await?.into_inner())
}

/// The CRL, once so many certificates are on it.
async fn crl_of(client: &Client, revoked: u64) -> GetCrlResponse {
    eventually("a CRL of them", async || {
        let crl = client.issuance().get_crl(GetCrlRequest::default()).await.ok()?.into_inner();
        (crl.revoked == revoked).then_some(crl)
    })
    .await
}

/// What OpenSSL says of a leaf with the issuer's CRL: "OK", or its error.
fn openssl_with_crl(house: &House, certificate: &Certificate, crl: &GetCrlResponse) -> String {
    let dir = house.scratch();
    fs::write(dir.join("anchors.pem"), house.anchors()).unwrap();
    fs::write(dir.join("leaf.pem"), chain_pem(&certificate.chain[..1])).unwrap();
    fs::write(dir.join("issuer.pem"), chain_pem(&certificate.chain[1..])).unwrap();
    fs::write(dir.join("crl.der"), &crl.crl).unwrap();
    let crl_pem = openssl(&dir, &["crl", "-inform", "DER", "-in", "crl.der"]);
    fs::write(dir.join("crl.pem"), crl_pem).unwrap();
    let verdict = std::process::Command::new("openssl")
        .args(["verify", "-x509_strict", "-crl_check", "-CAfile", "anchors.pem", "-untrusted", "issuer.pem"])
        .args(["-CRLfile", "crl.pem", "leaf.pem"])
        .current_dir(&dir)
        .output()
        .unwrap();
    format!("{}{}", String::from_utf8_lossy(&verdict.stdout), String::from_utf8_lossy(&verdict.stderr))
}

#[tokio::test]
async fn a_list_that_openssl_believes() {
    let (house, client) = House::with_build().await;
    let (bad, good) = (issue(&client, "build/bad").await, issue(&client, "build/good").await);
    let empty = crl_of(&client, 0).await;
    assert!(openssl_with_crl(&house, &bad, &empty).contains("leaf.pem: OK"));
    let done = revoke(&client, Target::Certificate(bad.name.clone())).await.unwrap();
    assert_eq!(done.revoked, 1);
    let entry = done.receipt.unwrap().index;
    let crl = crl_of(&client, 1).await;
    assert!(crl.number > empty.number);
    let said = openssl_with_crl(&house, &bad, &crl);
    assert!(said.contains("certificate revoked"), "{said}");
    assert!(openssl_with_crl(&house, &good, &crl).contains("leaf.pem: OK"));
    let text = openssl(&house.scratch(), &["crl", "-in", "crl.pem", "-noout", "-text"]);
    assert!(text.contains("Key Compromise"), "{text}");
    let (this, next) = (crl.this_update.unwrap().seconds, crl.next_update.unwrap().seconds);
    assert_eq!(next - this, 86_400);

    let get = GetCertificateRequest { name: bad.name.clone() };
    let shown = inner(client.issuance().get_certificate(get).await).certificate.unwrap();
    assert_eq!(shown.state(), CertificateState::Revoked);
    let revocation = shown.revocation.unwrap();
    assert_eq!((revocation.entry, revocation.reason), (entry, KEY_COMPROMISE));
    assert!(house.cell.run(&["cert", "list"]).ok().contains("revoked"));
    assert!(house.cell.run(&["ca", "crl"]).ok().contains("key-compromise"));
    house.cell.run(&["ledger", "verify"]).ok();
    still_issues(&client).await;
}

#[tokio::test]
async fn the_list_outlives_a_restart_and_a_rebuild() {
    let (mut house, client) = House::with_build().await;
    let bad = issue(&client, "build/bad").await;
    revoke(&client, Target::Serial(bad.serial.clone())).await.unwrap();
    let crl = crl_of(&client, 1).await;
    house.restart().await;
    let client = house.credentials().client().await;
    assert_eq!(crl_of(&client, 1).await, crl, "nothing new was revoked: no new list");
    assert_eq!(house.stop().await, 0);
    let rebuilt = house.cell.run(&["ledger", "rebuild"]).ok();
    assert!(!rebuilt.contains("differ"), "{rebuilt}");
}

#[tokio::test]
async fn a_new_list_long_before_the_old_one_ends() {
    let (house, client) = House::with_build().await;
    let first = crl_of(&client, 0).await;
    // A quarter of its life.
    house.cell.set_clock(6 * 3_600_000 + 60_000);
    let local = house.local().await;
    let next = eventually("the next list", async || {
        let crl = local.issuance().get_crl(GetCrlRequest::default()).await.ok()?.into_inner();
        (crl.number > first.number).then_some(crl)
    })
    .await;
    assert!(next.next_update.unwrap().seconds > first.next_update.unwrap().seconds);
}

#[tokio::test]
async fn revoked_caller() {
    let (house, client) = House::with_build().await;
    let holder = Holder::ask(&client, "build/a", |_| {}).await;
    let agent = holder.client(&house).await;
    revoke(&client, Target::Agent("agents/build/a".into())).await.unwrap();
    // Also on a connection opened before.
    let renewal = || RenewCertificateBody { csr: csr(), ..RenewCertificateBody::default() };
    refused(agent.issuance().renew_certificate(renewal()).await, Code::Unauthenticated, "CALLER_REVOKED");
    // Its controller gives it another.
    let next = Holder::ask(&client, "build/a", |_| {}).await;
    next.client(&house).await.issuance().renew_certificate(renewal()).await.expect("a new one renews");
}

#[tokio::test]
async fn everything_since_a_time_in_one_act() {
    let (house, client) = House::with_build().await;
    let before = Holder::ask(&client, "build/before", |_| {}).await;
    house.cell.set_clock(60_000);
    let since = now_secs() + 60;
    let after = Holder::ask(&client, "build/after", |_| {}).await;
    // What a thief's agent renews by itself is of the same making.
    let renewal = RenewCertificateBody { csr: csr(), ..RenewCertificateBody::default() };
    inner(after.client(&house).await.issuance().renew_certificate(renewal).await);
    let other = house.controller("other", "agents=other/*;roles=logger").client().await;
    issue(&other, "other/a").await;
    let issued_since = |controller: &str, seconds| {
        let since = Some(prost_types::Timestamp { seconds, nanos: 0 });
        Target::IssuedSince(IssuedSince { controller: format!("controllers/{controller}"), since })
    };
    refused(
        revoke(&client, issued_since("other", since)).await,
        Code::PermissionDenied,
        "CALLER_NOT_ALLOWED",
    );
    let entries = house.entries().await.len();
    assert_eq!(revoke(&client, issued_since("build", since)).await.unwrap().revoked, 2);
    assert_eq!(crl_of(&client, 2).await.revoked, 2);
    assert!(house.entries().await.len() <= entries + 2, "one act, one list");
    let again = revoke(&client, issued_since("build", since)).await;
    refused(again, Code::ResourceExhausted, "BUDGET_EXHAUSTED");
    house.cell.set_clock(180_000);
    let nothing_left = revoke(&client, issued_since("build", since)).await.unwrap();
    assert_eq!(nothing_left.revoked, 0);
    assert!(nothing_left.receipt.is_some(), "what ended nothing is recorded, and costs, as what did");
    let get = GetCertificateRequest { name: before.certificate.name };
    let shown = inner(client.issuance().get_certificate(get).await).certificate.unwrap();
    assert_eq!(shown.state(), CertificateState::Issued);
    house.cell.run(&["ledger", "verify"]).ok();
}

#[tokio::test]
async fn only_within_the_grants() {
    let (house, client) = House::with_build().await;
    let other = house.controller("other", "agents=other/*;roles=logger").client().await;
    let (ours, theirs) = (issue(&client, "build/a").await, issue(&other, "other/a").await);
    let strange = [
        Target::Certificate(theirs.name.clone()),
        Target::Serial(theirs.serial.clone()),
        Target::Certificate("certificates/999999".into()),
        // A controller's own, and the service's: those are the officers'.
        Target::Certificate("certificates/8".into()),
    ];
    for target in strange {
        refused(revoke(&client, target).await, Code::NotFound, "NOT_FOUND");
    }
    let agent = revoke(&client, Target::Agent("agents/other/a".into())).await;
    refused(agent, Code::PermissionDenied, "GRANT_DOES_NOT_COVER");
    let holder = Holder::ask(&client, "build/b", |_| {}).await.client(&house).await;
    let by_agent = revoke(&holder, Target::Certificate(ours.name.clone())).await;
    refused(by_agent, Code::PermissionDenied, "CALLER_NOT_ALLOWED");

    // Officers reach all, by a signed act.
    let said = house.cell.run(&["cert", "revoke", "--serial", &theirs.serial, "--reason", "superseded"]).ok();
    assert!(said.contains('1'), "{said}");
    let crl = crl_of(&client, 1).await;
    assert!(openssl_with_crl(&house, &theirs, &crl).contains("certificate revoked"));
    let (mut officer, local) = (Officer::of(&house.cell), house.local().await);
    let act = |target| Act::CertificateRevoke { target, reason: RevocationReason::KeyCompromise };
    let nothing = officer.propose(&act(RevocationTarget::Agent("build/none".parse().unwrap())));
    refused(submit(&local, &nothing).await, Code::NotFound, "NOT_FOUND");
    let all = RevocationTarget::IssuedSince {
        controller: "build".parse().unwrap(),
        since: "2020-01-01T00:00:00Z".parse().unwrap(),
    };
    assert_eq!(submit(&local, &officer.propose(&act(all))).await.unwrap().revoked, 2);
    house.cell.run(&["ledger", "verify"]).ok();
}

#[tokio::test]
async fn over_http() {
    let cell = Cell::founded(BINARY);
    let ports = ["listen", "ops-listen", "crl-listen"].map(|key| format!("{key} = \"127.0.0.1:0\"\n"));
    cell.configure(&format!("[service]\n{}", ports.concat()));
    let house = House::of(cell);
    let client = house.build().await;
    let issuer = crl_of(&client, 0).await.issuer;
    let path = format!("/crl/{issuer}.crl");
    let served = async |revoked: u64| -> GetCrlResponse {
        let newest = crl_of(&client, revoked).await;
        let said = eventually("the newest is handed out", async || {
            let (status, der) = house.serving.crl_get(&path);
            (status.contains("200") && der == newest.crl).then_some(der)
        })
        .await;
        GetCrlResponse { crl: said, ..newest }
    };
    let bad = issue(&client, "build/bad").await;
    assert!(openssl_with_crl(&house, &bad, &served(0).await).contains("leaf.pem: OK"));
    revoke(&client, Target::Certificate(bad.name.clone())).await.unwrap();
    let said = openssl_with_crl(&house, &bad, &served(1).await);
    assert!(said.contains("certificate revoked"), "{said}");
    assert!(house.cell.run(&["ca", "crl"]).ok().contains(&issuer), "its name is told");
    // Handed out while the keeper is away.
    Serving::signal(house.serving.child("keeper"), Signal::STOP);
    assert!(house.serving.crl_get(&path).0.contains("200"));
    assert!(house.serving.crl_get("/crl/00.crl").0.contains("404"));
    Serving::signal(house.serving.child("keeper"), Signal::CONT);
    still_issues(&client).await;
}

#[tokio::test]
async fn malformed() {
    let (_house, client) = House::with_build().await;
    let ours = issue(&client, "build/a").await;
    // certificateHold and removeFromCRL could be undone, and 7 is none (RFC 5280 section 5.3.1).
    for reason in [6, 7, 8, 11, -1] {
        let request = RevokeCertificateBody {
            target: Some(Target::Certificate(ours.name.clone())),
            reason,
            request_id: String::new(),
        };
        let answer = client.issuance().revoke_certificate(request).await;
        refused(answer, Code::InvalidArgument, "REQUEST_MALFORMED");
    }
    for target in [
        None,
        Some(Target::Serial("00ff".into())),
        Some(Target::Serial("xyz".into())),
        Some(Target::Certificate("17".into())),
        Some(Target::IssuedSince(IssuedSince { controller: "controllers/build".into(), since: None })),
    ] {
        let request = RevokeCertificateBody { target, reason: KEY_COMPROMISE, request_id: String::new() };
        let answer = client.issuance().revoke_certificate(request).await;
        refused(answer, Code::InvalidArgument, "REQUEST_MALFORMED");
    }
    still_issues(&client).await;
}

#[tokio::test]
async fn the_same_request_revokes_once() {
    let (mut house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    let request = |reason| RevokeCertificateBody {
        target: Some(Target::Agent("agents/build/a".into())),
        reason,
        request_id: "once".into(),
    };
    let first = inner(client.issuance().revoke_certificate(request(KEY_COMPROMISE)).await);
    issue(&client, "build/a").await;
    house.restart().await;
    let client = house.credentials().client().await;
    assert_eq!(inner(client.issuance().revoke_certificate(request(KEY_COMPROMISE)).await), first);
    let other = client.issuance().revoke_certificate(request(4)).await;
    refused(other, Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert_eq!(crl_of(&client, 1).await.revoked, 1, "the certificate that came after it stands");
}

#[tokio::test]
async fn abandoned_ones_too() {
    let (house, faults) = House::with_faults();
    let client = house.build().await;
    // CKR_DATA_INVALID: the token refuses these very bytes, and the certificate is given up.
    faults.set("rv=32");
    refused(ask(&client, request("build/a", csr())).await, Code::Unavailable, "TOKEN_UNAVAILABLE");
    faults.set("");
    assert_eq!(revoke(&client, Target::Agent("agents/build/a".into())).await.unwrap().revoked, 1);
    crl_of(&client, 1).await;
}
