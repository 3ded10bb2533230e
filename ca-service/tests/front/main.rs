//! The front against a keeper written here: what the transport promises. Judged by openssl(1) and plain sockets where it can be.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

mod abuse;
mod batch;
mod calls;
mod crl;
mod far_end;
mod house;
mod limits;
mod pki;
mod sockets;
mod start;
mod tls;
mod watchers;
