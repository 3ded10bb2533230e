//! What a caller signs over the requests that change state: the root of those that it signs together, under one fixed prefix.
//!
//! The format is that of `rootcellar.v1.RequestSignature`. Does not: hold a key, verify a signature, or read a request's body.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::tree::{InvalidProof, TreeHead};
use crate::{Hash, leaf_hash};

/// The first line of every signed text: no other text that a caller's key signs begins with it. TLS 1.3 signs 64 spaces first (RFC 8446
/// §4.4.3), a CSR the DER of a SEQUENCE.
const PREFIX: &str = "rootcellar/v1 requests";

/// Most requests that one signature covers: what one connection has in flight.
pub const TOGETHER_MAX: usize = 256;

/// Milliseconds that a request's time may be from the verifier's clock.
pub const SLACK_MS: i64 = 300_000;

/// One request in the tree of those signed together: its leaf hash.
pub fn leaf(method: &str, body_sha256: &[u8; 32]) -> Hash {
    leaf_hash(format!("{method}\n{}\n", HEXLOWER.encode(body_sha256)).as_bytes())
}

/// The same for a body that is there.
pub fn leaf_of(method: &str, body: &[u8]) -> Hash {
    leaf(method, &Sha256::digest(body).into())
}

/// What stands in a signed text beside the root.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Origin of the log ("prod.example/log/1").
    pub origin: &'a str,
    /// Serial number of the presented certificate, big-endian without leading zero bytes.
    pub serial: &'a [u8],
    /// When it is signed, in milliseconds since 1970.
    pub time_unix_ms: i64,
}

impl Terms<'_> {
    /// The text to sign.
    pub fn text(&self, head: &TreeHead) -> String {
        let Self { origin, serial, time_unix_ms } = self;
        let (size, root) = (head.size, BASE64_STANDARD.encode(head.root.as_bytes()));
        let mut text = String::with_capacity(192);
        // Writing to a String cannot fail.
        let _ = write!(text, "{PREFIX}\n{origin}\n{}\n{time_unix_ms}\n{size}\n{root}\n", hex_number(serial));
        text
    }

    /// The text that a signature must cover if this request is one of those signed together.
    ///
    /// # Errors
    /// The path does not lead from the leaf to a root of a tree of that size.
    pub fn text_over(
        &self,
        leaf: Hash,
        size: u32,
        index: u32,
        path: &[Hash],
    ) -> Result<String, InvalidProof> {
        let size = usize::try_from(size).ok().filter(|size| (1..=TOGETHER_MAX).contains(size));
        let size = size.ok_or(InvalidProof)? as u64;
        let root = root_over(leaf, size, u64::from(index), path)?;
        Ok(self.text(&TreeHead { size, root }))
    }
}

/// The tree of requests that are signed together.
#[derive(Clone, Debug)]
pub struct Together(Vec<Hash>);

impl Together {
    /// Takes the leaves, in order; none where there are none or more than [`TOGETHER_MAX`].
    pub fn new(leaves: Vec<Hash>) -> Option<Self> {
        (1..=TOGETHER_MAX).contains(&leaves.len()).then_some(Self(leaves))
    }

    /// Size and root.
    pub fn head(&self) -> TreeHead {
        TreeHead { size: self.0.len() as u64, root: root(&self.0) }
    }

    /// The inclusion proof of a leaf (RFC 9162 §2.1.3.1): hashes from its sibling up. Empty where the index is of none.
    pub fn path(&self, index: usize) -> Vec<Hash> {
        let mut path = Vec::new();
        let (mut leaves, mut index) = (self.0.as_slice(), index);
        while leaves.len() > 1 {
            let (left, right) = leaves.split_at(split(leaves.len()));
            if index < left.len() {
                path.push(root(right));
                leaves = left;
            } else {
                path.push(root(left));
                (leaves, index) = (right, index - left.len());
            }
        }
        path.reverse();
        path
    }
}

/// The largest power of two below `len`, which is at least 2 (RFC 9162 §2.1.1).
fn split(len: usize) -> usize {
    1 << (usize::BITS - 1 - (len - 1).leading_zeros())
}

fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::EMPTY,
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            root(left).join(root(right))
        }
    }
}

/// The root to which a path leads (RFC 9162 §2.1.3.2).
fn root_over(leaf: Hash, size: u64, index: u64, path: &[Hash]) -> Result<Hash, InvalidProof> {
    let Some(mut last) = size.checked_sub(1).filter(|last| index <= *last) else { return Err(InvalidProof) };
    let (mut index, mut root) = (index, leaf);
    for hash in path {
        if last == 0 {
            return Err(InvalidProof);
        }
        if index % 2 == 1 || index == last {
            root = hash.join(root);
            while index.is_multiple_of(2) && index != 0 {
                (index, last) = (index / 2, last / 2);
            }
        } else {
            root = root.join(*hash);
        }
        (index, last) = (index / 2, last / 2);
    }
    if last == 0 { Ok(root) } else { Err(InvalidProof) }
}

/// A number as certificates are shown: lower-case hexadecimal without leading zeros.
fn hex_number(bytes: &[u8]) -> String {
    let digits = HEXLOWER.encode(bytes);
    let shown = digits.trim_start_matches('0');
    if shown.is_empty() { "0".to_owned() } else { shown.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::verify_inclusion;

    const METHOD: &str = "/rootcellar.v1.IssuanceService/IssueCertificate";

    fn terms() -> Terms<'static> {
        Terms { origin: "cell.example/log/1", serial: &[0x0a, 0xbc], time_unix_ms: 1_700_000_000_123 }
    }

    #[test]
    fn the_text_of_one_request_is_what_the_contract_says() {
        // Made by Python's hashlib and base64 from the words of signature.proto.
        let leaf = leaf_of(METHOD, b"body");
        let text = terms().text_over(leaf, 1, 0, &[]).unwrap();
        assert_eq!(
            text,
            "rootcellar/v1 requests\ncell.example/log/1\nabc\n1700000000123\n1\nqFhCz97hNR0bKKslFKKCVo85bmFr0B8uaBW9vkv35SY=\n"
        );
    }

    #[test]
    fn each_of_those_signed_together_leads_to_the_one_text() {
        for size in [1, 2, 3, 5, 8, 64, 100, TOGETHER_MAX] {
            let leaves: Vec<Hash> = (0..size).map(|n| leaf_of(METHOD, &n.to_be_bytes())).collect();
            let together = Together::new(leaves.clone()).unwrap();
            let signed = terms().text(&together.head());
            for (index, leaf) in leaves.iter().enumerate() {
                let path = together.path(index);
                verify_inclusion(*leaf, index as u64, &together.head(), &path).expect("the library agrees");
                let size = u32::try_from(size).unwrap();
                let at = u32::try_from(index).unwrap();
                assert_eq!(
                    terms().text_over(*leaf, size, at, &path).as_ref(),
                    Ok(&signed),
                    "{index} of {size}"
                );
                let other = leaf_of("/rootcellar.v1.IssuanceService/RenewCertificate", &index.to_be_bytes());
                assert_ne!(terms().text_over(other, size, at, &path).ok(), Some(signed.clone()));
            }
        }
        assert!(Together::new(Vec::new()).is_none());
        assert!(Together::new(vec![Hash::EMPTY; TOGETHER_MAX + 1]).is_none());
    }

    #[test]
    fn a_path_of_another_form_is_refused() {
        let leaves: Vec<Hash> = (0..5_u8).map(|n| leaf_of(METHOD, &[n])).collect();
        let (together, leaf) = (Together::new(leaves.clone()).unwrap(), leaves[3]);
        let path = together.path(3);
        let longer = [path.as_slice(), &path].concat();
        for (size, index, path) in [
            (0, 0, &[][..]),
            (1, 0, &path[..]),
            (1, 1, &[]),
            (5, 3, &path[1..]),
            (5, 3, &longer),
            (5, 5, &path),
            (u32::MAX, 3, &path),
            (257, 3, &path),
        ] {
            assert_eq!(terms().text_over(leaf, size, index, path), Err(InvalidProof), "{size} {index}");
        }
    }
}
