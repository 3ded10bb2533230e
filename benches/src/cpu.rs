//! The time that this process spends computing, which a busy machine does not lengthen.

use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Rounds of a measurement; its result is the median of them.
const ROUNDS: usize = 31;

/// CPU time of this process and all its threads since it started.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
    seconds + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

/// The median CPU time of one call, in microseconds, over rounds of `calls`.
pub(crate) fn median_us<T>(calls: u32, call: impl Fn() -> T) -> f64 {
    // Once before: caches, tables made at the first use.
    black_box(call());
    let mut rounds: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let before = spent();
            for _ in 0..calls {
                black_box(call());
            }
            spent().saturating_sub(before) / calls
        })
        .collect();
    rounds.sort_unstable();
    rounds.get(ROUNDS / 2).map_or(0.0, Duration::as_secs_f64) * 1e6
}
