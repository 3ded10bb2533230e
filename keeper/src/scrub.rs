//! Looks for damage, and for what someone else wrote, before it is acted on: reads the whole journal again and again, a page at a time, as a
//! start does at once ([`Pass`]). What need not be kept any more it tells the sequencer.
//!
//! Does not: mend, or look at what no checkpoint covers yet.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use certs::ObjectIdentifier;
use crossbeam_channel::Sender;
use ledger::tree::TILE_WIDTH;

use rusqlite::InterruptHandle;

use crate::command::Command;
use crate::journal::{Journal, JournalError, JournalFile, Pass, Reader};
use crate::shared::Shared;

/// Time between two pages: a thousand entries a second; a million entries in a quarter of an hour.
const EVERY: Duration = Duration::from_millis(250);
/// Longest that all pages which are left may take by that: a log that grows faster than a thousand a second is read faster.
const PASS_MAX: Duration = Duration::from_secs(900);
/// Least time between the beginnings of two passes: a short log is read so often, not without end.
const REST: Duration = Duration::from_secs(2);

/// How much longer than at the start it may take to compare the whole: callers are served beside it.
const SLOWER: u32 = 10;

/// How long the journal may not be read to its end before that counts as damage: whoever keeps it from being read may do more.
const UNREAD_MAX: Duration = Duration::from_secs(60);

/// That it goes on: who writes the file may put a tree without an end there.
#[derive(Clone)]
pub(crate) struct Heartbeat(Arc<Beat>);

struct Beat {
    began: Instant,
    /// When it came by something last, in milliseconds since it began.
    last: AtomicU64,
    /// What it does then is broken off by this.
    reading: InterruptHandle,
}

impl Heartbeat {
    fn of(reading: InterruptHandle) -> Self {
        Self(Arc::new(Beat { began: Instant::now(), last: AtomicU64::new(0), reading }))
    }

    fn beat(&self) {
        let now = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.store(now, Ordering::Relaxed);
    }

    /// For how long it has come by nothing, where that is longer than it may: the whole was verified in this time before.
    pub(crate) fn is_silent(&self, verified_in: Duration) -> Option<Duration> {
        let last = Duration::from_millis(self.0.last.load(Ordering::Relaxed));
        Some(self.0.began.elapsed().saturating_sub(last)).filter(|silent| *silent > silence_max(verified_in))
    }

    /// Breaks off what it does: the write-ahead log cannot begin anew behind a reader.
    pub(crate) fn interrupt(&self) {
        self.0.reading.interrupt();
    }
}

/// Starts the thread. It ends with the sequencer, or when it has found damage.
///
/// # Errors
/// A connection cannot be opened.
pub(crate) fn start(
    source: &JournalFile,
    dir: &Path,
    attributes_oid: ObjectIdentifier,
    done: Sender<Command>,
    shared: Shared,
) -> Result<Heartbeat, JournalError> {
    let connection = source.open()?;
    let heartbeat = Heartbeat::of(connection.raw().get_interrupt_handle());
    let beats = heartbeat.clone();
    let path = Journal::path(dir);
    let file = FileId::of(&path)?;
    thread::spawn(move || {
        let reader = Reader::owning(connection);
        let mut unread: Option<Instant> = None;
        loop {
            let rested = crossbeam_channel::after(REST);
            let began = shared.clock_settings();
            let passed = pass(&reader, attributes_oid, &done, &beats, &mut unread)
                .and_then(|()| shared.lists.demand(&reader))
                .and_then(|()| file.demand(&path));
            match passed {
                Ok(()) => unread = None,
                // Officers set the clock right: the pass had gone by one that was wrong.
                Err(_) if shared.clock_settings() != began => continue,
                Err(damage)
                    if damage.is_damage() || unread.is_some_and(|since| since.elapsed() > UNREAD_MAX) =>
                {
                    tracing::error!(alarm = "journal-damaged", cause = damage.to_string(), "the journal");
                    let _ = done.send(Command::Damaged(damage.into()));
                    return;
                }
                Err(error) => {
                    unread.get_or_insert_with(Instant::now);
                    tracing::warn!(cause = error.to_string(), "the journal could not be read: trying again");
                }
            }
            beats.beat();
            let _ = rested.recv();
        }
    });
    Ok(heartbeat)
}

/// Which file the journal is. What lies under its name later may be another: the keeper writes on to the one that nobody finds any more.
#[derive(Clone, Copy, PartialEq)]
struct FileId(u64, u64);

impl FileId {
    fn of(path: &Path) -> Result<Self, JournalError> {
        let found = std::fs::metadata(path).map_err(JournalError::of_file(path))?;
        Ok(Self(found.dev(), found.ino()))
    }

    /// # Errors
    /// It is another.
    fn demand(self, path: &Path) -> Result<(), JournalError> {
        match Self::of(path) {
            Ok(now) if now == self => Ok(()),
            _ => Err(JournalError::Corrupt("another file has its name, or none".into())),
        }
    }
}

/// How long it may come by nothing.
fn silence_max(verified_in: Duration) -> Duration {
    UNREAD_MAX.max(verified_in.saturating_mul(SLOWER))
}

/// How long to wait for the next page where so many entries are left.
fn pause(left: u64) -> Duration {
    let pages = u32::try_from(left / u64::from(TILE_WIDTH)).unwrap_or(u32::MAX).max(1);
    EVERY.min(PASS_MAX / pages)
}

/// Reads the whole once; `unread` is since when nothing could be read.
///
/// # Errors
/// It is not what it must be, or cannot be read.
fn pass(
    reader: &Reader<'_>,
    attributes_oid: ObjectIdentifier,
    sequencer: &Sender<Command>,
    beats: &Heartbeat,
    unread: &mut Option<Instant>,
) -> Result<(), JournalError> {
    let mut pass = Pass::begin(reader, attributes_oid, None)?;
    while pass.advance(reader)? > 0 {
        *unread = None;
        beats.beat();
        let ended = pass.take_ended();
        if !ended.is_empty() {
            let _ = sequencer.send(Command::Ended(ended));
        }
        let _ = crossbeam_channel::after(pause(reader.size()?.saturating_sub(pass.size()))).recv();
    }
    // The tables are compared as of one moment.
    reader.within(|reader| pass.finish(reader)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_in_the_file_is_seen_within_a_minute_or_ten_times_what_a_start_took() {
        assert_eq!(silence_max(Duration::from_secs(1)), Duration::from_secs(60));
        assert_eq!(silence_max(Duration::from_secs(40)), Duration::from_secs(400));
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let heartbeat = Heartbeat::of(connection.get_interrupt_handle());
        assert_eq!(heartbeat.is_silent(Duration::ZERO), None);
        // A tree without end, as somebody may write one: it is broken off.
        let breaks_off = thread::spawn(move || {
            let _ = crossbeam_channel::after(Duration::from_millis(100)).recv();
            heartbeat.interrupt();
        });
        let endless =
            "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r";
        let broken_off = connection.query_row(endless, [], |_| Ok(())).unwrap_err();
        assert_eq!(broken_off.sqlite_error_code(), Some(rusqlite::ErrorCode::OperationInterrupted));
        breaks_off.join().unwrap();
    }

    #[test]
    fn a_long_log_is_read_as_fast_as_it_must_be() {
        assert_eq!((pause(0), pause(100_000)), (EVERY, EVERY));
        let long = pause(50_000_000);
        assert!(long < Duration::from_millis(5) && long > Duration::ZERO, "{long:?}");
    }
}
