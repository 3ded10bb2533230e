//! Steps 1 and 2 of the issuance cycle; the keeper does the rest.

mod authenticate;
mod check_csr;

pub(crate) use authenticate::{Caller, NotACaller, only_uri, presented};
pub(crate) use check_csr::{check_csr, demand_hard_to_factor, takes_long};
