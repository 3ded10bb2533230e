//! What is measured, one file each. Every one sets its keys of the summary.

pub(crate) mod crl;
pub(crate) mod disk;
pub(crate) mod door;
pub(crate) mod echo;
pub(crate) mod freeze;
pub(crate) mod growth;
pub(crate) mod levels;
pub(crate) mod record;
pub(crate) mod restore;
pub(crate) mod slow_token;
pub(crate) mod steps;
pub mod token;
pub(crate) mod watch;
