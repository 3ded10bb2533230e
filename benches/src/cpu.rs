//! Time that processes spend computing, which a busy machine does not lengthen.

use std::hint::black_box;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

use crate::Failed;

/// CPU time of this process and all its threads since it started.
pub(crate) fn spent() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
    seconds + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

/// CPU time of another process since it started, to a tick of the clock: some 10 ms.
///
/// # Errors
/// There is none.
pub(crate) fn spent_by(pid: u32) -> Result<Duration, Failed> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // proc_pid_stat(5): the name may hold spaces and parentheses; utime and stime are fields 14 and 15.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks.saturating_mul(1000) / clock_ticks_per_second().max(1)))
}

/// The median of the CPU time of one call, in microseconds, over rounds of `calls`.
pub(crate) fn median_us<T>(rounds: usize, calls: u32, call: impl Fn() -> T) -> f64 {
    // Once before: caches, tables made at the first use.
    black_box(call());
    let rounds = (0..rounds).map(|_| {
        let before = spent();
        for _ in 0..calls {
            black_box(call());
        }
        micros(spent().saturating_sub(before), calls)
    });
    median(rounds.collect())
}

/// Microseconds of each of so many.
pub(crate) fn micros(time: Duration, of: impl Into<f64>) -> f64 {
    time.as_secs_f64() * 1e6 / of.into()
}

/// The middle value; 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
