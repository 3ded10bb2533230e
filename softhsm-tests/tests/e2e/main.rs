//! End-to-end tests on the product's own processes and real tokens: one theme a file, judged by OpenSSL, webpki and a client that has
//! nothing but the contract. `docs/errors.md` and `SECURITY.md` name them.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod agents;
mod approvals;
mod batch;
mod bundles;
mod callers;
mod carried;
mod ceremonies;
mod clock;
mod config;
mod conformance;
mod csr;
mod custody;
mod disbelief;
mod disk;
mod doctor;
mod documentation;
mod entropy;
mod followed;
mod forged;
mod freeze;
mod grants;
mod health;
mod idempotency;
mod imports;
mod interrupted;
mod invariants;
mod issue;
mod journal;
mod kinds;
mod kryoptic;
mod limits;
mod lint;
mod metrics;
mod modes;
mod officer;
mod parallel;
mod pins;
mod proofs;
mod proposals;
mod python;
mod recovery;
mod renewal;
mod requests;
mod revocation;
mod secrets;
mod shutdown;
mod support;
mod takeover;
mod tokens;
mod torture;
mod tpm;
mod trust;
mod wire;
