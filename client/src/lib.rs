//! How software talks to the service: one channel over mutual TLS for every service, and requests that are signed with the caller's key.
//!
//! - `connection`: the channel, and the clients of each service over it
//! - `services`: the methods that change state, each of whose requests is signed
//! - `signer`: signatures over requests, one for many that are under way together
//!
//! Does not: check the trust bundle's note; who pins a charter does that with the `ledger` crate.

mod connection;
mod services;
mod signer;

pub use connection::{Client, ConnectError, Credentials, MAX_MESSAGE, endpoint};
pub use services::{Agents, Issuance, request_id};
pub use signer::{Clock, Signer, SignerError, UnderWay};
