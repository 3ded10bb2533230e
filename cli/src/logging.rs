//! The log: what a process says while it runs, on standard error.

use std::io::IsTerminal as _;

use tracing::Level;
use tracing_subscriber::filter::LevelFilter;

use crate::config::LogFormat;

/// Starts the log of this process. A second call changes nothing.
pub(crate) fn start(level: Level, format: LogFormat) {
    let terminal = std::io::stderr().is_terminal();
    let base = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
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
