//! When the log key signs a checkpoint: at most one a second, and at once where someone needs one that covers more.

use std::time::{Duration, Instant};

use ledger::checkpoint::Checkpoint;
use ledger::note::{KeyName, Note, VerifierKey};
use ledger::tree::{Edge, TreeHead};

use crate::out::ReadAsk;

/// Least time between two checkpoints that nobody asked for.
const EVERY: Duration = Duration::from_secs(1);

/// The newest checkpoint, the one being signed, and who waits for it.
pub(crate) struct Checkpoints {
    origin: KeyName,
    key: VerifierKey,
    /// Entries that the newest covers; 0 where there is none.
    size: u64,
    last: Option<Instant>,
    in_flight: bool,
    waiting: Vec<(u64, ReadAsk)>,
}

impl Checkpoints {
    pub(crate) fn new(origin: KeyName, key: VerifierKey, size: u64) -> Self {
        Self { origin, key, size, last: None, in_flight: false, waiting: Vec::new() }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn covers(&self, size: u64) -> bool {
        size <= self.size
    }

    pub(crate) fn wait(&mut self, size: u64, ask: ReadAsk) {
        self.waiting.push((size, ask));
    }

    /// Whether one over `size` entries is to be signed now: the `last` one at once.
    pub(crate) fn is_due(&self, size: u64, now: Instant, last: bool) -> bool {
        let rested = last || self.last.is_none_or(|last| now.duration_since(last) >= EVERY);
        let is_waited_for = || self.waiting.iter().any(|(wanted, _)| *wanted <= size);
        !self.in_flight && size > self.size && (rested || is_waited_for())
    }

    /// The text to sign now, over this tree.
    pub(crate) fn begin(&mut self, head: TreeHead, now: Instant) -> String {
        self.in_flight = true;
        self.last = Some(now);
        Checkpoint { origin: self.origin.clone(), size: head.size, root: head.root }.text()
    }

    /// Makes the note of what was signed.
    ///
    /// # Errors
    /// The signature is not the log key's: the token returned something else (invariant I4).
    pub(crate) fn signed(&mut self, size: u64, text: &str, signature: &[u8]) -> Result<String, String> {
        let mut note = Note::unsigned(text).map_err(|error| error.to_string())?;
        note.add_signature(&self.key, signature).map_err(|error| format!("its checkpoint: {error}"))?;
        self.in_flight = false;
        self.size = size;
        Ok(note.to_string())
    }

    /// For how long entries have had no checkpoint over them.
    pub(crate) fn behind_for(&self, edge: &Edge, now: Instant) -> Duration {
        if edge.size() <= self.size {
            return Duration::ZERO;
        }
        self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last))
    }

    /// Those who wait no longer.
    pub(crate) fn covered(&mut self) -> Vec<ReadAsk> {
        let size = self.size;
        self.waiting.extract_if(.., |(wanted, _)| *wanted <= size).map(|(_, ask)| ask).collect()
    }
}
