//! What every part asks of the operating system alike: files that are whole and durable, and what a process forbids itself.
//!
//! - `durable`: files that are written as a whole, of one's own
//! - `carried`: files that somebody else may have put something in the place of
//! - `files`: files that a person names; a failure says which
//! - `process`: no core dump, no tracing, as many descriptors as there are
//!
//! Does not: know what is in a file, or whose process it is.

pub mod carried;
pub mod durable;
pub mod files;
mod process;

pub use process::{harden, raise_descriptors};
