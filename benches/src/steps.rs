//! The steps of an issuance between the wire and the token, on what a common one has: P-256, two roles, one tag, one name.

use cell::{DnsNames, SpiffeId, TrustDomain};
use certs::compose::{self, Ca, Leaf, LeafProfile, Serial, Tbs, Validity, join};
use certs::crl::{self, Crl, Reason, Revoked};
use certs::csr::{self, VerifiedCsr};
use certs::lint::{self, Expected, Finding};
use certs::{
    ATTRIBUTES_OID, Attributes, BadSignature, Issuer, KeyError, Profile, PublicKey, SignatureAlgorithm,
};
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};

use crate::Failed;

/// When the measurements take place: 2025-06-01T00:00:00Z.
pub(crate) const NOW: u64 = 1_748_736_000;

/// What the steps work on.
pub struct Steps {
    issuer: Issuer,
    csr: Vec<u8>,
    public_key: PublicKey,
    uri: SpiffeId,
    uri_text: String,
    dns_names: DnsNames,
    attributes: Attributes,
    serial: Serial,
    validity: Validity,
    tbs: Tbs,
    signature: Vec<u8>,
}

impl Steps {
    /// Keys, an issuer, a request, and a certificate for it.
    ///
    /// # Errors
    /// Our bug.
    pub fn new() -> Result<Self, Failed> {
        let (signer, holder) = (KeyPair::generate()?, KeyPair::generate()?);
        let issuer = issuer(&signer)?;
        let csr = rcgen::CertificateParams::default().serialize_request(&holder)?.der().to_vec();
        let uri: SpiffeId = "spiffe://cell.example/agent/build/logger-1".parse()?;
        let attributes = Attributes {
            roles: vec!["logger".parse()?, "scanner".parse()?].try_into()?,
            tags: vec!["blue".parse()?].try_into()?,
        };
        let mut steps = Self {
            csr,
            public_key: PublicKey::try_from(holder.subject_public_key_info().as_slice())?,
            uri_text: uri.to_string(),
            uri,
            dns_names: vec!["logger-1.mesh.internal".parse()?].try_into()?,
            attributes,
            serial: Serial::try_from([0x73; 20])?,
            validity: Validity::for_lifetime(NOW, 3600, issuer.validity())?,
            issuer,
            tbs: Tbs::from_recorded(Vec::new()),
            signature: Vec::new(),
        };
        steps.tbs = steps.compose()?;
        steps.signature = signer.sign(steps.tbs.as_bytes())?;
        steps.check()
    }

    /// Each step does what it is to do: a step that fails early would be a fast one.
    fn check(self) -> Result<Self, Failed> {
        self.goodkey_ec()?;
        self.csr_verify()?;
        self.verify()?;
        match self.lint().first() {
            Some(finding) => Err(finding.to_string().into()),
            None => Ok(self),
        }
    }

    /// Step 2, the key alone: form, kind, on its curve.
    ///
    /// # Errors
    /// Our bug.
    pub fn goodkey_ec(&self) -> Result<PublicKey, KeyError> {
        PublicKey::try_from(self.public_key.spki_der())
    }

    /// Step 2, the whole request: form, key, proof of possession.
    ///
    /// # Errors
    /// Our bug.
    pub fn csr_verify(&self) -> Result<VerifiedCsr, csr::CsrError> {
        csr::check(&self.csr)
    }

    /// Step 5.
    ///
    /// # Errors
    /// Our bug.
    pub fn compose(&self) -> Result<Tbs, compose::ComposeError> {
        let (dns_names, attributes) = (self.dns_names.clone(), self.attributes.clone());
        let leaf = Leaf {
            profile: LeafProfile::Agent { dns_names, attributes },
            uri: &self.uri,
            public_key: &self.public_key,
            serial: self.serial,
            validity: self.validity,
        };
        compose::leaf(&self.issuer, &leaf, ATTRIBUTES_OID)
    }

    /// Step 6: every rule.
    pub fn lint(&self) -> Vec<Finding> {
        let expected = Expected {
            profile: Profile::Agent,
            issuer: Some(&self.issuer),
            uri: &self.uri_text,
            dns_names: self.dns_names.as_slice(),
            ip_addresses: &[],
            attributes: &self.attributes,
            attributes_oid: ATTRIBUTES_OID,
            public_key: &self.public_key,
            validity: self.validity,
            now: NOW,
        };
        lint::findings(self.tbs.as_bytes(), &expected)
    }

    /// Step 9.
    ///
    /// # Errors
    /// Our bug.
    pub fn verify(&self) -> Result<(), BadSignature> {
        self.issuer.verify(self.tbs.as_bytes(), &self.signature)
    }

    /// A CRL of so many entries, composed and linted.
    pub fn crl(&self, entries: u64) -> impl Fn() -> Result<(), Failed> + '_ {
        let entry = |i: u64| Revoked {
            // Spread over the numbers, as random ones are.
            serial: [[0x73; 12].as_slice(), &i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()].concat(),
            revoked_at: NOW - i,
            reason: Reason::Superseded,
        };
        let revoked: Vec<Revoked> = (0..entries).map(entry).collect();
        move || {
            let crl = Crl { number: 1, this_update: NOW, next_update: NOW + 3600, revoked: &revoked };
            let tbs = crl::compose(&self.issuer, &crl)?;
            match crl::check(tbs, &self.issuer, &crl) {
                Ok(_) => Ok(()),
                Err(findings) => Err(format!("{findings:?}").into()),
            }
        }
    }
}

pub(crate) fn issuer(signer: &KeyPair) -> Result<Issuer, Failed> {
    let cell: TrustDomain = "cell.example".parse()?;
    let public_key = PublicKey::try_from(signer.subject_public_key_info().as_slice())?;
    let validity = Validity::for_root(NOW)?;
    let tbs = compose::root(&Ca {
        cell: &cell,
        public_key: &public_key,
        serial: Serial::try_from([0x71; 20])?,
        validity,
    })?;
    let signature = signer.sign(tbs.as_bytes())?;
    Ok(Issuer::parse(&join(tbs.as_bytes(), SignatureAlgorithm::of(public_key.kind()), &signature))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_does_what_it_is_to_do() {
        let steps = Steps::new().unwrap();
        assert_eq!(steps.csr_verify().unwrap().public_key(), &steps.public_key);
        assert_eq!(steps.compose().unwrap(), steps.tbs);
        assert!(steps.crl(10_000)().is_ok());
    }
}
