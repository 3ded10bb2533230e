//! The table of rules, in three parts.

mod extensions;
mod fields;
mod names;

pub(super) use extensions::EXTENSIONS;
pub(super) use fields::FIELDS;
pub(super) use names::NAMES;
