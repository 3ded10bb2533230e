//! The `rootcellar` binary. Everything it does is in the library; here it gets its arguments and the time.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rootcellar_cli::Surroundings;
use rustix::time::{ClockId, clock_gettime};

fn main() -> ExitCode {
    let surroundings = Surroundings {
        clock: Arc::new(now_unix_ms),
        boot: Arc::new(since_start_ms),
        random: Arc::new(|out| getrandom::fill(out).map_err(std::io::Error::other)),
        probe: Arc::new(|_step| {}),
    };
    rootcellar_cli::main(std::env::args_os(), surroundings)
}

/// Milliseconds since 1970-01-01T00:00:00Z. A clock before that reads as 0: every certificate is then not yet valid.
#[expect(clippy::disallowed_methods, reason = "the one place where the process reads the system's clock")]
fn now_unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds since the machine started, suspends included (clock_gettime(2)).
fn since_start_ms() -> i64 {
    let since = clock_gettime(ClockId::Boottime);
    since.tv_sec.saturating_mul(1000).saturating_add(since.tv_nsec / 1_000_000)
}
