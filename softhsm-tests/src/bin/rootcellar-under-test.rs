//! The `rootcellar` program with a clock and chance that a test sets, and an end where a test wants it. No build of the product holds this file.
//!
//! `ROOTCELLAR_TEST_CLOCK` names a file with the milliseconds to add to the time, as if they had passed, and behind them those by which
//! the clock alone jumps. `ROOTCELLAR_TEST_KILL` names a file with a step ("8 sign"):
//! the process that reaches it takes the file away and kills itself. "8 sign#3" is the third time that one process reaches it. While the
//! file that `ROOTCELLAR_TEST_RANDOM` names is there, the system's random octets that the keeper draws are all the same.

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    let order = std::env::var_os("ROOTCELLAR_TEST_KILL");
    let reached = Mutex::new(HashMap::new());
    let probe = move |step: &'static str| {
        if let Some(order) = &order {
            let count = {
                let mut reached = reached.lock().unwrap_or_else(PoisonError::into_inner);
                *reached.entry(step).and_modify(|count| *count += 1).or_insert(1)
            };
            end_where_told(Path::new(order), step, count);
        }
    };
    let surroundings = cli::Surroundings {
        clock: Arc::new(|| now_unix_ms().saturating_add(moved_ms(0)).saturating_add(moved_ms(1))),
        boot: Arc::new(|| now_unix_ms().saturating_add(moved_ms(0))),
        random: Arc::new(|out| {
            if std::env::var_os("ROOTCELLAR_TEST_RANDOM").is_some_and(|file| Path::new(&file).exists()) {
                out.fill(0);
                return Ok(());
            }
            getrandom::fill(out).map_err(std::io::Error::other)
        }),
        probe: Arc::new(probe),
    };
    cli::main(std::env::args_os(), surroundings)
}

fn now_unix_ms() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the one place where this program reads the clock")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis());
    i64::try_from(now).unwrap_or(i64::MAX)
}

/// The number at this place of the clock's file; 0 where there is none.
fn moved_ms(place: usize) -> i64 {
    let added = std::env::var_os("ROOTCELLAR_TEST_CLOCK").and_then(|file| std::fs::read_to_string(file).ok());
    added.and_then(|text| text.split_whitespace().nth(place)?.parse().ok()).unwrap_or(0)
}

/// Ends the process as `kill -9` does, where the order says this step.
fn end_where_told(order: &Path, step: &str, count: usize) {
    let wanted = std::fs::read_to_string(order).unwrap_or_default();
    if wanted != step && wanted != format!("{step}#{count}") {
        return;
    }
    // Of several threads, and processes, one takes the order.
    if std::fs::remove_file(order).is_ok() {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}
