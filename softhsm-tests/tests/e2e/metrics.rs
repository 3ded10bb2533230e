//! What is measured, and that docs/metrics.md says the same.

use std::collections::{BTreeMap, BTreeSet};

use proto::v1::{BatchIssueCertificatesRequest, WatchTrustBundleRequest};
use rcgen::KeyPair;
use rootcellar_softhsm_tests::{Serving, Signal};
use tonic::Code;

use crate::documentation::rows;
use crate::support::{House, ask, csr, csr_of, eventually, inner, issue, refused, request};

/// Type and labels of each metric, by the name that a query uses.
type Metrics = BTreeMap<String, (String, BTreeSet<String>)>;

fn page(house: &House) -> String {
    let (status, body) = house.serving.ops_get("/metrics");
    assert!(status.contains("200"), "{status}");
    body
}

/// The value of one sample.
fn sample(page: &str, name: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// The page, once it says so of the keeper.
async fn page_with(house: &House, up: f64) -> String {
    eventually("the keeper is there or gone", async || {
        Some(page(house)).filter(|page| sample(page, "rootcellar_keeper_up ") == Some(up))
    })
    .await
}

/// The name of a sample's metric: a histogram has three samples, a counter's name ends in `_total`.
fn metric_of(sample: &str) -> &str {
    ["_bucket", "_sum", "_count"].iter().find_map(|suffix| sample.strip_suffix(suffix)).unwrap_or(sample)
}

/// What a page says that there is (OpenMetrics 1.0, "Text Format").
fn served(page: &str) -> Metrics {
    let mut metrics = Metrics::new();
    for line in page.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            let total = if kind == "counter" { "_total" } else { "" };
            metrics.insert(format!("{name}{total}"), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let (name, labels) = line.split_once('{').unwrap_or((line.split(' ').next().unwrap(), "}"));
            let labels = labels.split('}').next().unwrap().split("\",");
            let labels = labels.filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
            let (_, known) = metrics.get_mut(metric_of(name)).unwrap_or_else(|| panic!("no type: {line}"));
            known.extend(labels.filter(|label| label != "le"));
        }
    }
    metrics
}

/// What the document says that there is.
fn documented() -> Metrics {
    let plain = |cell: &str| cell.replace('`', "");
    let row = |row: Vec<String>| {
        let labels = plain(&row[2]);
        let labels = labels.split(", ").filter(|label| *label != "–").map(ToOwned::to_owned).collect();
        (plain(&row[0]), (row[1].clone(), labels))
    };
    rows("docs/metrics.md").into_iter().map(row).collect()
}

#[tokio::test]
async fn every_metric_is_documented_and_every_row_is_served() {
    let (house, client) = House::with_build().await;
    let key = KeyPair::generate().unwrap();
    ask(&client, request("build/a", csr_of(&key))).await.unwrap();
    // A cloned machine is an alarm.
    refused(ask(&client, request("build/c", csr_of(&key))).await, Code::FailedPrecondition, "KEY_IN_USE");
    let (request, _under_way) = client.issuance().sign(request("build/b", csr())).await.unwrap();
    let item = BatchIssueCertificatesRequest { request: Some(request), ..Default::default() };
    let mut answers = inner(client.issuance().batch_issue_certificates(tokio_stream::iter([item])).await);
    assert!(answers.message().await.unwrap().is_some());
    let _watching = inner(client.trust().watch_trust_bundle(WatchTrustBundleRequest {}).await);
    let text = page(&house);
    assert_eq!(text.matches("# EOF").count(), 1, "{text}");
    for nobody in ["build", "logger", "uid"] {
        assert!(!text.contains(nobody), "it names {nobody}: {text}");
    }
    let (served, documented) = (served(&text), documented());
    assert!(served.keys().any(|name| name.starts_with("rootcellar_keeper_")), "both processes: {text}");
    for (name, (kind, labels)) in &served {
        let (said, named) = documented.get(name).unwrap_or_else(|| panic!("docs/metrics.md has no {name}"));
        assert_eq!(said, kind, "{name}");
        // What never happened here has no sample, and so no label to compare.
        assert!(labels.is_empty() || labels == named, "{name} has {labels:?}");
    }
    let unserved: Vec<&String> = documented.keys().filter(|name| !served.contains_key(*name)).collect();
    assert!(unserved.is_empty(), "{unserved:?}");
}

#[test]
fn an_alert_asks_for_what_there_is() {
    let known = documented();
    for row in rows("docs/metrics.md") {
        let names = row[4].split(|c: char| !(c.is_alphanumeric() || c == '_'));
        for name in names.filter(|word| word.starts_with("rootcellar_")) {
            assert!(known.contains_key(metric_of(name)), "{}: {name}", row[0]);
        }
    }
}

#[tokio::test]
async fn without_the_keeper() {
    let (house, client) = House::with_build().await;
    issue(&client, "build/a").await;
    page_with(&house, 1.0).await;
    Serving::signal(house.serving.child("keeper"), Signal::STOP);
    let text = page_with(&house, 0.0).await;
    assert!(text.ends_with("# EOF\n") && !text.contains("rootcellar_keeper_queue"), "{text}");
    Serving::signal(house.serving.child("keeper"), Signal::CONT);
    page_with(&house, 1.0).await;
}
