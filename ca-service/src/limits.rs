//! Every bound of the front, with the reason for its default.

use std::{num::NonZeroU32, time::Duration};

/// What the front takes at most. The default suits one machine that serves some thousand callers. Those that an operator may set
/// are in docs/rootcellar.toml, below `[limits]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections on the mTLS port, handshakes among them; one more is closed at once. 4096: some 64 KiB each.
    pub connections: usize,
    /// Connections of one caller; one more is closed once it is known whose it is. 256: a fleet of one controller's clients, and a
    /// sixteenth of the whole.
    pub connections_per_caller: usize,
    /// The same of one agent, where that is less. 16: it asks a few times an hour.
    pub connections_per_agent: usize,
    /// Connections whose handshake is not over; for one more, the one that has been silent longest is closed. 256: half a second's
    /// handshakes. As many again are for addresses from which a caller came before.
    pub handshakes: usize,
    /// The same from one address, or one IPv6 network (/64). 64: silent ones of one stranger leave most places to others.
    pub handshakes_per_address: usize,
    /// Silence for which nobody is closed to make room. 250 ms: a round trip around the world.
    pub patience: Duration,
    /// Time until the first octet of a connection. 1 s: who connects to speak speaks at once.
    pub first_octet: Duration,
    /// Handshakes begun in a second, after as many at once; further ones wait within their timeout. 500: each costs a signature
    /// and three verifications, half a millisecond, so that they take no more than a quarter of a core.
    pub handshakes_per_second: NonZeroU32,
    /// Time that a handshake may take, and then the first octets of HTTP/2. 5 s: six round trips around the world.
    pub handshake_timeout: Duration,
    /// HTTP/2 streams open at a time on a connection (RFC 9113 §5.1.2). 256: several times what one caller keeps busy.
    pub streams_per_connection: u32,
    /// The same on an agent's, where that is less. 32: it asks one thing at a time.
    pub streams_per_agent: u32,
    /// Batches open at a time on a connection; one more is refused. 4: two keep a token busy, and each holds some 128 items.
    pub batches_per_connection: usize,
    /// Bytes of a request message. 256 KiB: a batch of 50 agents with every field full, of 100 that are common.
    pub message_bytes: usize,
    /// Bytes of a request's headers (RFC 9113 §6.5.2). 16 KiB: what common servers take.
    pub header_bytes: u32,
    /// Life of a connection, shortened by chance up to a tenth so that a fleet does not come back at once. 1 h: a caller
    /// whose anchor was taken from the bundle stays no longer.
    pub connection_age: Duration,
    /// Silence after which a connection is asked whether it lives; it has as long again to answer. 30 s.
    pub keepalive: Duration,
    /// Requests in a second, and as many at once, of one controller or one local user; items of a batch are requests. 10,000: twice
    /// what a software token signs, so that only a client gone wild meets it.
    pub requests_per_controller: NonZeroU32,
    /// The same of any other caller. 20: an agent asks a few times an hour.
    pub requests_per_agent: NonZeroU32,
    /// Time for a request that names none. 10 s.
    pub request_timeout: Duration,
    /// Longest time that a request can name; more is taken as this. 60 s.
    pub request_timeout_most: Duration,
    /// Time for what is in flight when the front stops, or a connection's age is reached. 10 s.
    pub drain: Duration,
    /// Asks that wait for the keeper at a time; one more is refused. 4096: less than a second's work.
    pub in_flight: usize,
    /// The same of one caller; one more is refused. 512: four batches, and a quarter of the keeper's second.
    pub in_flight_per_caller: usize,
    /// Lists and CRLs that are looked for or being read by callers at a time. 256: at a mebibyte a page, a quarter of a gibibyte.
    pub scans: usize,
    /// Mebibytes of them, whatever their length. 256: half of what a small machine can spare.
    pub long_mebibytes: usize,
    /// The same of one caller; a longer answer is given where it has no other. 64: a page for each of its scans, and a CRL of a million.
    pub long_mebibytes_per_caller: usize,
    /// Time for which such an answer may not be read on; then its connection ends. 30 s: as for one that does not say that it lives.
    pub stall: Duration,
    /// The same of one caller. 4: each may hold a page of a mebibyte here until it is read.
    pub scans_per_caller: usize,
    /// Time between looks at whether the keeper answers. 2 s.
    pub probe: Duration,
    /// Time without a door after which the front ends, to be started anew with one: whoever starts keepers brings a door with each. 30 s.
    pub door_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_caller: 256,
            connections_per_agent: 16,
            handshakes: 256,
            handshakes_per_address: 64,
            patience: Duration::from_millis(250),
            first_octet: Duration::from_secs(1),
            handshakes_per_second: nonzero(500),
            handshake_timeout: Duration::from_secs(5),
            streams_per_connection: 256,
            streams_per_agent: 32,
            batches_per_connection: 4,
            message_bytes: 256 * 1024,
            header_bytes: 16 * 1024,
            connection_age: Duration::from_secs(3600),
            keepalive: Duration::from_secs(30),
            requests_per_controller: nonzero(10_000),
            requests_per_agent: nonzero(20),
            request_timeout: Duration::from_secs(10),
            request_timeout_most: Duration::from_secs(60),
            drain: Duration::from_secs(10),
            in_flight: 4096,
            in_flight_per_caller: 512,
            scans: 256,
            long_mebibytes: 256,
            long_mebibytes_per_caller: 64,
            stall: Duration::from_secs(30),
            scans_per_caller: 4,
            probe: Duration::from_secs(2),
            door_wait: Duration::from_secs(30),
        }
    }
}

/// Zero is one.
const fn nonzero(number: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(number.saturating_sub(1))
}
