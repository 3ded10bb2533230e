//! `rootcellar cert`: certificates that were issued, and what any of them says.

use std::path::{Path, PathBuf};

use cell::AgentId;
use certs::CertificateSummary;
use clap::{Args, Subcommand};
use proto::v1::{GetCertificateRequest, ListCertificatesRequest};
use serde::Serialize;

use super::view::{self, Moment};
use crate::client::pages::{PAGE, Pages};
use crate::client::{As, open};
use crate::error::Failure;
use crate::files;
use crate::output::{Page, Show, duration};
use crate::session::Session;

mod revoke;

/// List certificates, show what one says, revoke them
#[derive(Debug, Subcommand)]
pub(crate) enum Cert {
    List(List),
    Show(ShowOne),
    Revoke(Box<revoke::Revoke>),
}

/// List certificates, the newest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar cert list --agent build/logger-1 --limit 5")]
pub(crate) struct List {
    /// Only those of this agent
    #[arg(long, value_name = "AGENT")]
    agent: Option<AgentId>,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
    #[command(flatten)]
    who: As,
}

/// Show what a certificate says: one of the service's, or one in a file (offline; the first of a chain)
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  rootcellar cert show certificates/17\n  rootcellar cert show build-logger-1.chain.pem"
)]
pub(crate) struct ShowOne {
    /// certificates/INDEX, or a file in PEM or DER
    #[arg(value_name = "NAME_OR_FILE")]
    which: String,
    #[command(flatten)]
    who: As,
}

pub(super) fn run(session: &Session, args: &Cert) -> Result<(), Failure> {
    match args {
        Cert::List(args) => session.block_on(list(session, args)),
        Cert::Show(args) => show(session, args),
        Cert::Revoke(args) => revoke::run(session, args),
    }
}

async fn list(session: &Session, args: &List) -> Result<(), Failure> {
    let client = open(session, &args.who).await?;
    let filter = args.agent.as_ref().map(|agent| format!("agent = \"agents/{agent}\"")).unwrap_or_default();
    let (mut all, mut pages) = (Vec::new(), Pages::default());
    loop {
        let left = args.limit - all.len();
        let page_size = i32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let request =
            ListCertificatesRequest { page_size, page_token: pages.token(), filter: filter.clone() };
        let page = client.issuance().list_certificates(request).await?.into_inner();
        let described = |certificate| view::Certificate::from(certificate).at(session.now_secs());
        all.extend(page.certificates.into_iter().take(left).map(described));
        if !pages.turn(page.next_page_token)? || all.len() >= args.limit {
            return session.output().say(&all);
        }
    }
}

fn show(session: &Session, args: &ShowOne) -> Result<(), Failure> {
    let is_name = args.which.starts_with("certificates/") && !Path::new(&args.which).exists();
    let mut state = None;
    let der = if is_name {
        let (der, said) = session.block_on(fetch(session, args))?;
        state = Some(said);
        der
    } else {
        let read = files::read_certificates(&PathBuf::from(&args.which));
        read.map_err(|error| {
            Failure::from(error).mended_by("rootcellar cert show certificates/INDEX, as `cert list` names it")
        })?
        .swap_remove(0)
    };
    let summary = CertificateSummary::parse(&der, session.config()?.attributes_oid())
        .map_err(|error| Failure::malformed(Path::new(&args.which), error))?;
    session.output().say(&Described { state, ..Described::from(summary) })
}

/// The certificate, and what became of it.
async fn fetch(session: &Session, args: &ShowOne) -> Result<(Vec<u8>, State), Failure> {
    let client = open(session, &args.who).await?;
    let request = GetCertificateRequest { name: args.which.clone() };
    let answer = client.issuance().get_certificate(request).await?.into_inner();
    let certificate = answer.certificate.ok_or_else(|| Failure::incomplete("certificate"))?;
    let revoked = certificate.revocation.map(|revocation| Revoked {
        at: Moment(revocation.time.map_or(0, |time| time.seconds)),
        reason: convert_reason(revocation.reason),
        entry: revocation.entry,
    });
    let der = certificate.chain.into_iter().next().ok_or_else(|| {
        Failure::new("NOT_SIGNED", format!("{} is recorded and was not signed", args.which))
            .mended_by("rootcellar ledger entry INDEX")
    })?;
    Ok((der, State { revoked }))
}

/// As RFC 5280 §5.3.1 names it.
fn convert_reason(code: i32) -> String {
    let known = cell::RevocationReason::try_from(code);
    known.map_or_else(|_| code.to_string(), |reason| reason.to_string())
}

/// What the service says became of a certificate.
#[derive(Debug, Serialize)]
struct State {
    revoked: Option<Revoked>,
}

#[derive(Debug, Serialize)]
struct Revoked {
    at: Moment,
    reason: String,
    entry: u64,
}

/// What a certificate says.
#[derive(Debug, Serialize)]
struct Described {
    /// None of a file, which does not know.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    uris: Vec<String>,
    dns_names: Vec<String>,
    ip_addresses: Vec<String>,
    roles: Vec<String>,
    tags: Vec<String>,
    serial: String,
    subject: String,
    issuer: String,
    not_before: Moment,
    not_after: Moment,
    is_ca: bool,
    key: String,
    algorithm: String,
    key_identifier: String,
    authority_key_identifier: String,
    spki_sha256: String,
    sha256: String,
}

impl From<CertificateSummary> for Described {
    fn from(summary: CertificateSummary) -> Self {
        Self {
            state: None,
            uris: summary.uris,
            dns_names: summary.dns_names,
            ip_addresses: summary.ip_addresses.iter().map(ToString::to_string).collect(),
            roles: summary.attributes.roles.iter().map(ToString::to_string).collect(),
            tags: summary.attributes.tags.iter().map(ToString::to_string).collect(),
            serial: summary.serial,
            subject: summary.subject,
            issuer: summary.issuer,
            not_before: Moment(summary.not_before),
            not_after: Moment(summary.not_after),
            is_ca: summary.is_ca,
            key: summary.key,
            algorithm: summary.algorithm,
            key_identifier: summary.key_identifier,
            authority_key_identifier: summary.authority_key_identifier,
            spki_sha256: summary.spki_sha256,
            sha256: summary.sha256,
        }
    }
}

impl Show for Described {
    fn show(&self, page: &mut Page) {
        let lifetime = self.not_after.0.abs_diff(self.not_before.0).saturating_add(1);
        page.field("identity", self.uris.join(", "));
        if let Some(Revoked { at, reason, entry }) =
            self.state.as_ref().and_then(|state| state.revoked.as_ref())
        {
            page.moment("revoked", at.0);
            page.field("for", format!("{reason}, by entry {entry}"));
        }
        page.field_if("dns names", self.dns_names.join(", "));
        page.field_if("addresses", self.ip_addresses.join(", "));
        page.field_if("roles", self.roles.join(", "));
        page.field_if("tags", self.tags.join(", "));
        page.field("serial", &self.serial);
        page.moment("valid from", self.not_before.0);
        page.moment("expires", self.not_after.0);
        page.field("lifetime", duration(lifetime));
        page.field_if("subject", &self.subject);
        page.field("issuer", &self.issuer);
        page.field("is a CA", if self.is_ca { "yes" } else { "no" });
        page.field("key", &self.key);
        page.field("signed with", &self.algorithm);
        page.field("public key", format!("sha256:{}", self.spki_sha256));
        page.field("certificate", format!("sha256:{}", self.sha256));
    }
}
