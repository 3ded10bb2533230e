//! What a certificate says of itself, as far as its kind may say it.

use std::net::IpAddr;

use cell::{DnsName, Identity, SpiffeId};
use x509_parser::{
    certificate::TbsCertificate,
    extensions::{GeneralName, X509Extension},
};

use super::Given;
use crate::{
    Attributes, Profile,
    compose::Validity,
    key::{KeyError, PublicKey},
};

/// Stands in for a key that is not taken: the generator of P-256 (SP 800-186 §3.2.1.3). The rules that look at it are left out.
const STAND_IN: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\
    \x03\x42\x00\x04\
    \x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96\
    \x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";

/// What a certificate says of itself, as far as its profile may say it.
pub(super) struct Claims {
    pub(super) profile: Profile,
    pub(super) uri: String,
    pub(super) dns_names: Vec<DnsName>,
    pub(super) ip_addresses: Vec<IpAddr>,
    pub(super) attributes: Attributes,
    pub(super) public_key: PublicKey,
    pub(super) key_error: Option<KeyError>,
    pub(super) validity: Validity,
}

impl Claims {
    /// None only for a certificate of no time, which cannot be.
    pub(super) fn of(tbs: &TbsCertificate<'_>, given: &Given<'_>) -> Option<Self> {
        let names = alternative_names(tbs);
        let uri = names.iter().find_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        });
        let uri = uri.unwrap_or_default();
        let profile = given.profile.unwrap_or_else(|| guess(tbs, &uri));
        let (key, key_error) = match PublicKey::try_from(tbs.subject_pki.raw) {
            Ok(key) => (key, None),
            Err(error) => (PublicKey::try_from(STAND_IN).ok()?, Some(error)),
        };
        let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
        let (start, end) = (tbs.validity.not_before.timestamp(), tbs.validity.not_after.timestamp());
        // An end before the start is a rule's matter.
        let validity = Validity::new(seconds(start), seconds(end)).or_else(|_| Validity::new(0, 0)).ok()?;
        Some(Self {
            dns_names: match profile {
                Profile::Agent | Profile::Service => dns_names(&names),
                Profile::Controller | Profile::Issuer | Profile::Root => Vec::new(),
            },
            ip_addresses: if profile == Profile::Service { ip_addresses(&names) } else { Vec::new() },
            attributes: if profile == Profile::Agent {
                attributes(tbs, given)
            } else {
                Attributes::default()
            },
            profile,
            uri,
            public_key: key,
            key_error,
            validity,
        })
    }
}

/// The kind of certificate that this looks most like.
fn guess(tbs: &TbsCertificate<'_>, uri: &str) -> Profile {
    let is_ca = tbs.basic_constraints().ok().flatten().is_some_and(|constraints| constraints.value.ca);
    if is_ca {
        let own = tbs.issuer.as_raw() == tbs.subject.as_raw();
        return if own { Profile::Root } else { Profile::Issuer };
    }
    let identity = uri.parse().ok().and_then(|id: SpiffeId| Identity::try_from(id.path()).ok());
    match identity {
        Some(Identity::Controller(_)) => Profile::Controller,
        Some(Identity::Service(_)) => Profile::Service,
        Some(Identity::Other) | None if !ip_addresses(&alternative_names(tbs)).is_empty() => Profile::Service,
        Some(Identity::Agent(_) | Identity::Other) | None => Profile::Agent,
    }
}

/// The subject alternative names; none where they cannot be read, which a rule finds.
fn alternative_names<'a>(tbs: &'a TbsCertificate<'_>) -> Vec<GeneralName<'a>> {
    let names = tbs.subject_alternative_name().ok().flatten();
    names.map(|names| names.value.general_names.clone()).unwrap_or_default()
}

fn dns_names(names: &[GeneralName<'_>]) -> Vec<DnsName> {
    let valid = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => name.parse().ok(),
        _ => None,
    };
    names.iter().filter_map(valid).collect()
}

fn ip_addresses(names: &[GeneralName<'_>]) -> Vec<IpAddr> {
    let valid = |name: &GeneralName<'_>| match name {
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok()
        }
        _ => None,
    };
    names.iter().filter_map(valid).collect()
}

/// The roles and tags; none where they cannot be read, which a rule finds.
fn attributes(tbs: &TbsCertificate<'_>, given: &Given<'_>) -> Attributes {
    let is_ours =
        |extension: &&X509Extension<'_>| extension.oid.as_bytes() == given.attributes_oid.as_bytes();
    let found = tbs.extensions().iter().find(is_ours);
    found.and_then(|extension| Attributes::from_der(extension.value).ok()).unwrap_or_default()
}
