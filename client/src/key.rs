//! Keys of controllers and agents, made here and kept in files; the service never sees them.

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PublicKeyData as _, SanType};
use zeroize::Zeroizing;

use crate::error::Error;

/// A P-256 key pair.
pub struct Key(KeyPair);

impl Key {
    /// Makes one.
    ///
    /// # Errors
    /// No random numbers are to be had.
    pub fn generate() -> Result<Self, Error> {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256);
        pair.map(Self).map_err(|error| Error::Key(format!("no key could be made: {error}")))
    }

    /// Reads a PKCS#8 key in PEM.
    ///
    /// # Errors
    /// It is none.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        KeyPair::from_pem(pem).map(Self).map_err(|error| Error::Key(format!("no private key: {error}")))
    }

    /// PKCS#8 in PEM.
    pub fn pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.serialize_pem())
    }

    /// DER SubjectPublicKeyInfo.
    pub fn public_key(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    /// A DER certificate request (RFC 2986) for this key and this SPIFFE ID: whoever sees it cannot use it for another identity. All else comes
    /// from policy.
    ///
    /// # Errors
    /// No random numbers are to be had.
    pub fn csr(&self, uri: &str) -> Result<Vec<u8>, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let uri = uri.try_into().map_err(|error| Error::Key(format!("{uri} is no name: {error}")))?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        let request = params.serialize_request(&self.0);
        let request = request.map_err(|error| Error::Key(format!("no request could be made: {error}")))?;
        Ok(request.der().to_vec())
    }
}
