//! Keys that are known to be weak one by one: from a broken generator, or published.

use std::str::FromStr;
use std::sync::LazyLock;

use data_encoding::HEXLOWER_PERMISSIVE;

use super::{KeyError, PublicKey};

/// The most keys of a list: 32 MiB of memory. All Debian weak keys of the sizes in use are a fifth of it.
const MAX_KEYS: usize = 1 << 20;

/// Keys whose private half everybody can read. Our own file: a test reads it.
static PUBLISHED: LazyLock<Blocklist> =
    LazyLock::new(|| include_str!("published.txt").parse().unwrap_or_default());

/// A list of known weak keys, by the SHA-256 of their SubjectPublicKeyInfo.
///
/// As text: one hash a line in hexadecimal; empty lines and lines that start with `#` are skipped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Blocklist {
    /// Sorted, each once.
    hashes: Vec<[u8; 32]>,
}

/// The operator's fault: a list that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlocklistError {
    /// A line that is no hash.
    #[error("line {line} is no SHA-256 of a key in 64 hexadecimal digits")]
    Line {
        /// Its number, from 1.
        line: usize,
    },
    /// Too many keys.
    #[error("line {line} is one more than the {MAX_KEYS} keys that a list may have")]
    TooMany {
        /// Its number, from 1.
        line: usize,
    },
}

impl FromStr for Blocklist {
    type Err = BlocklistError;

    fn from_str(text: &str) -> Result<Self, BlocklistError> {
        let mut hashes = Vec::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim_ascii();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            if hashes.len() == MAX_KEYS {
                return Err(BlocklistError::TooMany { line });
            }
            let hash = HEXLOWER_PERMISSIVE.decode(content.as_bytes()).ok();
            hashes.push(hash.and_then(|hash| hash.try_into().ok()).ok_or(BlocklistError::Line { line })?);
        }
        hashes.sort_unstable();
        hashes.dedup();
        Ok(Self { hashes })
    }
}

impl Blocklist {
    /// The keys that standards print as examples.
    pub fn published() -> &'static Self {
        &PUBLISHED
    }

    /// Whether this key is not on the list.
    ///
    /// # Errors
    /// [`KeyError::Weak`] when it is.
    pub fn check(&self, key: &PublicKey) -> Result<(), KeyError> {
        match self.hashes.binary_search(&key.spki_sha256()) {
            Ok(_) => Err(KeyError::Weak("it is on a list of known weak keys")),
            Err(_) => Ok(()),
        }
    }

    /// How many keys are on it.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there is no key on it.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn hashes_comments_and_empty_lines_are_read() {
        let list: Blocklist =
            format!("# known\n\n{A}\r\n  {}\n{}", A.to_uppercase(), "ff".repeat(32)).parse().unwrap();
        assert_eq!(list.len(), 2, "one of them is there twice");
        assert_eq!("".parse(), Ok(Blocklist::default()));
        assert!(Blocklist::default().is_empty());
    }

    #[test]
    fn the_list_of_published_keys_is_read() {
        assert_eq!(Blocklist::published().len(), 56);
    }

    #[test]
    fn every_other_line_is_refused_by_its_number() {
        for bad in [
            &A[2..],
            &A[1..],
            &format!("{A}00"),
            &format!("{A} # why"),
            "x",
            &A.replace('a', "g"),
            &A.replace("00", "0 "),
        ] {
            let read: Result<Blocklist, _> = format!("#\n{A}\n{bad}\n").parse();
            assert_eq!(read, Err(BlocklistError::Line { line: 3 }), "{bad}");
        }
    }

    #[test]
    fn a_list_has_a_bound() {
        let read: Result<Blocklist, _> = format!("{A}\n").repeat(MAX_KEYS + 1).parse();
        assert_eq!(read, Err(BlocklistError::TooMany { line: MAX_KEYS + 1 }));
    }
}
