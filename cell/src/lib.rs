//! Who may be what: the names of a cell, and the grants that bound who may ask for them.
//!
//! Everything here is a value that cannot be malformed: it is parsed once, at the edge, and trusted afterwards.
//! - `name`, `spiffe`, `identity`: trust domains, SPIFFE IDs, agents, controllers, services, roles, tags, DNS names
//! - `set`: bounded, sorted sets
//! - `pattern`, `grant`: what a controller may ask for, and the proof that a request is within it
//! - `act`: the acts of administration as readable fields
//!
//! Does not: read a clock, draw chance, touch a file or a key, know how any of this is encoded in a certificate.

pub mod act;
mod agent;
mod error;
mod grant;
mod identity;
mod name;
mod pattern;
mod set;
mod spiffe;

pub use act::{
    Act, ActError, LogOrigin, LostCertificates, NotAReason, RepeatedRevocation, RevocationReason,
    RevocationTarget, Serial, SpkiDer, Tree,
};
pub use agent::{AgentSpec, DnsNames, MAX_DNS_NAMES, MAX_ROLES, MAX_TAGS, Roles, Tags};
pub use error::{NameError, Problem};
pub use grant::{
    BUDGET_PER_HOUR, Budget, Covered, Grant, GrantError, Grants, MAX_GRANT_ITEMS, MAX_GRANTS, MaxTtl,
    NotCovered, TTL_SECS, first_covering,
};
pub use identity::{AgentId, ControllerName, Identity, RESERVED, ServiceName};
pub use name::{DnsName, GrantName, Role, Tag};
pub use pattern::{AgentPattern, DnsPattern};
pub use set::{BoundedSet, TooMany};
pub use spiffe::{MAX_URI_BYTES, SpiffeId, SpiffePath, TrustDomain};
