//! Step 5, compose: the TBSCertificate, encoded once, from policy and never from the request (invariant I3).
//!
//! A crash here leaves nothing.

use std::net::IpAddr;

use cell::{DnsNames, SpiffeId};
use certs::compose::{Leaf, LeafProfile, Tbs, Validity};
use certs::{Attributes, Issuer, Profile, PublicKey};
use const_oid::ObjectIdentifier;

use super::Admitted;
use crate::refusal::Refusal;

/// What policy says the certificate is to be.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) profile: Profile,
    pub(crate) uri: SpiffeId,
    pub(crate) dns_names: DnsNames,
    pub(crate) ip_addresses: Vec<IpAddr>,
    pub(crate) attributes: Attributes,
}

impl Order {
    /// An order for an identity without host names, roles or tags.
    pub(crate) fn plain(profile: Profile, uri: SpiffeId) -> Self {
        Self {
            profile,
            uri,
            dns_names: DnsNames::default(),
            ip_addresses: Vec::new(),
            attributes: Attributes::default(),
        }
    }

    fn leaf_profile(&self) -> LeafProfile {
        match self.profile {
            Profile::Controller => LeafProfile::Controller,
            Profile::Service => LeafProfile::Service {
                dns_names: self.dns_names.clone(),
                ip_addresses: self.ip_addresses.clone(),
            },
            _ => {
                LeafProfile::Agent { dns_names: self.dns_names.clone(), attributes: self.attributes.clone() }
            }
        }
    }
}

/// The exact bytes that may be signed, once they are linted and recorded.
pub(crate) struct Composed {
    pub(super) tbs: Tbs,
    pub(super) public_key: PublicKey,
    pub(super) validity: Validity,
}

/// Encodes what was ordered.
///
/// # Errors
/// Our own fault only.
pub(crate) fn compose(
    issuer: &Issuer,
    admitted: Admitted,
    order: &Order,
    attributes: ObjectIdentifier,
) -> Result<Composed, Refusal> {
    let Admitted { public_key, serial, validity } = admitted;
    let leaf =
        Leaf { profile: order.leaf_profile(), uri: &order.uri, public_key: &public_key, serial, validity };
    let tbs = certs::compose::leaf(issuer, &leaf, attributes).map_err(Refusal::internal)?;
    Ok(Composed { tbs, public_key, validity })
}
