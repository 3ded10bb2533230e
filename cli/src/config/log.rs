//! `[log]`: how much is said, and in which form.

use std::str::FromStr;

use tracing::Level;

use super::file::File;

#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) level: Level,
    pub(super) format: LogFormat,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Log {
    pub(super) fn read(file: &mut File<'_>) -> Option<Self> {
        let level: Option<Named> = file.value("log.level", "info");
        let format = file.value("log.format", "auto");
        Some(Self { level: level?.0, format: format? })
    }
}

/// A level by its name; `Level` itself also takes numbers.
struct Named(Level);

#[derive(Debug, thiserror::Error)]
#[error("is not one of {0}")]
pub(crate) struct NotOneOf(&'static str);

impl FromStr for Named {
    type Err = NotOneOf;

    fn from_str(text: &str) -> Result<Self, NotOneOf> {
        Ok(Self(match text {
            "error" => Level::ERROR,
            "warn" => Level::WARN,
            "info" => Level::INFO,
            "debug" => Level::DEBUG,
            "trace" => Level::TRACE,
            _ => return Err(NotOneOf("error, warn, info, debug, trace")),
        }))
    }
}

impl FromStr for LogFormat {
    type Err = NotOneOf;

    fn from_str(text: &str) -> Result<Self, NotOneOf> {
        Ok(match text {
            "auto" => Self::Auto,
            "text" => Self::Text,
            "json" => Self::Json,
            _ => return Err(NotOneOf("auto, text, json")),
        })
    }
}
