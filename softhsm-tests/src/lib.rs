//! The harness of the end-to-end tests: each test has a cell of its own, with its token, its processes, its ports and its directory.
//!
//! A missing SoftHSM2 is a failure, not a skip. Nothing is shared, nothing is waited for by time: a service says when it is ready.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "what the harness cannot do fails the test that asked for it"
)]

mod cell;
mod credentials;
pub mod door;
mod faults;
pub mod judges;
pub mod kryoptic;
mod program;
mod proofs;
pub mod torture;
mod tpm;

pub use cell::{Cell, Serving};
pub use credentials::{Credentials, newest_log};
pub use faults::Faults;
pub use program::{Outcome, Program, built};
pub use proofs::signed_as_proof;
pub use rustix::process::Signal;
pub use tpm::Tpm;
