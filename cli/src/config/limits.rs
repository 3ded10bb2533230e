//! `[limits]`: how much of everything the front takes; and `[journal]`: how much of the disk the keeper leaves.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use ca_service::Limits;

use super::file::File;
use crate::spec::Lifetime;

pub(super) fn read(file: &mut File<'_>) -> Option<Limits> {
    let is = Limits::default();
    let connections = count::<1, 1_000_000>(file, "limits.connections", is.connections);
    let of_caller = count::<1, 1_000_000>(file, "limits.connections-per-caller", is.connections_per_caller);
    let of_agent = count::<1, 1_000_000>(file, "limits.connections-per-agent", is.connections_per_agent);
    let handshakes = count::<1, 100_000>(file, "limits.handshakes", is.handshakes);
    let of_one = count::<1, 100_000>(file, "limits.handshakes-per-address", is.handshakes_per_address);
    let per_second = rate(file, "limits.handshakes-per-second", is.handshakes_per_second);
    let streams =
        count::<1, 10_000>(file, "limits.streams-per-connection", is.streams_per_connection as usize);
    // The keeper's door takes a mebibyte, and what is asked is part of such a message.
    let message = count::<65_536, 524_288>(file, "limits.message-bytes", is.message_bytes);
    let in_flight = count::<16, 65_536>(file, "limits.in-flight", is.in_flight);
    let in_flight_of_caller =
        count::<1, 65_536>(file, "limits.in-flight-per-caller", is.in_flight_per_caller);
    let scans = count::<1, 256>(file, "limits.scans-per-caller", is.scans_per_caller);
    let controllers = rate(file, "limits.requests-per-controller", is.requests_per_controller);
    let agents = rate(file, "limits.requests-per-agent", is.requests_per_agent);
    let timeout = time(file, "limits.request-timeout", is.request_timeout);
    let timeout_most = time(file, "limits.request-timeout-most", is.request_timeout_most);
    Some(Limits {
        connections: connections?,
        connections_per_caller: of_caller?,
        connections_per_agent: of_agent?,
        in_flight_per_caller: in_flight_of_caller?,
        scans_per_caller: scans?,
        handshakes: handshakes?,
        handshakes_per_address: of_one?,
        handshakes_per_second: per_second?,
        streams_per_connection: u32::try_from(streams?).ok()?,
        message_bytes: message?,
        in_flight: in_flight?,
        requests_per_controller: controllers?,
        requests_per_agent: agents?,
        request_timeout: timeout?,
        request_timeout_most: timeout_most?,
        ..is
    })
}

/// Bytes of the journal's disk that are kept for what takes away.
pub(super) fn keep_free(file: &mut File<'_>) -> Option<u64> {
    let mebibytes = count::<0, 1_073_741_824>(file, "journal.keep-free-mib", 256)?;
    u64::try_from(mebibytes).ok().map(|mebibytes| mebibytes << 20)
}

fn count<const LEAST: usize, const MOST: usize>(
    file: &mut File<'_>,
    key: &'static str,
    default: usize,
) -> Option<usize> {
    file.number(key, &default.to_string()).map(|Count::<LEAST, MOST>(count)| count)
}

fn rate(file: &mut File<'_>, key: &'static str, default: NonZeroU32) -> Option<NonZeroU32> {
    let count = count::<1, 1_000_000>(file, key, usize::try_from(default.get()).unwrap_or(usize::MAX))?;
    u32::try_from(count).ok().and_then(NonZeroU32::new)
}

pub(super) fn time(file: &mut File<'_>, key: &'static str, default: Duration) -> Option<Duration> {
    let default = Lifetime::from(u32::try_from(default.as_secs()).unwrap_or(u32::MAX));
    let time: Option<Lifetime> = file.value(key, &default.to_string());
    time.map(|time| Duration::from_secs(time.secs().into()))
}

/// A number within these bounds, both inclusive.
struct Count<const LEAST: usize, const MOST: usize>(usize);

struct OutOfBounds<const LEAST: usize, const MOST: usize>;

impl<const LEAST: usize, const MOST: usize> FromStr for Count<LEAST, MOST> {
    type Err = OutOfBounds<LEAST, MOST>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let count = text.parse().ok().filter(|count| (LEAST..=MOST).contains(count));
        count.map(Self).ok_or(OutOfBounds)
    }
}

impl<const LEAST: usize, const MOST: usize> fmt::Display for OutOfBounds<LEAST, MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "is not a number from {LEAST} to {MOST}")
    }
}
