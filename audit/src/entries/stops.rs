//! What officers stopped, as of the entry that is read: no new agent, controller or grant, no certificate that is none of a renewal.
//!
//! Does not: judge whether a change of an agent takes away or gives.

use cell::Act;

use super::Flaw;

/// How long one officer alone stops renewals, in milliseconds.
const ALONE_MS: i64 = 900_000;

/// What is stopped.
#[derive(Default)]
pub(super) struct Stops {
    frozen: bool,
    renewals_until_ms: i64,
}

impl Stops {
    /// An act that a frozen cell does not take.
    ///
    /// # Errors
    /// [`Flaw::Frozen`].
    pub(super) fn judge(&self, act: &Act) -> Result<(), Flaw> {
        match act {
            Act::ControllerAdd { .. } | Act::ControllerReissue { .. } | Act::GrantSet { .. } => self.frozen(),
            _ => Ok(()),
        }
    }

    /// Follows an act.
    pub(super) fn follow(&mut self, act: &Act, now_ms: i64) {
        match act {
            Act::Freeze => self.frozen = true,
            Act::Thaw => *self = Self::default(),
            Act::RenewalsStop => {
                self.renewals_until_ms = self.renewals_until_ms.max(now_ms.saturating_add(ALONE_MS));
            }
            Act::RenewalsStopConfirm => self.renewals_until_ms = i64::MAX,
            _ => {}
        }
    }

    /// Nothing new.
    ///
    /// # Errors
    /// [`Flaw::Frozen`].
    pub(super) fn frozen(&self) -> Result<(), Flaw> {
        if self.frozen { Err(Flaw::Frozen) } else { Ok(()) }
    }

    /// A certificate: one that renews another goes on in a frozen cell, unless renewals are stopped.
    ///
    /// # Errors
    /// [`Flaw::Frozen`], [`Flaw::Stopped`].
    pub(super) fn issuance(&self, renews: bool, now_ms: i64) -> Result<(), Flaw> {
        match renews {
            true if now_ms < self.renewals_until_ms => Err(Flaw::Stopped),
            true => Ok(()),
            false => self.frozen(),
        }
    }
}
