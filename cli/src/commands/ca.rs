//! `rootcellar ca`: whom the cell's peers believe.

use std::path::PathBuf;

use certs::crl::CrlSummary;
use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use proto::v1::{GetCrlRequest, Receipt};
use serde::Serialize;

use super::view::Moment;
use crate::client::caller;
use crate::client::officer::Desk;
use crate::client::{As, open};
use crate::error::Failure;
use crate::files::{self, PUBLIC};
use crate::output::{Page, Show};
use crate::session::Session;

/// The cell's trust anchors, and what it revoked
#[derive(Debug, Subcommand)]
pub(crate) enum Ca {
    Bundle(Bundle),
    Crl(Crl),
}

/// Print the certificate revocation list of the issuer; whoever uses it verifies it with the issuer's certificate
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rootcellar ca crl\n  rootcellar ca crl --out issuer.crl.pem")]
pub(crate) struct Crl {
    /// Write it to a file, in PEM
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    who: As,
}

/// Print the trust bundle, once it is checked against the pinned charter (the officer's, or the controller's)
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar ca bundle --out anchors.pem")]
pub(crate) struct Bundle {
    /// Write it to a file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The note that officers signed, instead of the anchors in PEM
    #[arg(long)]
    note: bool,
    #[command(flatten)]
    who: As,
}

pub(super) fn run(session: &Session, args: &Ca) -> Result<(), Failure> {
    let args = match args {
        Ca::Bundle(args) => args,
        Ca::Crl(args) => return session.block_on(crl(session, args)),
    };
    let text = session.block_on(fetch(session, args))?;
    match &args.out {
        Some(path) => Ok(files::replace(path, text.as_bytes(), PUBLIC)?),
        None => session.output().text(if args.note { "note" } else { "pem" }, &text),
    }
}

async fn fetch(session: &Session, args: &Bundle) -> Result<String, Failure> {
    let (trust, note) = if args.who.is_given() {
        let caller = caller::connect(session, &args.who).await?;
        let seen = &caller.credentials.trust;
        let (trust, note) = client::fetch_trust(&caller.client, seen.charters()).await?;
        client::not_older(trust.bundle(), seen.bundle())?;
        (trust, note)
    } else {
        let desk = Desk::open(session).await?;
        (desk.trust, desk.bundle_note)
    };
    Ok(if args.note { note } else { trust.bundle().pem() })
}

async fn crl(session: &Session, args: &Crl) -> Result<(), Failure> {
    let client = open(session, &args.who).await?;
    let answer = client.issuance().get_crl(GetCrlRequest::default()).await?.into_inner();
    if let Some(path) = &args.out {
        // RFC 7468 §6.
        let pem = pem::encode(&pem::Pem::new("X509 CRL", answer.crl));
        return Ok(files::replace(path, pem.as_bytes(), PUBLIC)?);
    }
    let summary = CrlSummary::parse(&answer.crl).map_err(|error| Failure::unverified("the CRL", error))?;
    session.output().say(&Listed::new(summary, answer.issuer, answer.receipt))
}

/// What a CRL says.
#[derive(Serialize)]
struct Listed {
    issuer: String,
    /// The issuer's key identifier: the name of its list over HTTP.
    key_identifier: String,
    number: u64,
    this_update: Moment,
    next_update: Moment,
    /// Index of its entry.
    entry: Option<u64>,
    revoked: Vec<Revoked>,
}

#[derive(Serialize)]
struct Revoked {
    serial: String,
    time: Moment,
    reason: String,
}

impl Listed {
    fn new(summary: CrlSummary, key_identifier: String, receipt: Option<Receipt>) -> Self {
        let revoked = summary.revoked.into_iter().map(|one| Revoked {
            serial: HEXLOWER.encode(&one.serial),
            time: seconds(one.revoked_at),
            reason: one.reason.to_string(),
        });
        Self {
            issuer: summary.issuer,
            key_identifier,
            number: summary.number,
            this_update: seconds(summary.this_update),
            next_update: seconds(summary.next_update),
            entry: receipt.map(|receipt| receipt.index),
            revoked: revoked.collect(),
        }
    }
}

fn seconds(since_1970: u64) -> Moment {
    Moment(i64::try_from(since_1970).unwrap_or(i64::MAX))
}

impl Show for Listed {
    fn show(&self, page: &mut Page) {
        page.field("issuer", &self.issuer);
        page.field("key", &self.key_identifier);
        page.field("number", self.number);
        page.moment("made", self.this_update.0);
        page.moment("next by", self.next_update.0);
        if let Some(entry) = self.entry {
            page.field("recorded", format!("entry {entry}"));
        }
        page.field("revoked", self.revoked.len());
        if !self.revoked.is_empty() {
            page.head(["serial", "revoked", "reason"]);
        }
        for one in &self.revoked {
            page.row([one.serial.clone(), page.relative(one.time.0), one.reason.clone()]);
        }
    }
}
