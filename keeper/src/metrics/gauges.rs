//! Gauges: what is set when someone asks.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::Named;

type Real = Gauge<f64, AtomicU64>;

#[derive(Default)]
pub(super) struct Gauges {
    queue: Gauge,
    pending: Gauge,
    entries: Gauge,
    checkpoint_entries: Gauge,
    checkpoint_age: Real,
    days_left: Family<Named, Real>,
    journal: Family<Named, Gauge>,
    disk_free: Gauge,
    crl_number: Gauge,
    crl_left: Real,
    revoked: Gauge,
    frozen: Family<Named, Gauge>,
    clock_wrong: Gauge,
}

/// What the gauges are set to.
pub(crate) struct Moment<'a> {
    /// Asks that wait.
    pub(crate) queue: usize,
    /// Certificates recorded and not yet signed.
    pub(crate) pending: usize,
    /// Entries of the log, and those that the newest checkpoint covers.
    pub(crate) entries: (u64, u64),
    /// Time since the newest checkpoint covered everything.
    pub(crate) checkpoint_age: Duration,
    /// Seconds until the issuer's and the root's certificate expire.
    pub(crate) issuer_secs: i64,
    /// Likewise.
    pub(crate) root_secs: i64,
    /// The data directory.
    pub(crate) dir: &'a Path,
    /// Bytes free on its disk.
    pub(crate) disk_free: u64,
    /// Number of the newest CRL and the seconds until its nextUpdate, where there is one.
    pub(crate) crl: Option<(u64, i64)>,
    /// Certificates revoked and not expired.
    pub(crate) revoked: u64,
    /// New identities are stopped; renewals are.
    pub(crate) stopped: (bool, bool),
    /// The clock is not trusted.
    pub(crate) clock_wrong: bool,
}

impl Gauges {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("queue", "Requests that wait for the sequencer", self.queue.clone());
        registry.register("pending", "Certificates recorded and not yet signed", self.pending.clone());
        registry.register("log_entries", "Entries of the log", self.entries.clone());
        registry.register(
            "checkpoint_entries",
            "Entries that the newest checkpoint covers",
            self.checkpoint_entries.clone(),
        );
        registry.register_with_unit(
            "checkpoint_age",
            "Time for which entries have had no checkpoint over them",
            Unit::Seconds,
            self.checkpoint_age.clone(),
        );
        registry.register(
            "certificate_days_left",
            "Days until a CA certificate expires",
            self.days_left.clone(),
        );
        registry.register_with_unit(
            "journal_size",
            "Size of the journal's files",
            Unit::Bytes,
            self.journal.clone(),
        );
        registry.register_with_unit(
            "disk_free",
            "Room on the journal's disk",
            Unit::Bytes,
            self.disk_free.clone(),
        );
        registry.register("crl_number", "Number of the newest CRL", self.crl_number.clone());
        registry.register_with_unit(
            "crl_left",
            "Time until the newest CRL's nextUpdate",
            Unit::Seconds,
            self.crl_left.clone(),
        );
        registry.register("revoked", "Certificates revoked and not expired", self.revoked.clone());
        registry.register("clock_wrong", "1 while the clock is not trusted", self.clock_wrong.clone());
        registry.register("stopped", "1 while officers have stopped this", self.frozen.clone());
    }

    pub(super) fn set(&self, now: &Moment<'_>) {
        self.queue.set(signed(now.queue));
        self.pending.set(signed(now.pending));
        self.entries.set(signed(now.entries.0));
        self.checkpoint_entries.set(signed(now.entries.1));
        self.checkpoint_age.set(now.checkpoint_age.as_secs_f64());
        for (name, secs) in [("issuer", now.issuer_secs), ("root", now.root_secs)] {
            self.days_left.get_or_create(&Named { name }).set(real(secs) / 86_400.0);
        }
        for (name, file) in [("database", "journal.sqlite"), ("write_ahead_log", "journal.sqlite-wal")] {
            let length = std::fs::metadata(now.dir.join(file)).map_or(0, |file| file.len());
            self.journal.get_or_create(&Named { name }).set(signed(length));
        }
        self.disk_free.set(signed(now.disk_free));
        if let Some((number, left)) = now.crl {
            self.crl_number.set(signed(number));
            self.crl_left.set(real(left));
        }
        self.revoked.set(signed(now.revoked));
        self.clock_wrong.set(i64::from(now.clock_wrong));
        for (name, stopped) in [("new", now.stopped.0), ("renewals", now.stopped.1)] {
            self.frozen.get_or_create(&Named { name }).set(i64::from(stopped));
        }
    }
}

fn signed(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "seconds far below 2^52")]
fn real(secs: i64) -> f64 {
    secs as f64
}
