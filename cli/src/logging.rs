//! The log: what a process says while it runs, on standard error.

use std::io::IsTerminal as _;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::Level;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;

use crate::config::LogFormat;

/// Lines of a service that wait to be written: a reader that pauses for a moment loses none.
const WAITING: usize = 16_384;
/// How often it is said that lines were lost.
const LOST_EVERY: Duration = Duration::from_secs(10);

/// What writes the log of a service.
static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// Starts the log of a command: each line is written before it goes on. A second call changes nothing.
pub(crate) fn start(level: Level, format: LogFormat) {
    init(level, format, std::io::stderr);
}

/// Starts the log of a service, which waits for nobody who reads it: lines beyond [`WAITING`] are lost, and how many is said. [`finish`] writes
/// what waits.
pub(crate) fn start_of_service(level: Level, format: LogFormat) {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING)
        .thread_name("log")
        .finish(std::io::stderr());
    let lost = writer.error_counter();
    *WRITER.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
    init(level, format, writer);
    std::thread::spawn(move || tell_lost(&lost));
}

/// Writes what waits, where somebody reads it.
pub(crate) fn finish() {
    drop(WRITER.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// Says now and then how many lines were lost since the last time. Never returns.
fn tell_lost(lost: &ErrorCounter) {
    let mut told = 0;
    let (_nobody, nothing) = mpsc::channel::<()>();
    while let Err(RecvTimeoutError::Timeout) = nothing.recv_timeout(LOST_EVERY) {
        let lines = lost.dropped_lines();
        if lines > told {
            tracing::warn!(lines = lines - told, "lines of the log were lost: nobody read them in time");
            told = lines;
        }
    }
}

fn init<W>(level: Level, format: LogFormat, writer: W)
where
    W: for<'w> tracing_subscriber::fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    let terminal = std::io::stderr().is_terminal();
    let base = tracing_subscriber::fmt()
        .with_writer(writer)
        .with_max_level(LevelFilter::from_level(level))
        .with_ansi(terminal && std::env::var_os("NO_COLOR").is_none());
    let json = match format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    };
    // Only the first one counts: tests start several commands in one process.
    let _started = if json { base.json().try_init() } else { base.try_init() };
}
