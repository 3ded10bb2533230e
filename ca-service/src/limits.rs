//! Every bound of the front, with the reason for its default.

use std::time::Duration;

/// What the front takes at most. The default suits one machine that serves some thousand callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections on the mTLS port, handshakes among them; one more is closed at once. 1024: some 100 KiB each.
    pub connections: usize,
    /// Connections on the local socket. 64: people and their tools.
    pub local_connections: usize,
    /// Handshakes at work at a time; further ones wait within their timeout. 64: each costs a signature.
    pub handshakes: usize,
    /// Time that a handshake may take, the waiting included. 5 s: six round trips around the world.
    pub handshake_timeout: Duration,
    /// HTTP/2 streams open at a time on a connection (RFC 9113 §5.1.2). 256: several times what one caller keeps busy.
    pub streams_per_connection: u32,
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
    /// Time for a request that names none. 10 s.
    pub request_timeout: Duration,
    /// Longest time that a request can name; more is taken as this. 60 s.
    pub request_timeout_most: Duration,
    /// Time for what is in flight when the front stops, or a connection's age is reached. 10 s.
    pub drain: Duration,
    /// Asks that wait for the keeper at a time; one more is refused. 4096: less than a second's work.
    pub in_flight: usize,
    /// Time between looks at whether the keeper answers. 2 s.
    pub probe: Duration,
    /// Time without a door after which the front ends, to be started anew with one: whoever starts keepers brings a door with each. 30 s.
    pub door_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            local_connections: 64,
            handshakes: 64,
            handshake_timeout: Duration::from_secs(5),
            streams_per_connection: 256,
            batches_per_connection: 4,
            message_bytes: 256 * 1024,
            header_bytes: 16 * 1024,
            connection_age: Duration::from_secs(3600),
            keepalive: Duration::from_secs(30),
            request_timeout: Duration::from_secs(10),
            request_timeout_most: Duration::from_secs(60),
            drain: Duration::from_secs(10),
            in_flight: 4096,
            probe: Duration::from_secs(2),
            door_wait: Duration::from_secs(30),
        }
    }
}
