//! The CA certificates that the ledger records, and what they signed.

use std::collections::{BTreeMap, BTreeSet};

use certs::compose::join;
use certs::summary::tbs_of;
use certs::{Issuer, SignatureAlgorithm};
use ledger::entry::{CaCertificate, CaRole, Issuance};
use sha2::{Digest, Sha256};

use super::Flaw;

/// Issuers by SHA-256 of their public keys.
#[derive(Default)]
pub(super) struct Issuers {
    known: BTreeMap<Vec<u8>, Known>,
}

struct Known {
    issuer: Issuer,
    role: CaRole,
    tbs: Vec<u8>,
    signer: Vec<u8>,
}

/// Stands where a signature is not there, so that the rest of the certificate can be read.
const NO_SIGNATURE: &[u8] = &[0];

impl Issuers {
    /// Adds a CA certificate. Its signer, whose signature it has, is a CA of the ledger or an anchor of the bundle in force.
    pub(super) fn add(
        &mut self,
        ca: &CaCertificate,
        signature: &[u8],
        anchors: &[Vec<u8>],
    ) -> Result<(), Flaw> {
        let anchors: Vec<Issuer> = anchors.iter().filter_map(|der| Issuer::parse(der).ok()).collect();
        if signature.is_empty() {
            return Err(Flaw::Unsigned);
        }
        // The outer algorithm is the signer's, who for a root is not known before the certificate is read.
        let read = |algorithm| Issuer::parse(&join(&ca.tbs, algorithm, signature));
        let own_key = read(SignatureAlgorithm::EcdsaP256Sha256)?;
        let own = own_key.spki_sha256().to_vec();
        let signer = match ca.role() {
            CaRole::Root if own == ca.signer_spki_sha256 => &own_key,
            CaRole::Issuer | CaRole::Cross => {
                self.signer(&ca.signer_spki_sha256, &anchors).ok_or(Flaw::UnknownIssuer)?
            }
            CaRole::Root | CaRole::Unspecified => return Err(Flaw::UnknownIssuer),
        };
        signer.verify(&ca.tbs, signature)?;
        let issuer = read(signer.algorithm())?;
        let known =
            Known { issuer, role: ca.role(), tbs: ca.tbs.clone(), signer: ca.signer_spki_sha256.clone() };
        // A root that another vouches for stays the root that it is.
        if ca.role() != CaRole::Cross {
            self.known.insert(own, known);
        }
        Ok(())
    }

    fn signer<'a>(&'a self, spki_sha256: &[u8], anchors: &'a [Issuer]) -> Option<&'a Issuer> {
        let known = self.known.get(spki_sha256).map(|known| &known.issuer);
        known.or_else(|| anchors.iter().find(|anchor| anchor.spki_sha256() == *spki_sha256))
    }

    /// Checks that an issuer of this cell has this key.
    ///
    /// # Errors
    /// [`Flaw::UnknownIssuer`].
    pub(super) fn may_sign(&self, spki_sha256: &[u8]) -> Result<(), Flaw> {
        self.issuer(spki_sha256).map(drop)
    }

    /// The issuer of this cell that has this key.
    ///
    /// # Errors
    /// [`Flaw::UnknownIssuer`].
    pub(super) fn issuer(&self, spki_sha256: &[u8]) -> Result<&Issuer, Flaw> {
        let known = self.known.get(spki_sha256).filter(|known| known.role == CaRole::Issuer);
        known.map(|known| &known.issuer).ok_or(Flaw::UnknownIssuer)
    }

    /// The DER of a certificate that an entry records; a placeholder stands for a signature that is not there. It is not verified.
    ///
    /// # Errors
    /// [`Flaw::UnknownIssuer`].
    pub(super) fn join(&self, issuance: &Issuance, signature: &[u8]) -> Result<Vec<u8>, Flaw> {
        let issuer = self.issuer(&issuance.issuer_spki_sha256)?;
        let signature = if signature.is_empty() { NO_SIGNATURE } else { signature };
        Ok(join(&issuance.tbs, issuer.algorithm(), signature))
    }

    /// The algorithm with which a CA signs that is recorded, or an anchor of any bundle.
    pub(super) fn algorithm(
        &self,
        spki_sha256: &[u8],
        anchors: &BTreeSet<Vec<u8>>,
    ) -> Option<SignatureAlgorithm> {
        if let Some(known) = self.known.get(spki_sha256) {
            return Some(known.issuer.algorithm());
        }
        let mut anchors = anchors.iter().filter_map(|der| Issuer::parse(der).ok());
        anchors.find(|anchor| anchor.spki_sha256() == *spki_sha256).map(|anchor| anchor.algorithm())
    }

    /// Whether a CA of this cell has this public key.
    pub(super) fn is_ca(&self, spki: &[u8]) -> bool {
        self.known.contains_key(Sha256::digest(spki).as_slice())
    }

    /// Checks that every issuer's root is a trust anchor that officers published. The signature of a root is no part of the
    /// comparison: what it signs is.
    pub(super) fn anchored(&self, anchors: &BTreeSet<Vec<u8>>) -> Result<(), Flaw> {
        let published: Vec<Issuer> = anchors.iter().filter_map(|der| Issuer::parse(der).ok()).collect();
        let anchors: BTreeSet<&[u8]> = anchors.iter().filter_map(|der| tbs_of(der).ok()).collect();
        let issuers = self.known.values().filter(|known| known.role == CaRole::Issuer);
        for issuer in issuers {
            let leads = match self.known.get(&issuer.signer) {
                Some(root) => anchors.contains(root.tbs.as_slice()),
                // An anchor that no ceremony of this cell made.
                None => published.iter().any(|anchor| anchor.spki_sha256() == *issuer.signer),
            };
            if !leads {
                return Err(Flaw::NoAnchor);
            }
        }
        Ok(())
    }
}
