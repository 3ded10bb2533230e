//! A batch: many items over one stream, each with its own outcome.

use std::collections::HashMap;

use client::Client;
use proto::v1::batch_issue_certificates_response::Result as Outcome;
use proto::v1::{BatchIssueCertificatesRequest, Certificate, IssueCertificateBody, ItemError};
use tokio_stream::iter;
use tonic::Code;

use crate::support::{House, csr, inner, refused, request, still_issues};

type Item = BatchIssueCertificatesRequest;

/// An item, signed.
async fn signed(client: &Client, item: u64, body: IssueCertificateBody) -> Item {
    let (request, _under_way) = client.issuance().sign(body).await.expect("a signature");
    Item { item, request: Some(request), timeout: None }
}

/// What came of each item, by its id. Each is answered once.
async fn batch(client: &Client, items: Vec<Item>) -> HashMap<u64, Result<Certificate, ItemError>> {
    let mut answers = inner(client.issuance().batch_issue_certificates(iter(items)).await);
    let mut outcomes = HashMap::new();
    while let Some(answer) = answers.message().await.unwrap() {
        let outcome = match answer.result.expect("an outcome") {
            Outcome::Certificate(certificate) => Ok(certificate),
            Outcome::Error(error) => Err(error),
        };
        assert!(outcomes.insert(answer.item, outcome).is_none(), "item {} is answered twice", answer.item);
    }
    outcomes
}

#[tokio::test]
async fn good_and_bad_items() {
    const ITEMS: u64 = 400;
    let (house, client) = House::with_build().await;
    let before = house.entries().await.len();
    let mut items = Vec::new();
    for item in 0..ITEMS {
        let mut request = request(&format!("build/{item}"), csr());
        request.request_id = format!("item-{item}");
        match item % 8 {
            0 => request.csr.push(0),
            1 => request.agent = "agents/officer/a".into(),
            2 => request.agent = "agents/elsewhere/a".into(),
            3 => {
                items.push(Item { item, ..Item::default() });
                continue;
            }
            _ => {}
        }
        items.push(signed(&client, item, request).await);
    }
    let outcomes = batch(&client, items.clone()).await;
    assert_eq!(outcomes.len() as u64, ITEMS);
    for (item, outcome) in &outcomes {
        let (code, reason) = match item % 8 {
            0 => (Code::InvalidArgument, "CSR_MALFORMED"),
            1 => (Code::InvalidArgument, "IDENTITY_INVALID"),
            2 => (Code::PermissionDenied, "GRANT_DOES_NOT_COVER"),
            3 => (Code::InvalidArgument, "REQUEST_MALFORMED"),
            _ => {
                let certificate = outcome.as_ref().expect("a certificate");
                assert_eq!(certificate.spiffe_id, format!("spiffe://cell.internal/agent/build/{item}"));
                continue;
            }
        };
        let error = outcome.as_ref().expect_err("refused");
        assert_eq!((error.code, error.reason.as_str()), (code as i32, reason), "{error:?}");
        assert!(!error.message.is_empty() && error.retry_after.is_none());
    }
    let good = usize::try_from(ITEMS / 2).unwrap();
    assert_eq!(
        house.entries().await.len() - before,
        2 * good,
        "an agent and a certificate for each good item"
    );
    // Sent again, as after a stream that broke: the same certificates, and nothing more in the ledger.
    let again = batch(&client, items).await;
    assert_eq!(again, outcomes);
    assert_eq!(house.entries().await.len() - before, 2 * good);
    house.cell.run(&["ledger", "verify"]).ok();
}

#[tokio::test]
async fn too_many_on_a_connection() {
    let (_house, client) = House::with_build().await;
    let mut open = Vec::new();
    let told = loop {
        match client.issuance().batch_issue_certificates(tokio_stream::pending::<Item>()).await {
            Ok(answers) => open.push(answers),
            refused => break refused,
        }
        assert!(open.len() <= 4, "so many are open");
    };
    refused(told, Code::ResourceExhausted, "QUEUE_FULL");
    still_issues(&client).await;
}
