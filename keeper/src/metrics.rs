//! What the keeper measures, in the OpenMetrics text format. It names no caller (DESIGN §8); docs/metrics.md has a row for each.
//!
//! Counters and histograms are counted where things happen; gauges are set when someone asks.

mod gauges;

use std::sync::Arc;
use std::time::Duration;

use hsm_config::{Fault, TokenError};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use proto::v1::Reason;

use gauges::Gauges;
pub(crate) use gauges::Moment;

/// The smallest bucket of a time, in seconds, and how many there are, each twice the one before: 10 µs to 10 s.
const BUCKETS: (f64, u16) = (0.000_01, 21);

/// Parts of an issuance that take time: steps 3 to 6 are planned together, 7 and 10 are a batch's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Steps 3 to 6 of one request.
    Plan,
    /// Step 7: a batch's commit to the disk.
    Record,
    /// Step 8.
    Sign,
    /// Step 9.
    Verify,
    /// Step 10: a batch's commit of signatures alone, to the disk.
    Store,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfStep {
    step: &'static str,
}

/// Calls into the module.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    /// `C_Sign`.
    Sign,
    /// `C_GenerateRandom`.
    Random,
    /// The attributes of the keys read back.
    Check,
    /// What a custody manifest says.
    Observe,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfCall {
    call: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Named {
    name: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfReason {
    reason: &'static str,
}

/// Everything that is counted. Clones share it.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Measured>);

struct Measured {
    registry: Registry,
    steps: Family<OfStep, Histogram>,
    calls: Family<OfCall, Counter>,
    recoveries: Family<Named, Counter>,
    refusals: Family<OfReason, Counter>,
    alarms: Family<Named, Counter>,
    issued: Counter,
    abandoned: Counter,
    discarded: Family<Named, Counter>,
    gauges: Gauges,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let times = || Histogram::new(exponential_buckets(BUCKETS.0, 2.0, BUCKETS.1));
        let mut measured = Measured {
            registry: Registry::with_prefix("rootcellar_keeper"),
            steps: Family::new_with_constructor(times),
            calls: Family::default(),
            recoveries: Family::default(),
            refusals: Family::default(),
            alarms: Family::default(),
            issued: Counter::default(),
            abandoned: Counter::default(),
            discarded: Family::default(),
            gauges: Gauges::default(),
        };
        measured.register();
        // Told from the start: an alert on a metric that is not there does not fire.
        for name in [
            "key_in_use",
            "older_certificate_renews",
            "no_crl",
            "journal_damaged",
            "entropy_failed",
            "custody_differs",
            "root_token_visible",
            "disk_low",
        ] {
            let _ = measured.alarms.get_or_create(&Named { name });
        }
        for name in ["session", "login", "key"] {
            let _ = measured.recoveries.get_or_create(&Named { name });
        }
        for name in ["token", "system"] {
            let _ = measured.discarded.get_or_create(&Named { name });
        }
        Self(Arc::new(measured))
    }

    /// A step took so long.
    pub(crate) fn step(&self, step: Step, took: Duration) {
        let step = match step {
            Step::Plan => "plan",
            Step::Record => "record",
            Step::Sign => "sign",
            Step::Verify => "verify",
            Step::Store => "store",
        };
        self.0.steps.get_or_create(&OfStep { step }).observe(took.as_secs_f64());
    }

    /// A call into the module ended.
    pub(crate) fn call<T>(&self, call: Call, outcome: &Result<T, TokenError>) {
        let result = match outcome {
            Ok(_) => "ok",
            Err(error) => match error.fault() {
                Fault::Session => "session",
                Fault::Login => "login",
                Fault::Handle => "handle",
                Fault::Module => "module",
                Fault::Pin => "pin",
                Fault::Request => "request",
            },
        };
        let call = match call {
            Call::Sign => "sign",
            Call::Random => "random",
            Call::Check => "check",
            Call::Observe => "observe",
        };
        self.0.calls.get_or_create(&OfCall { call, result }).inc();
    }

    /// A rung of the recovery ladder was taken.
    pub(crate) fn recovery(&self, rung: &'static str) {
        self.0.recoveries.get_or_create(&Named { name: rung }).inc();
    }

    /// A request was refused.
    pub(crate) fn refusal(&self, reason: Reason) {
        self.0.refusals.get_or_create(&OfReason { reason: reason.code() }).inc();
        // These two mean that someone has what is another's.
        if let Reason::CertificateNotNewest | Reason::KeyInUse = reason {
            self.alarm(if reason == Reason::KeyInUse { "key_in_use" } else { "older_certificate_renews" });
        }
    }

    /// Something happened that a person must look at.
    pub(crate) fn alarm(&self, name: &'static str) {
        self.0.alarms.get_or_create(&Named { name }).inc();
    }

    /// Random numbers of a source were discarded.
    pub(crate) fn discarded(&self, name: &'static str) {
        self.0.discarded.get_or_create(&Named { name }).inc();
    }

    /// A certificate was signed and stored.
    pub(crate) fn issued(&self) {
        self.0.issued.inc();
    }

    /// So many certificates were recorded and are never signed.
    pub(crate) fn abandoned(&self, certificates: usize) {
        self.0.abandoned.inc_by(certificates as u64);
    }

    /// The whole as text.
    pub(crate) fn text(&self, now: &Moment<'_>) -> String {
        self.0.gauges.set(now);
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.0.registry);
        text
    }
}

impl Measured {
    fn register(&mut self) {
        let Self {
            registry,
            steps,
            calls,
            recoveries,
            refusals,
            alarms,
            issued,
            abandoned,
            discarded,
            gauges,
        } = self;
        registry.register_with_unit(
            "step",
            "Time of a step: plan (3 to 6), record (7, a batch), sign (8), verify (9), store (10, a batch)",
            Unit::Seconds,
            steps.clone(),
        );
        registry.register("token_calls", "Calls into the PKCS#11 module by result", calls.clone());
        registry.register("token_recoveries", "Rungs of the recovery ladder taken", recoveries.clone());
        registry.register("refusals", "Requests refused by the keeper", refusals.clone());
        registry.register("alarms", "What a person must look at", alarms.clone());
        registry.register("certificates_issued", "Certificates signed, verified and stored", issued.clone());
        registry.register(
            "certificates_abandoned",
            "Certificates recorded and never signed: a crash left them, or the token refused",
            abandoned.clone(),
        );
        registry.register(
            "entropy_discarded",
            "Random numbers discarded because a health test of their source failed",
            discarded.clone(),
        );
        gauges.register(registry);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_text_has_what_was_counted() {
        let metrics = Metrics::new();
        metrics.step(Step::Sign, Duration::from_micros(80));
        metrics.refusal(Reason::KeyInUse);
        metrics.call(Call::Sign, &Ok::<(), TokenError>(()));
        let text = metrics.text(&Moment {
            queue: 0,
            pending: 2,
            entries: (10, 9),
            checkpoint_age: Duration::from_secs(1),
            issuer_secs: 86_400,
            root_secs: 2 * 86_400,
            dir: Path::new("/nowhere"),
            disk_free: 5,
            crl: Some((3, 100)),
            revoked: 1,
            stopped: (true, false),
            clock_wrong: false,
        });
        for line in [
            "rootcellar_keeper_step_seconds_count{step=\"sign\"} 1",
            "rootcellar_keeper_refusals_total{reason=\"KEY_IN_USE\"} 1",
            "rootcellar_keeper_alarms_total{name=\"key_in_use\"} 1",
            "rootcellar_keeper_token_calls_total{call=\"sign\",result=\"ok\"} 1",
            "rootcellar_keeper_pending 2",
            "rootcellar_keeper_certificate_days_left{name=\"issuer\"} 1.0",
            "rootcellar_keeper_stopped{name=\"new\"} 1",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
