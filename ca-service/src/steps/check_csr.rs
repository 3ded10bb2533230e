//! Step 2, check the CSR: its sender holds the key, and asks for nothing that is never issued.
//!
//! The names it asks for go to the keeper, who knows which will be issued.
//!
//! Does not: hand on the request itself. The keeper gets the key, the hash and the names.

use certs::csr::{self, CsrError};
use proto::{
    door::{Refused, RequestedName, requested_name},
    v1::Reason,
};

use crate::status::refused;

/// What is left of a request whose sender holds the key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Checked {
    /// DER SubjectPublicKeyInfo.
    pub(crate) public_key: Vec<u8>,
    /// SHA-256 of the request, 32 bytes.
    pub(crate) csr_sha256: Vec<u8>,
    /// The names it asks for, in its order.
    pub(crate) requested_names: Vec<RequestedName>,
}

/// Checks a request, DER or PEM: size, form, key, proof of possession, extensions.
///
/// # Errors
/// The caller's fault, with the field `csr`.
pub(crate) fn check_csr(bytes: &[u8]) -> Result<Checked, Refused> {
    if bytes.is_empty() {
        let message = "`csr` is empty: send a PKCS#10 request, DER or PEM";
        return Err(Refused { field: "csr".into(), ..refused(Reason::RequestMalformed, message) });
    }
    checked(bytes).map_err(refusal)
}

fn checked(bytes: &[u8]) -> Result<Checked, CsrError> {
    let request = csr::check(&csr::from_pem_or_der(bytes)?)?;
    request.demand_extensions()?;
    Ok(Checked {
        public_key: request.public_key().spki_der().to_vec(),
        csr_sha256: request.sha256().to_vec(),
        requested_names: request.names().iter().map(requested_name).collect(),
    })
}

fn requested_name(name: &csr::RequestedName) -> RequestedName {
    let name = match name {
        csr::RequestedName::Uri(uri) => requested_name::Name::Uri(uri.clone()),
        csr::RequestedName::Dns(dns) => requested_name::Name::Dns(dns.clone()),
        csr::RequestedName::Ip(_) | csr::RequestedName::Other(_) => {
            requested_name::Name::Other(name.to_string())
        }
    };
    RequestedName { name: Some(name) }
}

fn refusal(error: CsrError) -> Refused {
    let (reason, remedy) = match error {
        CsrError::TooLarge => (Reason::CsrMalformed, "send a request with the key alone"),
        CsrError::Malformed => (Reason::CsrMalformed, "make it anew, as `openssl req -new` does"),
        CsrError::TrailingBytes => (Reason::CsrMalformed, "send one request and nothing behind it"),
        CsrError::UnsupportedKey => (Reason::KeyUnsupported, "use a P-256 key"),
        CsrError::WeakKey(_) => (Reason::KeyWeak, "use a P-256 key"),
        CsrError::UnsupportedSignatureAlgorithm => {
            (Reason::KeyUnsupported, "sign it with the key's own algorithm and SHA-256 or better")
        }
        CsrError::BadSignature => {
            (Reason::CsrSignatureInvalid, "sign it with the private half of its own key")
        }
        CsrError::NameNotGranted(_) => {
            (Reason::CsrNameNotIssued, "leave the name out: names come from the agent")
        }
        CsrError::ExtensionNotAllowed(_) | CsrError::ExtensionTooWide(_) => {
            (Reason::CsrExtensionNotAllowed, "leave the extension out: the profile decides it")
        }
    };
    Refused { field: error.field().into(), ..refused(reason, format!("{error}; {remedy}")) }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, CustomExtension, KeyPair, PublicKeyData, SanType};

    use super::*;

    fn request(change: impl FnOnce(&mut CertificateParams)) -> (KeyPair, rcgen::CertificateSigningRequest) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        change(&mut params);
        let request = params.serialize_request(&key).unwrap();
        (key, request)
    }

    #[test]
    fn the_key_the_hash_and_the_names_are_left() {
        let (key, request) = request(|params| {
            params.subject_alt_names = vec![
                SanType::DnsName("logger.example".try_into().unwrap()),
                SanType::URI("spiffe://cell.example/agent/a".try_into().unwrap()),
                SanType::IpAddress("192.0.2.1".parse().unwrap()),
            ];
        });
        let checked = check_csr(request.der()).unwrap();
        assert_eq!(checked.public_key, key.subject_public_key_info());
        let names: Vec<_> = checked.requested_names.iter().map(|name| name.name.clone().unwrap()).collect();
        assert_eq!(
            names,
            [
                requested_name::Name::Dns("logger.example".into()),
                requested_name::Name::Uri("spiffe://cell.example/agent/a".into()),
                requested_name::Name::Other("the address 192.0.2.1".into()),
            ]
        );
        assert_eq!(check_csr(request.pem().unwrap().as_bytes()).unwrap(), checked);
    }

    #[test]
    fn what_is_wrong_is_named_with_field_and_remedy() {
        let (_, good) = request(|_| {});
        let (_, strange) = request(|params| {
            params.custom_extensions =
                vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999], vec![5, 0])];
        });
        let mut forged = good.der().to_vec();
        *forged.last_mut().unwrap() ^= 1;
        let too_long = vec![0x30; 20_000];
        let trailing = [good.der(), &[0][..]].concat();
        let cases: [(&[u8], Reason); 6] = [
            (b"", Reason::RequestMalformed),
            (b"nonsense", Reason::CsrMalformed),
            (&too_long, Reason::CsrMalformed),
            (&trailing, Reason::CsrMalformed),
            (&forged, Reason::CsrSignatureInvalid),
            (strange.der(), Reason::CsrExtensionNotAllowed),
        ];
        for (bytes, reason) in cases {
            let refused = check_csr(bytes).unwrap_err();
            assert_eq!((refused.reason(), refused.field.as_str()), (reason, "csr"), "{}", refused.message);
        }
    }
}
