//! Certificates and CRLs: composed, linted, written down, signed, verified, in this order (invariants I2 to I4).

use audit::ceremony::{CaOrder, anchor};
use cell::TrustDomain;
use certs::compose::Serial;
use certs::crl::TbsCrl;
use certs::{Issuer, PublicKey, SignatureAlgorithm};
use data_encoding::HEXLOWER;
use ledger::plan::{Certify, CertifyAs, KeyRef, MakeCrl, Step};

use super::{ExecuteError, Execution, decoded, internal};
use crate::host::{HostError, TokenHost};
use crate::record::Event;

impl<Open: FnMut(&str) -> Result<Option<TokenHost>, HostError>> Execution<'_, Open> {
    /// Signs a certificate; gives the token for which the step waits.
    pub(super) fn certify<'p>(
        &mut self,
        step: usize,
        certify: &'p Certify,
    ) -> Result<Option<&'p str>, ExecuteError> {
        let (Some(subject), Some(signer)) = (self.key(&certify.subject)?, self.key(&certify.signer)?) else {
            // The step that makes it waits for its token.
            return Ok(None);
        };
        if self.signed(step)?.is_some() {
            return Ok(None);
        }
        if self.token(&certify.token)?.is_none() {
            return Ok(Some(&certify.token));
        }
        if let KeyRef::Named(name) = &certify.subject {
            self.demand_accepted(name)?;
        }
        let anchor = match certify.profile {
            CertifyAs::Root => None,
            _ => Some(
                self.issuer(&certify.signer)?.ok_or_else(|| internal("a signer without a certificate"))?,
            ),
        };
        let at_ms = (self.ground.clock)();
        let refused =
            |error: audit::ceremony::CaError| ExecuteError::Plan { step: step + 1, why: error.to_string() };
        // Composed anew after a crash too: no record dictates a time or a serial. What was composed before may have been signed, and the
        // transcript tells it.
        let serial = self.draw::<20>(&certify.token, "rootcellar/v1 serial")?;
        let order = order(&self.cell, certify, &subject, anchor.as_ref(), secs(at_ms)?);
        let serial = Serial::try_from(serial).map_err(internal)?;
        let tbs = order.compose(serial).map_err(refused)?.into_tbs();
        self.write(Event::Composed { step, tbs: HEXLOWER.encode(tbs.as_bytes()), at_ms })?;
        self.sign(step, &certify.token, &signer, tbs.as_bytes())?;
        Ok(None)
    }

    /// Signs a CRL; gives the token for which the step waits.
    pub(super) fn make_crl<'p>(
        &mut self,
        step: usize,
        order: &'p MakeCrl,
    ) -> Result<Option<&'p str>, ExecuteError> {
        // A root of this plan that is not certified yet waits for its token.
        let Some(signer) = self.issuer(&order.signer)? else { return Ok(None) };
        if self.signed(step)?.is_some() {
            return Ok(None);
        }
        if self.token(&order.token)?.is_none() {
            return Ok(Some(&order.token));
        }
        let at_ms = (self.ground.clock)();
        let failed = |why: String| ExecuteError::Plan { step: step + 1, why };
        let tbs = compose_crl(order, &signer, secs(at_ms)?).map_err(failed)?;
        self.write(Event::Composed { step, tbs: HEXLOWER.encode(tbs.as_bytes()), at_ms })?;
        self.sign(step, &order.token, &signer.public_key().clone(), tbs.as_bytes())?;
        Ok(None)
    }

    /// The certificate of a signer: an anchor, or one that this plan signed.
    fn issuer(&self, key: &KeyRef) -> Result<Option<Issuer>, ExecuteError> {
        let name = match key {
            KeyRef::Sha256(hash) => return Ok(anchor(self.ground.anchors, hash)),
            KeyRef::Named(name) => name,
        };
        let steps = &self.ground.plan.plan().steps;
        let step = steps.iter().position(|step| {
            matches!(step, Step::Certify(certify) if certify.profile == CertifyAs::Root && certify.subject == KeyRef::Named(name.clone()))
        });
        let Some((step, (_, key))) = step.zip(self.made(name)?) else { return Ok(None) };
        let Some(der) = self.signed(step)? else { return Ok(None) };
        let issuer = Issuer::parse(&der).map_err(internal)?;
        // The record is not believed.
        if issuer.public_key() != &key || issuer.verify_certificate(&der).is_err() {
            return Err(internal("the record holds another certificate than was signed"));
        }
        Ok(Some(issuer))
    }

    /// The certificate or CRL of a step, DER; none where it is yet to be signed.
    pub(super) fn signed(&self, step: usize) -> Result<Option<Vec<u8>>, ExecuteError> {
        let der = self.record.last(|event| match event {
            Event::Signed { step: of, der } if *of == step => Some(der),
            _ => None,
        });
        der.map(|der| decoded(der)).transpose()
    }

    /// Signs what is written down, verifies the signature (invariant I4), and writes that down too.
    fn sign(&mut self, step: usize, token: &str, signer: &PublicKey, tbs: &[u8]) -> Result<(), ExecuteError> {
        let spki = signer.spki_der().to_vec();
        let signature = self.ask(token, |host| host.sign(&spki, tbs))?;
        let signer = PublicKey::try_from(spki.as_slice()).map_err(internal)?;
        let what = || "the token returned a signature that does not verify".to_owned();
        let algorithm = SignatureAlgorithm::of(signer.kind());
        algorithm
            .verify_by(&signer, tbs, &signature)
            .map_err(|_| ExecuteError::Unfit { step: step + 1, what: what() })?;
        let der = certs::compose::join(tbs, algorithm, &signature);
        self.write(Event::Signed { step, der: HEXLOWER.encode(&der) })
    }
}

/// What a step orders, at this second.
pub(super) fn order<'a>(
    cell: &'a TrustDomain,
    certify: &Certify,
    public_key: &'a PublicKey,
    signer: Option<&'a Issuer>,
    at_secs: u64,
) -> CaOrder<'a> {
    CaOrder { cell, profile: certify.profile, public_key, signer, days: certify.days, at_secs }
}

pub(super) fn compose_crl(order: &MakeCrl, signer: &Issuer, at_secs: u64) -> Result<TbsCrl, String> {
    let revoked = audit::ceremony::revoked(order, at_secs)?;
    let crl = audit::ceremony::crl(order, at_secs, &revoked);
    let tbs = certs::crl::compose(signer, &crl).map_err(|error| error.to_string())?;
    let linted = certs::crl::check(tbs, signer, &crl);
    linted
        .map(certs::crl::LintedCrl::into_tbs)
        .map_err(|findings| findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

pub(super) fn secs(ms: i64) -> Result<u64, ExecuteError> {
    u64::try_from(ms.div_euclid(1000)).map_err(internal)
}
