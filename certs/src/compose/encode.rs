//! From a shape to TBS bytes, by x509-cert's builder.

use const_oid::AssociatedOid;
use der::{Decode, Document, Encode, asn1::OctetString};
use signature::Keypair;
use spki::{
    AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, EncodePublicKey, SubjectPublicKeyInfoOwned,
    SubjectPublicKeyInfoRef,
};
use x509_cert::{
    TbsCertificate,
    builder::{Builder, CertificateBuilder, profile::BuilderProfile},
    ext::{
        Extension,
        pkix::{AuthorityKeyIdentifier, SubjectKeyIdentifier},
    },
    name::Name,
    serial_number::SerialNumber,
};

use super::{ComposeError, Serial, Tbs, Validity};
use crate::{algorithm::SignatureAlgorithm, key::PublicKey};

/// Everything that differs between two certificates, with the extensions in their final order.
pub(super) struct Shape<'a> {
    pub(super) issuer: Name,
    pub(super) signer: &'a PublicKey,
    pub(super) subject: Name,
    pub(super) public_key: &'a PublicKey,
    pub(super) serial: Serial,
    pub(super) validity: Validity,
    pub(super) extensions: Vec<Extension>,
}

/// Encodes the shape: once, which makes these the only bytes there are.
pub(super) fn encode(shape: Shape<'_>) -> Result<Tbs, ComposeError> {
    let signer = Signer(shape.signer.clone());
    let serial = SerialNumber::new(shape.serial.as_bytes())?;
    let spki = SubjectPublicKeyInfoOwned::from_der(shape.public_key.spki_der())?;
    let validity = shape.validity.to_x509()?;
    let names = Names { issuer: shape.issuer, subject: shape.subject, extensions: shape.extensions };
    let mut builder = CertificateBuilder::new(names, serial, validity, spki)?;
    // Once: a second call of `finalize` doubles every extension (x509-cert 0.3.0).
    Ok(Tbs::composed(builder.finalize(&signer)?))
}

/// An extension of this type's OID.
pub(crate) fn extension<T: AssociatedOid + Encode>(
    critical: bool,
    value: &T,
) -> Result<Extension, der::Error> {
    Ok(Extension { extn_id: T::OID, critical, extn_value: OctetString::new(value.to_der()?)? })
}

/// The subject key identifier, never critical (RFC 5280 §4.2.1.2), by RFC 7093 §2 and not by x509-cert's SHA-1.
pub(super) fn subject_key_identifier(key: &PublicKey) -> Result<Extension, der::Error> {
    extension(false, &SubjectKeyIdentifier(OctetString::new(key.key_identifier().as_slice())?))
}

/// The authority key identifier, never critical (RFC 5280 §4.2.1.1): the issuer's subject key identifier.
pub(crate) fn authority_key_identifier(identifier: [u8; 20]) -> Result<Extension, der::Error> {
    let identifier = Some(OctetString::new(identifier.as_slice())?);
    extension(false, &AuthorityKeyIdentifier { key_identifier: identifier, ..Default::default() })
}

struct Names {
    issuer: Name,
    subject: Name,
    extensions: Vec<Extension>,
}

impl BuilderProfile for Names {
    fn get_issuer(&self, _subject: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _spki: SubjectPublicKeyInfoRef<'_>,
        _issuer_spki: SubjectPublicKeyInfoRef<'_>,
        _tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
}

/// The builder asks a signer for its algorithm and public key; this one has nothing else and cannot sign.
#[derive(Clone)]
struct Signer(PublicKey);

impl Keypair for Signer {
    type VerifyingKey = Self;

    fn verifying_key(&self) -> Self {
        self.clone()
    }
}

impl EncodePublicKey for Signer {
    fn to_public_key_der(&self) -> spki::Result<Document> {
        Ok(Document::try_from(self.0.spki_der())?)
    }
}

impl DynSignatureAlgorithmIdentifier for Signer {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        Ok(AlgorithmIdentifierOwned::from_der(SignatureAlgorithm::of(self.0.kind()).identifier_der())?)
    }
}
