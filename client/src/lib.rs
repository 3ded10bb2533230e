//! How software talks to the service: one channel over mutual TLS for every service, requests that are signed with the caller's key, and
//! answers that are believed as far as they verify.
//!
//! - `connection`: the channel, and the clients of each service over it
//! - `services`: the methods that change state, each of whose requests is signed
//! - `signer`: signatures over requests, one for many that are under way together
//! - `trust`: charters and trust bundles, held against the pinned charter
//! - `recorded`: what the service says it recorded, held against the log
//! - `credentials`: a controller's files; `key`, `pending`: a new key on its way to a certificate; `pem`: certificates in files
//! - `caller`: a controller that asks, its certificate renewed in time
//! - `error`: what goes wrong, and whether it may pass
//!
//! Does not: know where a user keeps credentials, or what a command prints.

mod caller;
mod connection;
mod credentials;
mod error;
mod key;
mod pem;
mod pending;
mod recorded;
mod services;
mod signer;
mod trust;

pub use caller::Caller;
pub use connection::{Client, ConnectError, MAX_MESSAGE, Presented, endpoint};
pub use credentials::{Credentials, Identity};
pub use error::{Error, is_lost, may_pass, reason};
pub use key::Key;
pub use pem::{certificates_pem, pem_of, read_certificates};
pub use pending::{Pair, Pending};
pub use recorded::{Asker, Recorded, holds};
pub use services::{Agents, Issuance, request_id};
pub use signer::{Clock, Signer, SignerError, UnderWay};
pub use trust::{fetch_charters, fetch_trust, not_older};
