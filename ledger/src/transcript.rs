//! Transcripts of ceremonies: what was done, with the plan and its approvals, in one note that verifies with nothing beside it.
//!
//! Every line but the first is `key: value`. The last one holds a short hash of each line before it, so that a transcript that was
//! altered can say where. The hashes prove nothing, the signatures do.
//!
//! Does not: know certificates or attributes; what the lines mean, `keeper` checks.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use crate::charter::{Approvals, Charter, NotApproved};
use crate::note::{Note, NoteError};
use crate::plan::{Plan, PlanError};
use crate::text::{Kind, Reader, TextError, Writer};

/// Most lines.
pub const MAX_LINES: usize = 1024;

/// Octets of a line's short hash.
const HASH_LEN: usize = 4;

/// Key of the last line.
const HASHES: &str = "line-hashes";
/// Key of a line of the plan's text.
const PLAN: &str = "plan";
/// Key of a signature line under the plan.
const APPROVED: &str = "approved";

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript {
    /// Trust domain of the cell.
    pub cell: String,
    /// The plan's note, with its signatures.
    pub plan: String,
    /// The other lines in order: key and value. Keys are words of lower-case letters, digits and hyphens; values are one line, not
    /// empty, and without spaces at their ends.
    pub fields: Vec<(String, String)>,
}

/// Why a note is no transcript that counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TranscriptError {
    /// No note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text does not say what a transcript says.
    #[error(transparent)]
    Text(#[from] TextError),
    /// No officer has signed it.
    #[error(transparent)]
    NotApproved(#[from] NotApproved),
}

impl Transcript {
    /// The note to sign.
    ///
    /// # Errors
    /// [`TranscriptError::Text`] or [`TranscriptError::Note`] when no transcript can say this.
    pub fn draft(&self) -> Result<Note, TranscriptError> {
        let note = Note::unsigned(&self.text())?;
        if Self::parse(note.text())? == *self { Ok(note) } else { Err(TextError::NotCanonical.into()) }
    }

    /// Reads what a note says was done. Nobody vouches for it yet.
    ///
    /// # Errors
    /// [`TranscriptError::Text`].
    pub fn read(note: &Note) -> Result<Self, TranscriptError> {
        Ok(Self::parse(note.text())?)
    }

    /// Opens a transcript that at least one officer of this charter signed: those who were present.
    ///
    /// # Errors
    /// [`TranscriptError`].
    pub fn open(note: &Note, charter: &Charter) -> Result<(Self, Approvals), TranscriptError> {
        let transcript = Self::parse(note.text())?;
        Ok((transcript, charter.approvals_alone(note, 1)?))
    }

    /// The plan's note.
    ///
    /// # Errors
    /// [`TranscriptError::Note`].
    pub fn plan_note(&self) -> Result<Note, TranscriptError> {
        Ok(Note::parse(self.plan.as_bytes())?)
    }

    /// The plan, which nobody is asked to have approved.
    ///
    /// # Errors
    /// [`PlanError::Note`], [`PlanError::Text`].
    pub fn plan(&self) -> Result<Plan, PlanError> {
        Plan::read(&Note::parse(self.plan.as_bytes())?)
    }

    /// The first value of a key.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_str())
    }

    /// The lines that follow each line of this key up to the next of the same, itself included.
    pub fn sections<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a [(String, String)]> {
        let starts: Vec<usize> =
            self.fields.iter().enumerate().filter(|(_, (found, _))| found == key).map(|(i, _)| i).collect();
        let ends: Vec<usize> = starts.iter().skip(1).copied().chain([self.fields.len()]).collect();
        starts.into_iter().zip(ends).filter_map(|(start, end)| self.fields.get(start..end))
    }

    fn text(&self) -> String {
        let (plan, signatures) = self.plan.split_once("\n\n").unwrap_or((&self.plan, ""));
        let text = Writer::new(Kind::Transcript).line("cell", &self.cell);
        let text = plan.lines().fold(text, |text, line| text.line(PLAN, line));
        let text = signatures.lines().fold(text, |text, line| text.line(APPROVED, line));
        let text = self.fields.iter().fold(text, |text, (key, value)| text.line(key, value)).finish();
        let hashes = BASE64_STANDARD.encode(hashes(text.lines().map(str::as_bytes)));
        format!("{text}{HASHES}: {hashes}\n")
    }

    fn parse(text: &str) -> Result<Self, TextError> {
        let mut lines = Reader::new(text, Kind::Transcript)?;
        let cell = lines.cell()?;
        let plan: Vec<String> = lines.repeated(PLAN, MAX_LINES)?;
        let approved: Vec<String> = lines.repeated(APPROVED, MAX_LINES)?;
        let join = |lines: Vec<String>| lines.iter().fold(String::new(), |all, line| all + line + "\n");
        let plan = format!("{}\n{}", join(plan), join(approved));
        let mut fields = Vec::new();
        loop {
            let line = lines.line().ok_or(TextError::Count(HASHES))?;
            let (key, value) = line.split_once(": ").ok_or(lines.extra())?;
            if key == HASHES {
                break;
            }
            let word =
                key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
            if !word
                || key.is_empty()
                || value.is_empty()
                || value.trim() != value
                || fields.len() == MAX_LINES
            {
                return Err(lines.bad("field"));
            }
            fields.push((key.to_owned(), value.to_owned()));
        }
        lines.end()?;
        let transcript = Self { cell, plan, fields };
        if transcript.text() == text { Ok(transcript) } else { Err(TextError::NotCanonical) }
    }
}

/// Where a transcript was altered, as well as that can be said from the file itself: the key of the first line that is not as its
/// short hash says, or `line-hashes`. `None` when all lines are as they say.
pub fn altered(bytes: &[u8]) -> Option<String> {
    let (text, _) = split_signatures(bytes);
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let kept = lines.pop().and_then(|last| last.strip_prefix(format!("{HASHES}: ").as_bytes()));
    let Some(kept) = kept.and_then(|kept| BASE64_STANDARD.decode(kept).ok()) else {
        return Some(HASHES.to_owned());
    };
    let Some((kept, own)) = kept.split_last_chunk::<HASH_LEN>() else { return Some(HASHES.to_owned()) };
    if short_hash(kept) != *own {
        return Some(HASHES.to_owned());
    }
    let (kept, _) = kept.as_chunks::<HASH_LEN>();
    let wrong = lines.iter().zip(kept).position(|(line, hash)| short_hash(line) != *hash);
    let wrong = wrong.or_else(|| (lines.len() != kept.len()).then(|| lines.len().min(kept.len())));
    let line = wrong.map(|i| lines.get(i).copied().unwrap_or_default())?;
    let key = line.split(|byte| *byte == b':').next().unwrap_or_default();
    let key = String::from_utf8_lossy(key).escape_debug().to_string();
    Some(format!("line {} ({key})", wrong.unwrap_or_default() + 1))
}

/// The text without its last newline, and the signatures.
fn split_signatures(bytes: &[u8]) -> (&[u8], &[u8]) {
    let unsigned = bytes.strip_suffix(b"\n").map_or(bytes.len(), <[u8]>::len);
    let end = bytes.windows(2).rposition(|pair| pair == b"\n\n").unwrap_or(unsigned);
    bytes.split_at(end)
}

fn short_hash(line: &[u8]) -> [u8; HASH_LEN] {
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(line));
    [a, b, c, d]
}

/// The short hash of each line, then that of all these.
fn hashes<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut all: Vec<u8> = lines.flat_map(short_hash).collect();
    let own = short_hash(&all);
    all.extend(own);
    all
}
