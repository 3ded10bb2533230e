//! Whether the clock is to be trusted: held against the time since the machine started, and against the newest entry.
//!
//! A clock that jumps is refused until it is right again, or has stayed for a while, or officers confirm it. Nothing is recorded meanwhile:
//! so a glitch forward leaves no entry of a time to come, which would make every time after it look like the past.

use proto::v1::Reason;

use crate::Clock;
use crate::refusal::Refusal;

/// How far the clock may be from what the time since the start says, in milliseconds: a step of NTP, a leap second.
const SLACK_MS: i64 = 60_000;
/// How long a clock that jumped must stay until it is taken for set right, in milliseconds of the time since the start. A virtual machine
/// that was paused comes back so.
const SETTLED_MS: i64 = 600_000;
/// How long a cell may have rested before a start asks whether the clock is right, in milliseconds: 90 days, after which no controller's line goes on.
const AHEAD_MS: i64 = 90 * 86_400_000;
/// When to ask again while the clock is wrong, in milliseconds.
const RETRY_MS: u32 = 5_000;

/// The clock, and what it is held against.
pub(crate) struct Time {
    wall: Clock,
    boot: Clock,
    /// Wall clock less the time since the start, when it was last trusted.
    trusted_ms: Option<i64>,
    /// Whether this process trusted it, not one before that left a file.
    is_ours: bool,
    /// Since when it is wrong, as time since the start.
    wrong_since_ms: Option<i64>,
    /// Time of the newest entry.
    floor_ms: i64,
}

/// The operator's, or the machine's: why the clock is not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClockWrong {
    /// By so many seconds.
    #[error("the clock is {0} s before the newest entry of the log")]
    BeforeTheLog(i64),
    /// By so many seconds.
    #[error("the clock jumped by {0} s")]
    Jumped(i64),
    /// By so many days, when the service starts.
    #[error("the clock is {0} days after the newest entry of the log")]
    FarAhead(i64),
}

impl Time {
    /// `boot` is the time since the machine started, suspends included (clock_gettime(2), CLOCK_BOOTTIME); `floor_ms` the newest entry's;
    /// `trusted_ms` wall clock less `boot`, as it was trusted before in this start of the machine.
    pub(crate) fn new(wall: Clock, boot: Clock, floor_ms: i64, trusted_ms: Option<i64>) -> Self {
        Self { wall, boot, trusted_ms, is_ours: false, wrong_since_ms: None, floor_ms }
    }

    /// Wall clock less the time since the machine started, where it is trusted.
    pub(crate) fn trusted_ms(&self) -> Option<i64> {
        self.trusted_ms
    }

    /// The clock as it is, for what records nothing.
    pub(crate) fn untrusted_ms(&self) -> i64 {
        (self.wall)()
    }

    /// The best that is known of the time, for what must be recorded though the clock is wrong: not before the newest entry, and by the time
    /// since the start where the clock jumped.
    pub(crate) fn best_ms(&mut self) -> i64 {
        let (wall, boot) = ((self.wall)(), (self.boot)());
        let by_boot = self.trusted_ms.map_or(wall, |trusted| trusted.saturating_add(boot));
        // What a file says is acted on only to refuse.
        let by_boot = if self.is_ours { by_boot } else { by_boot.min(wall) };
        self.now_ms().unwrap_or(by_boot).max(self.floor_ms)
    }

    /// The earliest that the time may be, for a stop that must not have to wait for the clock: no entry of a time to come makes it late.
    pub(crate) fn earliest_ms(&mut self) -> i64 {
        self.best_ms().min(self.untrusted_ms())
    }

    /// Milliseconds since 1970, where the clock is to be trusted.
    ///
    /// # Errors
    /// [`ClockWrong`].
    pub(crate) fn now_ms(&mut self) -> Result<i64, ClockWrong> {
        let (wall, boot) = ((self.wall)(), (self.boot)());
        not_before(self.floor_ms, wall)?;
        let offset = wall - boot;
        if !self.is_ours && wall.saturating_sub(self.floor_ms) > AHEAD_MS {
            return Err(ClockWrong::FarAhead(wall.saturating_sub(self.floor_ms) / 86_400_000));
        }
        let trusted = *self.trusted_ms.get_or_insert(offset);
        if offset.saturating_sub(trusted).saturating_abs() > SLACK_MS {
            let since = *self.wrong_since_ms.get_or_insert_with(|| {
                tracing::error!(
                    alarm = "clock-jumped",
                    seconds = offset.saturating_sub(trusted) / 1000,
                    "the clock jumped"
                );
                boot
            });
            if boot - since < SETTLED_MS {
                return Err(ClockWrong::Jumped(offset.saturating_sub(trusted) / 1000));
            }
            tracing::warn!("the clock has stayed where it jumped to: it is taken for set right");
            self.trusted_ms = Some(offset);
        }
        (self.wrong_since_ms, self.is_ours) = (None, true);
        // A step back that is small enough to be allowed: the log's time stands still for it. What had ended stays ended.
        Ok(wall.max(self.floor_ms))
    }

    /// Entries were recorded, the latest of this time: by a clock that is wrong, too, as a stop that officers laid is.
    pub(crate) fn recorded(&mut self, latest_ms: i64) {
        self.floor_ms = self.floor_ms.max(latest_ms);
    }

    /// Officers say that the clock is right as it is.
    pub(crate) fn confirm(&mut self) {
        let (wall, boot) = ((self.wall)(), (self.boot)());
        *self = Self {
            trusted_ms: Some(wall - boot),
            is_ours: true,
            wrong_since_ms: None,
            floor_ms: wall,
            wall: Clock::clone(&self.wall),
            boot: Clock::clone(&self.boot),
        };
    }
}

/// Demands that a clock is not before the newest entry, both in milliseconds since 1970, but for a step of NTP.
///
/// # Errors
/// [`ClockWrong::BeforeTheLog`].
pub(crate) fn not_before(newest_ms: i64, now_ms: i64) -> Result<(), ClockWrong> {
    if now_ms < newest_ms.saturating_sub(SLACK_MS) {
        return Err(ClockWrong::BeforeTheLog(newest_ms.saturating_sub(now_ms) / 1000));
    }
    Ok(())
}

impl From<ClockWrong> for Refusal {
    fn from(wrong: ClockWrong) -> Self {
        Self::new(
            Reason::ClockWrong,
            format!(
                "{wrong}, and nothing is recorded until it is right: have the operator set it; where it is right and the log is not, \
                 officers confirm it (`rootcellar clock confirm`)"
            ),
        )
        .retry(RETRY_MS)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    /// A clock and the time since the start that a test sets.
    struct Hands {
        wall: Arc<AtomicI64>,
        boot: Arc<AtomicI64>,
    }

    fn time(floor_ms: i64) -> (Time, Hands) {
        let hands =
            Hands { wall: Arc::new(AtomicI64::new(1_000_000)), boot: Arc::new(AtomicI64::new(5_000)) };
        let read = |hand: &Arc<AtomicI64>| {
            let hand = Arc::clone(hand);
            Arc::new(move || hand.load(Ordering::Relaxed)) as Clock
        };
        (Time::new(read(&hands.wall), read(&hands.boot), floor_ms, None), hands)
    }

    impl Hands {
        fn pass(&self, ms: i64) {
            self.wall.fetch_add(ms, Ordering::Relaxed);
            self.boot.fetch_add(ms, Ordering::Relaxed);
        }

        fn jump(&self, ms: i64) {
            self.wall.fetch_add(ms, Ordering::Relaxed);
        }
    }

    const YEAR_MS: i64 = 365 * 86_400_000;

    #[test]
    fn time_that_passes_is_no_jump() {
        let (mut time, hands) = time(0);
        for step in [0, 1, SLACK_MS, YEAR_MS] {
            hands.pass(step);
            assert!(time.now_ms().is_ok(), "{step}");
        }
        hands.jump(SLACK_MS);
        assert!(time.now_ms().is_ok(), "a small step");
    }

    #[test]
    fn a_glitch_forward_is_refused_and_forgotten_when_it_is_over() {
        let (mut time, hands) = time(0);
        time.now_ms().unwrap();
        hands.jump(YEAR_MS);
        assert!(matches!(time.now_ms(), Err(ClockWrong::Jumped(secs)) if secs > 0));
        hands.pass(SETTLED_MS - 1);
        assert!(time.now_ms().is_err());
        hands.jump(-YEAR_MS);
        assert!(time.now_ms().is_ok(), "and left nothing behind");
    }

    #[test]
    fn a_clock_that_stays_where_it_jumped_to_was_set_right() {
        let (mut time, hands) = time(0);
        time.now_ms().unwrap();
        hands.jump(YEAR_MS);
        assert!(time.now_ms().is_err());
        hands.pass(SETTLED_MS);
        assert!(time.now_ms().is_ok());
    }

    #[test]
    fn a_start_holds_the_clock_against_what_was_trusted_before() {
        let (before, hands) = time(0);
        let start =
            |trusted_ms| Time::new(Clock::clone(&before.wall), Clock::clone(&before.boot), 0, trusted_ms);
        assert!(start(Some(995_000)).now_ms().is_ok());
        hands.jump(2 * SLACK_MS);
        let mut jumped = start(Some(995_000));
        assert!(matches!(jumped.now_ms(), Err(ClockWrong::Jumped(120))));
        assert_eq!(jumped.best_ms(), 1_000_000, "by the time since the start");
        assert!(start(None).now_ms().is_ok(), "there is nothing to hold it against");
        hands.jump(2 * AHEAD_MS);
        let mut far = start(None);
        assert!(matches!(far.now_ms(), Err(ClockWrong::FarAhead(180))));
        far.confirm();
        assert!(far.now_ms().is_ok());
    }

    #[test]
    fn a_clock_that_went_back_is_refused_until_officers_confirm_it() {
        let (mut running, hands) = time(0);
        running.now_ms().unwrap();
        let now_ms = running.now_ms().unwrap();
        running.recorded(now_ms);
        hands.jump(-2 * SLACK_MS);
        assert!(matches!(running.now_ms(), Err(ClockWrong::BeforeTheLog(_))));
        hands.pass(SETTLED_MS / 100);
        assert!(running.now_ms().is_err());
        running.confirm();
        assert!(running.now_ms().is_ok());

        let (mut started, _hands) = time(1_000_000 + SLACK_MS + 1);
        assert!(matches!(started.now_ms(), Err(ClockWrong::BeforeTheLog(_))), "an entry of a time to come");
        started.confirm();
        assert!(started.now_ms().is_ok());
    }
}
