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
use super::{Desk, Plan, Then, revoke};
use crate::charters;
use crate::journal::Reader;
use crate::refusal::Refusal;
use crate::steps::{self, Authority, Issuing, Order, Recordable};

/// Least time between two stops of renewals by one officer alone, in milliseconds: a day.
const ALONE_REST_MS: i64 = 86_400_000;

pub(super) fn plan(desk: &mut Desk<'_>, submit: &SubmitProposalRequest) -> Result<Plan, Refusal> {
    let cell = desk.settings.cell.to_string();
    let (note, approved, act) =
        approved(&desk.reader, (&cell, &desk.settings.origin), desk.now_ms, &submit.proposal)?;
    match desk.clock {
        Err(wrong) if !matches!(act, Act::ClockConfirm { .. }) => return Err(wrong.into()),
        _ => {}
    }
    if !act.is_of_this_log(desk.reader.size()?) {
        let message = "the log went on since officers were asked what time it is: ask them again";
        return Err(Refusal::new(Reason::ProposalExpired, message).on("proposal"));
    }
    let mut entries = vec![recorded(desk, &note)];
    let (mut revoked, mut certificate) = (0, None);
    if let Act::CertificateRevoke { target, reason } = &act {
        let (entry, count) = revoke::by_officers(desk, target, *reason)?;
        revoked = count;
        entries.push(entry);
    } else {
        certificate = carry_out(desk, &approved, &act)?;
    }
    let clock = matches!(act, Act::ClockConfirm { .. });
    let thaws = act == Act::Thaw;
    Ok(Plan::Record { entries, certificate, then: Then::Proposal { revoked, clock, thaws } })
}

/// The act of a proposal for the log of this cell and origin, which enough officers signed, and which was not carried out before.
///
/// # Errors
/// It is none.
pub(crate) fn approved(
    reader: &Reader<'_>,
    (cell, origin): (&str, &str),
    now_ms: i64,
    proposal: &str,
) -> Result<(Note, Approved, Act), Refusal> {
    let note = Note::parse(proposal.as_bytes()).map_err(ProposalError::from)?;
    let charter: Charter = charters::in_force(reader)?;
    let log: KeyName = origin.parse().map_err(Refusal::internal)?;
    let approved = proposal::open(&note, &charter, cell, &log, now_ms.div_euclid(1000), audit::act_rule)?;
    fresh(reader, &approved)?;
    let act = act_of(approved.proposal())?;
    Ok((note, approved, act))
}

/// The act that a proposal names.
///
/// # Errors
/// It names none.
pub(crate) fn act_of(proposal: &proposal::Proposal) -> Result<Act, Refusal> {
    Act::parse(&proposal.act_name, &proposal.act_fields)
        .map_err(|error| Refusal::new(Reason::ProposalMalformed, format!("the act: {error}")).on("proposal"))
}

/// Each proposal is carried out once: its nonce is remembered for as long as the ledger is.
fn fresh(reader: &Reader<'_>, approved: &Approved) -> Result<(), Refusal> {
    match reader.proposal(&approved.proposal().nonce)? {
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
    desk.entry(officers(), Kind::Act(act))
}

/// Officers, as the ledger records them: their names stand in the approvals.
pub(crate) fn officers() -> Actor {
    Actor { kind: ActorKind::Officers.into(), ..Actor::default() }
}

/// Checks that the act can be carried out now; the certificate that it leads to, where it does.
fn carry_out(desk: &mut Desk<'_>, approved: &Approved, act: &Act) -> Result<Option<Recordable>, Refusal> {
    if let Act::ControllerAdd { .. } | Act::ControllerReissue { .. } | Act::GrantSet { .. } = act {
        steps::admit::not_frozen(&desk.reader)?;
    }
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
            certificate(desk, Authority::of_officers(approved), name, public_key).map(Some)
        }
        Act::ControllerReissue { name, public_key } => {
            existing(desk, name)?;
            certificate(desk, Authority::of_officers(approved), name, public_key).map(Some)
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
        Act::EpochOpen { .. } => Err(Refusal::new(
            Reason::NotServed,
            "a running log needs no new epoch: `rootcellar ledger open-epoch` opens one where the log went back",
        )),
        Act::RenewalsStop => not_alone_again(&desk.reader, desk.now_ms).map(|()| None),
        Act::Freeze
        | Act::Thaw
        | Act::RenewalsStopConfirm
        | Act::ClockConfirm { .. }
        | Act::CertificateRevoke { .. } => Ok(None),
    }
}

/// One officer alone stops renewals once a day: again and again it would be a stop without end that no quorum wanted.
///
/// # Errors
/// One has.
pub(crate) fn not_alone_again(reader: &Reader<'_>, now_ms: i64) -> Result<(), Refusal> {
    let before = reader.freeze()?.alone_ms;
    if before.is_none_or(|before| now_ms.saturating_sub(before) >= ALONE_REST_MS) {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::StoppedBefore,
        "an officer alone has stopped renewals within the last day: a longer stop needs the quorum (`rootcellar freeze --renewals --confirm`)",
    )
    .on("proposal"))
}

fn existing(desk: &Desk<'_>, name: &ControllerName) -> Result<(), Refusal> {
    match desk.reader.controller(name.as_str())? {
        Some(_) => Ok(()),
        None => Err(Refusal::not_found("controller of that name")),
    }
}

fn certificate(
    desk: &mut Desk<'_>,
    authority: Authority,
    name: &ControllerName,
    key: &SpkiDer,
) -> Result<Recordable, Refusal> {
    let order = Order::plain(Profile::Controller, name.spiffe_id(&desk.settings.cell));
    let issuing = Issuing {
        subject: format!("/controller/{name}"),
        profile: Recorded::Controller,
        // The act is recorded just before it.
        approval: Some(desk.reference(desk.next)),
        lifetime_secs: CONTROLLER_TTL_SECS,
        ..Issuing::default()
    };
    let entry = desk.on_the_word_of(officers());
    desk.certificate(authority, key.as_bytes(), (&order, issuing), entry)
}
