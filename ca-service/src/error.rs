//! Why the front cannot start.

use std::{io, net::SocketAddr, path::PathBuf};

/// Why the front cannot start. Once started it goes on, but for a lost door: what fails later is logged, answered and tried again.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// The operator's fault, mostly: another program has the port, or the address is not this machine's.
    #[error(
        "cannot listen on {addr}: {source}. Another program has that address, or it is not this machine's: stop the other, \
         or set `{key}` below [service] to another address"
    )]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// The key of the configuration that names it.
        key: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The operator's fault: operations are for this machine alone.
    #[error(
        "`ops-listen` is {addr}, which others can reach: set it to a loopback address such as 127.0.0.1:7444"
    )]
    OpsNotLoopback {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// The operator's fault: the directory of the service's key cannot be used.
    #[error("cannot use the state directory {}: {source}. It must be this user's, with mode 0700", path.display())]
    State {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The operator's fault: more connections are allowed than this process may have descriptors.
    #[error(
        "`connections` below [limits] needs {needed} file descriptors, and this process may have {limit}: lower \
         it, or raise the hard limit (`ulimit -Hn`, LimitNOFILE= in systemd)"
    )]
    TooFewDescriptors {
        /// What the configured connections need, with all else.
        needed: u64,
        /// The hard limit.
        limit: u64,
    },
    /// The keeper's, or its supervisor's: the door closed and no other came. Whoever started this process starts it again, with a door.
    #[error(
        "the keeper's door closed and no other came: this process ends, to be started again with a new one"
    )]
    DoorLost,
    /// Our bug: the TLS library refuses our settings.
    #[error("the TLS settings are not accepted: {0}. This is a fault of this program: please report it")]
    Tls(#[from] rustls::Error),
    /// Our bug: the descriptors of our services cannot be read.
    #[error(
        "the service descriptors are not accepted: {0}. This is a fault of this program: please report it"
    )]
    Descriptors(#[from] tonic_reflection::server::Error),
}
