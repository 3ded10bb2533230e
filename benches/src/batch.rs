//! The same load over `BatchIssueCertificates`: one stream a connection, a new item for each that is answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proto::client::Client;
use proto::v1::batch_issue_certificates_response::Result as Outcome;
use proto::v1::{BatchIssueCertificatesRequest, IssueCertificateRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{Failed, tell};

/// One stream, with one item under way for each of these requests. The latencies of those that succeeded.
pub(crate) async fn stream(
    client: Client,
    requests: Vec<IssueCertificateRequest>,
    until: Instant,
    errors: Arc<AtomicU64>,
) -> Result<Vec<Duration>, Failed> {
    let (items, stream) = mpsc::channel(requests.len());
    let item = |number: usize| BatchIssueCertificatesRequest {
        item: number as u64,
        request: requests.get(number).cloned(),
        timeout: None,
    };
    let mut asked = HashMap::new();
    for number in 0..requests.len() {
        asked.insert(number, Instant::now());
        items.send(item(number)).await?;
    }
    let mut answers =
        client.issuance().batch_issue_certificates(ReceiverStream::new(stream)).await?.into_inner();
    let (mut items, mut latencies) = (Some(items), Vec::new());
    while let Some(answer) = answers.message().await? {
        let number = usize::try_from(answer.item)?;
        match answer.result {
            Some(Outcome::Certificate(_)) => {
                latencies.extend(asked.get(&number).map(Instant::elapsed));
            }
            // The first tells more than the count.
            other if errors.fetch_add(1, Ordering::Relaxed) == 0 => tell(&format!("{other:?}")),
            _ => {}
        }
        if Instant::now() >= until {
            items = None;
        }
        if let Some(items) = &items {
            asked.insert(number, Instant::now());
            items.send(item(number)).await?;
        }
    }
    Ok(latencies)
}
