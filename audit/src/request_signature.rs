//! A caller's signature over its request, as an entry keeps it (`rootcellar.v1.RequestSignature`).

use std::collections::{HashSet, VecDeque};

use certs::{BadSignature, PublicKey, SignatureAlgorithm};
use ledger::Hash;
use ledger::entry::RequestSignature;
use ledger::request::{Terms, leaf};
use sha2::{Digest, Sha256};

/// Roots whose signatures are remembered: 256 requests each, for longer than a client has them in flight.
const ROOTS_MAX: usize = 1024;

/// Verifies signatures over requests, those that many requests share once.
#[derive(Debug, Default)]
pub struct RequestVerifier {
    /// SHA-256 over signed text, key and signature.
    known: HashSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl RequestVerifier {
    /// Checks that the key signed the request: with these terms, by this method, over a body of this SHA-256.
    ///
    /// # Errors
    /// [`BadSignature`], whatever is wrong.
    pub fn verify(
        &mut self,
        key: &PublicKey,
        terms: &Terms<'_>,
        signature: &RequestSignature,
    ) -> Result<(), BadSignature> {
        let text = text(terms, signature).ok_or(BadSignature)?;
        let verify = || {
            let algorithm = SignatureAlgorithm::of(key.kind());
            algorithm.verify_by(key, text.as_bytes(), &signature.signature)
        };
        // One alone is not seen again.
        if signature.size == 1 {
            return verify();
        }
        let root = Sha256::new_with_prefix(&text)
            .chain_update(key.spki_sha256())
            .chain_update(&signature.signature)
            .finalize()
            .into();
        if !self.known.contains(&root) {
            verify()?;
            self.remember(root);
        }
        Ok(())
    }

    fn remember(&mut self, root: [u8; 32]) {
        if self.order.len() >= ROOTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        if self.known.insert(root) {
            self.order.push_back(root);
        }
    }
}

/// The text that must have been signed; none where there can be none.
fn text(terms: &Terms<'_>, signature: &RequestSignature) -> Option<String> {
    let path: Option<Vec<Hash>> =
        signature.path.iter().map(|hash| Hash::try_from(hash.as_slice()).ok()).collect();
    let request_sha256 = signature.request_sha256.as_slice().try_into().ok()?;
    let leaf = leaf(&signature.method, &request_sha256);
    terms.text_over(leaf, signature.size, signature.index, &path?).ok()
}
