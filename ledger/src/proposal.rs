//! Proposals: acts of administration that officers sign and the keeper carries out.
//!
//! Does not: know the acts. A proposal names one and gives its fields; whether it was carried out before (its nonce), only
//! the keeper knows. An [`Approved`] exists only once everything else was checked.

mod error;

use data_encoding::HEXLOWER;
use jiff::Timestamp;

use crate::charter::{Approvals, Charter};
use crate::note::{KeyName, Note};
use crate::text::{Kind, Reader, TextError, Writer};

pub use error::ProposalError;

/// How far ahead a proposal may expire, in seconds: 7 days, so that officers in several places can sign it, and so that
/// nonces need not be remembered for long.
pub const MAX_LIFETIME_SECS: i64 = 7 * 24 * 60 * 60;

/// Most fields of an act.
pub const MAX_FIELDS: usize = 256;

/// Longest name of an act or of a field, in bytes.
const MAX_NAME: usize = 64;

/// Keys of the lines before the fields. No field may have one: a reader would take it for the other.
const HEADER: [&str; 6] = ["cell", "log", "charter", "nonce", "expires", "act"];

/// An act that somebody proposes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Trust domain of the cell.
    pub cell: String,
    /// Origin of the log that will record it: a proposal for one epoch is void in another.
    pub log: KeyName,
    /// Revision of the charter whose officers approve it.
    pub charter_revision: u64,
    /// Makes it unique: 16 random bytes.
    pub nonce: [u8; 16],
    /// First second at which it is accepted no more, since 1970-01-01T00:00:00Z.
    pub expires_unix: i64,
    /// Name of the act: words of lower-case letters, digits and hyphens, joined by dots ("controller.add").
    pub act_name: String,
    /// Fields of the act in order, at most [`MAX_FIELDS`]; a key may repeat. Keys are formed as names of acts are
    /// ("grant.max-ttl"), and none is a word that stands before the fields; values are one line without spaces at its
    /// ends, and not empty.
    pub act_fields: Vec<(String, String)>,
}

/// A proposal that a quorum approved, for this cell and log, in time. [`open`] alone makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approved {
    proposal: Proposal,
    approvals: Approvals,
}

/// What holds for acts of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Whether one officer is enough, whatever the charter's quorum.
    pub is_for_one: bool,
    /// How far ahead a proposal of it may expire, in seconds, at most [`MAX_LIFETIME_SECS`].
    pub longest_secs: i64,
}

impl Default for Rule {
    /// A quorum, and the longest time.
    fn default() -> Self {
        Self { is_for_one: false, longest_secs: MAX_LIFETIME_SECS }
    }
}

/// Opens a proposal, and checks everything but whether it was carried out before. `rule` is that of an act's name.
///
/// # Errors
/// [`ProposalError`]. The signatures are checked last, so that a proposal for somewhere else says so.
pub fn open(
    note: &Note,
    charter: &Charter,
    cell: &str,
    log: &KeyName,
    now_unix: i64,
    rule: fn(&str) -> Rule,
) -> Result<Approved, ProposalError> {
    let proposal = Proposal::parse(note.text())?;
    proposal.check_place(charter, cell, log)?;
    if proposal.expires_unix <= now_unix {
        return Err(ProposalError::Expired);
    }
    let Rule { is_for_one, longest_secs } = rule(&proposal.act_name);
    if proposal.expires_unix.saturating_sub(now_unix) > longest_secs.min(MAX_LIFETIME_SECS) {
        return Err(ProposalError::TooFar);
    }
    let approvals = if is_for_one { charter.approvals_of_one(note)? } else { charter.approvals(note)? };
    Ok(Approved { proposal, approvals })
}

impl Approved {
    /// What was approved.
    pub fn proposal(&self) -> &Proposal {
        &self.proposal
    }

    /// Who approved it.
    pub fn approvals(&self) -> &Approvals {
        &self.approvals
    }
}

impl Proposal {
    /// The note to sign.
    ///
    /// # Errors
    /// [`ProposalError::Malformed`] or [`ProposalError::Note`] when no proposal can say this.
    pub fn draft(&self) -> Result<Note, ProposalError> {
        let note = Note::unsigned(&self.text()?)?;
        // A value with a newline in it would write a line of its own.
        if Self::parse(note.text())? == *self { Ok(note) } else { Err(TextError::NotCanonical.into()) }
    }

    /// Reads what a note proposes, for an officer to see. Nobody has approved it yet.
    ///
    /// # Errors
    /// [`ProposalError::Malformed`].
    pub fn read(note: &Note) -> Result<Self, ProposalError> {
        Ok(Self::parse(note.text())?)
    }

    fn text(&self) -> Result<String, TextError> {
        let expires = Timestamp::from_second(self.expires_unix)
            .map_err(|_| TextError::Value { line: 6, key: "expires" })?;
        let text = Writer::new(Kind::Proposal)
            .line("cell", &self.cell)
            .line("log", &self.log)
            .line("charter", self.charter_revision)
            .line("nonce", HEXLOWER.encode(&self.nonce))
            .line("expires", expires)
            .line("act", &self.act_name);
        let fields = self.act_fields.iter();
        Ok(fields.fold(text, |text, (key, value)| text.line(key, value)).finish())
    }

    fn parse(text: &str) -> Result<Self, TextError> {
        let mut lines = Reader::new(text, Kind::Proposal)?;
        let proposal = Self {
            cell: lines.cell()?,
            log: lines.parse("log")?,
            charter_revision: lines.parse("charter")?,
            nonce: lines.octets("nonce")?,
            expires_unix: lines.parse::<Timestamp>("expires")?.as_second(),
            act_name: lines.value("act")?.to_owned(),
            act_fields: parse_fields(&mut lines)?,
        };
        if !is_name(&proposal.act_name) {
            return Err(TextError::Value { line: 7, key: "act" });
        }
        if proposal.text()? == text { Ok(proposal) } else { Err(TextError::NotCanonical) }
    }

    fn check_place(&self, charter: &Charter, cell: &str, log: &KeyName) -> Result<(), ProposalError> {
        if self.cell != cell || charter.cell() != cell {
            return Err(ProposalError::WrongCell);
        }
        if self.log != *log {
            return Err(ProposalError::WrongLog);
        }
        let (have, want) = (self.charter_revision, charter.revision());
        if have != want {
            return Err(ProposalError::WrongCharter { have, want });
        }
        Ok(())
    }
}

fn parse_fields(lines: &mut Reader<'_>) -> Result<Vec<(String, String)>, TextError> {
    let mut fields = Vec::new();
    while let Some(line) = lines.line() {
        let (key, value) = line.split_once(": ").ok_or(lines.extra())?;
        let valid = is_name(key) && !HEADER.contains(&key) && !value.is_empty() && value.trim() == value;
        if !valid {
            return Err(lines.bad("field"));
        }
        if fields.len() == MAX_FIELDS {
            return Err(TextError::Count("field"));
        }
        fields.push((key.to_owned(), value.to_owned()));
    }
    Ok(fields)
}

/// True for words joined by dots, at most [`MAX_NAME`] bytes.
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_word =
        |word: &str| word.starts_with(|c: char| c.is_ascii_lowercase()) && word.bytes().all(allowed);
    name.len() <= MAX_NAME && name.split('.').all(is_word)
}
