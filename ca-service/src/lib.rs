//! The front: gRPC over mutual TLS, and the near end of the keeper's door.
//!
//! - `front`: the life of the whole; `limits`: every bound; `error`: why it cannot start
//! - `door`, `keeper`: asks go to the keeper, answers come back
//! - `bundle`, `verifier`, `tls`, `own_certificate`: whom the front believes, and with what it proves itself
//! - `listener`, `mtls`, `ops`, `connection`, `begun`, `frames`, `messages`: sockets and what is served on them; `local`: the same services in another process, over
//!   the keeper's own socket
//! - `http1`, `crls`, `crl_site`: plain HTTP, and CRLs over it
//! - `room`: where those wait who are not known yet; `places`, `rate`, `shares`, `readings`, `looks`, `gone`, `recogniser`: who may take
//!   how much of it
//! - `steps`: steps 1 and 2 of the issuance cycle; `call`, `services`, `log`, `sums`, `status`: one request, its answer and its line
//! - `metrics`, `scrape`: what is counted, and the page of it
//! - `health`: whether the keeper answers
//!
//! Does not: hold a CA key, see a PIN, open a token or the journal, decide what is issued.

mod begun;
mod bundle;
mod call;
mod chance;
mod connection;
mod crl_site;
mod crls;
mod door;
mod error;
mod frames;
mod front;
mod gone;
mod health;
mod http1;
mod keeper;
mod limits;
mod listener;
mod local;
mod log;
mod looks;
mod messages;
mod metrics;
mod mtls;
mod ops;
mod own_certificate;
mod places;
mod rate;
mod readings;
mod recent;
mod recogniser;
mod room;
mod scrape;
mod services;
mod shares;
mod status;
mod steps;
mod sums;
mod tls;
mod verifier;

pub use error::FrontError;
pub use front::{Bound, Clock, FrontConfig, Probe, run};
pub use keeper::Keeper;
pub use limits::Limits;
pub use local::connect as connect_locally;
