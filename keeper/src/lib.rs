//! The keeper: the only process that loads the PKCS#11 module, sees the PIN and opens the journal.
//!
//! A request comes through the `door`, is decided on and recorded by the `sequencer` (steps 3 to 7), signed and verified by the
//! `workers` (8, 9) and released by the sequencer (10). What only reads is answered by `reads`.
//!
//! Does not: speak to a network, or take a byte to sign from anyone.

mod answers;
mod asks;
mod attendant;
mod callers;
mod ceremonies;
mod charters;
mod checkpoints;
mod command;
mod convert;
mod crls;
mod custody;
mod disk;
mod door;
mod entropy;
mod epoch;
mod founding;
mod journal;
mod lists;
mod local;
mod looks;
mod manifest;
mod metrics;
mod out;
mod page;
mod reads;
mod recovery;
mod refusal;
mod refused;
mod remembered;
mod requests;
mod rollback;
mod scrub;
mod sequencer;
mod shared;
mod signed;
mod start;
mod start_error;
mod status;
mod steps;
mod stopping;
mod time;
mod trust;
mod waiting;
mod workers;

use std::sync::Arc;

pub use ceremonies::{Import, ImportError, bundles};
pub use command::Ended;
pub use custody::encoded as certificate_signature;
pub use entropy::mix as mix_entropy;
pub use epoch::{Decided, EpochError, WentBack};
pub use founding::{FoundingError, found, import};
pub use journal::{
    DatabaseError, Durability, Journal, JournalError, Rebuilt, RestoreError, RestoreTerms, Restored, restore,
};
pub use local::SocketError;
pub use refusal::Refusal;
pub use rollback::Kept;
pub use start::{Config, Doors, Keeper, Stopper, Surroundings};
pub use start_error::StartError;
pub use stopping::{LayError, NotTaken, lay, newest_bundle, waiting};

/// Milliseconds since 1970-01-01T00:00:00Z. Passed in, so that a test decides the time.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Fills what it is given with the operating system's random octets. Passed in, so that a test decides them.
pub type Random = Arc<dyn Fn(&mut [u8]) -> std::io::Result<()> + Send + Sync>;

/// Told when a numbered step of a certificate is done, so that a test can end the process there. The product's does nothing.
pub type Probe = Arc<dyn Fn(&'static str) + Send + Sync>;

/// SPIFFE path of the service, and what the ledger calls it.
const SERVICE_PATH: &str = "/service/ca";
/// Milliseconds in the hour that a budget is for: where it is checked and where it is spent.
const HOUR_MS: i64 = 3_600_000;
/// How long one officer alone stops renewals, in milliseconds: half of what an agent's certificate of the default hour has left when it
/// renews, so that a stop in error costs no such agent its certificate.
const RENEWALS_STOP_MS: i64 = 900_000;

/// Holds the journal in `dir` against its entries and signatures, as a start does first. No keeper may run.
///
/// # Errors
/// Why no keeper starts on it.
pub fn examine(dir: &std::path::Path, attributes_oid: certs::ObjectIdentifier) -> Result<(), JournalError> {
    Journal::open(dir)?.verify(attributes_oid).map(drop)
}
