//! Step 4, admit: is it acceptable now? Gives a serial number and a validity.
//!
//! A crash here leaves nothing: the serial number is drawn anew.

use certs::compose::{Serial, Validity};
use certs::{Blocklist, Issuer, KeyError, PublicKey};
use ledger::entry::KeyClash;
use proto::v1::Reason;

use super::Authority;
use crate::entropy::Entropy;
use crate::journal::Reader;
use crate::refusal::Refusal;

/// A certificate may be made for this key, with this serial number, for this time.
pub(crate) struct Admitted {
    pub(super) public_key: PublicKey,
    pub(super) serial: Serial,
    pub(super) validity: Validity,
}

/// Admits a public key for `subject`: of a kind that is accepted, not known to be weak, no other identity's, no CA's own.
///
/// # Errors
/// [`Reason::KeyUnsupported`], [`Reason::KeyWeak`] or [`Reason::KeyInUse`].
pub(crate) fn key(
    reader: &Reader<'_>,
    weak_keys: &Blocklist,
    spki: &[u8],
    subject: &str,
) -> Result<PublicKey, Refusal> {
    let key = PublicKey::of_holder(spki).and_then(|key| weak_keys.check(&key).map(|()| key));
    let key = key.map_err(|error| {
        let reason =
            if matches!(error, KeyError::Weak(_)) { Reason::KeyWeak } else { Reason::KeyUnsupported };
        Refusal::new(reason, error.to_string()).on("csr")
    })?;
    let hash = key.spki_sha256();
    let another = reader.key_subject(&hash)?.filter(|owner| owner != subject);
    if another.is_some() || reader.is_ca_key(&hash)? {
        let clash = KeyClash {
            spki_sha256: hash.to_vec(),
            holder: another.unwrap_or_default(),
            claimant: subject.to_owned(),
            count: 1,
        };
        return Err(Refusal::new(
            Reason::KeyInUse,
            "this public key belongs to another identity: make a new key. If you did not copy it, someone cloned a machine",
        )
        .on("csr")
        .clashing(clash));
    }
    Ok(key)
}

/// No new identity, grant or controller while the cell is frozen (invariant I5).
///
/// # Errors
/// [`Reason::Frozen`].
pub(crate) fn not_frozen(reader: &Reader<'_>) -> Result<(), Refusal> {
    if reader.freeze()?.frozen {
        return Err(Refusal::new(
            Reason::Frozen,
            "officers froze the cell: no new identity, grant or controller until a quorum thaws it (`rootcellar thaw`); renewals and revocations go on",
        ));
    }
    Ok(())
}

/// Renewals go on, also in a frozen cell, unless officers stopped them by an act of its own.
///
/// # Errors
/// [`Reason::RenewalsStopped`], with the time to wait where it ends by itself.
pub(crate) fn renewals_go_on(reader: &Reader<'_>, now_ms: i64) -> Result<(), Refusal> {
    let until_ms = reader.freeze()?.stopped_until_ms;
    if until_ms <= now_ms {
        return Ok(());
    }
    let refusal = Refusal::new(
        Reason::RenewalsStopped,
        "officers stopped renewals: keep the certificate you have and try again; `rootcellar status` on the service's machine says until when",
    );
    Err(if until_ms == i64::MAX {
        refusal
    } else {
        refusal.retry(u32::try_from(until_ms - now_ms).unwrap_or(u32::MAX))
    })
}

/// Draws the serial number and sets the validity of what somebody may have: `ttl_secs` shortened by up to a tenth, so that a fleet that came up at once does not
/// renew at once.
///
/// # Errors
/// The issuer is not valid now, or there are no random numbers.
pub(crate) fn admit(
    _: Authority,
    issuer: &Issuer,
    entropy: &mut Entropy,
    now_ms: i64,
    public_key: PublicKey,
    ttl_secs: u32,
) -> Result<Admitted, Refusal> {
    // RFC 5280 §4.1.2.2: positive, at most 20 octets. 159 bits of chance.
    let serial = Serial::try_from(entropy.draw::<20>("rootcellar/v1 serial")?);
    let serial = serial.map_err(Refusal::internal)?;
    let jitter = u16::from_be_bytes(entropy.draw::<2>("rootcellar/v1 jitter")?);
    let shorter = u64::from(ttl_secs) * u64::from(jitter) / (10 * u64::from(u16::MAX));
    let now = u64::try_from(now_ms.div_euclid(1000)).map_err(Refusal::internal)?;
    let validity = Validity::for_lifetime(now, u64::from(ttl_secs) - shorter, issuer.validity());
    let validity = validity.map_err(|error| Refusal::new(Reason::IssuerNotValid, error.to_string()))?;
    Ok(Admitted { public_key, serial, validity })
}
