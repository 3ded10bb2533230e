//! `rootcellar lint`: the rules that hold for what is issued, applied to certificates in a file.

use std::path::{Path, PathBuf};

use certs::lint::{Given, examine};
use certs::{Issuer, Profile};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::error::Failure;
use crate::files;
use crate::output::{Page, Show};
use crate::session::Session;

/// Apply the rules that hold for what is issued to the certificates in a file
///
/// What a certificate is to be is taken from what it says, since nobody ordered it here. Its issuer is the next one in the file or the
/// one of --issuer; without, the rules that look at it are left out. Nothing is said about trust.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootcellar lint build-logger-1.chain.pem
  rootcellar lint leaf.der --profile agent --issuer issuer.pem --output json")]
pub(crate) struct Lint {
    /// Certificates in PEM, the leaf first, or one in DER
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// What the first one is to be [default: what it looks like]
    #[arg(long, value_name = "KIND", value_enum)]
    profile: Option<Kind>,
    /// Who signed the last one
    #[arg(long, value_name = "FILE")]
    issuer: Option<PathBuf>,
}

/// The kinds of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// An agent's: both ends of mTLS
    Agent,
    /// A controller's: a client
    Controller,
    /// A service's: with the addresses it is reached by
    Service,
    /// A mesh issuer's: signs leaves
    Issuer,
    /// A root's: signs issuers and itself
    Root,
}

impl From<Kind> for Profile {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Agent => Self::Agent,
            Kind::Controller => Self::Controller,
            Kind::Service => Self::Service,
            Kind::Issuer => Self::Issuer,
            Kind::Root => Self::Root,
        }
    }
}

impl From<Profile> for Kind {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Agent => Self::Agent,
            Profile::Controller => Self::Controller,
            Profile::Service => Self::Service,
            Profile::Issuer => Self::Issuer,
            Profile::Root => Self::Root,
        }
    }
}

pub(super) fn run(session: &Session, args: &Lint) -> Result<(), Failure> {
    let chain = files::read_certificates(&args.file)?;
    let last = args.issuer.as_deref().map(read_issuer).transpose()?;
    let attributes_oid = session.config()?.attributes_oid();
    let now = u64::try_from(session.now_ms().div_euclid(1000)).unwrap_or(0);
    let certificates = chain.iter().enumerate().map(|(i, der)| {
        let next = chain.get(i + 1).and_then(|der| Issuer::parse(der).ok());
        let issuer = if i + 1 == chain.len() { last.as_ref() } else { next.as_ref() };
        let profile = args.profile.filter(|_| i == 0).map(Profile::from);
        let examined = examine(der, &Given { profile, issuer, attributes_oid, now });
        Examined {
            kind: examined.profile.map(Kind::from),
            identity: examined.uri,
            issuer_known: issuer.is_some(),
            findings: examined.findings.into_iter().map(Found::from).collect(),
        }
    });
    let report = Report { certificates: certificates.collect() };
    session.output().say(&report)?;
    match report.certificates.iter().map(|certificate| certificate.findings.len()).sum() {
        0_usize => Ok(()),
        1 => Err(Failure::new("LINT", "there is one finding")),
        findings => Err(Failure::new("LINT", format!("there are {findings} findings"))),
    }
}

fn read_issuer(path: &Path) -> Result<Issuer, Failure> {
    let der = files::read_certificates(path)?.swap_remove(0);
    Issuer::parse(&der).map_err(|error| Failure::malformed(path, error))
}

/// What was found in each certificate, in the file's order.
#[derive(Debug, Serialize)]
struct Report {
    certificates: Vec<Examined>,
}

#[derive(Debug, Serialize)]
struct Examined {
    /// The kind it was held to; none when it could not be read.
    kind: Option<Kind>,
    identity: String,
    issuer_known: bool,
    findings: Vec<Found>,
}

#[derive(Debug, Serialize)]
struct Found {
    rule: &'static str,
    section: &'static str,
    detail: String,
}

impl From<certs::lint::Finding> for Found {
    fn from(finding: certs::lint::Finding) -> Self {
        Self { rule: finding.rule, section: finding.section, detail: finding.detail }
    }
}

impl Show for Report {
    fn show(&self, page: &mut Page) {
        for (number, certificate) in (1..).zip(&self.certificates) {
            let kind = match certificate.kind {
                Some(kind) => format!("{kind:?}").to_lowercase(),
                None => "unreadable".to_owned(),
            };
            let signed = if certificate.issuer_known || certificate.kind == Some(Kind::Root) {
                ""
            } else {
                " (its issuer is not known: give --issuer)"
            };
            page.line(&format!("{number}: {kind} {}{signed}", certificate.identity));
            if certificate.findings.is_empty() {
                page.line("nothing was found");
                continue;
            }
            page.head(["rule", "section", "found"]);
            for found in &certificate.findings {
                page.row([found.rule.to_owned(), found.section.to_owned(), found.detail.clone()]);
            }
        }
    }
}
