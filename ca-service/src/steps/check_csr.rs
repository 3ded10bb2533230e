//! Step 2, look at the CSR: it is one, of a key that is accepted, and asks for no extension that is never issued.
//!
//! Does not: hand anything on, or verify its signature. The keeper reads the CSR itself, from the bytes that the caller signed, and takes nothing
//! from here: what is refused here costs it no time.

use certs::{
    KeyKind,
    csr::{self, Csr, CsrError},
};
use proto::{door::Refused, v1::Reason};

use crate::status::refused;

/// Looks at a request, DER or PEM: size, form, key, extensions. What takes long remains: [`demand_hard_to_factor`].
///
/// # Errors
/// The caller's fault, with the field `csr`.
pub(crate) fn check_csr(bytes: &[u8]) -> Result<Csr, Refused> {
    if bytes.is_empty() {
        let message = "`csr` is empty: send a PKCS#10 request, DER or PEM";
        return Err(Refused { field: "csr".into(), ..refused(Reason::RequestMalformed, message) });
    }
    let read = csr::from_pem_or_der(bytes).and_then(|der| csr::read(&der));
    read.and_then(|request| request.demand_extensions().map(|()| request)).map_err(refusal)
}

/// Whether the key of this request takes long to look at.
pub(crate) fn takes_long(request: &Csr) -> bool {
    matches!(request.public_key().kind(), KeyKind::Rsa { .. })
}

/// Looks long at an RSA key: it cannot be factored by who sees no more of it than its certificate.
///
/// # Errors
/// The caller's fault, with the field `csr`.
pub(crate) fn demand_hard_to_factor(request: &Csr) -> Result<(), Refused> {
    request.public_key().demand_hard_to_factor().map_err(|weak| refusal(weak.into()))
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
    use rcgen::{CertificateParams, CustomExtension, KeyPair, SanType};

    use super::*;

    fn request(change: impl FnOnce(&mut CertificateParams)) -> (KeyPair, rcgen::CertificateSigningRequest) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        change(&mut params);
        let request = params.serialize_request(&key).unwrap();
        (key, request)
    }

    #[test]
    fn a_request_is_taken_in_both_forms() {
        let (_, request) = request(|params| {
            params.subject_alt_names = vec![SanType::DnsName("logger.example".try_into().unwrap())];
        });
        check_csr(request.der()).unwrap();
        check_csr(request.pem().unwrap().as_bytes()).unwrap();
    }

    #[test]
    fn what_is_wrong_is_named_with_field_and_remedy() {
        let (_, good) = request(|_| {});
        let (_, strange) = request(|params| {
            params.custom_extensions =
                vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999], vec![5, 0])];
        });
        let too_long = vec![0x30; 20_000];
        let trailing = [good.der(), &[0][..]].concat();
        let cases: [(&[u8], Reason); 5] = [
            (b"", Reason::RequestMalformed),
            (b"nonsense", Reason::CsrMalformed),
            (&too_long, Reason::CsrMalformed),
            (&trailing, Reason::CsrMalformed),
            (strange.der(), Reason::CsrExtensionNotAllowed),
        ];
        for (bytes, reason) in cases {
            let refused = check_csr(bytes).unwrap_err();
            assert_eq!((refused.reason(), refused.field.as_str()), (reason, "csr"), "{}", refused.message);
        }
    }
}
