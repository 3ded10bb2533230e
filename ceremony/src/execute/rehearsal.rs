//! A plan without its tokens: every certificate and CRL composed and linted with stand-in keys, so that a plan that cannot be is found before
//! a key is made for it.

use audit::ceremony::anchor;
use cell::TrustDomain;
use certs::compose::Serial;
use certs::{Issuer, PublicKey, SignatureAlgorithm};
use ledger::note::KeyName;
use ledger::plan::{Certify, CertifyAs, KeyRef, Plan, Step};

use super::certificates::{compose_crl, order, secs};
use super::room::Room;
use super::{ExecuteError, internal};
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
    room: Room,
}

/// Lints what a plan orders, at `now_ms` milliseconds since 1970, and measures the transcript to which it leads, signed by these officers.
/// `anchors` are the roots of the trust bundle, DER.
///
/// # Errors
/// [`ExecuteError::Plan`] with the first step that cannot be, [`ExecuteError::Untold`] where there is no room for the transcript.
pub fn lint(plan: &Plan, anchors: &[Vec<u8>], officers: &[KeyName], now_ms: i64) -> Result<(), ExecuteError> {
    let cell = plan.cell.parse().map_err(internal)?;
    let (at_secs, keys) = (secs(now_ms)?, StandIns::default());
    let (roots, room) = (Vec::new(), Room::default());
    let mut rehearsal = Rehearsal { cell, anchors, at_secs, keys, roots, room };
    rehearsal.room.begin();
    for (step, what) in plan.steps.iter().enumerate() {
        rehearsal.step(step, what).map_err(|why| ExecuteError::Plan { step: step + 1, why })?;
    }
    rehearsal.room.demand(plan, anchors, officers).map_err(ExecuteError::Untold)
}

impl<'a> Rehearsal<'a> {
    fn step(&mut self, step: usize, what: &'a Step) -> Result<(), String> {
        match what {
            Step::MakeKey(make) => {
                self.keys.make(&make.name, &make.algorithm)?;
                let key = self.keys.public_key(&make.name).ok_or(UNKNOWN)?;
                self.room.open(&make.token, step);
                self.room.make(step, make, &key);
                Ok(())
            }
            Step::Certify(certify) => self.certify(step, certify),
            Step::MakeCrl(crl) => {
                let signer = self.root(&crl.signer).ok_or(UNKNOWN)?;
                let tbs = compose_crl(crl, &signer, self.at_secs)?;
                self.room.open(&crl.token, step);
                self.room.sign(step, tbs.as_bytes(), signer.public_key());
                Ok(())
            }
            Step::Destroy(_) => Ok(()),
        }
    }

    fn certify(&mut self, step: usize, certify: &'a Certify) -> Result<(), String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let subject = self.key(&certify.subject).ok_or(UNKNOWN)?;
        let signer = match certify.profile {
            CertifyAs::Root => None,
            _ => Some(self.root(&certify.signer).ok_or(UNKNOWN)?),
        };
        let serial = Serial::try_from(NO_SERIAL).map_err(|error| said(&error))?;
        let linted = order(&self.cell, certify, &subject, signer.as_ref(), self.at_secs).compose(serial);
        let linted = linted.map_err(|error| said(&error))?;
        let by = signer.as_ref().map_or(&subject, Issuer::public_key);
        self.room.open(&certify.token, step);
        self.room.sign(step, linted.tbs().as_bytes(), by);
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
