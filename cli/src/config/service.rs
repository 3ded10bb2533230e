//! `[service]`: where it is reached, and by which names.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use cell::DnsName;

use super::file::File;

/// Longest path of a Unix socket, in bytes (unix(7): `sun_path` has 108 with its final zero).
const SOCKET_MAX: usize = 107;

#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) listen: SocketAddr,
    pub(super) ops_listen: SocketAddr,
    pub(super) crl_listen: Option<SocketAddr>,
    pub(super) socket: PathBuf,
    pub(super) dns_names: Vec<DnsName>,
    pub(super) addresses: Vec<IpAddr>,
}

impl Service {
    pub(super) fn read(file: &mut File<'_>) -> Option<Self> {
        let listen = file.value("service.listen", "127.0.0.1:7443");
        let ops: Option<Loopback> = file.value("service.ops-listen", "127.0.0.1:7480");
        let crl: Option<Address> = file.optional("service.crl-listen");
        let socket: Option<Socket> = file.value("service.socket", "{data}/officer.sock");
        let dns_names: Option<Vec<DnsName>> = file.values("service.dns-names", &["localhost"]);
        let addresses = file.values("service.addresses", &["127.0.0.1", "::1"]);
        if dns_names.as_ref().is_some_and(Vec::is_empty) {
            file.refuse("service.dns-names", "needs at least one name: clients connect by it");
        }
        Some(Self {
            listen: listen?,
            ops_listen: ops?.0,
            crl_listen: crl.map(|crl| crl.0),
            socket: socket?.0,
            dns_names: dns_names?,
            addresses: addresses?,
        })
    }
}

/// An address that others may reach.
struct Address(SocketAddr);

/// An address that no other machine reaches.
struct Loopback(SocketAddr);

/// A path that a Unix socket can have.
struct Socket(PathBuf);

/// What an address or a socket cannot be.
enum Unfit {
    NoAddress,
    NotLoopback,
    TooLong,
    Relative,
}

impl FromStr for Address {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        text.parse().map(Self).map_err(|_| Unfit::NoAddress)
    }
}

impl FromStr for Loopback {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let Address(address) = text.parse()?;
        if address.ip().is_loopback() { Ok(Self(address)) } else { Err(Unfit::NotLoopback) }
    }
}

impl FromStr for Socket {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let path = PathBuf::from(text);
        match () {
            () if text.len() > SOCKET_MAX => Err(Unfit::TooLong),
            () if !path.is_absolute() => Err(Unfit::Relative),
            () => Ok(Self(path)),
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("is not of the form ADDRESS:PORT"),
            Self::NotLoopback => {
                f.write_str("is not a loopback address: probes and metrics are for this machine alone")
            }
            Self::TooLong => {
                write!(f, "is longer than the {SOCKET_MAX} bytes that the path of a Unix socket may have")
            }
            Self::Relative => f.write_str("is not an absolute path"),
        }
    }
}
