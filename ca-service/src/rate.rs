//! How often: token buckets (GCRA), of the whole and of each caller, by the runtime's clock.
//!
//! Does not: count what a grant allows. That is the keeper's budget.

use std::{
    collections::HashMap,
    fmt,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed, StateStore},
};
use proto::{door::Refused, v1::Reason};
use tokio::time::{Instant, sleep};

use crate::{Limits, status::refused, steps::Caller};

/// Callers whose bucket is remembered. 16,384: some 2 MiB.
const CALLERS: usize = 16_384;

/// As many requests does a long look at a key cost: half an agent's second, and of a controller's second as much as a core can do.
const LONG_LOOK: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

/// Who shares a bucket, and places: those whose certificate has expired.
pub(crate) const EXPIRED: &str = "expired";

/// A bucket for all.
pub(crate) struct Rate(RateLimiter<NotKeyed, InMemoryState, Ticks>);

impl Rate {
    /// So many in a second, and as many at once.
    pub(crate) fn new(per_second: NonZeroU32) -> Self {
        Self(RateLimiter::new(Quota::per_second(per_second), InMemoryState::default(), Ticks))
    }

    /// Returns when it is the next one's turn.
    pub(crate) async fn turn(&self) {
        while let Err(early) = self.0.check() {
            sleep(early.wait_time_from(Ticks.now())).await;
        }
    }
}

/// A bucket for each caller.
pub(crate) struct Callers {
    controllers: (Buckets, NonZeroU32),
    others: (Buckets, NonZeroU32),
    /// A name that no caller has.
    expired: Arc<str>,
}

type Buckets = RateLimiter<Arc<str>, Table, Ticks>;

impl Callers {
    /// As the limits say.
    pub(crate) fn new(limits: &Limits) -> Self {
        let of = |rate| (RateLimiter::new(Quota::per_second(rate), Table::default(), Ticks), rate);
        Self {
            controllers: of(limits.requests_per_controller),
            others: of(limits.requests_per_agent),
            expired: EXPIRED.into(),
        }
    }

    /// One request of this caller.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the time until the next is taken.
    pub(crate) fn admit(&self, caller: &Caller) -> Result<(), Refused> {
        self.take(caller, NonZeroU32::MIN)
    }

    fn take(&self, caller: &Caller, requests: NonZeroU32) -> Result<(), Refused> {
        self.check(caller, requests).map_err(too_often)
    }

    /// One request of someone whose certificate has expired: they all share one bucket, since any of them may be who stole it, and nothing is
    /// done for them.
    ///
    /// # Errors
    /// `RATE_LIMITED`, with the time until the next is answered.
    pub(crate) fn admit_expired(&self) -> Result<(), Refused> {
        let (limiter, rate) = &self.others;
        let taken = limiter.check_key(&self.expired);
        taken.map_err(|early| too_often((early.wait_time_from(Ticks.now()), *rate)))
    }

    /// As [`Self::admit`], once it is its turn.
    ///
    /// # Errors
    /// `RATE_LIMITED`: that is not before the deadline.
    pub(crate) async fn admit_by(&self, deadline: Instant, caller: &Caller) -> Result<(), Refused> {
        self.take_by(deadline, caller, NonZeroU32::MIN).await
    }

    async fn take_by(&self, deadline: Instant, caller: &Caller, requests: NonZeroU32) -> Result<(), Refused> {
        while let Err((wait, _)) = self.check(caller, requests) {
            if Instant::now() + wait >= deadline {
                return self.take(caller, requests);
            }
            sleep(wait).await;
        }
        Ok(())
    }

    /// What a long look at a key costs this caller, beyond its request, once it is its turn.
    ///
    /// # Errors
    /// `RATE_LIMITED`: that is not before the deadline.
    pub(crate) async fn charge_by(&self, deadline: Instant, caller: &Caller) -> Result<(), Refused> {
        self.take_by(deadline, caller, LONG_LOOK).await
    }

    /// What a request costs that is as good as so many.
    ///
    /// # Errors
    /// `RATE_LIMITED`: that is not before the deadline.
    pub(crate) async fn charge_many_by(
        &self,
        deadline: Instant,
        caller: &Caller,
        requests: usize,
    ) -> Result<(), Refused> {
        match u32::try_from(requests).ok().and_then(NonZeroU32::new) {
            Some(requests) => self.take_by(deadline, caller, requests).await,
            None => Ok(()),
        }
    }

    /// # Errors
    /// The time until so many are taken, and how many are in a second.
    fn check(&self, caller: &Caller, requests: NonZeroU32) -> Result<(), (Duration, NonZeroU32)> {
        let (limiter, rate) = if caller.is_agent() { &self.others } else { &self.controllers };
        // A bucket that is smaller than that is emptied.
        let taken = limiter.check_key_n(caller.name(), requests.min(*rate)).unwrap_or(Ok(()));
        taken.map_err(|early| (early.wait_time_from(Ticks.now()), *rate))
    }
}

fn too_often((wait, rate): (Duration, NonZeroU32)) -> Refused {
    let message = format!("you ask more than {rate} times in a second: ask again later, and less often");
    let retry_after_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).saturating_add(1);
    Refused { retry_after_ms, ..refused(Reason::RateLimited, message) }
}

/// The buckets of a bounded number of callers. One more, and all are forgotten: each begins with a full one again, which is worth
/// less than memory without a bound.
#[derive(Default)]
struct Table(Mutex<HashMap<Arc<str>, Nanos>>);

impl StateStore for Table {
    type Key = Arc<str>;

    fn measure_and_replace<T, F, E>(&self, key: &Arc<str>, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // No one panics while holding it; the map is whole at every moment.
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(key) {
            let (outcome, next) = measure(Some(*bucket))?;
            *bucket = next;
            return Ok(outcome);
        }
        let (outcome, next) = measure(None)?;
        if buckets.len() >= CALLERS {
            buckets.clear();
        }
        buckets.insert(Arc::clone(key), next);
        Ok(outcome)
    }
}

/// The runtime's clock, which a test can stop and move; it never goes back.
#[derive(Debug, Clone, Copy)]
struct Ticks;

impl Clock for Ticks {
    type Instant = std::time::Instant;

    fn now(&self) -> Self::Instant {
        Instant::now().into_std()
    }
}

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callers")
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn limits(rate: u32) -> Limits {
        let rate = NonZeroU32::new(rate).unwrap();
        Limits { requests_per_controller: rate, requests_per_agent: rate, ..Limits::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_has_a_bucket_of_its_own_that_fills_again() {
        let callers = Callers::new(&limits(4));
        let (one, other) = (Caller::local(1), Caller::local(2));
        for _ in 0..4 {
            callers.admit(&one).unwrap();
        }
        let told = callers.admit(&one).unwrap_err();
        assert_eq!(told.reason(), Reason::RateLimited);
        assert!((250..=251).contains(&told.retry_after_ms), "{}", told.retry_after_ms);
        assert!(told.message.contains("more than 4 times"), "{}", told.message);
        callers.admit(&other).unwrap();
        advance(Duration::from_millis(told.retry_after_ms.into())).await;
        callers.admit(&one).unwrap();
        assert!(callers.admit(&one).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn who_can_wait_has_its_turn_in_time_or_is_told_at_once() {
        let (callers, caller) = (Callers::new(&limits(1)), Caller::local(1));
        let begin = Instant::now();
        callers.admit(&caller).unwrap();
        callers.admit_by(begin + Duration::from_secs(5), &caller).await.unwrap();
        let waited = begin.elapsed();
        assert!((Duration::from_secs(1)..Duration::from_millis(1010)).contains(&waited), "{waited:?}");
        let told = callers.admit_by(begin + waited + Duration::from_millis(500), &caller).await.unwrap_err();
        assert_eq!((told.reason(), begin.elapsed()), (Reason::RateLimited, waited));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_look_costs_as_much_as_many_requests() {
        let (callers, caller) = (Callers::new(&limits(15)), Caller::local(0));
        callers.charge_by(Instant::now(), &caller).await.unwrap();
        for _ in 0..5 {
            callers.admit(&caller).unwrap();
        }
        assert_eq!(callers.admit(&caller).unwrap_err().reason(), Reason::RateLimited);
        let late = callers.charge_by(Instant::now(), &caller).await;
        assert_eq!(late.unwrap_err().reason(), Reason::RateLimited);
        let small = Callers::new(&limits(2));
        small.charge_by(Instant::now(), &caller).await.unwrap();
        assert!(small.admit(&caller).is_err(), "a bucket smaller than the cost is emptied");
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_is_bounded() {
        let callers = Callers::new(&limits(1));
        for uid in 0..3 * u32::try_from(CALLERS).unwrap() {
            callers.admit(&Caller::local(uid)).unwrap();
        }
        assert!(callers.controllers.0.into_state_store().0.lock().unwrap().len() <= CALLERS);
    }

    #[tokio::test(start_paused = true)]
    async fn turns_come_at_the_rate() {
        let rate = Rate::new(NonZeroU32::new(10).unwrap());
        let begin = Instant::now();
        for _ in 0..30 {
            rate.turn().await;
        }
        // Ten at once, twenty one by one.
        let took = begin.elapsed();
        assert!((Duration::from_secs(2)..Duration::from_millis(2100)).contains(&took), "{took:?}");
    }
}
