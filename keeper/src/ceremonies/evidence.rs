//! A ceremony's transcript, read as its judge reads it: with nothing but the file, the officers' public keys and, where a root was there
//! before, its certificate.
//!
//! Does not: believe a line because it is signed. Each key proves itself, each certificate is verified and linted anew, each attribute is
//! held against invariant I1.

use cell::TrustDomain;
use certs::compose::Tbs;
use certs::{Issuer, PublicKey, csr};
use data_encoding::{BASE64, HEXLOWER};
use hsm_config::KeyAttributes;
use ledger::charter::Charter;
use ledger::note::{KeyName, Note};
use ledger::plan::{
    ApprovedPlan, Certify, CertifyAs, Destroy, KeyRef, MakeCrl, MakeKey, Plan, PlanError, Step,
};
use ledger::transcript::{Transcript, TranscriptError, altered};

use super::ca::CaOrder;

/// What a ceremony did, verified. [`Evidence::read`] alone makes one.
#[derive(Clone, Debug)]
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
    /// SHA-256 of the public keys of keys destroyed.
    pub destroyed: Vec<[u8; 32]>,
    /// When it ended, in seconds since 1970.
    pub ended_secs: i64,
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

/// Why a transcript proves nothing. The field at fault is named.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// It was altered after it was signed.
    #[error("the transcript was altered at {field}: {cause}")]
    Altered {
        /// Where, as well as the file itself can tell.
        field: String,
        /// How that was noticed.
        cause: TranscriptError,
    },
    /// No note, or no officer signed it.
    #[error("the transcript: {0}")]
    Transcript(#[from] TranscriptError),
    /// A quorum did not approve its plan.
    #[error("the plan: {0}")]
    Plan(#[from] PlanError),
    /// It says something that cannot be.
    #[error("step {step}, {field}: {why}")]
    Step {
        /// Counted from 1.
        step: usize,
        /// The line's key.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// It lacks a line, or one is not of its form.
    #[error("the line `{0}` is missing, or not of its form")]
    Line(&'static str),
}

/// The lines of one step.
struct Section<'a> {
    step: usize,
    lines: &'a [(String, String)],
}

impl Evidence {
    /// Opens a transcript's bytes. `anchors` are CA certificates that signers of the plan have which it does not make.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub fn open(bytes: &[u8], charter: &Charter, anchors: &[Vec<u8>]) -> Result<Self, EvidenceError> {
        let blame = |cause: TranscriptError| match altered(bytes) {
            Some(field) => EvidenceError::Altered { field, cause },
            None => EvidenceError::Transcript(cause),
        };
        let note = Note::parse(bytes).map_err(|error| blame(error.into()))?;
        let (transcript, present) = Transcript::open(&note, charter).map_err(blame)?;
        // It may be executed until it expires, not read until then.
        let plan = Plan::approve(&transcript.plan_note()?, charter, time(&transcript, "began")?)?;
        Self::read(&transcript, present.officers().to_vec(), &plan, anchors)
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
            ended_secs: time(transcript, "ended")?,
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
        let token = transcript.sections("token").find(|lines| lines[0].1 == make.token);
        let token = token.ok_or_else(|| section.bad("token", "no token of this URI was opened"))?;
        let of_token =
            |key: &str| token.iter().find(|(found, _)| found == key).map(|(_, value)| value.clone());
        let exceptions: Vec<String> =
            token.iter().filter(|(key, _)| key == "exception").map(|(_, value)| value.clone()).collect();
        let attributes = section.attributes()?;
        KeyAttributes::reported(attributes.iter().cloned().collect())
            .require(&exceptions)
            .map_err(|error| section.bad("attribute", error))?;
        let token = of_token("token-label")
            .zip(of_token("token-serial"))
            .ok_or(EvidenceError::Line("token-serial"))?;
        let cka_id = HEXLOWER.decode(section.value("cka-id")?.as_bytes());
        let cka_id = cka_id.map_err(|error| section.bad("cka-id", error))?;
        self.keys.push(MadeKey { name: make.name.clone(), public_key, cka_id, token, attributes });
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
            _ => Some(
                self.signer(&certify.signer, anchors)
                    .ok_or_else(|| section.bad(field, "its signer is not known"))?,
            ),
        };
        let order = CaOrder {
            cell,
            profile: certify.profile,
            public_key: &subject,
            signer: signer.as_ref(),
            days: certify.days,
            at_secs: section.at_secs()?,
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
        let signer = signer.ok_or_else(|| section.bad(field, "its signer is not known"))?;
        signer.verify_crl(&der).map_err(|error| section.bad(field, error))?;
        let at_secs = section.at_secs()?;
        let revoked = super::revoked(order, at_secs).map_err(|error| section.bad(field, error))?;
        let crl = super::crl(order, at_secs, &revoked);
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
        section.value("objects")?;
        self.destroyed.push(planned);
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

fn time(transcript: &Transcript, key: &'static str) -> Result<i64, EvidenceError> {
    let time = transcript.value(key).and_then(|time| time.parse::<jiff::Timestamp>().ok());
    time.map(jiff::Timestamp::as_second).ok_or(EvidenceError::Line(key))
}

fn anchor(anchors: &[Vec<u8>], spki_sha256: &[u8; 32]) -> Option<Issuer> {
    let parsed = anchors.iter().filter_map(|der| Issuer::parse(der).ok());
    parsed.into_iter().find(|anchor| anchor.spki_sha256() == *spki_sha256)
}

impl Section<'_> {
    fn is_of(&self, step: &Step) -> Result<(), EvidenceError> {
        let expected = format!("{} {}", self.step, super::step_name(step));
        match self.lines.first() {
            Some((_, name)) if *name == expected => Ok(()),
            _ => Err(self.bad("step", format!("it is not `{expected}`"))),
        }
    }

    fn value(&self, key: &'static str) -> Result<&str, EvidenceError> {
        let found = self.lines.iter().find(|(found, _)| found == key);
        found.map(|(_, value)| value.as_str()).ok_or_else(|| self.bad(key, "the line is missing"))
    }

    fn base64(&self, key: &'static str) -> Result<Vec<u8>, EvidenceError> {
        BASE64.decode(self.value(key)?.as_bytes()).map_err(|error| self.bad(key, error))
    }

    fn attributes(&self) -> Result<Vec<(String, String)>, EvidenceError> {
        let lines = self.lines.iter().filter(|(key, _)| key == "attribute");
        let pairs = lines.map(|(_, line)| {
            let pair = line.split_once(' ').ok_or_else(|| self.bad("attribute", "no name and value"))?;
            Ok((pair.0.to_owned(), pair.1.to_owned()))
        });
        pairs.collect()
    }

    fn at_secs(&self) -> Result<u64, EvidenceError> {
        let time = self.value("composed")?.parse::<jiff::Timestamp>();
        let time = time.map_err(|error| self.bad("composed", error))?;
        u64::try_from(time.as_second()).map_err(|error| self.bad("composed", error))
    }

    fn bad(&self, field: &'static str, why: impl ToString) -> EvidenceError {
        EvidenceError::Step { step: self.step, field, why: why.to_string() }
    }
}
