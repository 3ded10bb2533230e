//! `rootcellar cert revoke`: the end of certificates before their time, by a controller or by officers.

use cell::{Act, AgentId, ControllerName, RevocationReason, RevocationTarget, Serial};
use clap::Args;
use jiff::Timestamp;
use ledger::entry::Revocation;
use ledger::entry::entry::Kind;
use proto::v1::revoke_certificate_body::Target;
use proto::v1::{IssuedSince, RevokeCertificateBody};
use serde::Serialize;

use crate::client::caller;
use crate::client::officer::{Desk, Outcome, Signing};
use crate::client::{As, request_id};
use crate::commands::outcome;
use crate::error::Failure;
use crate::output::{Page, Show};
use crate::session::Session;
use crate::spec::Moment;

/// Revoke certificates: as a controller those under its grants, else as an officer any, by a signed act
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootcellar cert revoke certificates/17 --reason key-compromise --controller build
  rootcellar cert revoke --serial 2fa4c0 --reason superseded
  rootcellar cert revoke --agent build/logger-1 --reason cessation-of-operation
  rootcellar cert revoke --issued-by build --since 2h --reason key-compromise")]
pub(crate) struct Revoke {
    #[command(flatten)]
    target: What,
    /// Why (RFC 5280): unspecified, key-compromise, ca-compromise, affiliation-changed, superseded, cessation-of-operation,
    /// privilege-withdrawn or aa-compromise
    #[arg(long, value_name = "REASON")]
    reason: RevocationReason,
    /// From when on, with --issued-by: RFC 3339, or how long ago (2h)
    #[arg(long, value_name = "TIME", requires = "issued_by")]
    since: Option<Moment>,
    #[command(flatten)]
    who: As,
    #[command(flatten)]
    signing: Signing,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct What {
    /// certificates/INDEX, by the index of its entry
    #[arg(value_name = "NAME", value_parser = index)]
    certificate: Option<u64>,
    /// The one with this serial number, hexadecimal
    #[arg(long, value_name = "HEX")]
    serial: Option<Serial>,
    /// All of an agent
    #[arg(long, value_name = "AGENT")]
    agent: Option<AgentId>,
    /// All issued under the grants of this controller since a time
    #[arg(long, value_name = "NAME", requires = "since")]
    issued_by: Option<ControllerName>,
}

fn index(name: &str) -> Result<u64, &'static str> {
    name.strip_prefix("certificates/").and_then(|index| index.parse().ok()).ok_or("write certificates/INDEX")
}

pub(super) fn run(session: &Session, args: &Revoke) -> Result<(), Failure> {
    let target = args.target(session)?;
    session.block_on(async {
        if args.who.is_given() {
            by_controller(session, args, target).await
        } else {
            by_officer(session, args, target).await
        }
    })
}

impl Revoke {
    fn target(&self, session: &Session) -> Result<RevocationTarget, Failure> {
        let What { certificate, serial, agent, issued_by } = &self.target;
        Ok(match (certificate, serial, agent, issued_by, self.since) {
            (Some(index), ..) => RevocationTarget::Entry(*index),
            (_, Some(serial), ..) => RevocationTarget::Serial(serial.clone()),
            (.., Some(agent), _, _) => RevocationTarget::Agent(agent.clone()),
            (.., Some(controller), Some(since)) => RevocationTarget::IssuedSince {
                controller: controller.clone(),
                since: Timestamp::from_second(since.secs(session.now_secs()))
                    .map_err(|error| Failure::new("SINCE", error))?,
            },
            // The arguments' definition asks for one of them.
            _ => return Err(Failure::new("TARGET", "name what to revoke")),
        })
    }
}

async fn by_controller(session: &Session, args: &Revoke, target: RevocationTarget) -> Result<(), Failure> {
    let target = match target {
        RevocationTarget::Entry(index) => Target::Certificate(format!("certificates/{index}")),
        RevocationTarget::Serial(serial) => Target::Serial(serial.to_string()),
        RevocationTarget::Agent(id) => Target::Agent(format!("agents/{id}")),
        RevocationTarget::IssuedSince { controller, since } => Target::IssuedSince(IssuedSince {
            controller: format!("controllers/{controller}"),
            since: Some(prost_types::Timestamp { seconds: since.as_second(), nanos: 0 }),
        }),
    };
    let caller = caller::connect(session, &args.who).await?;
    let request = RevokeCertificateBody {
        target: Some(target),
        reason: args.reason.code().into(),
        request_id: request_id()?,
    };
    let response = caller.client.issuance().revoke_certificate(request.clone()).await?.into_inner();
    let proven = caller.asker().of_request(response.receipt, &request).await?;
    let Some(Kind::Revocation(Revocation { revoked, .. })) = proven.entry.kind else {
        return Err(Failure::unverified("the answer", "its entry is no revocation"));
    };
    session.output().say(&Revoked { revoked, entry: Some(proven.index) })
}

async fn by_officer(session: &Session, args: &Revoke, target: RevocationTarget) -> Result<(), Failure> {
    let act = Act::CertificateRevoke { target, reason: args.reason };
    let desk = Desk::open(session).await?;
    match desk.act(session, &act, &args.signing).await? {
        Outcome::Done(done) => {
            // The revocation is the entry after the act's.
            let entry = done.receipt.map(|receipt| receipt.index + 1);
            session.output().say(&Revoked { revoked: done.revoked, entry })
        }
        outcome => outcome::say(session, act.name(), outcome),
    }
}

#[derive(Serialize)]
struct Revoked {
    revoked: u64,
    entry: Option<u64>,
}

impl Show for Revoked {
    fn show(&self, page: &mut Page) {
        page.field("revoked", self.revoked);
        if self.revoked == 0 {
            page.line("They were revoked or expired already.");
        }
        if let Some(entry) = self.entry {
            page.field("recorded", format!("entry {entry}"));
        }
    }
}
