//! A certificate and its issuers, up to a trust anchor of the bundle.

use certs::{BadSignature, CertificateSummary, summary::NotACertificate};
use certs::{Issuer, IssuerError, ObjectIdentifier};
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

/// Most certificates in a chain, the leaf included: ours have two.
const MAX_LEN: usize = 8;

/// A chain whose signatures lead to a trust anchor. [`Chain::verify`] alone makes one.
#[derive(Debug)]
pub struct Chain {
    leaf: CertificateSummary,
    issuer_spki_sha256: [u8; 32],
}

/// Why a chain proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No certificates, or more than a chain has.
    #[error("it has {0} certificates, and a chain has 1 to {MAX_LEN}")]
    Length(usize),
    /// The first is no certificate.
    #[error(transparent)]
    Leaf(#[from] NotACertificate),
    /// Another is none that issues.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// One is not signed by the next.
    #[error("certificate {0} of the chain is not signed by the next")]
    NotByNext(usize),
    /// The last one is not signed by an anchor.
    #[error("the chain leads to no trust anchor of the bundle")]
    NoAnchor,
    /// An issuer was not valid when the leaf became valid.
    #[error("an issuer of the chain was not valid when the certificate became so")]
    IssuerNotValid,
    /// The certificate is not valid now.
    #[error("the certificate is not valid now")]
    NotValidNow,
    /// It is another's.
    #[error("the certificate is for {found}, not for {wanted}")]
    OtherIdentity {
        /// Whom it names.
        found: String,
        /// Whom it was to name.
        wanted: String,
    },
    /// It has another public key.
    #[error("the certificate has another public key than ours")]
    OtherKey,
}

impl Chain {
    /// Checks the signatures of a chain, DER, the leaf first: each by the next, the last by one of `anchors`, which were taken from
    /// a verified bundle. Each issuer must be a CA, named by the authority key identifier (RFC 5280 §4.2.1.1), and valid at
    /// the leaf's first second.
    ///
    /// # Errors
    /// [`ChainError`].
    pub fn verify(
        chain: &[Vec<u8>],
        anchors: &[Vec<u8>],
        attributes_oid: ObjectIdentifier,
    ) -> Result<Self, ChainError> {
        let (Some((leaf, issuers)), 1..=MAX_LEN) = (chain.split_first(), chain.len()) else {
            return Err(ChainError::Length(chain.len()));
        };
        let summary = CertificateSummary::parse(leaf, attributes_oid)?;
        let issuers: Vec<Issuer> = issuers.iter().map(|der| Issuer::parse(der)).collect::<Result<_, _>>()?;
        for (i, issuer) in issuers.iter().enumerate() {
            signed_by(&chain[i], issuer, attributes_oid).map_err(|_| ChainError::NotByNext(i + 1))?;
        }
        let last = chain.last().unwrap_or(leaf);
        let anchor = anchors
            .iter()
            .filter_map(|der| Issuer::parse(der).ok())
            .find(|anchor| signed_by(last, anchor, attributes_oid).is_ok())
            .ok_or(ChainError::NoAnchor)?;
        let start = u64::try_from(summary.not_before).map_err(|_| ChainError::IssuerNotValid)?;
        if !issuers.iter().chain([&anchor]).all(|issuer| issuer.validity().contains(start)) {
            return Err(ChainError::IssuerNotValid);
        }
        let issuer_spki_sha256 = issuers.first().unwrap_or(&anchor).spki_sha256();
        Ok(Self { leaf: summary, issuer_spki_sha256 })
    }

    /// Checks that the certificate is valid at a second since 1970.
    ///
    /// # Errors
    /// [`ChainError::NotValidNow`].
    pub fn valid_at(self, secs: i64) -> Result<Self, ChainError> {
        // RFC 5280 §4.1.2.5: both ends included.
        let valid = (self.leaf.not_before..=self.leaf.not_after).contains(&secs);
        if valid { Ok(self) } else { Err(ChainError::NotValidNow) }
    }

    /// Checks that the certificate names this SPIFFE ID and nobody else, and is for this public key.
    ///
    /// # Errors
    /// [`ChainError::OtherIdentity`], [`ChainError::OtherKey`].
    pub fn held_by(self, uri: &str, public_key: &[u8]) -> Result<Self, ChainError> {
        if self.leaf.uris != [uri] || self.leaf.is_ca {
            return Err(ChainError::OtherIdentity {
                found: self.leaf.uris.join(", "),
                wanted: uri.to_owned(),
            });
        }
        if self.leaf.spki_sha256 != HEXLOWER.encode(&Sha256::digest(public_key)) {
            return Err(ChainError::OtherKey);
        }
        Ok(self)
    }

    /// What the certificate says.
    pub fn leaf(&self) -> &CertificateSummary {
        &self.leaf
    }

    /// SHA-256 of the public key that signed it.
    pub fn issuer_spki_sha256(&self) -> [u8; 32] {
        self.issuer_spki_sha256
    }
}

fn signed_by(der: &[u8], issuer: &Issuer, oid: ObjectIdentifier) -> Result<(), BadSignature> {
    let named = CertificateSummary::parse(der, oid).map_err(|_| BadSignature)?.authority_key_identifier;
    if named != HEXLOWER.encode(&issuer.key_identifier()) {
        return Err(BadSignature);
    }
    issuer.verify_certificate(der)
}
