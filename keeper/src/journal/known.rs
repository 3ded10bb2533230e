//! Which keys were certified, for whom, and which requests were carried out: what makes both be done once, in the writer's own memory.
//!
//! It takes some 50 bytes for each of either. Does not: know what was asked for; the entry that a request led to says that.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

/// The beginning of a SHA-256: nobody finds two of the same.
pub(super) type Short = [u8; 16];

/// All of them, of a journal that was verified.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The first holder of each public key.
    keys: HashMap<Short, Short>,
    /// The last entry that each request led to.
    requests: HashMap<Short, u64>,
    /// The SHA-256 of each whole certificate, by its entry.
    signed: HashMap<u64, Short>,
}

impl Known {
    /// A public key was certified for a subject. Its first holder stays.
    pub(super) fn certified(&mut self, spki_sha256: &[u8; 32], subject: &str) {
        self.keys.entry(beginning(spki_sha256)).or_insert_with(|| short(&[subject.as_bytes()]));
    }

    /// A request led to an entry.
    pub(super) fn carried_out(&mut self, caller: &str, request_id: &str, index: u64) {
        self.requests.insert(of_request(caller, request_id), index);
    }

    /// A signature completed what has this SHA-256.
    pub(super) fn signed(&mut self, index: u64, sha256: &[u8; 32]) {
        self.signed.insert(index, beginning(sha256));
    }

    /// How many keys, and how many requests.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.keys.len(), self.requests.len())
    }

    /// Whether what an entry records was signed, so that the whole has this SHA-256.
    pub(super) fn is_signed_as(&self, index: u64, sha256: &[u8; 32]) -> bool {
        self.signed.get(&index) == Some(&beginning(sha256))
    }

    /// Whether this, or nobody, is the first holder of a public key.
    pub(super) fn is_holder(&self, spki_sha256: &[u8; 32], subject: Option<&str>) -> bool {
        self.keys.get(&beginning(spki_sha256)).copied() == subject.map(|subject| short(&[subject.as_bytes()]))
    }

    /// The last entry that a request led to.
    pub(super) fn request(&self, caller: &str, request_id: &str) -> Option<u64> {
        self.requests.get(&of_request(caller, request_id)).copied()
    }
}

/// What stands for a request of this caller.
pub(super) fn of_request(caller: &str, request_id: &str) -> Short {
    // No caller's path has a zero byte.
    short(&[caller.as_bytes(), &[0], request_id.as_bytes()])
}

fn short(parts: &[&[u8]]) -> Short {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    beginning(&hash.finalize().into())
}

/// What stands for a SHA-256.
pub(super) fn beginning(sha256: &[u8; 32]) -> Short {
    let mut first = Short::default();
    first.copy_from_slice(&sha256[..16]);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_holder_and_the_last_entry_are_known() {
        let mut known = Known::default();
        assert!(known.is_holder(&[1; 32], None) && !known.is_holder(&[1; 32], Some("/agent/a")));
        known.certified(&[1; 32], "/agent/a");
        known.certified(&[1; 32], "/agent/b");
        assert!(known.is_holder(&[1; 32], Some("/agent/a")));
        assert!(!known.is_holder(&[1; 32], Some("/agent/b")) && !known.is_holder(&[1; 32], None));
        known.carried_out("/agent/a", "one", 7);
        known.carried_out("/agent/a", "one", 9);
        assert_eq!((known.request("/agent/a", "one"), known.request("/agent/b", "one")), (Some(9), None));
    }
}
