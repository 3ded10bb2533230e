//! What a caller costs who only waits for the next trust bundle: a connection with one watch open.

use client::Client;
use proto::v1::{WatchTrustBundleRequest, WatchTrustBundleResponse};
use tonic::Streaming;

use crate::Failed;
use crate::cells::Served;
use crate::load::channel;
use crate::plan::Plan;
use crate::summary::Summary;

/// Watchers that come before the count begins, so that what they share is there.
const BEFORE: u16 = 10;

pub(crate) async fn measure(plan: &Plan, summary: &mut Summary) -> Result<(), Failed> {
    // Its own, whose front holds nothing that others left.
    let served = Served::found();
    let mut watches = watch(&served, BEFORE).await?;
    let before = served.resident_mib("front")?;
    watches.extend(watch(&served, plan.watchers).await?);
    let grown = served.resident_mib("front")? - before;
    summary.set("watch_kib", grown * 1024.0 / f64::from(plan.watchers));
    drop(watches);
    served.stop().map(drop)
}

/// So many connections with a watch each, which has brought the bundle of now.
async fn watch(served: &Served, watchers: u16) -> Result<Vec<Streaming<WatchTrustBundleResponse>>, Failed> {
    let (credentials, mut watches) = (served.credentials("load"), Vec::new());
    for _ in 0..watchers {
        let client = Client::over(channel(&credentials).await?);
        let mut watch = client.trust().watch_trust_bundle(WatchTrustBundleRequest {}).await?.into_inner();
        watch.message().await?.ok_or("a watch that ends")?;
        watches.push(watch);
    }
    Ok(watches)
}
