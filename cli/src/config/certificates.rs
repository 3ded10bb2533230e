//! `[certificates]`: what stands in them.

use std::str::FromStr;
use std::sync::Arc;

use certs::{Blocklist, ObjectIdentifier};

use super::file::File;

/// First number that is too large for an arc: Go reads arcs as 31-bit integers.
const ARC_END: u32 = 1 << 31;

pub(super) fn attributes_oid(file: &mut File<'_>) -> Option<ObjectIdentifier> {
    let default = certs::ATTRIBUTES_OID.to_string();
    file.value("certificates.attributes-oid", &default).map(|Usable(oid)| oid)
}

/// The keys that are known to be weak; none where no list is named.
pub(super) fn weak_keys(file: &mut File<'_>) -> Arc<Blocklist> {
    file.optional("certificates.weak-keys").map(|Listed(keys)| Arc::new(keys)).unwrap_or_default()
}

/// A list that is there and can be read.
struct Listed(Blocklist);

impl FromStr for Listed {
    type Err = String;

    fn from_str(path: &str) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        text.parse().map(Self).map_err(|error| format!("{path}: {error}"))
    }
}

/// An OID that every client can read.
struct Usable(ObjectIdentifier);

#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("is no OID, such as 1.3.6.1.4.1.32473.17.1")]
    Syntax,
    #[error("has an arc of 2^31 or more, which Go cannot read")]
    Arc,
}

impl FromStr for Usable {
    type Err = Unusable;

    fn from_str(text: &str) -> Result<Self, Unusable> {
        let oid: ObjectIdentifier = text.parse().map_err(|_| Unusable::Syntax)?;
        if oid.arcs().all(|arc| arc < ARC_END) { Ok(Self(oid)) } else { Err(Unusable::Arc) }
    }
}
