//! A list of very many revoked certificates: how long it takes until it is there, and what those feel who ask for certificates meanwhile.

use std::time::{Duration, Instant};

use client::Client;
use prost_types::Timestamp;
use proto::v1::{
    GetCrlRequest, GetCrlResponse, IssuedSince, RevocationReason, RevokeCertificateBody,
    revoke_certificate_body::Target,
};
use tokio::time::sleep;
use tonic::{Code, Request, Status};

use super::growth::LEAVING;
use super::levels::CONNECTIONS;
use crate::Failed;
use crate::cells::Served;
use crate::cpu::median;
use crate::load::{Load, connected, request};
use crate::plan::Plan;
use crate::summary::Summary;

/// The longest that is waited for a list.
const PATIENCE: Duration = Duration::from_secs(60);
/// The service makes no list for ten times as long as the one before took; a second more is enough.
const REST: (u32, Duration) = (10, Duration::from_secs(1));
/// How often the list is asked for.
const LOOK: Duration = Duration::from_millis(5);
/// How long the load runs before the list is wanted.
const LEAD: Duration = Duration::from_millis(500);

pub(crate) async fn measure(plan: &Plan, served: Served, summary: &mut Summary) -> Result<(), Failed> {
    let client = connected(&served.credentials("load")).await?;
    let before = crl(&client, 0).await?.number;
    let began = Instant::now();
    revoke_all(&served, plan).await?;
    summary.set("revoke_100000_ms", began.elapsed().as_secs_f64() * 1000.0);
    let began = Instant::now();
    let mut list = newer(&client, before).await?;
    while list.revoked < plan.revoked {
        list = newer(&client, list.number).await?;
    }
    let mut took = began.elapsed();
    let (mut times, mut waits) = (Vec::new(), Vec::new());
    for round in 0..plan.rounds {
        sleep(took * REST.0 + REST.1).await;
        let certificate = issue(&client, round).await?;
        let load = Load { in_flight: 64, connections: CONNECTIONS, time: LEAD + plan.short, batch: false };
        let (figures, made) = tokio::join!(served.load(load), revoke_one(&client, certificate, list.number));
        let (from, to);
        (from, to, list) = made?;
        took = to - from;
        times.push(took.as_secs_f64() * 1000.0);
        waits.push(figures?.percentile_between_ms(99, from, to));
    }
    summary.set("crl_100000_ms", median(times));
    summary.set("crl_100000_issue_p99_ms", median(waits));
    served.stop().map(drop)
}

/// Every certificate of a controller, in its own name.
async fn revoke_all(served: &Served, plan: &Plan) -> Result<(), Failed> {
    let client = connected(&served.credentials(LEAVING)).await?;
    let all = IssuedSince { controller: format!("controllers/{LEAVING}"), since: Some(Timestamp::default()) };
    let mut request = Request::new(revocation(Target::IssuedSince(all)));
    request.set_timeout(PATIENCE);
    let revoked = client.issuance().revoke_certificate(request).await?.into_inner().revoked;
    if revoked < plan.revoked { Err(format!("{revoked} certificates were revoked").into()) } else { Ok(()) }
}

fn revocation(target: Target) -> RevokeCertificateBody {
    RevokeCertificateBody {
        target: Some(target),
        reason: RevocationReason::CessationOfOperation.into(),
        ..RevokeCertificateBody::default()
    }
}

/// Once the load runs: when the certificate was revoked, when a list with it was there, and the list.
async fn revoke_one(
    client: &Client,
    certificate: String,
    before: u64,
) -> Result<(Instant, Instant, GetCrlResponse), Failed> {
    sleep(LEAD).await;
    client.issuance().revoke_certificate(revocation(Target::Certificate(certificate))).await?;
    let from = Instant::now();
    let list = newer(client, before).await?;
    Ok((from, Instant::now(), list))
}

/// A certificate to be revoked: its name.
async fn issue(client: &Client, number: usize) -> Result<String, Failed> {
    let request = request("load/leaving", number)?;
    let certificate = client.issuance().issue_certificate(request).await?.into_inner().certificate;
    Ok(certificate.ok_or("no certificate in the answer")?.name)
}

/// The next list after this number, once it is there.
async fn newer(client: &Client, number: u64) -> Result<GetCrlResponse, Failed> {
    let until = Instant::now() + PATIENCE;
    loop {
        match crl(client, number + 1).await {
            Ok(list) => return Ok(list),
            Err(status) if status.code() == Code::NotFound && Instant::now() < until => sleep(LOOK).await,
            Err(status) => return Err(status.into()),
        }
    }
}

async fn crl(client: &Client, min_number: u64) -> Result<GetCrlResponse, Status> {
    let request = GetCrlRequest { min_number, ..GetCrlRequest::default() };
    Ok(client.issuance().get_crl(request).await?.into_inner())
}
