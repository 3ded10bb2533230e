//! The same load over `BatchIssueCertificates`: one stream a connection, a new item for each that is answered.

use std::collections::HashMap;
use std::time::Instant;

use client::Client;
use proto::v1::batch_issue_certificates_response::Result as Outcome;
use proto::v1::{BatchIssueCertificatesRequest, IssueCertificateRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::figures::{Answers, Sample};
use crate::Failed;

/// One stream, with one item under way for each of these requests.
pub(super) async fn stream(
    client: Client,
    requests: Vec<IssueCertificateRequest>,
    until: Instant,
) -> Result<Answers, Failed> {
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
    let (mut items, mut given) = (Some(items), Answers::default());
    while let Some(answer) = answers.message().await? {
        let number = usize::try_from(answer.item)?;
        match answer.result {
            Some(Outcome::Certificate(_)) => given.samples.extend(asked.get(&number).map(Sample::since)),
            other => given.refused(format!("{other:?}")),
        }
        if Instant::now() >= until {
            items = None;
        }
        if let Some(items) = &items {
            asked.insert(number, Instant::now());
            items.send(item(number)).await?;
        }
    }
    Ok(given)
}
