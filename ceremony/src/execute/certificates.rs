//! Certificates and CRLs: composed, linted, written down, signed, verified, in this order (invariants I2 to I4).

use cell::TrustDomain;
use certs::compose::{Serial, Tbs};
use certs::crl::TbsCrl;
use certs::{Issuer, PublicKey, SignatureAlgorithm};
use data_encoding::HEXLOWER;
use keeper::CaOrder;
use ledger::plan::{Certify, CertifyAs, KeyRef, MakeCrl, Step};

use super::{ExecuteError, Execution, anchor, decoded, internal};
use crate::host::{HostError, TokenHost};
use crate::record::Event;

/// The exact bytes to sign, the moment for which they were composed, and what was made of them where they are signed.
pub(super) struct Pending {
    tbs: Vec<u8>,
    at_ms: i64,
    pub(super) der: Option<Vec<u8>>,
}

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
        let pending = self.pending(step)?;
        if pending.as_ref().is_some_and(|pending| pending.der.is_some()) {
            return Ok(None);
        }
        if self.token(&certify.token)?.is_none() {
            return Ok(Some(&certify.token));
        }
        if let KeyRef::Named(name) = &certify.subject {
            self.is_accepted(name)?;
        }
        let anchor = match certify.profile {
            CertifyAs::Root => None,
            _ => Some(
                self.issuer(&certify.signer)?.ok_or_else(|| internal("a signer without a certificate"))?,
            ),
        };
        let at_ms = self.moment(pending.as_ref())?;
        let refused = |error: keeper::CaError| ExecuteError::Plan { step: step + 1, why: error.to_string() };
        let at_secs = secs(at_ms)?;
        // Whoever wrote the record, these bytes are signed only if they are what the plan orders.
        let tbs = if let Some(pending) = pending {
            let order = order(&self.cell, certify, &subject, anchor.as_ref(), at_secs);
            order.lint(Tbs::from_recorded(pending.tbs)).map_err(refused)?.into_tbs()
        } else {
            let serial = self.draw::<20>(&certify.token, "rootcellar/v1 serial")?;
            let order = order(&self.cell, certify, &subject, anchor.as_ref(), at_secs);
            let serial = Serial::try_from(serial).map_err(internal)?;
            let tbs = order.compose(serial).map_err(refused)?.into_tbs();
            self.write(Event::Composed { step, tbs: HEXLOWER.encode(tbs.as_bytes()), at_ms })?;
            tbs
        };
        self.sign(step, &certify.token, &signer, tbs.as_bytes())?;
        Ok(None)
    }

    /// When a certificate or CRL is composed: now, or when the record says that it was, which is within this ceremony.
    fn moment(&self, pending: Option<&Pending>) -> Result<i64, ExecuteError> {
        let now = (self.ground.clock)();
        let Some(pending) = pending else { return Ok(now) };
        let began = self.record.events().iter().find_map(|event| match event {
            Event::Began { at_ms, .. } => Some(*at_ms),
            _ => None,
        });
        if began.is_some_and(|began| (began..=now).contains(&pending.at_ms)) {
            return Ok(pending.at_ms);
        }
        Err(ExecuteError::Disbelieved("it has a certificate composed before it began, or after now".into()))
    }

    /// Signs a CRL; gives the token for which the step waits.
    pub(super) fn make_crl<'p>(
        &mut self,
        step: usize,
        order: &'p MakeCrl,
    ) -> Result<Option<&'p str>, ExecuteError> {
        // A root of this plan that is not certified yet waits for its token.
        let Some(signer) = self.issuer(&order.signer)? else { return Ok(None) };
        let pending = self.pending(step)?;
        if pending.as_ref().is_some_and(|pending| pending.der.is_some()) {
            return Ok(None);
        }
        if self.token(&order.token)?.is_none() {
            return Ok(Some(&order.token));
        }
        let at_ms = self.moment(pending.as_ref())?;
        let failed = |why: String| ExecuteError::Plan { step: step + 1, why };
        let tbs = match &pending {
            Some(pending) => {
                lint_crl(TbsCrl::from_recorded(pending.tbs.clone()), order, &signer, secs(at_ms)?)
            }
            None => compose_crl(order, &signer, secs(at_ms)?),
        };
        let tbs = tbs.map_err(failed)?;
        if pending.is_none() {
            self.write(Event::Composed { step, tbs: HEXLOWER.encode(tbs.as_bytes()), at_ms })?;
        }
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
        let Some(Pending { der: Some(der), .. }) = self.pending(step)? else { return Ok(None) };
        let issuer = Issuer::parse(&der).map_err(internal)?;
        // The record is not believed.
        if issuer.public_key() != &key || issuer.verify_certificate(&der).is_err() {
            return Err(internal("the record holds another certificate than was signed"));
        }
        Ok(Some(issuer))
    }

    pub(super) fn pending(&self, step: usize) -> Result<Option<Pending>, ExecuteError> {
        let composed = self.record.last(|event| match event {
            Event::Composed { step: of, tbs, at_ms } if *of == step => Some((tbs, *at_ms)),
            _ => None,
        });
        let Some((tbs, at_ms)) = composed else { return Ok(None) };
        let der = self.record.last(|event| match event {
            Event::Signed { step: of, der } if *of == step => Some(der),
            _ => None,
        });
        let der = der.map(|der| decoded(der)).transpose()?;
        Ok(Some(Pending { tbs: decoded(tbs)?, at_ms, der }))
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
    let revoked = keeper::revoked(order, at_secs)?;
    let crl = keeper::crl(order, at_secs, &revoked);
    let tbs = certs::crl::compose(signer, &crl).map_err(|error| error.to_string())?;
    lint_crl(tbs, order, signer, at_secs)
}

fn lint_crl(tbs: TbsCrl, order: &MakeCrl, signer: &Issuer, at_secs: u64) -> Result<TbsCrl, String> {
    let revoked = keeper::revoked(order, at_secs)?;
    let crl = keeper::crl(order, at_secs, &revoked);
    let linted = certs::crl::check(tbs, signer, &crl);
    linted
        .map(certs::crl::LintedCrl::into_tbs)
        .map_err(|findings| findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

pub(super) fn secs(ms: i64) -> Result<u64, ExecuteError> {
    u64::try_from(ms.div_euclid(1000)).map_err(internal)
}
