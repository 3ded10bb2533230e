//! A ceremony's transcript, read as its judge reads it: with nothing but the file, the officers' public keys and, where a root was there
//! before, its certificate.
//!
//! Does not: believe a line because it is signed. Each key proves itself, each certificate is verified and linted anew, each attribute is
//! held against invariant I1.

mod ca;
mod error;
mod orders;
mod section;
mod times;

use std::ops::RangeInclusive;

use crate::attributes::KeyAttributes;
use cell::TrustDomain;
use certs::compose::Tbs;
use certs::{Issuer, PublicKey, csr};
use data_encoding::{BASE64, HEXLOWER};
use ledger::charter::{Approvals, Charter};
use ledger::entry::{Attribute, Custody, KeyCustody};
use ledger::note::{KeyName, Note};
use ledger::plan::{ApprovedPlan, Certify, CertifyAs, Destroy, KeyRef, MakeCrl, MakeKey, Plan, Step};
use ledger::transcript::{Transcript, TranscriptError, altered};

pub use ca::{CaError, CaOrder, anchor};
pub use error::EvidenceError;
use error::NO_SIGNER;
pub use orders::{NO_PROOF, crl, revoked, step_name};
use section::{Section, TokenSection};
use times::{time, within};

/// How far the clock of the ceremony's machine may be ahead, in seconds.
const SKEW_SECS: i64 = 300;

/// What a ceremony did, verified. [`Evidence::open`] and [`Evidence::of_draft`] alone make one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Evidence {
    /// The plan, approved by a quorum.
    pub plan: ApprovedPlan,
    /// The officers who signed the transcript: those who were present. None of a draft.
    pub present: Vec<KeyName>,
    /// Keys made.
    pub keys: Vec<MadeKey>,
    /// Certificates signed.
    pub certificates: Vec<Certified>,
    /// CRLs signed, DER.
    pub crls: Vec<Vec<u8>>,
    /// SHA-256 of the public keys of keys destroyed: each proved that it was there for this plan to destroy.
    pub destroyed: Vec<[u8; 32]>,
    /// SHA-256 of the public keys of keys that were looked for and not found, and that may have been gone before: none of them proved that it was
    /// there to be destroyed.
    pub gone: Vec<[u8; 32]>,
    /// From its beginning to its end, in seconds since 1970.
    within: RangeInclusive<i64>,
}

/// A key that a ceremony made.
#[derive(Clone, Debug)]
pub struct MadeKey {
    /// Its name in the plan.
    pub name: String,
    /// Its public key.
    pub public_key: PublicKey,
    /// CKA_ID.
    pub cka_id: Vec<u8>,
    /// Label and serial of its token.
    pub token: (String, String),
    /// Attributes as read back.
    pub attributes: Vec<(String, String)>,
    /// Claims of invariant I1 from which the officers excused it.
    pub exceptions: Vec<String>,
}

/// A CA certificate that a ceremony signed.
#[derive(Clone, Debug)]
pub struct Certified {
    /// What it is.
    pub profile: CertifyAs,
    /// The whole, DER.
    pub der: Vec<u8>,
    /// The certificate as an issuer.
    pub issuer: Issuer,
    /// SHA-256 of the SubjectPublicKeyInfo of its signer.
    pub signer_spki_sha256: [u8; 32],
}

impl Evidence {
    /// Opens a transcript's bytes. `anchors` are CA certificates that signers of the plan have which it does not make.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub fn open(bytes: &[u8], charter: &Charter, anchors: &[Vec<u8>]) -> Result<Self, EvidenceError> {
        let (transcript, present) = Self::signed(bytes, charter)?;
        // It may be executed until it expires, not read until then.
        let plan = Plan::approve(&transcript.plan_note()?, charter, time(&transcript, "began")?)?;
        Self::read(&transcript, present.officers().to_vec(), &plan, anchors)
    }

    /// A transcript that an officer signed, and who did. One that was altered says where.
    pub fn signed(bytes: &[u8], charter: &Charter) -> Result<(Transcript, Approvals), EvidenceError> {
        let blame = |cause: TranscriptError| match altered(bytes) {
            Some(field) => EvidenceError::Altered { field, cause },
            None => EvidenceError::Transcript(cause),
        };
        let note = Note::parse(bytes).map_err(|error| blame(error.into()))?;
        Transcript::open(&note, charter).map_err(blame)
    }

    /// The custody manifest that a founding records: the keys that it made, as their tokens described them.
    pub fn founding_manifest(&self) -> Custody {
        let attribute =
            |(name, value): &(String, String)| Attribute { name: name.clone(), value: value.clone() };
        let one = |key: &MadeKey| KeyCustody {
            purpose: key.name.clone(),
            spki_sha256: key.public_key.spki_sha256().to_vec(),
            cka_id: key.cka_id.clone(),
            token_label: key.token.0.clone(),
            token_serial: key.token.1.clone(),
            attributes: key.attributes.iter().map(attribute).collect(),
            ..KeyCustody::default()
        };
        Custody { keys: self.keys.iter().map(one).collect(), ..Custody::default() }
    }

    /// It is over at this second since 1970: what ends later than now has a clock that nobody should trust.
    ///
    /// # Errors
    /// [`EvidenceError::Time`].
    pub fn demand_over(&self, now_secs: i64) -> Result<(), EvidenceError> {
        if *self.within.end() > now_secs + SKEW_SECS {
            return Err(EvidenceError::Time("it is said to end in the future: look at the clocks"));
        }
        Ok(())
    }

    /// The roots that a transcript tells of as there before, DER. A plan names their keys by SHA-256, so they vouch for its certificates where
    /// nothing else is at hand; whether anyone trusts them, a trust bundle says.
    pub fn roots_told(bytes: &[u8]) -> Vec<Vec<u8>> {
        let transcript = Note::parse(bytes).ok().and_then(|note| Transcript::read(&note).ok());
        let fields = transcript.map(|transcript| transcript.fields).unwrap_or_default();
        let roots = fields.iter().filter(|(key, _)| key == "root");
        roots.filter_map(|(_, root)| BASE64.decode(root.as_bytes()).ok()).collect()
    }

    /// What a transcript proves, whoever has signed it: for an officer who is about to.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub fn of_unsigned(note: &Note, charter: &Charter, anchors: &[Vec<u8>]) -> Result<Self, EvidenceError> {
        let transcript = Transcript::read(note)?;
        let plan = Plan::approve(&transcript.plan_note()?, charter, time(&transcript, "began")?)?;
        Self::read(&transcript, Vec::new(), &plan, anchors)
    }

    /// What a transcript proves that nobody has signed yet, of a plan that was approved before: for drafting what follows from it.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub fn of_draft(
        transcript: &Transcript,
        plan: &ApprovedPlan,
        anchors: &[Vec<u8>],
    ) -> Result<Self, EvidenceError> {
        Self::read(transcript, Vec::new(), plan, anchors)
    }

    fn read(
        transcript: &Transcript,
        present: Vec<KeyName>,
        plan: &ApprovedPlan,
        anchors: &[Vec<u8>],
    ) -> Result<Self, EvidenceError> {
        let cell: TrustDomain = plan.plan().cell.parse().map_err(|_| EvidenceError::Line("cell"))?;
        let sections: Vec<&[(String, String)]> = transcript.sections("step").collect();
        if sections.len() != plan.plan().steps.len() {
            return Err(EvidenceError::Line("step"));
        }
        let mut evidence = Self {
            present,
            keys: Vec::new(),
            certificates: Vec::new(),
            crls: Vec::new(),
            destroyed: Vec::new(),
            gone: Vec::new(),
            within: within(transcript, plan.plan())?,
            plan: plan.clone(),
        };
        for (i, (step, lines)) in plan.plan().steps.iter().zip(sections).enumerate() {
            let section = Section { step: i + 1, lines };
            section.is_of(step)?;
            match step {
                Step::MakeKey(make) => evidence.made(&section, make, transcript)?,
                Step::Certify(certify) => evidence.certified(&section, certify, &cell, anchors)?,
                Step::MakeCrl(crl) => evidence.crl(&section, crl, anchors)?,
                Step::Destroy(destroy) => evidence.destroyed(&section, destroy)?,
            }
        }
        Ok(evidence)
    }

    /// The key proves itself by its request, and was read back as invariant I1 demands.
    fn made(
        &mut self,
        section: &Section<'_>,
        make: &MakeKey,
        transcript: &Transcript,
    ) -> Result<(), EvidenceError> {
        let spki = section.base64("public-key")?;
        let public_key =
            PublicKey::try_from(spki.as_slice()).map_err(|error| section.bad("public-key", error))?;
        if section.value("public-key-sha256")? != HEXLOWER.encode(&public_key.spki_sha256()) {
            return Err(section.bad("public-key-sha256", "it is not that of the public key"));
        }
        let proved = csr::check_of_ca(&section.base64("csr")?).map_err(|error| section.bad("csr", error))?;
        if proved.public_key() != &public_key {
            return Err(section.bad("csr", "it is another key's"));
        }
        if section.value("algorithm")? != make.algorithm || section.value("cka-label")? != make.label {
            return Err(section.bad("algorithm", "it is not what the plan orders"));
        }
        let token = TokenSection::of(transcript, &make.token, section.value("opening")?)
            .ok_or_else(|| section.bad("token", "no token of this URI was opened then"))?;
        // What the token is excused from, the officers have read in the plan.
        if token.exceptions() != make.exceptions {
            return Err(section.bad("exception", "they are not those that the plan names"));
        }
        let attributes = section.attributes()?;
        KeyAttributes::reported(attributes.iter().cloned().collect())
            .require(&make.exceptions)
            .map_err(|error| section.bad("attribute", error))?;
        let token = token.identity(&make.token)?;
        let cka_id = HEXLOWER.decode(section.value("cka-id")?.as_bytes());
        let cka_id = cka_id.map_err(|error| section.bad("cka-id", error))?;
        if cka_id != self.plan.cka_id(section.step - 1) {
            return Err(section.bad("cka-id", "it is not the one that the plan leads to"));
        }
        if self.keys.iter().any(|key| key.public_key == public_key) {
            return Err(section.bad("public-key", "another step made the same key"));
        }
        let (name, exceptions) = (make.name.clone(), make.exceptions.clone());
        self.keys.push(MadeKey { name, public_key, cka_id, token, attributes, exceptions });
        Ok(())
    }

    /// The certificate is what the plan orders, and its signer's.
    fn certified(
        &mut self,
        section: &Section<'_>,
        certify: &Certify,
        cell: &TrustDomain,
        anchors: &[Vec<u8>],
    ) -> Result<(), EvidenceError> {
        let field = "certificate";
        let der = section.base64(field)?;
        let subject = match &certify.subject {
            KeyRef::Named(_) => self.key(&certify.subject).cloned(),
            KeyRef::Sha256(hash) => anchor(anchors, hash).map(|anchor| anchor.public_key().clone()),
        };
        let subject = subject.ok_or_else(|| section.bad(field, "no such key was made"))?;
        let signer = match certify.profile {
            CertifyAs::Root => None,
            _ => Some(self.signer(&certify.signer, anchors).ok_or_else(|| section.bad(field, NO_SIGNER))?),
        };
        let order = CaOrder {
            cell,
            profile: certify.profile,
            public_key: &subject,
            signer: signer.as_ref(),
            days: certify.days,
            at_secs: section.at_secs(&self.within)?,
        };
        let tbs = certs::summary::tbs_of(&der).map_err(|error| section.bad(field, error))?;
        order.lint(Tbs::from_recorded(tbs.to_vec())).map_err(|error| section.bad(field, error))?;
        let issuer = Issuer::parse(&der).map_err(|error| section.bad(field, error))?;
        let by = signer.as_ref().unwrap_or(&issuer);
        by.verify_certificate(&der).map_err(|error| section.bad(field, error))?;
        let signer_spki_sha256 = by.spki_sha256();
        self.certificates.push(Certified { profile: certify.profile, der, issuer, signer_spki_sha256 });
        Ok(())
    }

    fn crl(
        &mut self,
        section: &Section<'_>,
        order: &MakeCrl,
        anchors: &[Vec<u8>],
    ) -> Result<(), EvidenceError> {
        let field = "crl";
        let der = section.base64(field)?;
        let signer = self.signer(&order.signer, anchors);
        let signer = signer.ok_or_else(|| section.bad(field, NO_SIGNER))?;
        signer.verify_crl(&der).map_err(|error| section.bad(field, error))?;
        let at_secs = section.at_secs(&self.within)?;
        let revoked = revoked(order, at_secs).map_err(|error| section.bad(field, error))?;
        let crl = crl(order, at_secs, &revoked);
        let tbs = certs::summary::tbs_of(&der).map_err(|error| section.bad(field, error))?;
        if let Some(finding) = certs::crl::findings(tbs, &signer, &crl).first() {
            return Err(section.bad(field, finding));
        }
        self.crls.push(der);
        Ok(())
    }

    fn destroyed(&mut self, section: &Section<'_>, destroy: &Destroy) -> Result<(), EvidenceError> {
        let planned = match &destroy.key {
            KeyRef::Sha256(hash) => Some(*hash),
            KeyRef::Named(_) => self.key(&destroy.key).map(PublicKey::spki_sha256),
        };
        let planned = planned.filter(|hash| {
            section.value("public-key-sha256").is_ok_and(|said| said == HEXLOWER.encode(hash))
        });
        let planned = planned
            .ok_or_else(|| section.bad("public-key-sha256", "it is not the key that the plan names"))?;
        let objects = section.value("objects")?.parse::<usize>();
        objects.map_err(|error| section.bad("objects", error))?;
        if section.value("looked-for")? != "not found" {
            return Err(section.bad("looked-for", "it is `not found` once a key is destroyed"));
        }
        if section.value("proof")? == NO_PROOF {
            self.gone.push(planned);
        } else {
            let proof = csr::check_farewell(&section.base64("proof")?, &self.plan.sha256());
            let proof = proof.map_err(|error| section.bad("proof", error))?;
            if proof.public_key().spki_sha256() != planned {
                return Err(section.bad("proof", "it is another key's"));
            }
            self.destroyed.push(planned);
        }
        Ok(())
    }

    /// The key that the plan made under this name.
    pub fn key(&self, key: &KeyRef) -> Option<&PublicKey> {
        let KeyRef::Named(name) = key else { return None };
        self.keys.iter().find(|made| made.name == *name).map(|made| &made.public_key)
    }

    fn signer(&self, key: &KeyRef, anchors: &[Vec<u8>]) -> Option<Issuer> {
        match key {
            KeyRef::Sha256(hash) => anchor(anchors, hash),
            KeyRef::Named(_) => {
                let key = self.key(key)?;
                let certified = self.certificates.iter();
                certified.map(|one| &one.issuer).find(|issuer| issuer.public_key() == key).cloned()
            }
        }
    }
}
