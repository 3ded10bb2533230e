//! Step 1, authenticate: who is at the other end of a connection, and whether its certificate is valid still.
//!
//! Does not: know who is registered; the keeper looks that up for every request, by the certificate's hash.

use std::sync::Arc;

use cell::{SpiffeId, TrustDomain};
use proto::{
    door::{self, Presented, Refused, caller},
    v1::Reason,
};
use rustls::{ServerConnection, pki_types::CertificateDer};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
    prelude::FromDer,
};

use crate::status::refused;

/// Who is at the other end: made once per connection, from what the handshake or the kernel proved.
#[derive(Debug, Clone)]
pub(crate) struct Caller(Arc<Who>);

#[derive(Debug)]
struct Who {
    /// The SPIFFE path, or the uid.
    name: Arc<str>,
    proof: Proof,
    /// Told when its connection is to end.
    leave: Notify,
}

#[derive(Debug)]
enum Proof {
    Presented {
        presented: Presented,
        /// The last second, inclusive, since 1970 (RFC 5280 §4.1.2.5).
        not_after: i64,
    },
    Local,
}

/// The caller's fault: its chain is this cell's, and yet it is nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotACaller {
    /// No handshake, or none that asked for a certificate.
    #[error("no client certificate was verified")]
    NoCertificate,
    /// Not a certificate with exactly one URI (SPIFFE X509-SVID §2).
    #[error("the client's certificate does not have exactly one URI")]
    NotAnSvid,
    /// A name of another cell, or none.
    #[error("the client's certificate names nobody of this cell")]
    OfAnotherCell,
}

/// How the keeper knows a certificate that was presented: by its serial number without leading zero bytes, and the SHA-256 of the whole.
pub(crate) fn presented(leaf: &[u8], certificate: &X509Certificate<'_>) -> Presented {
    let serial = certificate.raw_serial().iter().copied().skip_while(|&byte| byte == 0).collect();
    Presented { serial, certificate_sha256: Sha256::digest(leaf).to_vec() }
}

impl Caller {
    /// From a finished handshake, whose verifier has found the chain good under the cell's anchors.
    ///
    /// # Errors
    /// [`NotACaller`].
    pub(crate) fn from_handshake(
        connection: &ServerConnection,
        cell: &TrustDomain,
    ) -> Result<Self, NotACaller> {
        let chain = connection.peer_certificates().ok_or(NotACaller::NoCertificate)?;
        let leaf = chain.first().ok_or(NotACaller::NoCertificate)?;
        Self::from_leaf(leaf, cell)
    }

    fn from_leaf(leaf: &CertificateDer<'_>, cell: &TrustDomain) -> Result<Self, NotACaller> {
        let (_, certificate) = X509Certificate::from_der(leaf).map_err(|_| NotACaller::NotAnSvid)?;
        let id: SpiffeId = only_uri(&certificate)?.parse().map_err(|_| NotACaller::OfAnotherCell)?;
        if id.trust_domain() != cell {
            return Err(NotACaller::OfAnotherCell);
        }
        let proof = Proof::Presented {
            presented: presented(leaf, &certificate),
            not_after: certificate.validity().not_after.timestamp(),
        };
        Ok(Self(Arc::new(Who { name: id.path().to_string().into(), proof, leave: Notify::new() })))
    }

    /// This process, which speaks to the keeper over the keeper's own socket.
    pub(crate) fn local(uid: u32) -> Self {
        Self(Arc::new(Who {
            name: format!("local uid {uid}").into(),
            proof: Proof::Local,
            leave: Notify::new(),
        }))
    }

    /// For one request, at its time in milliseconds: connections outlive certificates.
    ///
    /// # Errors
    /// `CALLER_EXPIRED`.
    pub(crate) fn at(&self, now_ms: i64) -> Result<door::Caller, Refused> {
        let caller = match &self.0.proof {
            Proof::Presented { not_after, .. } if now_ms.div_euclid(1000) > *not_after => {
                return Err(refused(Reason::CallerExpired, EXPIRED));
            }
            Proof::Presented { presented, .. } => Some(caller::Caller::Presented(presented.clone())),
            // The keeper knows who is at the other end of its own socket.
            Proof::Local => None,
        };
        Ok(door::Caller { caller })
    }

    /// Whether it is on the keeper's own machine, over its own socket.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self.0.proof, Proof::Local)
    }

    /// Whether it is neither a controller nor local: one of many, who ask little.
    pub(crate) fn is_agent(&self) -> bool {
        !self.is_local() && !self.0.name.starts_with(CONTROLLERS)
    }

    /// SHA-256 of the certificate that it presents; none where it is local.
    pub(crate) fn certificate(&self) -> Option<&[u8]> {
        match &self.0.proof {
            Proof::Presented { presented, .. } => Some(&presented.certificate_sha256),
            Proof::Local => None,
        }
    }

    /// Its connection is to end.
    pub(crate) fn leave(&self) {
        self.0.leave.notify_one();
    }

    /// Returns once its connection is to end.
    pub(crate) async fn leaves(&self) {
        self.0.leave.notified().await;
    }

    /// For the log: the SPIFFE path, or the uid.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.0.name
    }
}

/// Where the paths of controllers begin.
const CONTROLLERS: &str = "/controller/";

const EXPIRED: &str = "your certificate has expired: connect with a newer one, or have the agent's controller issue one \
                       (for a controller: an officer's `rootcellar controller reissue`)";

/// The one URI among a certificate's names (X509-SVID §2).
///
/// # Errors
/// There is none, or several.
pub(crate) fn only_uri<'a>(certificate: &'a X509Certificate<'_>) -> Result<&'a str, NotACaller> {
    let mut uris = certificate
        .extensions()
        .iter()
        .filter_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        })
        .flatten()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Ok(uri),
        _ => Err(NotACaller::NotAnSvid),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType, SerialNumber};

    use super::*;

    /// A certificate with these URIs and this serial number, valid until the year 2000.
    fn leaf(uris: &[&str], serial: &[u8]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())).collect();
        params.serial_number = Some(SerialNumber::from_slice(serial));
        params.not_after = rcgen::date_time_ymd(2000, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().into()
    }

    fn cell() -> TrustDomain {
        "cell.example".parse().unwrap()
    }

    /// 2000-01-01T00:00:00Z.
    const NOT_AFTER_MS: i64 = 946_684_800_000;

    #[test]
    fn a_caller_is_serial_and_hash_of_its_certificate() {
        // DER writes 0x80 with a zero before it (X.690 §8.3.2).
        let leaf = leaf(&["spiffe://cell.example/agent/a"], &[0x80, 1]);
        let caller = Caller::from_leaf(&leaf, &cell()).unwrap();
        let Some(caller::Caller::Presented(presented)) = caller.at(0).unwrap().caller else {
            panic!("not presented")
        };
        assert_eq!(presented.serial, [0x80, 1]);
        assert_eq!(presented.certificate_sha256, Sha256::digest(&leaf).to_vec());
        assert_eq!((&**caller.name(), caller.is_local(), caller.is_agent()), ("/agent/a", false, true));
    }

    #[test]
    fn a_controller_is_no_agent() {
        let controller = leaf(&["spiffe://cell.example/controller/build"], &[1]);
        let controller = Caller::from_leaf(&controller, &cell()).unwrap();
        assert!(!controller.is_agent() && !controller.is_local() && !Caller::local(0).is_agent());
    }

    #[test]
    fn the_last_second_is_inclusive() {
        let caller = Caller::from_leaf(&leaf(&["spiffe://cell.example/agent/a"], &[1]), &cell()).unwrap();
        assert!(caller.at(NOT_AFTER_MS + 999).is_ok());
        assert_eq!(caller.at(NOT_AFTER_MS + 1000).unwrap_err().reason(), Reason::CallerExpired);
    }

    #[test]
    fn whoever_is_not_exactly_one_of_this_cell_is_nobody() {
        let cases: [(&[&str], _); 5] = [
            (&[], NotACaller::NotAnSvid),
            (&["spiffe://cell.example/agent/a", "spiffe://cell.example/agent/b"], NotACaller::NotAnSvid),
            (&["spiffe://other.example/agent/a"], NotACaller::OfAnotherCell),
            (&["spiffe://cell.example"], NotACaller::OfAnotherCell),
            (&["https://cell.example/agent/a"], NotACaller::OfAnotherCell),
        ];
        for (uris, expected) in cases {
            assert_eq!(Caller::from_leaf(&leaf(uris, &[1]), &cell()).unwrap_err(), expected, "{uris:?}");
        }
    }
}
