//! A plan without its tokens: every certificate and CRL composed and linted with stand-in keys, so that a plan that cannot be is found before
//! a key is made for it.

use cell::TrustDomain;
use certs::compose::Serial;
use certs::{Issuer, PublicKey, SignatureAlgorithm};
use ledger::plan::{Certify, CertifyAs, KeyRef, Plan, Step};

use super::certificates::{compose_crl, order, secs};
use super::{ExecuteError, anchor, internal};
use crate::stand_in::StandIns;

/// What is wrong with a plan whose signer nobody knows.
const UNKNOWN: &str = "it speaks of a key that no anchor of the trust bundle has";

/// A serial number that stands for one; it is never signed.
const NO_SERIAL: [u8; 20] = [0x7f; 20];

/// Keys and roots that stand in for those of the plan, as far as it was rehearsed.
struct Rehearsal<'a> {
    cell: TrustDomain,
    anchors: &'a [Vec<u8>],
    at_secs: u64,
    keys: StandIns,
    roots: Vec<(&'a KeyRef, Issuer)>,
}

/// Lints what a plan orders, at `now_ms` milliseconds since 1970. `anchors` are the roots of the trust bundle, DER.
///
/// # Errors
/// [`ExecuteError::Plan`] with the first step that cannot be.
pub fn lint(plan: &Plan, anchors: &[Vec<u8>], now_ms: i64) -> Result<(), ExecuteError> {
    let cell = plan.cell.parse().map_err(internal)?;
    let (at_secs, keys) = (secs(now_ms)?, StandIns::default());
    let mut rehearsal = Rehearsal { cell, anchors, at_secs, keys, roots: Vec::new() };
    for (step, what) in plan.steps.iter().enumerate() {
        rehearsal.step(what).map_err(|why| ExecuteError::Plan { step: step + 1, why })?;
    }
    Ok(())
}

impl<'a> Rehearsal<'a> {
    fn step(&mut self, step: &'a Step) -> Result<(), String> {
        match step {
            Step::MakeKey(make) => self.keys.make(&make.name, &make.algorithm),
            Step::Certify(certify) => self.certify(certify),
            Step::MakeCrl(crl) => {
                let signer = self.root(&crl.signer).ok_or(UNKNOWN)?;
                compose_crl(crl, &signer, self.at_secs).map(drop)
            }
            Step::Destroy(_) => Ok(()),
        }
    }

    fn certify(&mut self, certify: &'a Certify) -> Result<(), String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let subject = self.key(&certify.subject).ok_or(UNKNOWN)?;
        let signer = match certify.profile {
            CertifyAs::Root => None,
            _ => Some(self.root(&certify.signer).ok_or(UNKNOWN)?),
        };
        let serial = Serial::try_from(NO_SERIAL).map_err(|error| said(&error))?;
        let linted = order(&self.cell, certify, &subject, signer.as_ref(), self.at_secs).compose(serial);
        let linted = linted.map_err(|error| said(&error))?;
        if certify.profile == CertifyAs::Root {
            let algorithm = SignatureAlgorithm::of(subject.kind());
            let unsigned = certs::compose::join(linted.tbs().as_bytes(), algorithm, &[0]);
            self.roots.push((&certify.subject, Issuer::parse(&unsigned).map_err(|error| said(&error))?));
        }
        Ok(())
    }

    fn key(&self, key: &KeyRef) -> Option<PublicKey> {
        match key {
            KeyRef::Named(name) => self.keys.public_key(name),
            KeyRef::Sha256(hash) => anchor(self.anchors, hash).map(|anchor| anchor.public_key().clone()),
        }
    }

    fn root(&self, key: &KeyRef) -> Option<Issuer> {
        match key {
            KeyRef::Named(_) => self.roots.iter().find(|(of, _)| *of == key).map(|(_, root)| root.clone()),
            KeyRef::Sha256(hash) => anchor(self.anchors, hash),
        }
    }
}
