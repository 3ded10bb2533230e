//! Officers: the ceremonies that give a cell its keys and its rules, and what officers sign.
//!
//! Does not: sign with a CA key outside a ceremony; decide what an officer may do (the charter does).

pub mod epoch;
pub mod host;
pub mod init;
pub mod officer;
mod pin_file;
