//! The texts of our notes: a fixed first line, then lines `key: value` in a fixed order.
//!
//! A text is parsed leniently and then written again: only a text equal to what we would write is accepted, so no number,
//! order or spacing has two forms.

use std::fmt::Write as _;
use std::str::{FromStr, Lines};

use data_encoding::HEXLOWER;

/// What a note is. Its line stands first, and contains a space: no origin can be equal to it, so no note passes for a
/// checkpoint, nor for a note of another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The officers of a cell and their quorum.
    Charter,
    /// The trust anchors and logs of a cell.
    Bundle,
    /// An act of administration.
    Proposal,
    /// What a ceremony is to do.
    Plan,
    /// What was done in a ceremony.
    Transcript,
    /// An officer's word that a refused PIN may be tried once more.
    PinFailureCleared,
}

impl Kind {
    /// Each of them.
    pub const ALL: [Self; 6] =
        [Self::Charter, Self::Bundle, Self::Proposal, Self::Plan, Self::Transcript, Self::PinFailureCleared];

    /// The first line, without its newline.
    pub const fn line(self) -> &'static str {
        match self {
            Self::Charter => "rootcellar/v1 charter",
            Self::Bundle => "rootcellar/v1 bundle",
            Self::Proposal => "rootcellar/v1 proposal",
            Self::Plan => "rootcellar/v1 plan",
            Self::Transcript => "rootcellar/v1 transcript",
            Self::PinFailureCleared => "rootcellar/v1 pin-failure-cleared",
        }
    }

    /// The kind of a text, by its first line.
    pub fn of(text: &str) -> Option<Self> {
        let first = text.lines().next()?;
        Self::ALL.into_iter().find(|kind| kind.line() == first)
    }
}

/// A text that is not one of ours. Lines are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// It is of another kind.
    #[error("the first line is not \"{}\"", .0.line())]
    Kind(Kind),
    /// Another line is expected.
    #[error("line {line} is not \"{key}: …\"")]
    Expected {
        /// Number of the line.
        line: usize,
        /// What it must begin with.
        key: &'static str,
    },
    /// The line has a value that cannot be.
    #[error("line {line}: not a valid {key}")]
    Value {
        /// Number of the line.
        line: usize,
        /// What it begins with.
        key: &'static str,
    },
    /// There are too many or too few of these lines, or one twice.
    #[error("too many or too few lines \"{0}\", or one twice")]
    Count(&'static str),
    /// Something follows that does not belong there.
    #[error("line {line} does not belong here")]
    Extra {
        /// Number of the line.
        line: usize,
    },
    /// It says what a text may say, but not in the one form.
    #[error("the text is not in its one form")]
    NotCanonical,
    /// A plan whose steps are not those of its type.
    #[error("a step does not belong to a ceremony of this type")]
    NotOfItsType,
}

/// Reads the lines of a text in order.
pub(crate) struct Reader<'a> {
    lines: Lines<'a>,
    number: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str, kind: Kind) -> Result<Self, TextError> {
        let mut lines = text.lines();
        if lines.next() != Some(kind.line()) {
            return Err(TextError::Kind(kind));
        }
        Ok(Self { lines, number: 1 })
    }

    /// The value of the next line, which must have this key.
    pub(crate) fn value(&mut self, key: &'static str) -> Result<&'a str, TextError> {
        self.value_if(key).ok_or(TextError::Expected { line: self.number + 1, key })
    }

    /// The value of the next line if it has this key.
    pub(crate) fn value_if(&mut self, key: &str) -> Option<&'a str> {
        let value = self.lines.clone().next()?.strip_prefix(key)?.strip_prefix(": ")?;
        self.skip();
        Some(value)
    }

    /// The value of the next line, parsed.
    pub(crate) fn parse<T: FromStr>(&mut self, key: &'static str) -> Result<T, TextError> {
        let value = self.value(key)?;
        value.parse().map_err(|_| self.bad(key))
    }

    /// The values of the next lines that have this key, parsed; at most `max` of them.
    pub(crate) fn repeated<T: FromStr>(
        &mut self,
        key: &'static str,
        max: usize,
    ) -> Result<Vec<T>, TextError> {
        let mut values = Vec::new();
        while let Some(value) = self.value_if(key) {
            if values.len() == max {
                return Err(TextError::Count(key));
            }
            values.push(value.parse().map_err(|_| self.bad(key))?);
        }
        Ok(values)
    }

    /// The name of the cell, which every text of ours says first.
    pub(crate) fn cell(&mut self) -> Result<String, TextError> {
        let cell = self.value("cell")?;
        if is_cell(cell) { Ok(cell.to_owned()) } else { Err(self.bad("cell")) }
    }

    /// The value of the next line, which must be so many octets in lower-case hexadecimal digits.
    pub(crate) fn octets<const N: usize>(&mut self, key: &'static str) -> Result<[u8; N], TextError> {
        let octets = HEXLOWER.decode(self.value(key)?.as_bytes()).ok();
        octets.and_then(|octets| octets.try_into().ok()).ok_or_else(|| self.bad(key))
    }

    /// Skips lines of comment; whether any line follows them. What they say, the caller compares with what it would write.
    pub(crate) fn comments(&mut self) -> bool {
        while self.lines.clone().next().is_some_and(|line| line.starts_with('#')) {
            self.skip();
        }
        self.lines.clone().next().is_some()
    }

    /// The next line, whatever it is.
    pub(crate) fn line(&mut self) -> Option<&'a str> {
        let line = self.lines.next()?;
        self.number += 1;
        Some(line)
    }

    /// The error that the line just read has a bad value.
    pub(crate) fn bad(&self, key: &'static str) -> TextError {
        TextError::Value { line: self.number, key }
    }

    /// The error that the line just read does not belong there.
    pub(crate) fn extra(&self) -> TextError {
        TextError::Extra { line: self.number }
    }

    pub(crate) fn end(mut self) -> Result<(), TextError> {
        match self.lines.next() {
            None => Ok(()),
            Some(_) => Err(TextError::Extra { line: self.number + 1 }),
        }
    }

    fn skip(&mut self) {
        self.lines.next();
        self.number += 1;
    }
}

/// Writes a text line by line.
pub(crate) struct Writer(String);

impl Writer {
    pub(crate) fn new(kind: Kind) -> Self {
        Self(format!("{}\n", kind.line()))
    }

    pub(crate) fn line(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{key}: {value}");
        self
    }

    pub(crate) fn raw(mut self, lines: &str) -> Self {
        self.0.push_str(lines);
        self
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

/// True for what may be the name of a cell: a SPIFFE trust domain (SPIFFE-ID §2.1), at most 255 bytes.
fn is_cell(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    !name.is_empty() && name.len() <= 255 && name.bytes().all(allowed)
}

/// True when no two of the items are equal. For lists of at most a few dozen.
pub(crate) fn distinct<T: PartialEq>(items: &[T]) -> bool {
    items.iter().enumerate().all(|(i, item)| !items[..i].contains(item))
}
