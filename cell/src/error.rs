//! The one error of all names: which kind of name, and what is wrong with it.

/// The caller's fault: a text that is not the name it was given as.
///
/// It holds no part of the text but one character, printed escaped, so that a log line cannot be forged with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {problem}")]
pub struct NameError {
    /// The kind of name, as a reader says it: "role", "trust domain".
    pub kind: &'static str,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// Longer than its bound, in bytes.
    #[error("is longer than {max} bytes")]
    TooLong {
        /// The longest that is accepted, in bytes.
        max: usize,
    },
    /// A character outside the name's alphabet.
    #[error("has the character {0:?}, which it may not have")]
    Character(char),
    /// A first or last character that is fine elsewhere in the name.
    #[error("starts or ends with {0:?}")]
    Edge(char),
    /// An empty, `.` or `..` segment.
    #[error("has an empty, `.` or `..` segment")]
    Segment,
    /// More segments than its bound.
    #[error("has more than {max} segments")]
    Segments {
        /// The most that are accepted.
        max: usize,
    },
    /// A first segment kept for the cell itself.
    #[error("starts with a reserved segment (controller, officer, service, auditor)")]
    Reserved,
    /// Not of the form named.
    #[error("is not of the form {0}")]
    Form(&'static str),
}

impl Problem {
    /// This problem, of the kind of name given.
    pub(crate) fn of(self, kind: &'static str) -> NameError {
        NameError { kind, problem: self }
    }
}

/// The first rule of every name: at least one byte, at most `max`.
pub(crate) fn check_length(text: &str, max: usize) -> Result<(), Problem> {
    match text.len() {
        0 => Err(Problem::Empty),
        n if n > max => Err(Problem::TooLong { max }),
        _ => Ok(()),
    }
}

/// Refuses the first character that `allowed` does not hold.
pub(crate) fn check_alphabet(text: &str, allowed: impl Fn(char) -> bool) -> Result<(), Problem> {
    match text.chars().find(|&c| !allowed(c)) {
        Some(c) => Err(Problem::Character(c)),
        None => Ok(()),
    }
}
