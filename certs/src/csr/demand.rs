//! What a request demands, and whether that will be issued.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use cell::DnsName;
use const_oid::{
    AssociatedOid, ObjectIdentifier,
    db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH},
};
use der::Decode;
use x509_cert::{
    attr::Attributes,
    ext::{
        Extension,
        pkix::{
            BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName, SubjectKeyIdentifier,
            name::GeneralName,
        },
    },
    request::ExtensionReq,
};

use super::{Csr, CsrError};

/// The most characters of a name that an error repeats: it travels in a header of bounded length.
const MAX_SHOWN_CHARS: usize = 256;

/// szOID_CERT_EXTENSIONS: as Microsoft's tools name the same attribute (MS-WCCE §2.2.2.7.7.1).
const CERT_EXTENSIONS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.14");

/// A subject alternative name that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedName {
    /// A URI.
    Uri(String),
    /// A DNS name, as written.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A kind of name that is never issued.
    Other(&'static str),
}

impl fmt::Display for RequestedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| text.chars().take(MAX_SHOWN_CHARS).collect::<String>();
        match self {
            Self::Uri(uri) => write!(f, "the URI {:?}", shown(uri)),
            Self::Dns(name) => write!(f, "the DNS name {:?}", shown(name)),
            Self::Ip(address) => write!(f, "the address {address}"),
            Self::Other(kind) => write!(f, "a name of the kind {kind}"),
        }
    }
}

impl From<&GeneralName> for RequestedName {
    fn from(name: &GeneralName) -> Self {
        match name {
            GeneralName::UniformResourceIdentifier(uri) => Self::Uri(uri.to_string()),
            GeneralName::DnsName(name) => Self::Dns(name.to_string()),
            GeneralName::IpAddress(bytes) => ip_address(bytes.as_bytes()),
            GeneralName::OtherName(_) => Self::Other("otherName"),
            GeneralName::Rfc822Name(_) => Self::Other("rfc822Name"),
            GeneralName::DirectoryName(_) => Self::Other("directoryName"),
            GeneralName::EdiPartyName(_) => Self::Other("ediPartyName"),
            GeneralName::RegisteredId(_) => Self::Other("registeredID"),
        }
    }
}

/// RFC 5280 §4.2.1.6: 4 octets or 16.
fn ip_address(bytes: &[u8]) -> RequestedName {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        RequestedName::Ip(Ipv4Addr::from(v4).into())
    } else if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        RequestedName::Ip(Ipv6Addr::from(v6).into())
    } else {
        RequestedName::Other("iPAddress of an impossible length")
    }
}

/// The names and the other extensions of the extensionRequest attribute, or of Microsoft's; none without one.
///
/// # Errors
/// [`CsrError::Malformed`]: two such attributes or values (RFC 2985 §5.4.2: one), an extension twice (RFC 5280 §4.2).
pub(super) fn read(attributes: &Attributes) -> Result<(Vec<RequestedName>, Vec<Extension>), CsrError> {
    let asks = |oid| [ExtensionReq::OID, CERT_EXTENSIONS].contains(&oid);
    let mut values = attributes.iter().filter(|a| asks(a.oid)).flat_map(|a| a.values.iter());
    let Some(value) = values.next() else { return Ok((Vec::new(), Vec::new())) };
    let ExtensionReq(extensions) = value.decode_as().map_err(|_| CsrError::Malformed)?;
    let mut seen = BTreeSet::new();
    if values.next().is_some() || !extensions.iter().all(|extension| seen.insert(extension.extn_id)) {
        return Err(CsrError::Malformed);
    }
    let (alt_names, others): (Vec<_>, Vec<_>) =
        extensions.into_iter().partition(|e| e.extn_id == SubjectAltName::OID);
    let names = match alt_names.first() {
        Some(extension) => value_of::<SubjectAltName>(extension)?.0.iter().map(RequestedName::from).collect(),
        None => Vec::new(),
    };
    Ok((names, others))
}

fn value_of<'a, T: Decode<'a, Error = der::Error>>(extension: &'a Extension) -> Result<T, CsrError> {
    T::from_der(extension.extn_value.as_bytes()).map_err(|_| CsrError::Malformed)
}

impl Csr {
    /// Whether everything it demands is within what will be issued: this URI, these DNS names, the leaf profile.
    ///
    /// # Errors
    /// The first name or extension that will not be issued.
    pub fn demand_within(&self, uri: &str, dns_names: &[DnsName]) -> Result<(), CsrError> {
        let granted = |name: &RequestedName| match name {
            RequestedName::Uri(asked) => asked == uri,
            // RFC 4343 §3: names are compared without regard to case.
            RequestedName::Dns(asked) => dns_names.iter().any(|n| n.as_str().eq_ignore_ascii_case(asked)),
            RequestedName::Ip(_) | RequestedName::Other(_) => false,
        };
        if let Some(name) = self.names().iter().find(|name| !granted(name)) {
            return Err(CsrError::NameNotGranted(name.clone()));
        }
        self.demand_extensions()
    }

    /// Whether every extension it demands is within the leaf profile; its names are not looked at.
    ///
    /// # Errors
    /// The first extension that will not be issued.
    pub fn demand_extensions(&self) -> Result<(), CsrError> {
        self.extensions().iter().try_for_each(extension_within)
    }
}

/// Whether the leaf profile has at least what this extension asks for.
fn extension_within(extension: &Extension) -> Result<(), CsrError> {
    let within = match extension.extn_id {
        KeyUsage::OID => (value_of::<KeyUsage>(extension)?.0 - KeyUsages::DigitalSignature).is_empty(),
        ExtendedKeyUsage::OID => value_of::<ExtendedKeyUsage>(extension)?.0.iter().all(is_tls_purpose),
        BasicConstraints::OID => !value_of::<BasicConstraints>(extension)?.ca,
        // Ours is computed from the key, whatever is asked for.
        SubjectKeyIdentifier::OID => true,
        other => return Err(CsrError::ExtensionNotAllowed(other)),
    };
    if within { Ok(()) } else { Err(CsrError::ExtensionTooWide(name_of(extension.extn_id))) }
}

fn is_tls_purpose(purpose: &ObjectIdentifier) -> bool {
    [ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH].contains(purpose)
}

fn name_of(oid: ObjectIdentifier) -> &'static str {
    match oid {
        KeyUsage::OID => "keyUsage",
        ExtendedKeyUsage::OID => "extendedKeyUsage",
        _ => "basicConstraints",
    }
}
