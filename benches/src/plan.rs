//! How long everything is measured, and how large: the whole, or so little that a test can run it.

use std::time::Duration;

/// Sizes and times of a run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How often a short measure is repeated; the median counts.
    pub(crate) rounds: usize,
    /// How long one takes.
    pub(crate) short: Duration,
    /// How long one round of the comparison at full size takes, with an empty journal and with a full one.
    pub(crate) long: Duration,
    /// Rounds of CPU time of one step, and calls in a round as a part of what is usual.
    pub(crate) step_rounds: usize,
    /// Likewise.
    pub(crate) step_share: u32,
    /// Certificates in the full journal.
    pub(crate) certificates: u64,
    /// How many of them are revoked.
    pub(crate) revoked: u64,
    /// Callers who only watch, each over a connection of its own.
    pub(crate) watchers: u16,
    /// Whether figures from a file system in memory are refused.
    pub(crate) real_disk: bool,
}

impl Plan {
    /// What the figures of docs/benchmarks.md come from.
    pub const FULL: Self = Self {
        rounds: 3,
        short: Duration::from_secs(3),
        long: Duration::from_secs(10),
        step_rounds: 31,
        step_share: 1,
        certificates: 1_000_000,
        revoked: 100_000,
        watchers: 500,
        real_disk: true,
    };

    /// Shows that it runs; its figures mean nothing.
    pub const QUICK: Self = Self {
        rounds: 1,
        short: Duration::from_millis(200),
        long: Duration::from_millis(200),
        step_rounds: 1,
        step_share: 100,
        certificates: 1_000,
        revoked: 100,
        watchers: 20,
        real_disk: false,
    };
}
