//! The three processes of a service: a small supervisor, the keeper and the front, and how they hand each other their sockets.

mod control;
mod copied;
mod inherited;
pub(crate) mod orphans;
mod supervisor;

pub(crate) use control::{Control, Message};
pub(crate) use inherited::Inherited;
pub(crate) use supervisor::{Bound, supervise};
