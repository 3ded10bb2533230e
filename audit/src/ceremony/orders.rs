//! What a plan orders and what a transcript calls it: the words that whoever executes a plan and whoever judges it share.

use certs::crl::{Crl, Reason, Revoked};
use ledger::plan::{MakeCrl, Step};

/// Seconds in a day.
pub(super) const DAY_SECS: u64 = 86_400;

/// What a transcript says of a key that gave no word of its own before it was destroyed.
pub const NO_PROOF: &str = "none: the key may have been gone before";

/// What a transcript calls a step: its kind, and what it is about.
pub fn step_name(step: &Step) -> String {
    match step {
        Step::MakeKey(make) => format!("make-key {}", make.name),
        Step::Certify(certify) => format!("certify {} {}", certify.profile, certify.subject),
        Step::MakeCrl(crl) => format!("make-crl {}", crl.number),
        Step::Destroy(_) => "destroy-key".to_owned(),
    }
}

/// The certificates that a plan's CRL revokes, at the moment of the ceremony.
///
/// # Errors
/// A reason that RFC 5280 §5.3.1 does not have.
pub fn revoked(order: &MakeCrl, at_secs: u64) -> Result<Vec<Revoked>, String> {
    let one = |revoke: &ledger::plan::Revoke| {
        let reason = Reason::try_from(i32::from(revoke.reason))
            .map_err(|_| format!("{} is no reason of RFC 5280 §5.3.1", revoke.reason))?;
        Ok(Revoked { serial: revoke.serial.clone(), revoked_at: at_secs, reason })
    };
    order.revoked.iter().map(one).collect()
}

/// The CRL that a plan orders, at the moment of the ceremony.
pub fn crl<'a>(order: &MakeCrl, at_secs: u64, revoked: &'a [Revoked]) -> Crl<'a> {
    let next_update = at_secs + u64::from(order.days) * DAY_SECS;
    Crl { number: order.number, this_update: at_secs, next_update, revoked }
}
