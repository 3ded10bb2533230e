//! The lines of a transcript about one token or one step.

use std::ops::RangeInclusive;

use crate::token_uri::TokenUri;
use data_encoding::BASE64;
use ledger::plan::Step;
use ledger::transcript::Transcript;

use super::EvidenceError;

/// The lines of one step.
pub(super) struct Section<'a> {
    /// Counted from 1.
    pub(super) step: usize,
    pub(super) lines: &'a [(String, String)],
}

/// What a transcript says of a token, and must.
pub(super) struct TokenSection<'a>(&'a [(String, String)]);

impl<'a> TokenSection<'a> {
    /// The token that a plan names by this URI, as it was in this opening.
    pub(super) fn of(transcript: &'a Transcript, uri: &str, opening: &str) -> Option<Self> {
        let mut sections = transcript.sections("token").filter(|lines| lines[0].1 == uri).map(Self);
        // The last section of a token reaches to the end of the transcript: its own line stands first.
        let number = |section: &Self| {
            section.0.get(1).filter(|(key, _)| key == "opening").map(|(_, number)| number.as_str())
        };
        sections.find(|section| number(section) == Some(opening))
    }

    fn value(&self, key: &'static str) -> Result<&str, EvidenceError> {
        let mut found = self.0.iter().filter(|(found, _)| found == key);
        match (found.next(), found.next()) {
            (Some((_, value)), None) => Ok(value),
            _ => Err(EvidenceError::Line(key)),
        }
    }

    /// Label and serial of the token that was opened: the one that the plan means. Its module and its random numbers were looked at.
    pub(super) fn identity(&self, uri: &str) -> Result<(String, String), EvidenceError> {
        for key in ["module", "module-sha256", "library", "attestation", "entropy", "system-entropy"] {
            self.value(key)?;
        }
        let (label, serial) = (self.value("token-label")?, self.value("token-serial")?);
        let planned: TokenUri = uri.parse().map_err(|_| EvidenceError::Line("token"))?;
        if !planned.matches(label, serial, self.value("token-model")?) {
            return Err(EvidenceError::OtherToken(uri.to_owned()));
        }
        Ok((label.to_owned(), serial.to_owned()))
    }

    /// Claims from which the token's profile excuses its keys.
    pub(super) fn exceptions(&self) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == "exception").map(|(_, value)| value.as_str()).collect()
    }
}

impl Section<'_> {
    pub(super) fn is_of(&self, step: &Step) -> Result<(), EvidenceError> {
        let expected = format!("{} {}", self.step, super::step_name(step));
        match self.lines.first() {
            Some((_, name)) if *name == expected => Ok(()),
            _ => Err(self.bad("step", format!("it is not `{expected}`"))),
        }
    }

    pub(super) fn value(&self, key: &'static str) -> Result<&str, EvidenceError> {
        let found = self.lines.iter().find(|(found, _)| found == key);
        found.map(|(_, value)| value.as_str()).ok_or_else(|| self.bad(key, "the line is missing"))
    }

    pub(super) fn base64(&self, key: &'static str) -> Result<Vec<u8>, EvidenceError> {
        BASE64.decode(self.value(key)?.as_bytes()).map_err(|error| self.bad(key, error))
    }

    pub(super) fn attributes(&self) -> Result<Vec<(String, String)>, EvidenceError> {
        let lines = self.lines.iter().filter(|(key, _)| key == "attribute");
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (_, line) in lines {
            let (name, value) =
                line.split_once(' ').ok_or_else(|| self.bad("attribute", "no name and value"))?;
            if pairs.iter().any(|(known, _)| known == name) {
                return Err(self.bad("attribute", format!("{name} stands twice")));
            }
            pairs.push((name.to_owned(), value.to_owned()));
        }
        Ok(pairs)
    }

    /// The second for which it was composed, which is within the ceremony.
    pub(super) fn at_secs(&self, within: &RangeInclusive<i64>) -> Result<u64, EvidenceError> {
        let time = self.value("composed")?.parse::<jiff::Timestamp>();
        let time = time.map_err(|error| self.bad("composed", error))?.as_second();
        if !within.contains(&time) {
            return Err(self.bad("composed", "it is not between the beginning and the end"));
        }
        u64::try_from(time).map_err(|error| self.bad("composed", error))
    }

    pub(super) fn bad(&self, field: &'static str, why: impl ToString) -> EvidenceError {
        EvidenceError::Step { step: self.step, field, why: why.to_string() }
    }
}
