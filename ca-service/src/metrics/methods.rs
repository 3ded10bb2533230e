//! Requests by method: one entry for each method that there is, and one for every path that is none.

use std::{collections::HashMap, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use prost::Message;
use prost_types::FileDescriptorSet;
use proto::DESCRIPTORS;
use tonic_health::pb::FILE_DESCRIPTOR_SET as HEALTH;
use tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET as REFLECTION;

use super::OK;

/// The smallest bucket of a request's time, in seconds, and how many there are, each twice the one before: 0.5 ms to 16 s.
const BUCKETS: (f64, u16) = (0.000_5, 16);

/// What stands for every path that is no method's: labels are bounded, whatever callers send.
const OTHER: &str = "other";

/// What every name of ours begins with; labels are told without it.
const PACKAGE: &str = "rootcellar.v1.";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfRequest {
    method: String,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfMethod {
    method: String,
}

/// Every method.
pub(super) struct Methods {
    requests: Family<OfRequest, Counter>,
    times: Family<OfMethod, Histogram>,
    by_path: HashMap<String, Method>,
    other: Method,
}

/// One of them, with what is counted at every request.
struct Method {
    label: String,
    ok: Counter,
    time: Histogram,
}

impl Methods {
    /// Each is counted from 0, so that its first request is seen as one more.
    pub(super) fn new() -> Self {
        let requests = Family::default();
        let times = Family::new_with_constructor(histogram as fn() -> Histogram);
        let by_path = paths().map(|path| {
            let label = path.trim_start_matches('/').trim_start_matches(PACKAGE).to_owned();
            (path, Method::new(label, &requests, &times))
        });
        let by_path = by_path.collect();
        let other = Method::new(OTHER.to_owned(), &requests, &times);
        Self { requests, times, by_path, other }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let Self { requests, times, by_path: _, other: _ } = self;
        registry.register("front_requests", "Requests answered", requests.clone());
        registry.register_with_unit(
            "front_request",
            "Time from a request to its answer, of a stream to its beginning",
            Unit::Seconds,
            times.clone(),
        );
    }

    /// A request was answered.
    pub(super) fn answered(&self, path: &str, reason: &'static str, took: Duration) {
        let method = self.by_path.get(path).unwrap_or(&self.other);
        method.time.observe(took.as_secs_f64());
        if reason == OK {
            method.ok.inc();
        } else {
            self.requests.get_or_create(&OfRequest { method: method.label.clone(), reason }).inc();
        }
    }
}

impl Method {
    fn new(
        label: String,
        requests: &Family<OfRequest, Counter>,
        times: &Family<OfMethod, Histogram>,
    ) -> Self {
        let ok = requests.get_or_create_owned(&OfRequest { method: label.clone(), reason: OK });
        let time = times.get_or_create_owned(&OfMethod { method: label.clone() });
        Self { label, ok, time }
    }
}

fn histogram() -> Histogram {
    Histogram::new(exponential_buckets(BUCKETS.0, 2.0, BUCKETS.1))
}

/// "/rootcellar.v1.TrustService/GetTrustBundle" and every other, from the descriptors that reflection hands out.
fn paths() -> impl Iterator<Item = String> {
    let sets = [DESCRIPTORS, HEALTH, REFLECTION];
    // They are compiled in; a test reads them.
    let files =
        sets.into_iter().filter_map(|set| FileDescriptorSet::decode(set).ok()).flat_map(|set| set.file);
    files.flat_map(|file| {
        let package = file.package.unwrap_or_default();
        file.service.into_iter().flat_map(move |service| {
            let service_name = format!("/{package}.{}", service.name.unwrap_or_default());
            let names = service.method.into_iter().map(|method| method.name.unwrap_or_default());
            names.map(move |method| format!("{service_name}/{method}"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_known_and_no_other_path() {
        let known: Vec<String> = paths().collect();
        for path in [
            "/rootcellar.v1.IssuanceService/BatchIssueCertificates",
            "/grpc.health.v1.Health/Check",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        ] {
            assert!(known.iter().any(|known| known == path), "{path}: {known:?}");
        }
        let methods = Methods::new();
        let before = methods.requests.clone();
        for path in ["/x", "/y", "/rootcellar.v1.TrustService/Nothing"] {
            methods.answered(path, OK, Duration::ZERO);
        }
        let label = OfRequest { method: OTHER.into(), reason: OK };
        assert_eq!(before.get_or_create(&label).get(), 3);
    }
}
