//! The same load over `BatchIssueCertificates`: one stream a connection, a new item for each that is answered.

use std::collections::HashMap;
use std::time::Instant;

use client::{Client, Issuance, UnderWay};
use proto::v1::batch_issue_certificates_response::Result as Outcome;
use proto::v1::{BatchIssueCertificatesRequest, IssueCertificateBody};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::figures::{Answers, Sample};
use crate::Failed;

/// One stream, with one item under way for each of these requests.
pub(super) async fn stream(
    client: Client,
    requests: Vec<IssueCertificateBody>,
    until: Instant,
) -> Result<Answers, Failed> {
    let (items, stream) = mpsc::channel(requests.len());
    let (issuance, mut asked) = (client.issuance(), HashMap::new());
    for number in 0..requests.len() {
        send(&issuance, &items, &requests, number, &mut asked).await?;
    }
    let mut answers =
        client.issuance().batch_issue_certificates(ReceiverStream::new(stream)).await?.into_inner();
    let (mut items, mut given) = (Some(items), Answers::default());
    while let Some(answer) = answers.message().await? {
        let number = usize::try_from(answer.item)?;
        let began = asked.remove(&number).map(|(began, _under_way)| began);
        match answer.result {
            Some(Outcome::Certificate(_)) => given.samples.extend(began.as_ref().map(Sample::since)),
            other => given.refused(format!("{other:?}")),
        }
        if Instant::now() >= until {
            items = None;
        }
        if let Some(items) = &items {
            send(&issuance, items, &requests, number, &mut asked).await?;
        }
    }
    Ok(given)
}

/// Signs one item and sends it.
async fn send(
    issuance: &Issuance,
    items: &mpsc::Sender<BatchIssueCertificatesRequest>,
    requests: &[IssueCertificateBody],
    number: usize,
    asked: &mut HashMap<usize, (Instant, UnderWay)>,
) -> Result<(), Failed> {
    let began = Instant::now();
    let body = requests.get(number).cloned().unwrap_or_default();
    let (request, under_way) = issuance.sign(body).await?;
    asked.insert(number, (began, under_way));
    let item = number as u64;
    Ok(items.send(BatchIssueCertificatesRequest { item, request: Some(request), timeout: None }).await?)
}
