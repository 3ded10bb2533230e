//! What the parts and the whole cost: measured, not claimed.
//!
//! - `load`: the load generator; `main.rs` is the program around it
//! - `steps`: the steps of an issuance that need no token, each by itself; `benches/steps.rs` shows them by criterion
//! - `instructions`: one issuance over and over, for `make instructions`
//! - `run`: all of `make bench`, by a `plan`; `measures` has one file for each measure, `cells` what they measure on, `fill` full journals
//! - `ab`: `make bench-ab`, two commits side by side
//! - `keys`, `summary`, `charts`: what it gives, and what it must reach
//!
//! Does not: fail where a figure misses what it must reach. Machines differ; the table says so.

pub mod ab;
mod cells;
mod charts;
mod cpu;
mod fill;
pub mod instructions;
pub mod keys;
pub mod load;
mod measures;
mod plan;
mod run;
pub mod steps;
mod summary;

pub use fill::checkpoint;
pub use measures::token;
pub use plan::Plan;
pub use run::run;
pub use summary::Summary;

/// Why there is nothing to measure.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;
