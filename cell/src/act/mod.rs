//! The acts of administration as fields that an officer reads before signing them.
//!
//! One act is one text: [`Act::fields`] writes it, [`Act::parse`] reads only what `fields` would have written.
//! Does not: decide who may do what (the charter does), look into a public key, hold signatures.

mod epoch;
mod parse;
mod revocation;
mod write;

pub use epoch::{LogOrigin, LostCertificates, RepeatedRevocation, Tree};
pub use revocation::{NotAReason, RevocationReason, RevocationTarget, Serial};

use crate::{ControllerName, Grant, GrantName, Grants};

pub use parse::ActError;

/// The most bytes of all field names and values of an act that is parsed: with its signatures it stays below the
/// 65,535 bytes of a ledger entry.
pub const MAX_FIELDS_BYTES: usize = 48 * 1024;

/// The longest public key, in bytes of DER: RSA 4096 takes 550.
const MAX_SPKI_BYTES: usize = 1024;

/// A public key as a DER SubjectPublicKeyInfo, 1 to 1024 bytes; that it is one, `certs` checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpkiDer(Vec<u8>);

impl SpkiDer {
    /// The DER bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Vec<u8>> for SpkiDer {
    type Error = ActError;

    fn try_from(der: Vec<u8>) -> Result<Self, ActError> {
        if (1..=MAX_SPKI_BYTES).contains(&der.len()) {
            Ok(Self(der))
        } else {
            Err(ActError::Value {
                field: PUBLIC_KEY.to_owned(),
                why: format!("is not 1 to {MAX_SPKI_BYTES} bytes"),
            })
        }
    }
}

/// What officers can decide about callers and issuers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A new controller, with the key of its first certificate.
    ControllerAdd {
        /// Its name.
        name: ControllerName,
        /// The key of its first certificate.
        public_key: SpkiDer,
        /// What it may ask for.
        grants: Grants,
    },
    /// A controller's end.
    ControllerRemove {
        /// Its name.
        name: ControllerName,
    },
    /// A new certificate for a controller that was away too long, or whose key is lost.
    ControllerReissue {
        /// Its name.
        name: ControllerName,
        /// The key of its new certificate.
        public_key: SpkiDer,
    },
    /// One grant of a controller, new or in place of that of the same name.
    GrantSet {
        /// The controller.
        controller: ControllerName,
        /// The grant.
        grant: Grant,
    },
    /// The end of one grant of a controller.
    GrantRemove {
        /// The controller.
        controller: ControllerName,
        /// The grant's name.
        grant: GrantName,
    },
    /// No new identity, grant or controller from now on. One officer is enough.
    Freeze,
    /// The end of a freeze, and of a stop of renewals.
    Thaw,
    /// No renewal for a quarter of an hour. One officer is enough.
    RenewalsStop,
    /// No renewal until a thaw.
    RenewalsStopConfirm,
    /// The end of certificates before their time.
    CertificateRevoke {
        /// Which.
        target: RevocationTarget,
        /// Why.
        reason: RevocationReason,
    },
    /// The service's clock is right as it is, whatever the log's entries say.
    ClockConfirm {
        /// How many entries the log has: when it has more, the word is about another time ([`Act::is_of_this_log`]).
        entries: u64,
    },
    /// A new epoch of the log, which begins on what is left of the one before.
    EpochOpen {
        /// Origin of the log from now on.
        epoch: LogOrigin,
        /// What is left: the new log begins with these entries.
        kept: Tree,
        /// The newest checkpoint of the log before that is known: what lies between the two is lost.
        lost: Tree,
        /// How certificates recorded in the lost entries are handled: they cannot be revoked one by one.
        certificates: LostCertificates,
        /// Revocations from the lost entries that are still known, repeated: in order of serial number, each once.
        revoked: Vec<RepeatedRevocation>,
    },
}

const CONTROLLER_ADD: &str = "controller.add";
const CONTROLLER_REMOVE: &str = "controller.remove";
const CONTROLLER_REISSUE: &str = "controller.reissue";
const GRANT_SET: &str = "grant.set";
const GRANT_REMOVE: &str = "grant.remove";
const FREEZE: &str = "freeze";
const THAW: &str = "thaw";
const RENEWALS_STOP: &str = "renewals.stop";
const RENEWALS_STOP_CONFIRM: &str = "renewals.stop-confirm";
const CERTIFICATE_REVOKE: &str = "certificate.revoke";
const EPOCH_OPEN: &str = "epoch.open";
const CLOCK_CONFIRM: &str = "clock.confirm";

/// Acts that any one officer can do, whatever the quorum: they narrow trust, and a quorum undoes them.
const ALONE: [&str; 2] = [FREEZE, RENEWALS_STOP];

// The fields' names, in the order in which they are written.
const CONTROLLER: &str = "controller";
const PUBLIC_KEY: &str = "public-key";
const GRANT: &str = "grant";
const GRANT_AGENTS: &str = "grant.agents";
const GRANT_ROLES: &str = "grant.roles";
const GRANT_TAGS: &str = "grant.tags";
const GRANT_DNS: &str = "grant.dns";
const GRANT_MAX_TTL: &str = "grant.max-ttl";
const GRANT_BUDGET: &str = "grant.budget-per-hour";
const CERTIFICATE: &str = "certificate";
const SERIAL: &str = "serial";
const AGENT: &str = "agent";
const SINCE: &str = "since";
const REASON: &str = "reason";
const EPOCH: &str = "epoch";
const KEPT: &str = "kept";
const LOST: &str = "lost";
const LOST_CERTIFICATES: &str = "lost-certificates";
const REVOKED: &str = "revoked";
const ENTRIES: &str = "entries";

/// Entries that may have been recorded since officers were asked what time it is: a stop or two. Nothing else is while the clock is wrong.
const CLOCK_CONFIRM_ENTRIES: u64 = 4;
/// How long a word about what time it is may take: an hour.
const CLOCK_CONFIRM_SECS: i64 = 3600;

/// Between two values of a list.
const COMMA: &str = ", ";

impl Act {
    /// The act's name, as a proposal's text has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ControllerAdd { .. } => CONTROLLER_ADD,
            Self::ControllerRemove { .. } => CONTROLLER_REMOVE,
            Self::ControllerReissue { .. } => CONTROLLER_REISSUE,
            Self::GrantSet { .. } => GRANT_SET,
            Self::GrantRemove { .. } => GRANT_REMOVE,
            Self::Freeze => FREEZE,
            Self::Thaw => THAW,
            Self::RenewalsStop => RENEWALS_STOP,
            Self::RenewalsStopConfirm => RENEWALS_STOP_CONFIRM,
            Self::CertificateRevoke { .. } => CERTIFICATE_REVOKE,
            Self::EpochOpen { .. } => EPOCH_OPEN,
            Self::ClockConfirm { .. } => CLOCK_CONFIRM,
        }
    }

    /// Whether it only stops something, and sets nothing going.
    pub fn stops(&self) -> bool {
        matches!(self, Self::Freeze | Self::RenewalsStop | Self::RenewalsStopConfirm)
    }

    /// Whether it is about the log as it is with so many entries. One that was never handed in is of no use once the log has gone on.
    pub fn is_of_this_log(&self, size: u64) -> bool {
        match self {
            Self::ClockConfirm { entries } => {
                size.checked_sub(*entries).is_some_and(|since| since <= CLOCK_CONFIRM_ENTRIES)
            }
            _ => true,
        }
    }

    /// How long the act of this name may wait for officers and to be handed in, in seconds; none where that is for as long as any may. Whoever has
    /// one that sets the clock and was never handed in sets the log's time back by as much.
    pub fn longest_secs(name: &str) -> Option<i64> {
        (name == CLOCK_CONFIRM).then_some(CLOCK_CONFIRM_SECS)
    }

    /// Whether any one officer can do the act of this name, whatever the quorum.
    pub fn is_for_one(name: &str) -> bool {
        ALONE.contains(&name)
    }
}

#[cfg(test)]
mod tests;
