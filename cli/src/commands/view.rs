//! What the service's resources look like to people and programs.

use proto::v1;
use serde::{Serialize, Serializer};

use crate::output::{Page, Show, rfc3339};
use crate::spec::Lifetime;

/// A moment: seconds since 1970, RFC 3339 in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment(pub(super) i64);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(self.0))
    }
}

pub(super) fn moment(timestamp: Option<prost_types::Timestamp>) -> Option<Moment> {
    timestamp.map(|timestamp| Moment(timestamp.seconds))
}

/// A certificate as the service describes it.
#[derive(Debug, Serialize)]
pub(super) struct Certificate {
    name: String,
    identity: String,
    serial: String,
    state: &'static str,
    not_before: Option<Moment>,
    not_after: Option<Moment>,
    renew_after: Option<Moment>,
    log: String,
}

impl Certificate {
    /// As of this second since 1970: what was issued may have expired.
    pub(super) fn at(self, now_secs: i64) -> Self {
        let is_over = self.not_after.is_some_and(|Moment(end)| end < now_secs);
        let state = if is_over && self.state == "issued" { "expired" } else { self.state };
        Self { state, ..self }
    }
}

impl From<v1::Certificate> for Certificate {
    fn from(certificate: v1::Certificate) -> Self {
        let state = match certificate.state() {
            v1::CertificateState::Pending => "pending",
            v1::CertificateState::Issued => "issued",
            v1::CertificateState::Abandoned => "abandoned",
            v1::CertificateState::Revoked => "revoked",
            v1::CertificateState::Unspecified => "unknown",
        };
        Self {
            state,
            name: certificate.name,
            identity: certificate.spiffe_id,
            serial: certificate.serial,
            not_before: moment(certificate.not_before),
            not_after: moment(certificate.not_after),
            renew_after: moment(certificate.renew_after),
            log: certificate.receipt.unwrap_or_default().origin,
        }
    }
}

impl Show for Vec<Certificate> {
    fn show(&self, page: &mut Page) {
        page.head(["name", "identity", "state", "expires", "serial"]);
        for certificate in self {
            let expires = certificate.not_after.map(|Moment(secs)| page.relative(secs)).unwrap_or_default();
            let Certificate { name, identity, state, serial, .. } = certificate;
            page.row([name.clone(), identity.clone(), (*state).to_owned(), expires, serial.clone()]);
        }
    }
}

/// An agent.
#[derive(Debug, Serialize)]
pub(super) struct Agent {
    name: String,
    identity: String,
    roles: Vec<String>,
    tags: Vec<String>,
    dns_names: Vec<String>,
    owner: String,
    disabled: bool,
    etag: String,
    created: Option<Moment>,
    updated: Option<Moment>,
    latest_certificate: String,
}

impl From<v1::Agent> for Agent {
    fn from(agent: v1::Agent) -> Self {
        Self {
            name: agent.name,
            identity: agent.spiffe_id,
            roles: agent.roles,
            tags: agent.tags,
            dns_names: agent.dns_names,
            owner: agent.owner,
            disabled: agent.disabled,
            etag: agent.etag,
            created: moment(agent.create_time),
            updated: moment(agent.update_time),
            latest_certificate: agent.latest_certificate,
        }
    }
}

impl Show for Agent {
    fn show(&self, page: &mut Page) {
        page.field("agent", &self.name);
        page.field("identity", &self.identity);
        page.field_if("roles", self.roles.join(", "));
        page.field_if("tags", self.tags.join(", "));
        page.field_if("dns names", self.dns_names.join(", "));
        page.field("owner", &self.owner);
        page.field("state", if self.disabled { "disabled" } else { "enabled" });
        page.field_if("certificate", &self.latest_certificate);
        for (label, time) in [("created", self.created), ("updated", self.updated)] {
            if let Some(Moment(secs)) = time {
                page.moment(label, secs);
            }
        }
    }
}

impl Show for Vec<Agent> {
    fn show(&self, page: &mut Page) {
        page.head(["agent", "roles", "tags", "owner", "state", "certificate"]);
        for agent in self {
            let state = if agent.disabled { "disabled" } else { "enabled" };
            page.row([
                agent.name.clone(),
                agent.roles.join(","),
                agent.tags.join(","),
                agent.owner.clone(),
                state.to_owned(),
                agent.latest_certificate.clone(),
            ]);
        }
    }
}

/// A controller with its grants.
#[derive(Debug, Serialize)]
pub(super) struct Controller {
    name: String,
    identity: String,
    removed: bool,
    latest_certificate: String,
    renews_until: Option<Moment>,
    grants: Vec<Grant>,
}

/// A grant.
#[derive(Debug, Serialize)]
pub(super) struct Grant {
    name: String,
    agents: Vec<String>,
    roles: Vec<String>,
    tags: Vec<String>,
    dns: Vec<String>,
    max_ttl_secs: u32,
    budget_per_hour: u32,
}

impl From<v1::Controller> for Controller {
    fn from(controller: v1::Controller) -> Self {
        Self {
            name: controller.name,
            identity: controller.spiffe_id,
            removed: controller.removed,
            latest_certificate: controller.latest_certificate,
            renews_until: moment(controller.line_end),
            grants: controller.grants.into_iter().map(Grant::from).collect(),
        }
    }
}

impl From<v1::Grant> for Grant {
    fn from(grant: v1::Grant) -> Self {
        Self {
            name: grant.name,
            agents: grant.agents,
            roles: grant.roles,
            tags: grant.tags,
            dns: grant.dns_names,
            max_ttl_secs: grant.max_ttl_seconds,
            budget_per_hour: grant.budget_per_hour,
        }
    }
}

impl Show for Controller {
    fn show(&self, page: &mut Page) {
        page.field("controller", &self.name);
        page.field("identity", &self.identity);
        page.field("state", if self.removed { "removed" } else { "active" });
        page.field_if("certificate", &self.latest_certificate);
        if let Some(Moment(secs)) = self.renews_until {
            page.moment("renews until", secs);
        }
        page.line("");
        page.head(["grant", "agents", "roles", "tags", "dns", "ttl", "per hour"]);
        for grant in &self.grants {
            page.row([
                grant.name.clone(),
                grant.agents.join(","),
                grant.roles.join(","),
                grant.tags.join(","),
                grant.dns.join(","),
                Lifetime::from(grant.max_ttl_secs).to_string(),
                grant.budget_per_hour.to_string(),
            ]);
        }
    }
}

impl Show for Vec<Controller> {
    fn show(&self, page: &mut Page) {
        page.head(["controller", "state", "grants", "renews until", "certificate"]);
        for controller in self {
            let until = controller.renews_until.map(|Moment(secs)| page.relative(secs)).unwrap_or_default();
            let grants: Vec<&str> = controller.grants.iter().map(|grant| grant.name.as_str()).collect();
            page.row([
                controller.name.clone(),
                if controller.removed { "removed" } else { "active" }.to_owned(),
                grants.join(","),
                until,
                controller.latest_certificate.clone(),
            ]);
        }
    }
}
