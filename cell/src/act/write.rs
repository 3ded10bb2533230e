//! An act as fields: printable ASCII, one order, an empty list left out.

use std::fmt::Display;

use data_encoding::BASE64;

use super::{
    AGENT, Act, CERTIFICATE, COMMA, CONTROLLER, ENTRIES, EPOCH, GRANT, GRANT_AGENTS, GRANT_BUDGET, GRANT_DNS,
    GRANT_MAX_TTL, GRANT_ROLES, GRANT_TAGS, KEPT, LOST, LOST_CERTIFICATES, PUBLIC_KEY, REASON, REVOKED,
    RevocationTarget, SERIAL, SINCE, SpkiDer,
};
use crate::{BoundedSet, Grant};

/// Field names and values, in order.
type Fields = Vec<(String, String)>;

impl Act {
    /// The act's fields in their one order; values are printable ASCII without line breaks.
    pub fn fields(&self) -> Vec<(String, String)> {
        let mut out = Fields::new();
        match self {
            Self::ControllerAdd { name, public_key, grants } => {
                put(&mut out, CONTROLLER, name);
                put_key(&mut out, public_key);
                grants.as_slice().iter().for_each(|grant| put_grant(&mut out, grant));
            }
            Self::ControllerRemove { name } => put(&mut out, CONTROLLER, name),
            Self::ControllerReissue { name, public_key } => {
                put(&mut out, CONTROLLER, name);
                put_key(&mut out, public_key);
            }
            Self::GrantSet { controller, grant } => {
                put(&mut out, CONTROLLER, controller);
                put_grant(&mut out, grant);
            }
            Self::GrantRemove { controller, grant } => {
                put(&mut out, CONTROLLER, controller);
                put(&mut out, GRANT, grant);
            }
            Self::Freeze | Self::Thaw | Self::RenewalsStop | Self::RenewalsStopConfirm => {}
            Self::ClockConfirm { entries } => put(&mut out, ENTRIES, entries),
            Self::EpochOpen { epoch, kept, lost, certificates, revoked } => {
                put(&mut out, EPOCH, epoch);
                put(&mut out, KEPT, kept);
                put(&mut out, LOST, lost);
                put(&mut out, LOST_CERTIFICATES, certificates);
                for revocation in revoked {
                    put(&mut out, REVOKED, revocation);
                }
            }
            Self::CertificateRevoke { target, reason } => {
                put_target(&mut out, target);
                put(&mut out, REASON, reason);
            }
        }
        out
    }
}

fn put(out: &mut Fields, field: &str, value: impl Display) {
    out.push((field.to_owned(), value.to_string()));
}

fn put_key(out: &mut Fields, key: &SpkiDer) {
    put(out, PUBLIC_KEY, BASE64.encode(key.as_bytes()));
}

fn put_grant(out: &mut Fields, grant: &Grant) {
    put(out, GRANT, &grant.name);
    put_list(out, GRANT_AGENTS, &grant.agents);
    put_list(out, GRANT_ROLES, &grant.roles);
    put_list(out, GRANT_TAGS, &grant.tags);
    put_list(out, GRANT_DNS, &grant.dns);
    put(out, GRANT_MAX_TTL, format_args!("{}s", grant.max_ttl.secs()));
    put(out, GRANT_BUDGET, grant.budget.per_hour());
}

fn put_target(out: &mut Fields, target: &RevocationTarget) {
    match target {
        RevocationTarget::Entry(index) => put(out, CERTIFICATE, index),
        RevocationTarget::Serial(serial) => put(out, SERIAL, serial),
        RevocationTarget::Agent(id) => put(out, AGENT, id),
        RevocationTarget::IssuedSince { controller, since } => {
            put(out, CONTROLLER, controller);
            put(out, SINCE, since);
        }
    }
}

fn put_list<T: AsRef<str>, const MAX: usize>(out: &mut Fields, field: &str, values: &BoundedSet<T, MAX>) {
    if !values.is_empty() {
        put(out, field, values.iter().map(T::as_ref).collect::<Vec<_>>().join(COMMA));
    }
}
