//! What the front measures, in the OpenMetrics text format. It names no caller; docs/metrics.md has a row for each.
//!
//! Counters and histograms are counted where things happen; gauges that can be read elsewhere are set when someone asks.

mod methods;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use http::StatusCode;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use methods::Methods;

/// The outcome of what was not refused.
pub(crate) const OK: &str = "OK";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfReason {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfResult {
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfLimit {
    limit: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfCode {
    code: u16,
}

/// What came of a handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Handshake {
    /// A caller of this cell.
    Done,
    /// TLS found fault with it, or the peer broke it off.
    Tls,
    /// Its certificate is nobody's here.
    Nobody,
    /// It did not go on, or its turn did not come.
    Timeout,
}

/// A limit for which connections are closed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// `connections`.
    Connections,
    /// `connections-per-caller`.
    OfOneCaller,
    /// `handshakes`, `handshakes-per-address`.
    Handshakes,
    /// A long answer was not read on for half a minute.
    Unread,
    /// The bounds of `crl-listen`, which are no keys.
    CrlConnections,
}

/// Something that is there for a time; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Held(Gauge);

/// Everything that is counted. Clones share it.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Measured>);

type Real = Gauge<f64, AtomicU64>;

struct Measured {
    registry: Registry,
    methods: Methods,
    handshakes: Family<OfResult, Counter>,
    closed: Family<OfLimit, Counter>,
    items: Family<OfReason, Counter>,
    crls: Family<OfCode, Counter>,
    gauges: Gauges,
}

#[derive(Default)]
struct Gauges {
    requests: Gauge,
    connections: Gauge,
    handshakes: Gauge,
    batches: Gauge,
    watchers: Gauge,
    door: Gauge,
    asks: Gauge,
    keeper: Gauge,
    days_left: Real,
}

/// What the gauges are set to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Whether the keeper answered just now.
    pub(crate) keeper_up: bool,
    /// Whether there is a door.
    pub(crate) door_open: bool,
    /// Asks that wait for the keeper.
    pub(crate) asks: usize,
    /// Seconds until the service's own certificate expires; 0 where there is none.
    pub(crate) certificate_secs: i64,
}

impl Metrics {
    /// Nothing has happened.
    pub(crate) fn new() -> Self {
        let mut measured = Measured {
            registry: Registry::with_prefix("rootcellar"),
            methods: Methods::new(),
            handshakes: Family::default(),
            closed: Family::default(),
            items: Family::default(),
            crls: Family::default(),
            gauges: Gauges::default(),
        };
        measured.register();
        measured.begin();
        Self(Arc::new(measured))
    }

    /// A request is under way until this is dropped.
    pub(crate) fn request(&self) -> Held {
        Held::of(&self.0.gauges.requests)
    }

    /// A request was answered; `reason` is [`OK`], or why not.
    pub(crate) fn answered(&self, path: &str, reason: &'static str, took: Duration) {
        self.0.methods.answered(path, reason, took);
    }

    /// An item of a batch was answered.
    pub(crate) fn item(&self, reason: &'static str) {
        self.0.items.get_or_create(&OfReason { reason }).inc();
    }

    /// A batch is open until this is dropped.
    pub(crate) fn batch(&self) -> Held {
        Held::of(&self.0.gauges.batches)
    }

    /// A watch of the bundle is open until this is dropped.
    pub(crate) fn watcher(&self) -> Held {
        Held::of(&self.0.gauges.watchers)
    }

    /// A connection is served until this is dropped.
    pub(crate) fn connection(&self) -> Held {
        Held::of(&self.0.gauges.connections)
    }

    /// A handshake is at work until this is dropped.
    pub(crate) fn shaking(&self) -> Held {
        Held::of(&self.0.gauges.handshakes)
    }

    /// A handshake ended.
    pub(crate) fn handshake(&self, result: Handshake) {
        self.0.handshakes.get_or_create(&result.label()).inc();
    }

    /// A connection was closed unserved.
    pub(crate) fn closed(&self, limit: Limit) {
        self.0.closed.get_or_create(&limit.label()).inc();
    }

    /// A request for a CRL was answered.
    pub(crate) fn crl(&self, status: StatusCode) {
        self.0.crls.get_or_create(&OfCode { code: status.as_u16() }).inc();
    }

    /// The whole as text, with its end.
    pub(crate) fn text(&self, now: Moment) -> String {
        self.0.gauges.set(now);
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.0.registry);
        text
    }
}

impl Measured {
    fn register(&mut self) {
        let Self { registry, methods, handshakes, closed, items, crls, gauges } = self;
        methods.register(registry);
        registry.register("front_handshakes", "TLS handshakes that ended", handshakes.clone());
        registry.register("front_closed", "Connections closed unserved for a limit", closed.clone());
        registry.register("front_batch_items", "Items of batches answered", items.clone());
        registry.register("front_crl_requests", "Requests for a CRL over HTTP answered", crls.clone());
        gauges.register(registry);
    }

    /// Counted from 0, so that the first is seen as one more.
    fn begin(&self) {
        for result in [Handshake::Done, Handshake::Tls, Handshake::Nobody, Handshake::Timeout] {
            drop(self.handshakes.get_or_create(&result.label()));
        }
        for limit in Limit::ALL {
            drop(self.closed.get_or_create(&limit.label()));
        }
        drop(self.crls.get_or_create(&OfCode { code: StatusCode::OK.as_u16() }));
        drop(self.items.get_or_create(&OfReason { reason: OK }));
    }
}

impl Gauges {
    fn register(&self, registry: &mut Registry) {
        let Self { requests, connections, handshakes, batches, watchers, door, asks, keeper, days_left } =
            self;
        registry.register("front_requests_in_flight", "Requests not answered yet", requests.clone());
        registry.register("front_connections", "Connections served", connections.clone());
        registry.register("front_handshakes_in_flight", "TLS handshakes at work", handshakes.clone());
        registry.register("front_batches", "Batches open", batches.clone());
        registry.register("front_watchers", "Watches of the trust bundle open", watchers.clone());
        registry.register("front_door_open", "1 while there is a door to the keeper", door.clone());
        registry.register("front_asks_in_flight", "Asks that the keeper has not answered yet", asks.clone());
        registry.register("keeper_up", "1 when the keeper answered this scrape", keeper.clone());
        registry.register(
            "front_certificate_days_left",
            "Days until the service's own certificate expires; 0 without one",
            days_left.clone(),
        );
    }

    fn set(&self, now: Moment) {
        self.door.set(now.door_open.into());
        self.asks.set(now.asks.try_into().unwrap_or(i64::MAX));
        self.keeper.set(now.keeper_up.into());
        self.days_left.set(days(now.certificate_secs));
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds far below 2^52")]
fn days(secs: i64) -> f64 {
    secs as f64 / 86_400.0
}

impl Held {
    fn of(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Handshake {
    fn label(self) -> OfResult {
        let result = match self {
            Self::Done => "ok",
            Self::Tls => "tls",
            Self::Nobody => "nobody",
            Self::Timeout => "timeout",
        };
        OfResult { result }
    }
}

impl Limit {
    const ALL: [Self; 5] =
        [Self::Connections, Self::OfOneCaller, Self::Handshakes, Self::Unread, Self::CrlConnections];

    fn label(self) -> OfLimit {
        let limit = match self {
            Self::Connections => "connections",
            Self::OfOneCaller => "connections-per-caller",
            Self::Unread => "unread-answer",
            Self::Handshakes => "handshakes",
            Self::CrlConnections => "crl-connections",
        };
        OfLimit { limit }
    }
}
