//! The certificate of a key that signs: what every certificate under it repeats.

use der::{Decode, Encode, asn1::OctetString};
use x509_cert::{
    Certificate,
    ext::pkix::{BasicConstraints, KeyUsage, SubjectKeyIdentifier},
    name::Name,
};

use crate::{
    algorithm::{BadSignature, SignatureAlgorithm},
    compose::Validity,
    key::{KeyError, PublicKey},
    raw,
};

/// The operator's fault: a certificate that cannot issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    /// Not one DER certificate.
    #[error("the issuer's certificate is malformed")]
    Malformed,
    /// A key that is not taken.
    #[error("the issuer's certificate: {0}")]
    Key(#[from] KeyError),
    /// Not a CA, or one that may not sign certificates.
    #[error("the issuer's certificate is no CA certificate that may sign certificates")]
    NotCa,
    /// No subject, which every CA has (RFC 5280 §4.1.2.6).
    #[error("the issuer's certificate has an empty subject")]
    NoSubject,
    /// No subject key identifier of 20 bytes.
    #[error("the issuer's certificate has no subject key identifier of 20 bytes")]
    NoKeyIdentifier,
}

/// A CA certificate, taken apart. Whether it is trusted, the one who holds it knows.
#[derive(Debug, Clone)]
pub struct Issuer {
    certificate: Vec<u8>,
    name: Name,
    subject_der: Vec<u8>,
    public_key: PublicKey,
    key_identifier: [u8; 20],
    validity: Validity,
    signs_crls: bool,
}

impl Issuer {
    /// Takes a DER CA certificate apart; its signature is not looked at.
    ///
    /// # Errors
    /// See [`IssuerError`].
    pub fn parse(der: &[u8]) -> Result<Self, IssuerError> {
        let malformed = |_| IssuerError::Malformed;
        let certificate = Certificate::from_der(der).map_err(malformed)?;
        let tbs = certificate.tbs_certificate();
        let spki = tbs.subject_public_key_info().to_der().map_err(malformed)?;
        let name = tbs.subject().clone();
        if name.is_empty() {
            return Err(IssuerError::NoSubject);
        }
        let usage = demand_ca(&certificate)?;
        let validity = tbs.validity();
        let (start, end) = (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
        Ok(Self {
            certificate: der.to_vec(),
            subject_der: name.to_der().map_err(malformed)?,
            public_key: PublicKey::try_from(spki.as_slice())?,
            key_identifier: key_identifier(&certificate)?,
            validity: Validity::new(start.as_secs(), end.as_secs()).map_err(|_| IssuerError::Malformed)?,
            signs_crls: usage.is_none_or(|usage| usage.crl_sign()),
            name,
        })
    }

    /// The DER of the whole certificate.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// The subject, DER: the issuer name of what it issues, byte for byte (RFC 5280 §4.1.2.4).
    pub fn subject_der(&self) -> &[u8] {
        &self.subject_der
    }

    /// Its key.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// SHA-256 of its SubjectPublicKeyInfo: its name in records.
    pub fn spki_sha256(&self) -> [u8; 32] {
        self.public_key.spki_sha256()
    }

    /// Its subject key identifier, which is the authority key identifier of what it issues (RFC 5280 §4.2.1.1).
    pub fn key_identifier(&self) -> [u8; 20] {
        self.key_identifier
    }

    /// When it is valid.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The algorithm its key signs with.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::of(self.public_key.kind())
    }

    /// Whether it may sign CRLs: it has no key usage, or one with cRLSign (RFC 5280 §4.2.1.3).
    pub fn signs_crls(&self) -> bool {
        self.signs_crls
    }

    /// Verifies a signature over TBS bytes by its key (ECDSA in DER).
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, tbs: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.algorithm().verify_by(&self.public_key, tbs, signature)
    }

    /// Verifies that a whole DER certificate bears its signature, in its algorithm; names and dates are not looked at.
    ///
    /// # Errors
    /// [`BadSignature`], also for what is no certificate.
    pub fn verify_certificate(&self, der: &[u8]) -> Result<(), BadSignature> {
        self.verify_signed(der)
    }

    /// Verifies that a whole DER CRL bears its signature, in its algorithm; name and dates are not looked at.
    ///
    /// # Errors
    /// [`BadSignature`], also for what is no CRL.
    pub fn verify_crl(&self, der: &[u8]) -> Result<(), BadSignature> {
        self.verify_signed(der)
    }

    fn verify_signed(&self, der: &[u8]) -> Result<(), BadSignature> {
        let parts = raw::signed(der).map_err(|_| BadSignature)?;
        if parts.algorithm != self.algorithm().identifier_der() {
            return Err(BadSignature);
        }
        self.verify(parts.tbs, parts.signature)
    }

    /// The subject, for the composer.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }
}

/// RFC 5280 §4.2.1.9 and §4.2.1.3: cA is true, and keyCertSign where there is a key usage, which is returned.
fn demand_ca(certificate: &Certificate) -> Result<Option<KeyUsage>, IssuerError> {
    let tbs = certificate.tbs_certificate();
    let constraints = tbs.get_extension::<BasicConstraints>().map_err(|_| IssuerError::Malformed)?;
    let usage = tbs.get_extension::<KeyUsage>().map_err(|_| IssuerError::Malformed)?;
    let is_ca = constraints.is_some_and(|(_critical, constraints)| constraints.ca);
    let usage = usage.map(|(_critical, usage)| usage);
    if is_ca && usage.is_none_or(|usage| usage.key_cert_sign()) { Ok(usage) } else { Err(IssuerError::NotCa) }
}

fn key_identifier(certificate: &Certificate) -> Result<[u8; 20], IssuerError> {
    let extension = certificate.tbs_certificate().get_extension::<SubjectKeyIdentifier>();
    let Ok(Some((_critical, SubjectKeyIdentifier(identifier)))) = extension else {
        return Err(IssuerError::NoKeyIdentifier);
    };
    OctetString::as_bytes(&identifier).try_into().map_err(|_| IssuerError::NoKeyIdentifier)
}
