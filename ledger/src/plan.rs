//! Plans of ceremonies: what officers approve before a key is made, used once more, or destroyed.
//!
//! A plan is a note. Its comments are part of it: they are written by us for each kind of step and must be exactly those, so that what
//! is explained is what is done. Does not: know tokens or certificates; a step says in words what the ceremony then does.

mod step;

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::charter::{Approvals, Charter, NotApproved};
use crate::note::{Note, NoteError};
use crate::text::{Kind, Reader, TextError, Writer};

pub use step::{Certify, CertifyAs, Destroy, KeyRef, MakeCrl, MakeKey, Revoke, Step};

/// How far ahead a plan may expire, in seconds: 31 days, since officers and tokens have to come together.
pub const MAX_LIFETIME_SECS: i64 = 31 * 24 * 60 * 60;

/// Most steps.
pub const MAX_STEPS: usize = 16;

/// What a ceremony is for. The steps say what is done; this says it in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ceremony {
    /// A new cell: root, issuing and log key.
    Found,
    /// Another root.
    Root,
    /// Another issuing key, with a log key beside it.
    Issuer,
    /// Another key for the log.
    LogKey,
    /// A root certified by another root.
    Cross,
    /// An issuing key in place of another.
    Rotation,
    /// The end of a key.
    Retirement,
    /// A CRL of a root.
    RootCrl,
}

/// Every kind with its word.
const CEREMONIES: [(Ceremony, &str); 8] = [
    (Ceremony::Found, "found"),
    (Ceremony::Root, "root"),
    (Ceremony::Issuer, "issuer"),
    (Ceremony::LogKey, "log-key"),
    (Ceremony::Cross, "cross-certificate"),
    (Ceremony::Rotation, "rotation"),
    (Ceremony::Retirement, "retirement"),
    (Ceremony::RootCrl, "root-crl"),
];

/// What a plan says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Trust domain of the cell.
    pub cell: String,
    /// What it is for.
    pub ceremony: Ceremony,
    /// Revision of the charter whose officers approve it.
    pub charter_revision: u64,
    /// SHA-256 of that charter's text: for a cell that is being founded, nobody else says which it is.
    pub charter_sha256: [u8; 32],
    /// How many officers that charter asks for.
    pub quorum: u8,
    /// Makes it unique: 16 random bytes.
    pub nonce: [u8; 16],
    /// First second at which it is executed no more, since 1970-01-01T00:00:00Z.
    pub expires_unix: i64,
    /// What is done, in order: 1 to [`MAX_STEPS`].
    pub steps: Vec<Step>,
}

/// A plan that a quorum approved. [`Plan::approve`] alone makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovedPlan {
    plan: Plan,
    sha256: [u8; 32],
    approvals: Approvals,
}

/// Why a note is no plan, or not one that may be executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text does not say what a plan says.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A quorum has not signed it.
    #[error(transparent)]
    NotApproved(#[from] NotApproved),
    /// It is another cell's.
    #[error("the plan is of another cell")]
    WrongCell,
    /// It is for another charter.
    #[error(
        "the plan is for another charter than this one: its revision, its quorum, and its officers in their order must be the plan's"
    )]
    WrongCharter,
    /// Its time is over.
    #[error("the plan has expired")]
    Expired,
    /// It expires too late.
    #[error("the plan expires more than 31 days ahead")]
    TooFar,
}

impl Plan {
    /// The note to sign.
    ///
    /// # Errors
    /// [`PlanError::Text`] or [`PlanError::Note`] when no plan can say this.
    pub fn draft(&self) -> Result<Note, PlanError> {
        let note = Note::unsigned(&self.text()?)?;
        // A value with a newline in it would write a line of its own.
        if Self::parse(note.text())? == *self { Ok(note) } else { Err(TextError::NotCanonical.into()) }
    }

    /// Reads what a note plans. Nobody has approved it yet.
    ///
    /// # Errors
    /// [`PlanError::Text`].
    pub fn read(note: &Note) -> Result<Self, PlanError> {
        Ok(Self::parse(note.text())?)
    }

    /// Checks that a quorum of this charter approved the plan, and that it may be executed now.
    ///
    /// # Errors
    /// [`PlanError`]. The signatures are checked last, so that a plan for somewhere else says so.
    pub fn approve(note: &Note, charter: &Charter, now_unix: i64) -> Result<ApprovedPlan, PlanError> {
        let plan = Self::parse(note.text())?;
        if plan.cell != charter.cell() {
            return Err(PlanError::WrongCell);
        }
        let named = (plan.charter_revision, plan.charter_sha256, plan.quorum);
        if named != (charter.revision(), charter.sha256(), charter.quorum()) {
            return Err(PlanError::WrongCharter);
        }
        if plan.expires_unix <= now_unix {
            return Err(PlanError::Expired);
        }
        if plan.expires_unix.saturating_sub(now_unix) > MAX_LIFETIME_SECS {
            return Err(PlanError::TooFar);
        }
        let approvals = charter.approvals_alone(note, charter.quorum())?;
        Ok(ApprovedPlan { plan, sha256: sha256(note), approvals })
    }

    fn text(&self) -> Result<String, TextError> {
        let expires = Timestamp::from_second(self.expires_unix)
            .map_err(|_| TextError::Value { line: 10, key: "expires" })?;
        let text = Writer::new(Kind::Plan)
            .raw("# What this ceremony does, in order. Officers sign this text as it stands, comments included;\n")
            .raw("# what it does not say is not done.\n")
            .line("cell", &self.cell)
            .line("type", self.ceremony)
            .line("charter", self.charter_revision)
            .line("charter-sha256", HEXLOWER.encode(&self.charter_sha256))
            .line("quorum", self.quorum)
            .line("nonce", HEXLOWER.encode(&self.nonce))
            .line("expires", expires);
        Ok(self.steps.iter().enumerate().fold(text, |text, (i, step)| step.write(i + 1, text)).finish())
    }

    fn parse(text: &str) -> Result<Self, TextError> {
        let mut lines = Reader::new(text, Kind::Plan)?;
        lines.comments();
        let cell = lines.cell()?;
        let ceremony = lines.parse("type")?;
        let charter_revision = lines.parse("charter")?;
        let charter_sha256 = lines.octets("charter-sha256")?;
        let quorum = lines.parse("quorum")?;
        let nonce = lines.octets("nonce")?;
        let expires_unix = lines.parse::<Timestamp>("expires")?.as_second();
        let mut steps = Vec::new();
        while lines.comments() {
            if steps.len() == MAX_STEPS {
                return Err(TextError::Count("step"));
            }
            steps.push(Step::read(&mut lines)?);
        }
        lines.end()?;
        if steps.is_empty() {
            return Err(TextError::Count("step"));
        }
        let plan =
            Self { cell, ceremony, charter_revision, charter_sha256, quorum, nonce, expires_unix, steps };
        plan.check_names()?;
        if !plan.steps.iter().all(|step| step.belongs_to(plan.ceremony)) {
            return Err(TextError::NotOfItsType);
        }
        if plan.text()? == text { Ok(plan) } else { Err(TextError::NotCanonical) }
    }

    /// Each name is given once, and used only after it was given.
    fn check_names(&self) -> Result<(), TextError> {
        let mut keys: Vec<&str> = Vec::new();
        for step in &self.steps {
            if let Step::MakeKey(made) = step {
                if keys.contains(&made.name.as_str()) {
                    return Err(TextError::Count("name"));
                }
                keys.push(&made.name);
            }
            let unknown =
                |key: &&KeyRef| matches!(key, KeyRef::Named(name) if !keys.contains(&name.as_str()));
            if step.uses().iter().any(unknown) {
                return Err(TextError::Count("subject"));
            }
            // A root signs itself, and nothing else does.
            if let Step::Certify(Certify { profile, subject, signer, .. }) = step
                && (*profile == CertifyAs::Root) != (subject == signer)
            {
                return Err(TextError::Count("signer"));
            }
        }
        Ok(())
    }
}

impl ApprovedPlan {
    /// What was approved.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// CKA_ID of the key that this step makes, counted from 0: 16 octets that no key has but for this plan, so that a key which a crash
    /// leaves is known again whatever is written beside it.
    pub fn cka_id(&self, step: usize) -> [u8; 16] {
        let hash = Sha256::new().chain_update("rootcellar/v1 cka-id").chain_update(self.sha256);
        let hash: [u8; 32] =
            hash.chain_update(u64::try_from(step).unwrap_or(u64::MAX).to_be_bytes()).finalize().into();
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        id
    }

    /// SHA-256 of its text.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// Who approved it.
    pub fn approvals(&self) -> &Approvals {
        &self.approvals
    }
}

/// SHA-256 of a note's text: its name where another note speaks of it.
pub fn sha256(note: &Note) -> [u8; 32] {
    Sha256::digest(note.text()).into()
}

impl FromStr for Ceremony {
    type Err = TextError;

    fn from_str(word: &str) -> Result<Self, TextError> {
        let found = CEREMONIES.into_iter().find(|(_, name)| *name == word);
        found.map(|(ceremony, _)| ceremony).ok_or(TextError::NotCanonical)
    }
}

impl fmt::Display for Ceremony {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = CEREMONIES.into_iter().find(|(ceremony, _)| ceremony == self).map_or("", |(_, word)| word);
        f.write_str(word)
    }
}
