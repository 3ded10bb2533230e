//! Officers: the ceremonies that give a cell its keys and its rules, and what officers sign.
//!
//! - `plans`: what is to be done, by kind of ceremony; `execute`: doing it, in `host` processes that hold the tokens, by a durable `record`
//! - `transcript`: what was done; `directory`: where all of it lies
//! - `officer`: keys and signatures of officers; `init`: a cell founded by one officer, by all of the above
//!
//! Does not: sign with a CA key outside a ceremony; decide what an officer may do (the charter does); judge a transcript (the keeper does).

pub mod directory;
pub mod epoch;
pub mod execute;
pub mod host;
pub mod init;
pub mod officer;
mod pin_file;
pub mod plans;
pub mod record;
mod stand_in;
pub mod transcript;
