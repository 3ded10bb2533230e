//! Certificate requests (PKCS#10, RFC 2986): a public key and the proof that the sender holds its private half.
//!
//! Subject and other attributes are ignored: what is issued comes from policy. What the request demands beyond it is
//! refused and named, so that nobody believes to have got it.

mod demand;
mod error;
mod pem;

use std::ops::Deref;

use der::Decode;
use sha2::{Digest, Sha256};
use x509_cert::{ext::Extension, request::CertReqInfo};

use crate::{
    algorithm::Scheme,
    key::{Blocklist, KeyError, PublicKey},
    raw,
};

pub use demand::RequestedName;
pub use error::CsrError;
pub use pem::from_pem_or_der;

/// The longest request, in bytes of DER: an RSA 4096 request with every name we give takes less than 4 KiB.
pub const MAX_CSR_BYTES: usize = 16 * 1024;

/// A request as it reads. Whether its sender holds the private key is not proven: [`check`] does that.
#[derive(Debug, Clone)]
pub struct Csr {
    public_key: PublicKey,
    sha256: [u8; 32],
    names: Vec<RequestedName>,
    extensions: Vec<Extension>,
}

/// A request whose sender holds the private key. Only [`check`] makes one.
#[derive(Debug, Clone)]
pub struct VerifiedCsr(Csr);

impl Deref for VerifiedCsr {
    type Target = Csr;

    fn deref(&self) -> &Csr {
        &self.0
    }
}

/// Reads a DER request: size, form and key. Its signature is not verified.
///
/// # Errors
/// See [`CsrError`]; never [`CsrError::BadSignature`].
pub fn read(der: &[u8]) -> Result<Csr, CsrError> {
    Ok(parsed(der, PublicKey::of_holder)?.csr)
}

/// Checks a DER request: size, form, key, and the signature over its exact CertificationRequestInfo.
///
/// # Errors
/// See [`CsrError`]; what it demands is looked at by [`Csr::demand_within`].
pub fn check(der: &[u8]) -> Result<VerifiedCsr, CsrError> {
    verified(der, PublicKey::of_holder)
}

/// The same for the request by which a new CA key proves itself ([`crate::compose::request`]): of any kind that a CA may have.
///
/// # Errors
/// See [`CsrError`].
pub fn check_of_ca(der: &[u8]) -> Result<VerifiedCsr, CsrError> {
    verified(der, |spki| {
        let key = PublicKey::try_from(spki)?;
        Blocklist::published().check(&key)?;
        key.demand_hard_to_factor().map(|()| key)
    })
}

/// The same for the request by which a CA key proves that it was there when a plan was about to destroy it ([`crate::compose::farewell`]): one
/// that names another plan is malformed.
///
/// # Errors
/// See [`CsrError`].
pub fn check_farewell(der: &[u8], plan_sha256: &[u8; 32]) -> Result<VerifiedCsr, CsrError> {
    // However weak it is, it may go.
    let farewell = verified(der, |spki| PublicKey::try_from(spki))?;
    let expected = crate::compose::farewell(plan_sha256, &farewell.public_key);
    if expected.ok().as_deref() == Some(raw::signed(der)?.tbs) {
        Ok(farewell)
    } else {
        Err(CsrError::Malformed)
    }
}

/// A request that is read, and what its signature must be.
struct Parsed<'a> {
    csr: Csr,
    parts: raw::Signed<'a>,
    scheme: Scheme,
}

fn parsed(der: &[u8], read: impl Fn(&[u8]) -> Result<PublicKey, KeyError>) -> Result<Parsed<'_>, CsrError> {
    if der.len() > MAX_CSR_BYTES {
        return Err(CsrError::TooLarge);
    }
    let parts = raw::signed(der)?;
    // Strict DER, version 0 (RFC 2986 §4.1) and no field more.
    let info = CertReqInfo::from_der(parts.tbs).map_err(|_| CsrError::Malformed)?;
    let fields = raw::fields(parts.tbs).map_err(|_| CsrError::Malformed)?;
    let [_version, _subject, spki, _attributes] = fields[..] else { return Err(CsrError::Malformed) };
    let public_key = read(spki)?;
    let scheme = Scheme::from_identifier_der(parts.algorithm)
        .filter(|scheme| scheme.fits(public_key.kind()))
        .ok_or(CsrError::UnsupportedSignatureAlgorithm)?;
    let (names, extensions) = demand::read(&info.attributes)?;
    let csr = Csr { public_key, sha256: Sha256::digest(der).into(), names, extensions };
    Ok(Parsed { csr, parts, scheme })
}

fn verified(
    der: &[u8],
    read: impl Fn(&[u8]) -> Result<PublicKey, KeyError>,
) -> Result<VerifiedCsr, CsrError> {
    let Parsed { csr, parts, scheme } = parsed(der, read)?;
    // RFC 2986 §4.2: over the DER of the CertificationRequestInfo, as it came, never encoded again.
    scheme.verify(&csr.public_key, parts.tbs, parts.signature).map_err(|_| CsrError::BadSignature)?;
    Ok(VerifiedCsr(csr))
}

impl Csr {
    /// The key that it is for.
    pub fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// SHA-256 of the whole request.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// The subject alternative names it asks for, in its order.
    pub fn names(&self) -> &[RequestedName] {
        &self.names
    }

    /// The extensions it asks for, subjectAltName not among them.
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }
}
