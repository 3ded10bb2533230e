//! How software talks to the service: one channel over mutual TLS for every service, requests that are signed with the caller's key, and
//! answers that are believed as far as they verify.
//!
//! - `connection`: the channel, and the clients of each service over it
//! - `services`: the methods that change state, each of whose requests is signed
//! - `signer`: signatures over requests, one for many that are under way together
//! - `trust`: charters and trust bundles, held against the pinned charter
//! - `recorded`: what the service says it recorded, held against the log
//! - `error`: what goes wrong, and whether it may pass
//!
//! Does not: keep files; whoever pins a charter does.

mod connection;
mod error;
mod recorded;
mod services;
mod signer;
mod trust;

pub use connection::{Client, ConnectError, Credentials, MAX_MESSAGE, endpoint};
pub use error::{Error, is_lost, may_pass};
pub use recorded::{Asker, Recorded, holds};
pub use services::{Agents, Issuance, request_id};
pub use signer::{Clock, Signer, SignerError, UnderWay};
pub use trust::{fetch_charters, fetch_trust, not_older};
