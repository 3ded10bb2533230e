//! The officer's side: keys in files or tokens, and the notes that officers sign with them.
//!
//! Does not: open a token, speak to the service, or carry out an act. A note may leave here with fewer signatures than the
//! charter asks for: officers in several places sign one after the other ([`countersign`]), and whoever acts on the note
//! counts them.

mod file;
mod key;
mod sealed;
mod sign;

pub use file::{KeyFile, Sealed};
pub use key::{KeyFileError, OfficerKey};
pub use sign::{
    ProposalTerms, SigningError, amend_charter, countersign, found_charter, propose, publish_bundle,
};
