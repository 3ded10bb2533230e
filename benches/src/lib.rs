//! What the parts and the whole cost: measured, not claimed.
//!
//! `load` is the load generator, `main.rs` the program around it. `steps` are the steps of an issuance that need no token, each by itself;
//! `benches/steps.rs` shows them by criterion.

mod cpu;
pub mod load;
pub mod steps;

/// Why there is nothing to measure.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;
