//! Steps that are left out, one in each of these: none compiles, and `scripts/steps` looks at why. Compiled by that alone.

#![expect(dead_code, unused_imports, clippy::too_many_arguments, reason = "never run")]

use certs::{Issuer, PublicKey};
use const_oid::ObjectIdentifier;
use ledger::entry::{Entry, entry::Kind};

use super::{
    Admitted, Authority, Composed, Issuing, Linted, Order, Recordable, Recorded, Signed, admit, compose,
    lint, release, sign, verify,
};
use crate::custody::Session;
use crate::entropy::Entropy;
use crate::journal::{Appended, CertificateRow, Committed, Durability};

/// Nobody said that it may be had.
#[cfg(skipped = "authorise")]
fn authorise(issuer: &Issuer, entropy: &mut Entropy, key: PublicKey) {
    let _ = admit::admit(Authority(()), issuer, entropy, 0, key, 60);
}

/// No serial number, no validity.
#[cfg(skipped = "admit")]
fn admit_(issuer: &Issuer, key: PublicKey, order: &Order, oid: ObjectIdentifier) {
    let _ = compose::compose(issuer, Admitted { public_key: key }, order, oid);
}

/// Not what policy makes of the order.
#[cfg(skipped = "compose")]
fn compose_(issuer: &Issuer, admitted: Admitted, order: &Order, oid: ObjectIdentifier) {
    let _ = lint::lint(issuer, admitted, order, oid, 0);
}

/// Nobody looked at the bytes.
#[cfg(skipped = "lint")]
fn lint_(issuing: Issuing, composed: Composed, entry: impl FnOnce(Kind) -> Entry) {
    let _ = issuing.recordable(&composed, [0; 32], entry);
}

/// An entry that somebody made.
#[cfg(skipped = "record")]
fn record(session: &mut Session, entry: Entry) {
    let _ = sign::sign(session, Recordable(Box::new(entry)));
}

/// What was appended and is not on the disk.
#[cfg(skipped = "commit")]
fn commit(appended: Appended, certificate: Recordable) {
    let committed = Committed { size: 1, durability: Durability::Disk };
    let _ = Recorded::after_commit(&committed, appended, certificate);
}

/// A signature that somebody brought.
#[cfg(skipped = "sign")]
fn sign_(issuer: &Issuer, recorded: Recorded) {
    let _ = verify::verify(issuer, recorded);
}

/// A signature that nobody verified.
#[cfg(skipped = "verify")]
fn verify_(release: &release::Release<'_>, row: &CertificateRow, signed: Signed) {
    let _ = release.fresh(row, signed);
}
