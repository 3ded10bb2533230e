//! How long an officer waits for a freeze while one controller asks for all it can: revocations of nothing, and pages of the ledger.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::Client;
use proto::v1::{
    ListEntriesRequest, RevocationReason, RevokeCertificateBody, revoke_certificate_body::Target,
};
use tokio::task::JoinSet;
use tonic::Request;

use crate::Failed;
use crate::cells::Served;
use crate::cpu::median;
use crate::load::connected;
use crate::plan::Plan;
use crate::summary::Summary;

/// What the controller has under way all the time.
const EMPTY_REVOCATIONS: usize = 250;
const READS: usize = 800;
/// Of one connection.
const IN_FLIGHT: usize = 200;
/// Entries of a page, and how long it is waited for.
const PAGE: (i32, Duration) = (500, Duration::from_secs(5));

pub(crate) async fn measure(plan: &Plan, served: &Served, summary: &mut Summary) -> Result<(), Failed> {
    let mut clients = Vec::new();
    while clients.len() * IN_FLIGHT < EMPTY_REVOCATIONS + READS {
        clients.push(connected(&served.credentials("load")).await?);
    }
    let over = Arc::new(AtomicBool::new(false));
    let mut flood = JoinSet::new();
    for (i, client) in clients.iter().cycle().take(EMPTY_REVOCATIONS + READS).enumerate() {
        flood.spawn(ask(client.clone(), i < EMPTY_REVOCATIONS, Arc::clone(&over)));
    }
    tokio::time::sleep(plan.short).await;
    let mut times = Vec::new();
    let mut frozen = Ok(());
    for _ in 0..plan.rounds {
        let began = Instant::now();
        frozen = frozen.and(served.command(&["freeze"]));
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        let (status, _) = served.ops_get("/readyz");
        frozen = frozen.and(if status.contains("200") { Ok(()) } else { Err(status.into()) });
        frozen = frozen.and(served.command(&["thaw"]));
    }
    over.store(true, Ordering::Relaxed);
    while flood.join_next().await.is_some() {}
    summary.set("freeze_ms", median(times));
    frozen
}

/// One request after the other, refused or not.
async fn ask(client: Client, revokes: bool, over: Arc<AtomicBool>) {
    while !over.load(Ordering::Relaxed) {
        if revokes {
            let revocation = RevokeCertificateBody {
                target: Some(Target::Agent("agents/load/unknown".into())),
                reason: RevocationReason::CessationOfOperation.into(),
                ..RevokeCertificateBody::default()
            };
            let _ = client.issuance().revoke_certificate(revocation).await;
        } else {
            let mut page = Request::new(ListEntriesRequest { start_index: 0, page_size: PAGE.0 });
            page.set_timeout(PAGE.1);
            let _ = client.ledger().list_entries(page).await;
        }
    }
}
