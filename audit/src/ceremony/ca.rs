//! A CA certificate as a plan orders it: composed and linted by one function, so that what a ceremony makes is what an import demands.

use cell::TrustDomain;
use certs::compose::{Ca, ComposeError, Serial, Tbs, Validity, ValidityError};
use certs::lint::{Expected, Finding, Linted};
use certs::{ATTRIBUTES_OID, Attributes, Issuer, Profile, PublicKey};
use ledger::plan::CertifyAs;

use super::orders::DAY_SECS;

/// What is to be certified.
#[derive(Clone, Copy, Debug)]
pub struct CaOrder<'a> {
    /// The cell.
    pub cell: &'a TrustDomain,
    /// What the certificate is.
    pub profile: CertifyAs,
    /// The key that it is for.
    pub public_key: &'a PublicKey,
    /// Who signs it; none for a root, which signs itself.
    pub signer: Option<&'a Issuer>,
    /// Days for which it is valid.
    pub days: u32,
    /// The moment of the ceremony, in seconds since 1970.
    pub at_secs: u64,
}

/// Why a plan's certificate cannot be, or these bytes are not it.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The plan's: a root has no signer but itself, and the others need one.
    #[error("a certificate of this profile {}", if *.0 { "signs itself" } else { "needs a signer that is another key" })]
    Signer(bool),
    /// The plan's, or the clock's.
    #[error(transparent)]
    Validity(#[from] ValidityError),
    /// Our own.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// The plan's, or whoever made the bytes: rules that do not hold.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Lint(Vec<Finding>),
}

impl CaOrder<'_> {
    /// Composes the certificate with this serial, and lints it.
    ///
    /// # Errors
    /// [`CaError`].
    pub fn compose(&self, serial: Serial) -> Result<Linted, CaError> {
        let ca = Ca { cell: self.cell, public_key: self.public_key, serial, validity: self.validity()? };
        let tbs = match (self.profile, self.signer) {
            (CertifyAs::Root, None) => certs::compose::root(&ca)?,
            (CertifyAs::Issuer, Some(signer)) => certs::compose::issuer(signer, &ca)?,
            (CertifyAs::Cross, Some(signer)) => certs::compose::cross(signer, &ca)?,
            (profile, _) => return Err(CaError::Signer(profile == CertifyAs::Root)),
        };
        self.lint(tbs)
    }

    /// Demands that these bytes are this certificate, but for the serial.
    ///
    /// # Errors
    /// [`CaError`].
    pub fn lint(&self, tbs: Tbs) -> Result<Linted, CaError> {
        let expected = Expected {
            profile: match self.profile {
                CertifyAs::Root | CertifyAs::Cross => Profile::Root,
                CertifyAs::Issuer => Profile::Issuer,
            },
            issuer: self.signer,
            uri: &self.cell.uri(),
            dns_names: &[],
            ip_addresses: &[],
            attributes: &Attributes::default(),
            attributes_oid: ATTRIBUTES_OID,
            public_key: self.public_key,
            validity: self.validity()?,
            now: self.at_secs,
        };
        certs::lint::check(tbs, &expected).map_err(CaError::Lint)
    }

    fn validity(&self) -> Result<Validity, ValidityError> {
        let ttl = u64::from(self.days) * DAY_SECS;
        match self.signer {
            None => Validity::starting(self.at_secs, ttl),
            Some(signer) => Validity::for_lifetime(self.at_secs, ttl, signer.validity()),
        }
    }
}

/// The certificate of a CA that was there before, by the SHA-256 of its SubjectPublicKeyInfo, among those of the trust bundle.
pub fn anchor(anchors: &[Vec<u8>], spki_sha256: &[u8; 32]) -> Option<Issuer> {
    let mut parsed = anchors.iter().filter_map(|der| Issuer::parse(der).ok());
    parsed.find(|anchor| anchor.spki_sha256() == *spki_sha256)
}
