//! What the parts cost: steps of an issuance that need no token and no service, each by itself.
//!
//! The load generator (`main.rs`) measures the whole; `benches/steps.rs` shows the same steps by criterion.

mod cpu;
pub mod steps;
