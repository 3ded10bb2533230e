//! Checks from bytes alone: a chain up to a trust anchor, a certificate's place in the log, a whole ledger.
//!
//! Does not: fetch anything, or trust who handed the bytes in.

pub(crate) mod audit;
pub(crate) mod chain;
pub(crate) mod custody;
pub(crate) mod evidence;
#[cfg(test)]
mod testing;
