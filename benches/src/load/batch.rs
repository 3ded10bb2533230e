//! The same load over `BatchIssueCertificates`: one stream a connection, a new item for each that is answered.

use std::collections::HashMap;
use std::time::Instant;

use client::{Client, Issuance, UnderWay};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
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
    let mut sender = Sender { issuance: client.issuance(), items, requests, asked: HashMap::new() };
    // What is signed at the same time is signed together.
    sender.send((0..sender.requests.len()).collect()).await?;
    let mut answers =
        client.issuance().batch_issue_certificates(ReceiverStream::new(stream)).await?.into_inner();
    let (mut sender, mut given, mut under_way) = (Some(sender), Answers::default(), HashMap::new());
    while let Some(answer) = answers.message().await? {
        let mut numbers = Vec::new();
        let mut next = Some(answer);
        while let Some(answer) = next.take() {
            let number = usize::try_from(answer.item)?;
            let asked = sender.as_mut().map_or(&mut under_way, |sender| &mut sender.asked).remove(&number);
            match answer.result {
                Some(Outcome::Certificate(_)) => {
                    given.samples.extend(asked.map(|(began, _under_way)| Sample::since(&began)));
                }
                other => given.refused(format!("{other:?}")),
            }
            numbers.push(number);
            // Those that came with it.
            next = answers.message().now_or_never().transpose()?.flatten();
        }
        if Instant::now() >= until
            && let Some(ended) = sender.take()
        {
            under_way = ended.asked;
        }
        if let Some(sender) = &mut sender {
            sender.send(numbers).await?;
        }
    }
    Ok(given)
}

/// The way into a stream.
struct Sender {
    issuance: Issuance,
    items: mpsc::Sender<BatchIssueCertificatesRequest>,
    requests: Vec<IssueCertificateBody>,
    asked: HashMap<usize, (Instant, UnderWay)>,
}

impl Sender {
    /// Signs these items together and sends them.
    async fn send(&mut self, numbers: Vec<usize>) -> Result<(), Failed> {
        let began = Instant::now();
        let signed = numbers.iter().map(|number| {
            let body = self.requests.get(*number).cloned().unwrap_or_default();
            self.issuance.sign(body)
        });
        let signed = join_all(signed).await;
        for (number, signed) in numbers.into_iter().zip(signed) {
            let (request, under_way) = signed?;
            self.asked.insert(number, (began, under_way));
            let item =
                BatchIssueCertificatesRequest { item: number as u64, request: Some(request), timeout: None };
            self.items.send(item).await?;
        }
        Ok(())
    }
}
