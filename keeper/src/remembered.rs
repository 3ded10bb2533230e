//! What the clock was trusted to be, kept in a file over restarts: wall clock less the time since the machine started, and of which start. A process
//! that begins under a wrong clock would else have nothing to hold it against.
//!
//! Whoever writes the file makes a keeper ask officers whether its clock is right, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use sys::durable;

/// Name of the file in the data directory.
const FILE_NAME: &str = "clock";
/// Octets of it at most.
const LENGTH_MAX: u64 = 256;
/// Which start of the machine this is (proc(5), random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// How far the clock moves until that is remembered, in milliseconds: it is slewed all the time.
const MOVED_MS: i64 = 1000;

/// The file, and what it says.
pub(crate) struct Remembered {
    path: PathBuf,
    boot_id: String,
    offset_ms: Option<i64>,
}

impl Remembered {
    /// Reads it. What it says of another start of the machine is nothing, as is what nobody can read.
    pub(crate) fn read(dir: &Path) -> Self {
        let path = dir.join(FILE_NAME);
        let boot_id = fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
        let text = durable::read(&path, LENGTH_MAX).ok().and_then(|text| String::from_utf8(text).ok());
        let offset_ms = text.and_then(|text| {
            let (of, offset_ms) = text.trim().split_once(' ')?;
            (of == boot_id && !boot_id.is_empty()).then(|| offset_ms.parse().ok()).flatten()
        });
        Self { path, boot_id, offset_ms }
    }

    /// Wall clock less the time since the machine started, in milliseconds, as it was trusted; none where that is not known of this start.
    pub(crate) fn offset_ms(&self) -> Option<i64> {
        self.offset_ms
    }

    /// Keeps what is trusted now, where it has moved.
    pub(crate) fn keep(&mut self, offset_ms: i64) {
        if self.offset_ms.is_some_and(|known| known.saturating_sub(offset_ms).saturating_abs() < MOVED_MS) {
            return;
        }
        self.offset_ms = Some(offset_ms);
        let text = format!("{} {offset_ms}\n", self.boot_id);
        if let Err(error) = durable::replace(&self.path, text.as_bytes(), 0o600) {
            tracing::warn!(
                cause = error.to_string(),
                "what the clock is trusted to be is not kept over a restart"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_for_this_start_of_the_machine_alone() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Remembered::read(dir.path());
        assert_eq!(first.offset_ms(), None);
        first.keep(5_000_000);
        first.keep(5_000_500);
        assert_eq!(Remembered::read(dir.path()).offset_ms(), Some(5_000_000), "it has hardly moved");
        first.keep(-7);
        assert_eq!(Remembered::read(dir.path()).offset_ms(), Some(-7));
        for strange in ["another-start 5\n", "", "x", "\u{ff}\u{ff}"] {
            fs::write(dir.path().join(FILE_NAME), strange).unwrap();
            assert_eq!(Remembered::read(dir.path()).offset_ms(), None, "{strange}");
        }
    }
}
