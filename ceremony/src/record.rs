//! A ceremony's own durable record: what is about to be done, and what was done, one line of JSON each, on the disk before the next thing
//! happens. It stands in for the ledger where that is not at hand (invariant I2), and a ceremony that was cut short goes on from it.
//!
//! Does not: vouch for itself. What is read back is checked as if a stranger had written it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::host::{KeyFacts, TokenFacts};
use sys::{carried, durable};

/// Name of the file in the ceremony's directory.
pub const FILE: &str = "record.jsonl";

/// Longest record, in bytes: many times what the longest plan leads to.
pub const MAX_LEN: u64 = 4 * 1024 * 1024;

/// What every line begins with.
const LINE: &[u8] = b"{\"event\":\"";

/// What happened. Steps are counted from 0; octets are hexadecimal, times in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// An execution of the plan began, or went on.
    Began {
        /// SHA-256 of the plan's text.
        plan: String,
        /// When.
        at_ms: i64,
        /// Name and version of the program.
        tool: String,
        /// SHA-256 of its file.
        binary_sha256: String,
    },
    /// A token was opened.
    Token {
        /// Its URI in the plan.
        uri: String,
        /// What it says of itself.
        facts: Box<TokenFacts>,
    },
    /// A source of random numbers passed its start-up test.
    Entropy {
        /// The token's URI in the plan, or `system`.
        source: String,
        /// Octets examined.
        samples: usize,
        /// Most equal octets in a row.
        longest_run: u32,
        /// How often, at most, the first octet of a window of 512 came in it.
        most_in_window: u32,
    },
    /// A source of random numbers failed its start-up test. It is tested once more.
    EntropyFailed {
        /// The token's URI in the plan, or `system`.
        source: String,
        /// Octets examined.
        samples: usize,
        /// What was found.
        flaw: String,
    },
    /// A key is about to be made.
    Intended {
        /// Step.
        step: usize,
        /// Its CKA_ID.
        id: String,
    },
    /// The token made no key, or one that is not as a CA key must be, which its process destroyed at once.
    Unmade {
        /// Step.
        step: usize,
        /// What the token's process reported.
        why: String,
    },
    /// A key of this plan is unfit, signed no certificate, and is about to be destroyed.
    Discarding {
        /// Step.
        step: usize,
        /// The key.
        key: Box<KeyFacts>,
        /// What is wrong with it.
        why: String,
    },
    /// A key was made and read back.
    Made {
        /// Step.
        step: usize,
        /// The key.
        key: Box<KeyFacts>,
    },
    /// A key signed a request, and the signature is its own.
    Proved {
        /// Step.
        step: usize,
        /// The certification request (RFC 2986), DER.
        csr: String,
    },
    /// A certificate or CRL was composed and linted, and is about to be signed.
    Composed {
        /// Step.
        step: usize,
        /// The exact bytes.
        tbs: String,
        /// The time for which it was composed.
        at_ms: i64,
    },
    /// It was signed, and the signature is the signer's.
    Signed {
        /// Step.
        step: usize,
        /// The whole, DER.
        der: String,
    },
    /// A key is about to be destroyed.
    Destroying {
        /// Step.
        step: usize,
        /// The key.
        key: Box<KeyFacts>,
        /// The request that it signed for this (`certs::compose::farewell`), DER; none where it signs no more.
        #[serde(default)]
        proof: Option<String>,
    },
    /// It was destroyed, looked for, and not found.
    Destroyed {
        /// Step.
        step: usize,
        /// How many objects were there to be destroyed; 0 where it was gone already.
        objects: usize,
    },
    /// All of the plan is done.
    Ended {
        /// When.
        at_ms: i64,
    },
}

/// The record of one ceremony. Held by one process at a time.
#[derive(Debug)]
pub struct Record {
    file: File,
    events: Vec<Event>,
}

impl Record {
    /// Opens the record in a ceremony's directory, or begins it. A last line that a crash cut short never happened: it is removed, once
    /// all that stands before it proved to be events.
    ///
    /// # Errors
    /// The file system's; it is no regular file, or longer than any record; another process holds it; a line is no event. Nothing is
    /// changed then.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let mut file = carried::open_or_create(&dir.join(FILE), MAX_LEN)?;
        file.try_lock().map_err(|_| io::Error::other("another process executes this ceremony"))?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(MAX_LEN).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|octet| *octet == b'\n').map_or(0, |end| end + 1);
        let (lines, cut) = bytes.split_at(whole);
        let lines = lines.split_inclusive(|octet| *octet == b'\n');
        let events: Vec<Event> = lines.map(serde_json::from_slice).collect::<Result<_, _>>()?;
        if !was_begun(cut) {
            return Err(io::Error::other("what stands at its end is no beginning of an event"));
        }
        if !cut.is_empty() {
            file.set_len(whole as u64)?;
            file.sync_all()?;
        }
        file.seek(SeekFrom::End(0))?;
        durable::sync_dir(dir)?;
        Ok(Self { file, events })
    }

    /// Whether a record lies there that says that the ceremony ended.
    pub fn has_ended(dir: &Path) -> bool {
        let is_there = dir.join(FILE).exists();
        let ended = |event: &Event| matches!(event, Event::Ended { .. });
        is_there && Self::open(dir).is_ok_and(|record| record.events.iter().any(ended))
    }

    /// Writes an event down. It is durable when this returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&mut self, event: Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(&event)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_all()?;
        self.events.push(event);
        Ok(())
    }

    /// What happened, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The newest event for which `pick` has a value.
    pub fn last<'a, T>(&'a self, pick: impl Fn(&'a Event) -> Option<T>) -> Option<T> {
        last(&self.events, pick)
    }
}

/// The newest of these events for which `pick` has a value.
pub(crate) fn last<'a, T>(events: &'a [Event], pick: impl Fn(&'a Event) -> Option<T>) -> Option<T> {
    events.iter().rev().find_map(pick)
}

/// Whether this can be what a crash left of a line: its beginning, or all of it without its end; and room that was never written to.
fn was_begun(cut: &[u8]) -> bool {
    let written = cut.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    let written = &cut[..written];
    let begins = written.iter().zip(LINE).all(|(octet, expected)| octet == expected);
    let ends_early = || match serde_json::from_slice::<IgnoredAny>(written) {
        Ok(_) => true,
        Err(error) => error.is_eof(),
    };
    written.is_empty() || begins && ends_early()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(at_ms: i64) -> Event {
        Event::Ended { at_ms }
    }

    #[test]
    fn a_line_cut_short_never_happened() {
        let dir = tempfile::tempdir().unwrap();
        let mut record = Record::open(dir.path()).unwrap();
        record.write(ended(1)).unwrap();
        record.write(ended(2)).unwrap();
        drop(record);
        let path = dir.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        for cut in whole.len() / 2 + 1..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut record = Record::open(dir.path()).unwrap();
            assert_eq!(record.events(), [ended(1)]);
            record.write(ended(3)).unwrap();
            drop(record);
            assert_eq!(Record::open(dir.path()).unwrap().events(), [ended(1), ended(3)]);
        }
    }

    #[test]
    fn one_process_holds_it_and_what_is_no_event_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let held = Record::open(dir.path()).unwrap();
        Record::open(dir.path()).unwrap_err();
        drop(held);
        std::fs::write(dir.path().join(FILE), "{\"event\":\"ended\",\"at_ms\":1,\"more\":2}\n").unwrap();
        Record::open(dir.path()).unwrap_err();
    }
    #[test]
    fn what_is_no_record_is_refused_and_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (path, pin) = (dir.path().join(FILE), dir.path().join("root.pin"));
        let keeps = |bytes: &[u8]| {
            std::fs::write(&pin, bytes).unwrap();
            std::fs::rename(&pin, &path).unwrap();
            Record::open(dir.path()).unwrap_err();
            assert_eq!(std::fs::read(&path).unwrap(), bytes);
        };
        keeps(b"1234");
        keeps(b"no event\n{\"event\":\"en");
        keeps(b"{\"event\":\"ended\",\"at_ms\":1} {\"event\":\"ended\",\"at_ms\":2}");
        keeps(&vec![b'{'; usize::try_from(MAX_LEN).unwrap() + 1]);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&pin, "a PIN").unwrap();
        std::os::unix::fs::symlink(&pin, &path).unwrap();
        Record::open(dir.path()).unwrap_err();
        assert_eq!(std::fs::read(&pin).unwrap(), b"a PIN");
    }
}
