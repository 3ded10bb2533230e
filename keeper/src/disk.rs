//! How much room the disk of the journal has. What is left below a floor is for what takes away: revocations, acts of officers, lists.
//!
//! New identities stop at the floor, renewals at half of it, what callers take away at a quarter: a cell whose disk fills up shrinks before it ends, and
//! what is left then is for officers and the service itself.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proto::v1::Reason;

use crate::refusal::Refusal;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);
/// When another try is worth while, in milliseconds.
const RETRY_MS: u32 = 60_000;

/// The disk. Owned by the sequencer.
pub(crate) struct Disk {
    dir: PathBuf,
    /// Bytes.
    floor: u64,
    room: Room,
    looked: Option<Instant>,
}

/// What was free when it was last looked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Bytes.
    free: u64,
    floor: u64,
}

/// What the room is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A new identity, or more for one that there is.
    New,
    /// The next certificate of one.
    Renewal,
    /// A caller's end of something.
    End,
}

impl Disk {
    /// The one that `dir` is on.
    pub(crate) fn new(dir: &Path, floor: u64) -> Self {
        Self { dir: dir.to_owned(), floor, room: Room { free: u64::MAX, floor }, looked: None }
    }

    /// Looks, where it has not for a while. `true` when there has just come to be less than the floor.
    pub(crate) fn look(&mut self, now: Instant) -> bool {
        if self.looked.is_some_and(|looked| now.duration_since(looked) < LOOK) {
            return false;
        }
        self.looked = Some(now);
        // A disk that does not say how full it is says so when it is written to.
        let Ok(disk) = rustix::fs::statvfs(&self.dir) else { return false };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let was_low = self.room.is_low();
        self.room = Room { free, floor: self.floor };
        self.room.is_low() && !was_low
    }

    /// What was free when it was last looked.
    pub(crate) fn room(&self) -> Room {
        self.room
    }
}

impl Room {
    /// Bytes that are free.
    pub(crate) fn free(self) -> u64 {
        self.free
    }

    /// Whether nothing new is taken.
    pub(crate) fn is_low(self) -> bool {
        self.free < self.floor
    }

    /// # Errors
    /// [`Reason::DiskLow`].
    pub(crate) fn demand(self, wanted: Wanted) -> Result<(), Refusal> {
        let (least, what) = match wanted {
            Wanted::New => (self.floor, "no new identity"),
            Wanted::Renewal => (self.floor / 2, "no renewal"),
            Wanted::End => (self.floor / 4, "nothing but what officers do"),
        };
        if self.free >= least {
            return Ok(());
        }
        let message = format!(
            "the service's disk is nearly full: {what}, so that revocations and stops go on; its operator makes room"
        );
        Err(Refusal::new(Reason::DiskLow, message).retry(RETRY_MS))
    }
}

impl std::fmt::Display for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} MiB are free on the journal's disk, less than the floor of {} MiB: no new identity, and no renewal below half of that",
            self.free >> 20,
            self.floor >> 20
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_stops_first_and_what_is_renewed_then() {
        for (free, new, renewal) in
            [(200, true, true), (100, true, true), (99, false, true), (49, false, false)]
        {
            let room = Room { free, floor: 100 };
            assert_eq!(room.demand(Wanted::New).is_ok(), new, "{free}");
            assert_eq!(room.demand(Wanted::Renewal).is_ok(), renewal, "{free}");
            assert_eq!(room.is_low(), !new, "{free}");
        }
        assert!(Room { free: 0, floor: 0 }.demand(Wanted::New).is_ok(), "no floor");
    }

    #[test]
    fn it_says_once_that_it_is_low() {
        let dir = tempfile::tempdir().unwrap();
        let now = Instant::now();
        let mut full = Disk::new(dir.path(), u64::MAX);
        assert!(full.look(now) && !full.look(now + LOOK), "once");
        let mut ample = Disk::new(dir.path(), 1);
        assert!(!ample.look(now) && ample.room().free() > 1);
    }
}
