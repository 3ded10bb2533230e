//! Steps 3 to 10 of a request (docs/issuance-cycle.md); 1 and 2 are the front's. One file a step, in their order.
//!
//! Each step takes the proof of the one before it and gives its own; a step that is left out does not compile (`scripts/steps`): composing needs
//! an [`Authority`], recording a [`Recordable`], and signing a [`Recorded`], which what commits makes.

pub(crate) mod admit;
pub(crate) mod authorise;
pub(crate) mod compose;
pub(crate) mod crl;
pub(crate) mod lint;
pub(crate) mod record;
pub(crate) mod release;
pub(crate) mod sign;
#[cfg(skipped)]
mod skipped;
pub(crate) mod verify;

pub(crate) use admit::Admitted;
pub(crate) use authorise::{Authorised, Authority, Grants};
pub(crate) use compose::{Composed, Order};
pub(crate) use lint::Linted;
pub(crate) use record::{Issuing, Recordable, Recorded};
pub(crate) use sign::Signed;
pub(crate) use verify::Verified;
