//! When a CRL is made: soon after a revocation, and well before the one before expires.
//!
//! A CRL of many thousand certificates takes a part of a second to compose, so a thread of its own does that ([`start`]), from a
//! connection of its own; the sequencer records what it made, a worker signs it. One that a crash left unsigned is not signed later: the
//! next one takes its place.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use certs::Issuer;
use crossbeam_channel::{Receiver, Sender};

use crate::command::Command;
use crate::journal::{CrlRow, JournalError, JournalFile, Reader};
use crate::steps::crl::{CrlOrder, compose};

/// Least time between two CRLs.
const REST: Duration = Duration::from_secs(1);
/// At most one part in so many of the time is spent on CRLs, however many certificates are on them.
const SHARE: u32 = 10;
/// Failures in a row after which the rest doubles no more: at 1 s, an hour.
const FAILURES_MAX: u32 = 12;
/// Seconds after which a new one is made though nothing was revoked: three may fail before one expires.
const REFRESH_SECS: i64 = 6 * 3600;

/// The newest CRL, the one being made, and whether one is wanted.
pub(crate) struct Crls {
    orders: Sender<CrlOrder>,
    newest: Option<CrlRow>,
    /// The lowest number that a new one may have.
    least: u64,
    /// Something was revoked that the newest does not have, or the newest was never signed.
    wanted: bool,
    in_flight: Option<Instant>,
    rest_until: Option<Instant>,
    /// In a row.
    failures: u32,
}

impl Crls {
    /// # Errors
    /// The journal cannot be read.
    pub(crate) fn new(
        reader: &Reader<'_>,
        issuer: &Issuer,
        orders: Sender<CrlOrder>,
    ) -> Result<Self, JournalError> {
        let newest = reader.crl(&issuer.spki_sha256())?;
        // Of an epoch that is over, lists may be lost whose numbers are known elsewhere: they were fewer than its entries.
        let least = reader.all_lost()? + 1;
        let wanted = match &newest {
            Some(row) => {
                row.number < least
                    || reader.signature(row.index)?.is_none()
                    || reader.revoked_since(row.covers)?
            }
            None => true,
        };
        Ok(Self { orders, newest, least, wanted, in_flight: None, rest_until: None, failures: 0 })
    }

    /// Something was revoked.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// The newest, recorded or signed.
    pub(crate) fn newest(&self) -> Option<&CrlRow> {
        self.newest.as_ref()
    }

    /// Has a CRL composed where one is due; `size` is the number of entries that are durable.
    pub(crate) fn tend(&mut self, now_ms: i64, size: u64, now: Instant) {
        let now_secs = now_ms.div_euclid(1000);
        // One of a time to come was made by a clock that was wrong: verifiers take it for not yet valid.
        let fresh = |row: &CrlRow| {
            (row.this_update..row.this_update.saturating_add(REFRESH_SECS)).contains(&now_secs)
        };
        let old = !self.newest.as_ref().is_some_and(fresh);
        let resting = self.rest_until.is_some_and(|until| now < until);
        if self.in_flight.is_some() || resting || !(self.wanted || old) {
            return;
        }
        let order = CrlOrder {
            // RFC 5280 §5.2.3: monotonically increasing.
            number: self.newest.as_ref().map_or(1, |row| row.number + 1).max(self.least),
            // RFC 5280 §5.1.2.4: the date of issue; only the number must grow.
            this_update: now_secs,
            // One that expired since the CRL before stands on one more (RFC 5280 §3.3).
            expired_since: self.newest.as_ref().map_or(now_secs, |row| row.this_update.min(now_secs)),
            covers: size,
        };
        // The composer outlives the sequencer's thread.
        if self.orders.try_send(order).is_ok() {
            self.wanted = false;
            self.in_flight = Some(now);
        }
    }

    /// It was recorded.
    pub(crate) fn recorded(&mut self, row: CrlRow) {
        self.newest = Some(row);
    }

    /// It was signed, or it came to nothing and is to be made anew.
    pub(crate) fn ended(&mut self, well: bool, now: Instant) {
        let took = self.in_flight.take().map_or(Duration::ZERO, |began| now.duration_since(began));
        let rest = (took * SHARE).max(REST);
        self.rest_until = Some(now + rest * (1 << self.failures));
        self.failures = if well { 0 } else { (self.failures + 1).min(FAILURES_MAX) };
        self.wanted |= !well;
    }
}

/// Starts the thread that composes. It ends when the orders' other end is gone.
///
/// # Errors
/// A connection cannot be opened.
pub(crate) fn start(
    source: &JournalFile,
    issuer: &Arc<Issuer>,
    orders: Receiver<CrlOrder>,
    done: Sender<Command>,
) -> Result<(), JournalError> {
    let (connection, issuer) = (source.open()?, Arc::clone(issuer));
    thread::spawn(move || {
        let reader = Reader::owning(connection);
        for order in orders {
            let command = match compose(&reader, &issuer, &order) {
                Ok(composed) => Command::CrlComposed(Box::new(composed)),
                Err(cause) => Command::CrlFailed(cause),
            };
            if done.send(command).is_err() {
                return;
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crls(newest: Option<CrlRow>) -> (Crls, Receiver<CrlOrder>) {
        let (orders, taken) = crossbeam_channel::bounded(1);
        (
            Crls { orders, newest, least: 1, wanted: false, in_flight: None, rest_until: None, failures: 0 },
            taken,
        )
    }

    fn made(this_update: i64) -> CrlRow {
        CrlRow { index: 9, number: 4, this_update, next_update: this_update + 86_400, revoked: 0, covers: 9 }
    }

    #[test]
    fn the_first_is_made_at_once_and_the_next_before_it_is_old() {
        let (mut first, orders) = crls(None);
        let start = Instant::now();
        first.tend(5_000, 7, start);
        assert_eq!(orders.try_recv().map(|order| (order.number, order.covers)), Ok((1, 7)));
        first.recorded(made(5));
        first.ended(true, start);
        first.tend((5 + REFRESH_SECS) * 1000 - 1, 9, start + REST);
        assert!(orders.try_recv().is_err());
        first.tend((5 + REFRESH_SECS) * 1000, 9, start + REST);
        assert_eq!(orders.try_recv().map(|order| order.number), Ok(5));
    }

    #[test]
    fn a_flood_of_revocations_makes_no_flood_of_lists() {
        let (mut crls, orders) = crls(Some(made(0)));
        let start = Instant::now();
        crls.want();
        crls.tend(1000, 10, start);
        assert!(orders.try_recv().is_ok());
        crls.want();
        crls.tend(1000, 11, start);
        assert!(orders.try_recv().is_err(), "one at a time");
        let took = Duration::from_millis(300);
        crls.ended(true, start + took);
        crls.tend(1000, 11, start + took * SHARE);
        assert!(orders.try_recv().is_err(), "a tenth of the time");
        crls.tend(1000, 11, start + took * (SHARE + 1));
        assert!(orders.try_recv().is_ok());
    }

    #[test]
    fn one_that_failed_is_made_anew() {
        let (mut crls, orders) = crls(Some(made(0)));
        let start = Instant::now();
        crls.want();
        crls.tend(1000, 10, start);
        assert!(orders.try_recv().is_ok());
        crls.ended(false, start);
        crls.tend(1000, 10, start + REST);
        assert!(orders.try_recv().is_ok());
    }

    #[test]
    fn a_list_of_a_time_to_come_is_replaced_at_once() {
        let (mut crls, orders) = crls(Some(made(5_000)));
        crls.tend(1_000_000, 10, Instant::now());
        let order = orders.try_recv().unwrap();
        assert_eq!((order.number, order.this_update, order.expired_since), (5, 1_000, 1_000));
    }

    #[test]
    fn one_that_fails_again_and_again_is_tried_less_and_less() {
        let (mut crls, orders) = crls(Some(made(0)));
        let mut now = Instant::now();
        crls.want();
        for failures in 0..4 {
            crls.tend(1000, 10, now);
            assert!(orders.try_recv().is_ok(), "{failures}");
            crls.ended(false, now);
            crls.tend(1000, 10, now + REST * (1 << failures) / 2);
            assert!(orders.try_recv().is_err(), "{failures}");
            now += REST * (1 << failures);
        }
    }
}
