//! How many signatures a second, and with how many sessions.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::error::TokenError;
use crate::session::TokenKey;
use crate::token::Token;

use super::checks::Sheet;
use super::keys::Examined;
use super::opened::Opened;
use super::{Rate, Verdict};

/// How long each round of a measurement lasts.
const LASTS: Duration = Duration::from_millis(250);
/// Rounds, of which the best counts: what else the machine does can only slow them.
const ROUNDS: usize = 3;
/// Sessions that sign at once.
const SESSIONS: [usize; 4] = [1, 2, 4, 8];

impl Sheet {
    /// Measures each key that a cell could issue with.
    pub(super) fn rates(&mut self, opened: &mut Opened<'_>, keys: &[Examined]) -> Vec<Rate> {
        let mut rates = Vec::new();
        for key in keys.iter().filter(|key| key.good) {
            let name = format!("{} at once", key.algorithm);
            match of(opened, key) {
                Ok(measured) => {
                    rates.extend(SESSIONS.into_iter().zip(measured).map(|(sessions, per_second)| Rate {
                        algorithm: key.algorithm.to_string(),
                        sessions,
                        per_second,
                    }));
                    let found = format!("up to {} sessions, no error", SESSIONS[SESSIONS.len() - 1]);
                    self.note(name, Verdict::Pass, found, "several workers sign at once");
                }
                Err(error) => {
                    let means = "set `sessions = 1` in its profile, and expect trouble";
                    self.note(name, Verdict::Fail, error, means);
                }
            }
        }
        rates
    }
}

fn of(opened: &mut Opened<'_>, key: &Examined) -> Result<Vec<u64>, TokenError> {
    opened.anew()?;
    let (token, key) = (opened.token()?, opened.again(key)?);
    SESSIONS.into_iter().map(|sessions| best(token, &key, sessions)).collect()
}

/// The fewest sessions with which four fifths of the best rate of the preferred key are reached: more of them wait for each other, and the
/// slowest signatures last longer.
pub(super) fn recommended(rates: &[Rate]) -> usize {
    let Some(preferred) = rates.first() else { return 1 };
    let of_it = || rates.iter().filter(|rate| rate.algorithm == preferred.algorithm);
    let best = of_it().map(|rate| rate.per_second).max().unwrap_or_default();
    of_it().find(|rate| rate.per_second * 5 >= best * 4).map_or(1, |rate| rate.sessions)
}

fn best(token: &Token, key: &TokenKey, sessions: usize) -> Result<u64, TokenError> {
    (0..ROUNDS).try_fold(0, |best, _| Ok(rate(token, key, sessions)?.max(best)))
}

/// Signatures a second of so many sessions, each with a thread of its own.
fn rate(token: &Token, key: &TokenKey, sessions: usize) -> Result<u64, TokenError> {
    let opened: Vec<_> = (0..sessions).map(|_| token.session()).collect::<Result<_, _>>()?;
    let start = Barrier::new(sessions);
    std::thread::scope(|scope| {
        let threads: Vec<_> = opened
            .into_iter()
            .map(|session| {
                let start = &start;
                scope.spawn(move || -> Result<(u64, Duration), TokenError> {
                    start.wait();
                    let (began, mut signed) = (Instant::now(), 0);
                    while began.elapsed() < LASTS {
                        session.sign(key, b"rootcellar/v1 conformance rate")?;
                        signed += 1;
                    }
                    Ok((signed, began.elapsed()))
                })
            })
            .collect();
        let mut per_second = 0;
        for thread in threads {
            let joined = thread.join().unwrap_or(Err(TokenError::Malformed("a panic in its module")));
            let (signed, lasted) = joined?;
            per_second += u128::from(signed) * 1000 / lasted.as_millis().max(1);
        }
        Ok(u64::try_from(per_second).unwrap_or(u64::MAX))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_sessions_that_are_nearly_the_fastest_are_recommended() {
        let rates = |per_second: [u64; 4]| -> Vec<Rate> {
            let rate = |(sessions, per_second)| Rate { algorithm: "p256".into(), sessions, per_second };
            SESSIONS.into_iter().zip(per_second).map(rate).collect()
        };
        assert_eq!(recommended(&rates([250, 251, 249, 240])), 1);
        assert_eq!(recommended(&rates([13_000, 24_000, 25_000, 22_000])), 2);
        assert_eq!(recommended(&rates([10, 20, 40, 80])), 8);
        assert_eq!(recommended(&[]), 1);
    }
}
