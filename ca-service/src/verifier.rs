//! Who verifies callers' chains: webpki, with two rules of ours. A chain that is longer than any of ours costs no signature; a caller whose own
//! certificate has expired is let in, to hear of every method that it has ([`crate::steps::Caller::at`]).

use std::{sync::Arc, time::Duration};

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

/// Certificates between a caller's and an anchor: ours have one, or two where a cell has an intermediate.
const MAX_INTERMEDIATES: usize = 3;

/// Octets of a whole chain: four of ours with RSA-4096 keys.
const MAX_CHAIN_BYTES: usize = 8 * 1024;

/// Verifies callers.
#[derive(Debug)]
pub(crate) struct CallersVerifier(pub(crate) Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for CallersVerifier {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let octets = end_entity.len() + intermediates.iter().map(|one| one.len()).sum::<usize>();
        if intermediates.len() > MAX_INTERMEDIATES || octets > MAX_CHAIN_BYTES {
            return Err(Error::General(format!(
                "the chain has more than {MAX_INTERMEDIATES} intermediates or {MAX_CHAIN_BYTES} octets"
            )));
        }
        // The rest of the chain must have been good in its last second.
        let at = last_second(end_entity).map_or(now, |end| end.min(now));
        self.0.verify_client_cert(end_entity, intermediates, at)
    }

    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// The last second of a certificate, inclusive (RFC 5280 §4.1.2.5); none where it has none that could be a time.
fn last_second(der: &CertificateDer<'_>) -> Option<UnixTime> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let end = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    Some(UnixTime::since_unix_epoch(Duration::from_secs(end)))
}
