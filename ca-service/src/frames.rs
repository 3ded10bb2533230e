//! How many frames a peer sends (RFC 9113 §4.1): what comes with requests is theirs, a flood of anything else ends the connection (§10.5).
//!
//! hyper answers or drops PING, SETTINGS, PRIORITY, WINDOW_UPDATE and unknown frames without end, and each costs as much to read as a small
//! request's. Flow control bounds bytes of DATA, but not how many frames they come in.
//!
//! Does not: look into a frame, or find fault with one. hyper does.

use std::time::Duration;

use tokio::time::Instant;

/// Bytes of the client's preface (RFC 9113 §3.4).
pub(crate) const PREFACE: usize = 24;

/// Bytes of a frame's head.
const HEAD: usize = 9;

/// Frames that may come without a request at once.
const AT_ONCE: u32 = 2000;

/// The same in a second: a client that measures its bandwidth sends some hundred PINGs.
const IN_A_SECOND: u32 = 200;

/// Frames that may come with a HEADERS, or with DATA that is worth a frame: window updates and PINGs for what is answered.
const WITH_EACH: u32 = 8;

/// Bytes that are sent for each of which so many frames may come back: window updates (RFC 9113 §6.9), however small a client makes them, and
/// PINGs by which it measures. The smallest window that clients use is a quarter of the standard's.
const SENT: usize = 4 * 1024;

/// Bytes of DATA that are worth a frame: a batch's item has more.
const WORTH_A_FRAME: usize = 256;

const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// Counts a peer's frames.
#[derive(Debug)]
pub(crate) struct Frames {
    preface: usize,
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    heads: usize,
    /// Bytes of the payload that are still to come.
    payload: usize,
    /// Bytes that were sent and gave no credit yet.
    sent: usize,
    /// Frames that may come.
    credit: u32,
    since: Instant,
}

/// The peer's fault: more frames than any use has.
#[derive(Debug, thiserror::Error)]
#[error("more frames than requests have use for")]
pub(crate) struct Flood;

impl Frames {
    /// None have come.
    pub(crate) fn new(now: Instant) -> Self {
        Self { preface: PREFACE, head: [0; HEAD], heads: 0, payload: 0, sent: 0, credit: AT_ONCE, since: now }
    }

    /// Whether the preface has come.
    pub(crate) fn begun(&self) -> bool {
        self.preface == 0
    }

    /// These bytes come next.
    ///
    /// # Errors
    /// [`Flood`].
    pub(crate) fn take(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        self.refill(now);
        bytes = skip(bytes, &mut self.preface);
        loop {
            bytes = skip(bytes, &mut self.payload);
            let Some((&next, rest)) = bytes.split_first() else { return Ok(()) };
            self.head[self.heads] = next;
            self.heads += 1;
            bytes = rest;
            if self.heads == HEAD {
                self.heads = 0;
                self.frame()?;
            }
        }
    }

    /// So many bytes were sent: the peer may answer for them.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        let frames = u32::try_from(self.sent / SENT).unwrap_or(AT_ONCE).min(AT_ONCE);
        self.sent %= SENT;
        self.credit = (self.credit + WITH_EACH * frames).min(AT_ONCE);
    }

    fn frame(&mut self) -> Result<(), Flood> {
        let [a, b, c, kind, ..] = self.head;
        self.payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let is_of_a_request = kind == HEADERS || kind == DATA && self.payload >= WORTH_A_FRAME;
        if is_of_a_request {
            self.credit = (self.credit + WITH_EACH).min(AT_ONCE);
            return Ok(());
        }
        self.credit = self.credit.checked_sub(1).ok_or(Flood)?;
        Ok(())
    }

    fn refill(&mut self, now: Instant) {
        let each = Duration::from_secs(1) / IN_A_SECOND;
        let more = (now - self.since).as_nanos() / each.as_nanos();
        let more = u32::try_from(more).unwrap_or(AT_ONCE).min(AT_ONCE);
        self.credit = (self.credit + more).min(AT_ONCE);
        // What is left of the time counts for the next one.
        self.since = if more == AT_ONCE { now } else { self.since + each * more };
    }
}

/// What is left behind so many bytes, and how many of them are still to come.
fn skip<'a>(bytes: &'a [u8], left: &mut usize) -> &'a [u8] {
    let here = bytes.len().min(*left);
    *left -= here;
    &bytes[here..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 1], &vec![7; payload]].concat()
    }

    fn begun(now: Instant) -> Frames {
        let mut frames = Frames::new(now);
        frames.take(&[0; PREFACE - 1], now).unwrap();
        assert!(!frames.begun());
        frames.take(&[0], now).unwrap();
        assert!(frames.begun());
        frames
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_any_other_kind_is_one() {
        let now = Instant::now();
        // PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION, an unknown one, DATA of nothing and of little.
        let kinds = [(2, 5), (3, 4), (4, 0), (6, 8), (8, 4), (9, 1), (0x55, 3), (DATA, 0), (DATA, 255)];
        for (kind, payload) in kinds {
            let mut frames = begun(now);
            let some = frame(kind, payload).repeat(2000);
            // However it is cut into reads.
            for part in some.chunks(7) {
                frames.take(part, now).unwrap();
            }
            assert!(frames.take(&frame(kind, payload), now).is_err(), "{kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_with_requests_or_slowly_is_none() {
        let mut now = Instant::now();
        let mut frames = begun(now);
        for kind in [HEADERS, DATA] {
            let request = [frame(kind, 300), frame(8, 4).repeat(4), frame(6, 8).repeat(4)].concat();
            for _ in 0..10_000 {
                frames.take(&request, now).unwrap();
            }
        }
        frames.take(&frame(6, 8).repeat(1992), now).unwrap();
        for _ in 0..10_000 {
            frames.sent(4096);
            frames.take(&frame(8, 4).repeat(8), now).unwrap();
        }
        for _ in 0..3000 {
            now += Duration::from_millis(5);
            frames.take(&frame(6, 8), now).unwrap();
        }
        assert!(frames.take(&frame(6, 8), now).is_err());
    }
}
