//! SubmitProposal: an act that officers signed. Their signatures decide, not who hands it in; the keeper checks them itself (invariant I5).

use cell::{Act, ControllerName, SpkiDer};
use certs::Profile;
use ledger::charter::Charter;
use ledger::entry::entry::Kind;
use ledger::entry::{self, Actor, ActorKind, Entry, Profile as Recorded};
use ledger::note::{KeyName, Note};
use ledger::proposal::{self, Approved, ProposalError};
use proto::v1::{Reason, SubmitProposalRequest};

use super::renew::CONTROLLER_TTL_SECS;
use super::{Desk, Plan, Request, Then};
use crate::callers::Who;
use crate::charters;
use crate::refusal::Refusal;
use crate::steps::{Issuing, Order};

pub(super) fn plan(
    desk: &mut Desk<'_>,
    _deliverer: &Who,
    submit: &SubmitProposalRequest,
) -> Result<Plan, Refusal> {
    let note = Note::parse(submit.proposal.as_bytes()).map_err(ProposalError::from)?;
    let charter: Charter = charters::in_force(&desk.reader)?;
    let log: KeyName = desk.settings.origin.parse().map_err(Refusal::internal)?;
    let cell = desk.settings.cell.to_string();
    let approved = proposal::open(&note, &charter, &cell, &log, desk.now_ms.div_euclid(1000))?;
    fresh(desk, &approved)?;
    let proposal = approved.proposal();
    let act = Act::parse(&proposal.act_name, &proposal.act_fields).map_err(|error| {
        Refusal::new(Reason::ProposalMalformed, format!("the act: {error}")).on("proposal")
    })?;
    let mut entries = vec![recorded(desk, &note)];
    if let Some(certificate) = carry_out(desk, &act)? {
        entries.push(certificate);
    }
    Ok(Plan::Record { entries, then: Then::Proposal })
}

/// Each proposal is carried out once: its nonce is remembered for as long as the ledger is.
fn fresh(desk: &Desk<'_>, approved: &Approved) -> Result<(), Refusal> {
    match desk.reader.proposal(&approved.proposal().nonce)? {
        None => Ok(()),
        Some(index) => Err(Refusal::new(
            Reason::ProposalReplayed,
            format!("this proposal was carried out before, as entry {index}: make a new one to do it again"),
        )
        .on("proposal")),
    }
}

fn recorded(desk: &Desk<'_>, note: &Note) -> Entry {
    let act = entry::Act { note: note.to_string().into_bytes() };
    desk.entry(officers(), &Request::anonymous(), Kind::Act(act))
}

fn officers() -> Actor {
    Actor { kind: ActorKind::Officers.into(), ..Actor::default() }
}

/// Checks that the act can be carried out now; the certificate that it leads to, where it does.
fn carry_out(desk: &mut Desk<'_>, act: &Act) -> Result<Option<Entry>, Refusal> {
    match act {
        Act::ControllerAdd { name, public_key, .. } => {
            if desk.reader.controller(name.as_str())?.is_some() {
                return Err(Refusal::new(
                    Reason::ControllerExists,
                    format!(
                        "controllers/{name} exists; `rootcellar controller reissue {name}` gives it a new certificate"
                    ),
                ));
            }
            certificate(desk, name, public_key).map(Some)
        }
        Act::ControllerReissue { name, public_key } => {
            existing(desk, name)?;
            certificate(desk, name, public_key).map(Some)
        }
        Act::ControllerRemove { name } => existing(desk, name).map(|()| None),
        Act::GrantSet { controller, grant } => {
            existing(desk, controller)?;
            let others = desk.reader.grants(controller.as_str())?;
            let others = others.iter().filter(|row| row.grant.name != grant.name.as_str()).count();
            if others >= cell::MAX_GRANTS {
                return Err(Refusal::malformed(
                    "proposal",
                    format!("a controller has at most {} grants", cell::MAX_GRANTS),
                ));
            }
            Ok(None)
        }
        Act::GrantRemove { controller, grant } => {
            existing(desk, controller)?;
            let grants = desk.reader.grants(controller.as_str())?;
            if grants.iter().any(|row| row.grant.name == grant.as_str()) {
                Ok(None)
            } else {
                Err(Refusal::not_found("grant of that name"))
            }
        }
        Act::IssuerActivate { .. } => Err(Refusal::new(
            Reason::NotServed,
            "a running service changes no issuer yet: `rootcellar init` activates the first",
        )),
    }
}

fn existing(desk: &Desk<'_>, name: &ControllerName) -> Result<(), Refusal> {
    match desk.reader.controller(name.as_str())? {
        Some(_) => Ok(()),
        None => Err(Refusal::not_found("controller of that name")),
    }
}

fn certificate(desk: &mut Desk<'_>, name: &ControllerName, key: &SpkiDer) -> Result<Entry, Refusal> {
    let order = Order::plain(Profile::Controller, name.spiffe_id(&desk.settings.cell));
    let issuing = Issuing {
        subject: format!("/controller/{name}"),
        profile: Recorded::Controller,
        // The act is recorded just before it.
        approval: Some(desk.reference(desk.next)),
        ..Issuing::default()
    };
    let issuance = desk.certificate(key.as_bytes(), CONTROLLER_TTL_SECS, &order, issuing)?;
    Ok(desk.entry(officers(), &Request::anonymous(), Kind::Issuance(issuance)))
}
