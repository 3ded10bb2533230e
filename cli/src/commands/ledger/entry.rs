//! One entry for people: decoded strictly, its notes as text, its certificate described.

use certs::ObjectIdentifier;
use certs::{CertificateSummary, SignatureAlgorithm, compose::join};
use data_encoding::HEXLOWER;
use ledger::entry::entry::Kind;
use ledger::entry::revocation::Target;
use ledger::entry::{self, Actor, ActorKind, CaRole, Change, Profile, Reference, RequestSignature};
use ledger::leaf_hash;
use proto::v1::{LedgerEntry, ListEntriesRequest};
use serde_json::{Value, json};

use super::Entry;
use crate::client::open;
use crate::commands::custody;
use crate::error::Failure;
use crate::output::rfc3339;
use crate::session::Session;

pub(super) async fn run(session: &Session, args: &Entry) -> Result<(), Failure> {
    let client = open(session, &args.who).await?;
    let request = ListEntriesRequest { start_index: args.index, page_size: 1 };
    let page = client.ledger().list_entries(request).await?.into_inner();
    let found = page.entries.into_iter().find(|entry| entry.index == args.index);
    let found = found.ok_or_else(|| {
        Failure::new("NOT_FOUND", format!("there is no entry {} that you may read", args.index))
    })?;
    let shown = show(&found, session.config()?.attributes_oid())?;
    let text = serde_json::to_string_pretty(&shown).map_err(|error| Failure::new("OUTPUT", error))?;
    session.output().raw(&(text + "\n"))
}

fn show(found: &LedgerEntry, oid: ObjectIdentifier) -> Result<Value, Failure> {
    let entry = entry::decode(&found.entry).map_err(|error| Failure::unverified("the entry", error))?;
    let time = rfc3339(entry.time_unix_ms.div_euclid(1000));
    let (kind, body) = entry.kind.as_ref().map_or(("none", Value::Null), |kind| show_kind(kind, oid));
    Ok(json!({
        "index": found.index,
        "leaf_hash": leaf_hash(&found.entry).to_string(),
        "bytes": found.entry.len(),
        "cell": entry.cell,
        "time": time,
        "actor": entry.actor.as_ref().map(show_actor),
        "request_id": entry.request_id,
        "fields_sha256": HEXLOWER.encode(&entry.fields_sha256),
        "request": HEXLOWER.encode(&found.request),
        "signature": HEXLOWER.encode(&found.signature),
        kind: body,
    }))
}

fn show_actor(actor: &Actor) -> Value {
    let kind = match actor.kind() {
        ActorKind::Caller => "caller",
        ActorKind::Officers => "officers",
        ActorKind::Service => "service",
        ActorKind::Unspecified => "unknown",
    };
    json!({
        "kind": kind,
        "identity": actor.identity,
        "certificate_sha256": HEXLOWER.encode(&actor.certificate_sha256),
        "certificate": actor.certificate.as_ref().map(show_reference),
        "signature": actor.signature.as_ref().map(show_signature),
    })
}

fn show_signature(signature: &RequestSignature) -> Value {
    let hex = |bytes: &Vec<u8>| HEXLOWER.encode(bytes);
    json!({
        "method": signature.method,
        "request_sha256": hex(&signature.request_sha256),
        "time_unix_ms": signature.time_unix_ms,
        "size": signature.size,
        "index": signature.index,
        "path": signature.path.iter().map(hex).collect::<Vec<_>>(),
        "signature": hex(&signature.signature),
    })
}

fn show_reference(reference: &Reference) -> Value {
    json!({ "origin": reference.origin, "index": reference.index })
}

fn show_kind(kind: &Kind, oid: ObjectIdentifier) -> (&'static str, Value) {
    match kind {
        Kind::Charter(charter) => ("charter", show_note(&charter.note)),
        Kind::Bundle(bundle) => ("bundle", show_note(&bundle.note)),
        Kind::Ceremony(ceremony) => ("ceremony", show_note(&ceremony.transcript)),
        Kind::Act(act) => ("act", show_note(&act.note)),
        Kind::CaCertificate(ca) => ("ca_certificate", show_ca(ca, oid)),
        Kind::Issuance(issuance) => ("issuance", show_issuance(issuance, oid)),
        Kind::AgentChange(change) => ("agent_change", show_change(change)),
        Kind::Refusals(refusals) => ("refusals", show_refusals(refusals)),
        Kind::Custody(custody) => ("custody", json!(custody::view::Manifest::from(custody))),
        Kind::Abandonment(given_up) => (
            "abandonment",
            json!({ "certificate": given_up.certificate.as_ref().map(show_reference), "reason": given_up.reason }),
        ),
        Kind::Revocation(revocation) => ("revocation", show_revocation(revocation)),
        Kind::Crl(crl) => ("crl", show_crl(crl)),
    }
}

/// The lines of a note, its signatures among them.
fn show_note(note: &[u8]) -> Value {
    json!({ "note": String::from_utf8_lossy(note).lines().collect::<Vec<_>>() })
}

fn show_ca(ca: &entry::CaCertificate, oid: ObjectIdentifier) -> Value {
    let role = match ca.role() {
        CaRole::Root => "root",
        CaRole::Issuer => "issuer",
        CaRole::Cross => "cross",
        CaRole::Unspecified => "unknown",
    };
    let signer = HEXLOWER.encode(&ca.signer_spki_sha256);
    json!({ "role": role, "signer_spki_sha256": signer, "certificate": show_tbs(&ca.tbs, oid) })
}

fn show_issuance(issuance: &entry::Issuance, oid: ObjectIdentifier) -> Value {
    let profile = match issuance.profile() {
        Profile::Agent => "agent",
        Profile::Controller => "controller",
        Profile::Service => "service",
        Profile::Unspecified => "unknown",
    };
    json!({
        "subject": issuance.subject,
        "profile": profile,
        "agent_revision": issuance.agent_revision,
        "grant": issuance.grant,
        "approval": issuance.approval.as_ref().map(show_reference),
        "renews": issuance.renews.as_ref().map(show_reference),
        "lifetime_seconds": issuance.lifetime_seconds,
        "csr_sha256": HEXLOWER.encode(&issuance.csr_sha256),
        "issuer_spki_sha256": HEXLOWER.encode(&issuance.issuer_spki_sha256),
        "certificate": show_tbs(&issuance.tbs, oid),
    })
}

/// What the bytes that were to be signed say. They stand there too: they are what the record is of.
fn show_tbs(tbs: &[u8], oid: ObjectIdentifier) -> Value {
    // A signature is needed for the form alone; nothing here looks at it.
    let certificate = join(tbs, SignatureAlgorithm::EcdsaP256Sha256, &[0]);
    let said = CertificateSummary::parse(&certificate, oid).ok().map(|summary| {
        json!({
            "serial": summary.serial,
            "subject": summary.subject,
            "issuer": summary.issuer,
            "uris": summary.uris,
            "dns_names": summary.dns_names,
            "ip_addresses": summary.ip_addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "roles": summary.attributes.roles.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "tags": summary.attributes.tags.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "not_before": rfc3339(summary.not_before),
            "not_after": rfc3339(summary.not_after),
            "key": summary.key,
            "spki_sha256": summary.spki_sha256,
        })
    });
    json!({ "said": said, "tbs": HEXLOWER.encode(tbs) })
}

fn show_change(change: &entry::AgentChange) -> Value {
    let what = match change.change() {
        Change::Created => "created",
        Change::Updated => "updated",
        Change::Deleted => "deleted",
        Change::Unspecified => "unknown",
    };
    let agent = change.agent.as_ref().map(|agent| {
        json!({
            "id": agent.id, "roles": agent.roles, "tags": agent.tags, "dns_names": agent.dns_names,
            "owner": agent.owner, "disabled": agent.disabled, "revision": agent.revision,
        })
    });
    let approval = change.approval.as_ref().map(show_reference);
    json!({ "change": what, "agent": agent, "grant": change.grant, "approval": approval })
}

fn show_revocation(revocation: &entry::Revocation) -> Value {
    let target = revocation.target.as_ref().map(|target| match target {
        Target::Certificate(certificate) => json!({ "certificate": show_reference(certificate) }),
        Target::Agent(id) => json!({ "agent": id }),
        Target::IssuedSince(issued) => {
            let since = rfc3339(issued.since_unix_ms.div_euclid(1000));
            json!({ "controller": issued.controller, "since": since })
        }
    });
    let reason = cell::RevocationReason::try_from(revocation.reason).map(|reason| reason.to_string());
    json!({
        "target": target,
        "reason": reason.unwrap_or_else(|_| "unknown".to_owned()),
        "revoked": revocation.revoked,
        "grant": revocation.grant,
        "approval": revocation.approval.as_ref().map(show_reference),
    })
}

fn show_crl(crl: &entry::Crl) -> Value {
    json!({
        "issuer_spki_sha256": HEXLOWER.encode(&crl.issuer_spki_sha256),
        "number": crl.number,
        "this_update": rfc3339(crl.this_update_unix),
        "next_update": rfc3339(crl.next_update_unix),
        "tbs_sha256": HEXLOWER.encode(&crl.tbs_sha256),
        "revoked": crl.revoked,
        "covers": crl.covers,
    })
}

fn show_refusals(refusals: &entry::Refusals) -> Value {
    let each = refusals.refusals.iter().map(
        |refusal| json!({ "identity": refusal.identity, "reason": refusal.reason, "count": refusal.count }),
    );
    json!({
        "since": rfc3339(refusals.since_unix_ms.div_euclid(1000)),
        "refusals": each.collect::<Vec<_>>(),
        "others": refusals.others,
        "key_clashes": refusals.key_clashes.iter().map(show_clash).collect::<Vec<_>>(),
    })
}

fn show_clash(clash: &entry::KeyClash) -> Value {
    json!({
        "spki_sha256": HEXLOWER.encode(&clash.spki_sha256),
        "holder": clash.holder,
        "claimant": clash.claimant,
        "count": clash.count,
    })
}
